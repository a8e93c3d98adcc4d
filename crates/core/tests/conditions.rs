//! The conditions of a rule, the stable names in logs and JSON output, and the order of a trace.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use callgate_core::{
    App, AppKey, Applicability, Call, Decision, Door, Effect, EpochSeconds, Hours, MediaSet, ParsedItem, Party,
    PartyId, Pattern, Permissions, Rule, RuleKey, Status, decide, trace,
};

/// 2026-11-23, a Monday, 12:00 UTC.
const MONDAY_NOON: EpochSeconds = 1_795_435_200;
const HOUR: EpochSeconds = 60 * 60;
const DAY: EpochSeconds = 24 * HOUR;

fn call() -> Call {
    let id = |text| PartyId::new(text, None).unwrap();
    let media = MediaSet { audio: true, video: false };
    Call { app: AppKey::new("app").unwrap(), caller: id("caller"), callee: id("callee"), media }
}

/// Decides a call when the app allows everyone and the pair has this rule.
fn decide_with_pair(pair: Rule, now: EpochSeconds) -> (Effect, &'static str) {
    let app: ParsedItem<App> = Ok(Some(App {
        callers: [(Pattern::Everyone, Ok(Rule::new(Effect::Allow)))].into_iter().collect(),
        ..App::default()
    }));
    let no_party: ParsedItem<Party> = Ok(None);
    let pair = Ok(Some(pair));
    let call = call();
    let decision = decide(&call, Permissions { app: &app, caller: &no_party, callee: &no_party, pair: &pair }, now);
    (decision.effect(), decision.reason())
}

#[test]
fn a_rule_applies_only_within_its_hours() {
    let office_hours = || Some(Hours::parse("Mon-Fri 09:00-18:00 UTC").unwrap());
    let deny = || Rule { hours: office_hours(), ..Rule::new(Effect::Deny) };
    let allow = || Rule { hours: office_hours(), ..Rule::new(Effect::Allow) };
    for now in [MONDAY_NOON, MONDAY_NOON - 3 * HOUR, MONDAY_NOON + 4 * DAY] {
        assert_eq!(decide_with_pair(deny(), now), (Effect::Deny, "pair_rule"));
        assert_eq!(decide_with_pair(allow(), now), (Effect::Allow, "pair_rule"));
    }
    for now in [MONDAY_NOON - 3 * HOUR - 1, MONDAY_NOON + 6 * HOUR, MONDAY_NOON + 5 * DAY] {
        assert_eq!(decide_with_pair(deny(), now), (Effect::Allow, "app_rule"));
        assert_eq!(decide_with_pair(allow(), now), (Effect::Allow, "app_rule"));
    }
}

#[test]
fn an_expired_rule_does_not_apply() {
    let until = |expires_at| Rule { expires_at: Some(expires_at), ..Rule::new(Effect::Deny) };
    assert_eq!(decide_with_pair(until(MONDAY_NOON + 1), MONDAY_NOON), (Effect::Deny, "pair_rule"));
    assert_eq!(decide_with_pair(until(MONDAY_NOON), MONDAY_NOON), (Effect::Allow, "app_rule"));
}

#[test]
fn names_in_logs_and_json_are_stable() {
    assert_eq!(Door::ALL.map(Door::as_str), ["app", "destination", "caller", "callee"]);
    assert_eq!([Effect::Allow, Effect::Deny].map(Effect::as_str), ["allow", "deny"]);
    assert_eq!([Status::Active, Status::Suspended].map(Status::as_str), ["active", "suspended"]);
    let id = PartyId::anonymous();
    assert_eq!(RuleKey::Pair(&id).to_string(), "anonymous");
    assert_eq!(RuleKey::Entry(&Pattern::from_stored("+7495*")).to_string(), "+7495*");
    assert_eq!(AppKey::new("shop").unwrap().to_string(), "shop");
}

#[test]
fn hours_keep_the_order_of_their_windows() {
    let hours = Hours::parse("Mon 09:00-18:00 UTC; Sat 10:00-12:00 UTC").unwrap();
    let windows: Vec<_> = hours.windows().iter().map(ToString::to_string).collect();
    assert_eq!(windows, ["Mon 09:00-18:00 UTC", "Sat 10:00-12:00 UTC"]);
}

#[test]
fn a_trace_lists_the_rules_of_each_door_most_specific_first() {
    let allow = |key: &str| (Pattern::from_stored(key), Ok(Rule::new(Effect::Allow)));
    let deny = |key: &str| (Pattern::from_stored(key), Ok(Rule::new(Effect::Deny)));
    let app: ParsedItem<App> =
        Ok(Some(App { callers: [allow("*"), deny("x*")].into_iter().collect(), ..App::default() }));
    let caller: ParsedItem<Party> = Ok(None);
    let incoming = [allow("*"), deny("ca*"), allow("call*"), allow("caller")].into_iter().collect();
    let callee: ParsedItem<Party> = Ok(Some(Party { incoming, ..Party::default() }));
    let pair = Ok(Some(Rule::new(Effect::Allow)));
    let call = call();
    let trace = trace(&call, Permissions { app: &app, caller: &caller, callee: &callee, pair: &pair }, MONDAY_NOON);
    let expected = Decision::Rule { door: Door::Callee, key: RuleKey::Pair(&call.caller), effect: Effect::Allow };
    assert_eq!(trace.decision, expected);
    let rules: Vec<Vec<_>> = trace
        .doors
        .iter()
        .map(|(_, rules)| {
            let applies = |applicability| matches!(applicability, Applicability::Applies(_));
            rules.iter().map(|it| (it.key.to_string(), applies(it.applicability), it.decides)).collect()
        })
        .collect();
    let rule = |text: &str, applies, decides| (text.to_owned(), applies, decides);
    assert_eq!(
        rules,
        [
            vec![rule("x*", false, false), rule("*", true, true)],
            vec![],
            vec![rule("callee", true, true)],
            vec![
                // Both are equally specific and allow the call, so the pair item decides.
                rule("caller", true, true),
                rule("caller", true, false),
                rule("call*", true, false),
                rule("ca*", true, false),
                rule("*", true, false),
            ],
        ]
    );
}
