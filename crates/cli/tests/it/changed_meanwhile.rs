//! Commands whose rule changes while they run, and commands whose answers get lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, TABLE, TestServer, split_words, tool_at};
use crate::terminal::on_terminal;

/// Starts a proxy that puts an item into the table just before the first write arrives.
pub(crate) fn put_before_first_write(server: &TestServer, item: Value) -> String {
    let (writes, other) = (Arc::new(AtomicUsize::new(0)), server.handle());
    start_proxy(server.address, move |request| {
        if request.is_write() && writes.fetch_add(1, Ordering::SeqCst) == 0 {
            other.request("PutItem", &json!({"TableName": TABLE, "Item": item}));
        }
        Treatment::Forward
    })
}

/// Starts a proxy that treats the first write so, and counts the writes.
pub(crate) fn treat_first_write(server: &TestServer, treatment: fn() -> Treatment) -> (String, Arc<AtomicUsize>) {
    let writes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&writes);
    let url = start_proxy(server.address, move |request| {
        if request.is_write() && count.fetch_add(1, Ordering::SeqCst) == 0 { treatment() } else { Treatment::Forward }
    });
    (url, writes)
}

pub(crate) fn run(url: &str, arguments: &str) -> Run {
    Run::of(tool_at(url).args(split_words(arguments)))
}

/// The places of a rule: the item with a rule of this effect at a place, and the arguments that name the rule.
fn places(effect: &str) -> [(Value, &'static str); 4] {
    let rule = json!({"effect": {"S": effect}, "updated_by": {"S": "another operator"}});
    let list = |pattern: &str| json!({"M": {pattern: {"M": rule}}});
    let mut pair = json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}});
    pair.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    [
        (pair, "--app shop --from a --to b"),
        (
            json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": list("+7*")}),
            "--app shop --from '+7*' --to b",
        ),
        (
            json!({"pk": {"S": "PARTY#shop#a"}, "sk": {"S": "PARTY"}, "outgoing": list("*")}),
            "--app shop --from a --to '*'",
        ),
        (
            json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "callers": list("a")}),
            "--app shop --from a --to '*' --door app",
        ),
    ]
}

#[test]
fn a_rule_that_changed_meanwhile_is_not_overwritten() {
    for (theirs, parties) in places("deny") {
        let server = TestServer::with_table();
        let proxy = put_before_first_write(&server, theirs.clone());
        let run = run(&proxy, &format!("allow {parties} --yes")).exits_with(1);
        run.prints("another writer changed this rule meanwhile").prints("before: deny").prints("nothing was written");
        assert_eq!(server.stored(), [theirs], "{parties}");
    }
}

#[test]
fn a_rule_that_another_writer_wrote_the_same_way_is_unchanged() {
    for (theirs, parties) in places("allow") {
        let server = TestServer::with_table();
        let proxy = put_before_first_write(&server, theirs.clone());
        run(&proxy, &format!("allow {parties} --yes")).succeeds().prints("unchanged: allow");
        assert_eq!(server.stored(), [theirs], "{parties}");
    }
}

#[test]
fn a_rule_that_changed_meanwhile_is_not_revoked() {
    for ((before, parties), (theirs, _)) in places("deny").into_iter().zip(places("allow")) {
        let server = TestServer::with_table();
        server.put(&before);
        let proxy = put_before_first_write(&server, theirs.clone());
        let run = run(&proxy, &format!("revoke {parties} --yes")).exits_with(1);
        run.prints("another writer changed this rule meanwhile").prints("revoke allow").prints("nothing was written");
        assert_eq!(server.stored(), [theirs], "{parties}");
    }
}

#[test]
fn on_a_terminal_a_change_is_confirmed_again() {
    for ((before, parties), (theirs, _)) in places("deny").into_iter().zip(places("allow")).skip(1) {
        for (answers, is_revoked) in [("y\nn\n", false), ("y\ny\n", true)] {
            let server = TestServer::with_table();
            server.put(&before);
            let proxy = put_before_first_write(&server, theirs.clone());
            let arguments = split_words(&format!("revoke {parties}"));
            let (code, shown) = on_terminal(tool_at(&proxy).args(arguments).env("NO_COLOR", "1"), answers);
            assert_eq!(code, Some(i32::from(!is_revoked)), "{shown}");
            assert!(shown.contains("another writer changed this rule meanwhile\r\nrevoke allow"), "{shown}");
            assert_eq!(server.stored() == [theirs.clone()], !is_revoked, "{shown}");
        }
    }
}

#[test]
fn another_rule_of_the_same_list_is_no_reason_to_ask() {
    let server = TestServer::with_table();
    let other = json!({"effect": {"S": "deny"}});
    let item = json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"+1*": {"M": other}}}});
    let proxy = put_before_first_write(&server, item);
    run(&proxy, "allow --app shop --from '+7*' --to b --yes").succeeds().prints("written");
    let incoming = server.items()[0]["incoming"]["M"].as_object().unwrap().clone();
    assert_eq!(incoming.keys().collect::<Vec<_>>(), ["+1*", "+7*"]);
}

#[test]
fn a_command_whose_request_or_answer_got_lost_reports_what_it_did() {
    let lost: [fn() -> Treatment; 2] = [|| Treatment::LoseAnswer, || Treatment::LoseRequest];
    for treatment in lost {
        for (_, parties) in places("allow") {
            let server = TestServer::with_table();
            for (command, result) in
                [("allow", "written: allow"), ("deny", "replaced: deny"), ("revoke", "revoked: deny")]
            {
                let (proxy, writes) = treat_first_write(&server, treatment);
                run(&proxy, &format!("{command} {parties} --yes")).succeeds().prints(result);
                assert!(writes.load(Ordering::SeqCst) > 1, "{command} {parties}");
            }
            run(&treat_first_write(&server, treatment).0, &format!("revoke {parties} --yes"))
                .exits_with(1)
                .prints("there is no rule");
        }
    }
}

#[test]
fn a_refused_write_is_not_reported_as_done() {
    for (before, parties) in places("allow") {
        let server = TestServer::with_table();
        server.put(&before);
        for command in ["deny", "revoke"] {
            let (proxy, _) = treat_first_write(&server, || Treatment::refuse("AccessDeniedException"));
            run(&proxy, &format!("{command} {parties} --yes")).exits_with(1).prints("AccessDeniedException");
        }
        assert_eq!(server.stored(), [before], "{parties}");
    }
}
