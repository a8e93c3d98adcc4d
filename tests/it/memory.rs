//! Items of the largest size that DynamoDB allows, in the memory of the smallest sandbox.

use std::sync::Arc;

use crate::dynamodb::{Action, StandIn, Table};
use crate::gateway::call_in;
use crate::lambda::Sandbox;

/// The largest item, in bytes as DynamoDB counts them (Developer Guide, "DynamoDB item sizes and formats").
const MAX_ITEM: usize = 400 * 1024;

/// The memory of the smallest sandbox, in KiB.
const MAX_MEMORY: u64 = 128 * 1024;

/// Lists of as many rules as fit into an item: the size of a rule there, with its pattern, and DynamoDB's JSON.
const PLAIN: (usize, &str) = (3 + 1 + 3 + "effect".len() + 1 + "deny".len(), r#"{"M":{"effect":{"S":"deny"}}}"#);
const WITHOUT_EFFECT: (usize, &str) = (3 + 1 + 3, r#"{"M":{}}"#);
const TEXTS: (usize, &str) = (3 + 1, r#"{"S":""}"#);

fn list((bytes, rule): (usize, &str)) -> Arc<str> {
    const CHARACTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
    let pattern = |n: usize| {
        let character = |part: usize| char::from(CHARACTERS[part % 64]);
        String::from_iter([character(n), character(n / 64), character(n / 4_096)])
    };
    let rules: Vec<_> = (0..MAX_ITEM / bytes).map(|n| format!(r#""{}":{rule}"#, pattern(n))).collect();
    format!(r#"{{"M":{{{}}}}}"#, rules.join(",")).into()
}

/// Sends calls in 40 apps, whose items all have the largest size. Their lists, an app's and a party's, take turns.
/// Returns the peak memory in KiB.
async fn peak_of_calls(calls: usize, lists: &[[Arc<str>; 2]]) -> u64 {
    let table = Table::empty().await;
    let dynamodb = StandIn::before(&table, &[], Action::Forward).await;
    let environment = [("STORE_DEADLINE_MS", "10000"), ("APP_CACHE_SECONDS", "3600")];
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &environment).await;
    for (call, lists) in lists.iter().cycle().take(calls).enumerate() {
        dynamodb.change(Action::Full(lists.clone()));
        let event = call_in(&format!("app-{}", call % 40), "caller", "callee");
        assert_eq!(sandbox.invoke(&event).await.status, 200, "call {call}");
    }
    sandbox.peak_kib()
}

#[tokio::test]
async fn apps_of_the_largest_size_fit_into_the_smallest_sandbox() {
    let lists = [PLAIN, WITHOUT_EFFECT, TEXTS].map(|app| [list(app), list(PLAIN)]);
    let peak = peak_of_calls(12, &lists).await;
    assert!(peak < MAX_MEMORY, "{peak} KiB");
}

#[tokio::test]
#[ignore = "measures, for docs/src/measurements/reliability.md"]
async fn peak_memory_over_items_of_the_largest_size() {
    let [plain, without_effect, texts] = [PLAIN, WITHOUT_EFFECT, TEXTS].map(list);
    let none: Arc<str> = r#"{"M":{}}"#.into();
    let in_turn = |party: &Arc<str>| [&plain, &without_effect, &texts].map(|app| [Arc::clone(app), Arc::clone(party)]);
    let both = |list: &Arc<str>| [Arc::clone(list), Arc::clone(list)];
    for (lists, name) in [
        (&in_turn(&none)[..], "apps with each of these in turn, parties without rules"),
        (&in_turn(&plain)[..], "apps with each of these in turn, parties with plain rules"),
        (&[both(&plain)][..], "plain rules in apps and parties"),
        (&[both(&without_effect)][..], "rules without an effect in apps and parties"),
        (&[both(&texts)][..], "texts in place of rules in apps and parties"),
        (&[both(&plain), both(&without_effect), both(&texts)][..], "apps and parties with each of these in turn"),
    ] {
        println!("| {name} | {} |", peak_of_calls(200, lists).await / 1024);
    }
}
