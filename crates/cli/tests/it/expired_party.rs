//! Parties that have expired, but that `DynamoDB` has not deleted yet, and parties that will expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, TABLE, TestServer, split_words, tool_at};

/// A party that allows calls from and to everyone, and was suspended, until a moment.
fn party(expires_at: i64) -> Value {
    let everyone = json!({"M": {"*": {"M": {"effect": {"S": "allow"}}}, "+1*": {"M": {"effect": {"S": "deny"}}}}});
    json!({
        "pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "status": {"S": "suspended"}, "incoming": everyone,
        "outgoing": everyone, "note": {"S": "a guest"}, "expires_at": {"N": expires_at.to_string()}, "team": {"S": "x"},
    })
}

/// A moment in this year's past.
const PAST: i64 = 1_767_225_600;
/// A moment that no test reaches.
const FUTURE: i64 = 4_070_908_800;

#[test]
fn a_rule_of_an_expired_party_revives_it_without_its_former_rules() {
    for (parties, list, entry) in [
        ("--from '+7*' --to b", "incoming", "+7*"),
        ("--from '*' --to b", "incoming", "*"),
        ("--from b --to 'P*'", "outgoing", "P*"),
    ] {
        for effect in ["allow", "deny"] {
            let server = TestServer::with_table();
            server.put(&party(PAST));
            let run = server.run(&format!("{effect} --app shop {parties} --yes")).succeeds();
            run.prints(&format!("written: {effect}")).prints("the party had expired at 2026-01-01 00:00 UTC");
            let rule = json!({"M": {entry: {"M": {"effect": {"S": effect}}}}});
            let expected = json!({
                "pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, list: rule, "note": {"S": "a guest"},
            });
            assert_eq!(server.items(), [expected], "{effect} {parties}");
        }
    }
}

#[test]
fn suspending_an_expired_party_revives_it_without_its_former_rules() {
    let server = TestServer::with_table();
    server.put(&party(PAST));
    server.run("resume --app shop b").succeeds().prints("unchanged").prints("counts as absent");
    assert_eq!(server.items(), [party(PAST)]);
    server.run("suspend --app shop b").succeeds().prints("written").prints("the party had expired");
    let expected = json!({
        "pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "status": {"S": "suspended"}, "note": {"S": "a guest"},
    });
    assert_eq!(server.items(), [expected]);
}

#[test]
fn a_party_that_expires_while_a_command_runs_is_revived() {
    for (command, result) in
        [("allow --app shop --from '+7*' --to b --yes", "incoming"), ("suspend --app shop b", "status")]
    {
        let server = TestServer::with_table();
        let mut active = party(FUTURE);
        active["status"]["S"] = json!("active");
        server.put(&active);
        let (handle, is_first) = (server.handle(), Arc::new(AtomicBool::new(true)));
        let proxy = start_proxy(server.address, move |request| {
            if request.is_write() && is_first.swap(false, Ordering::SeqCst) {
                handle.request("PutItem", &json!({"TableName": TABLE, "Item": party(PAST)}));
            }
            Treatment::Forward
        });
        let run = Run::of(tool_at(&proxy).args(split_words(command))).succeeds();
        run.prints("written").prints("the party had expired");
        let item = &server.items()[0];
        assert!(item.get("expires_at").is_none() && item.get("outgoing").is_none() && item.get(result).is_some());
    }
}

#[test]
fn an_expired_party_that_changes_meanwhile_is_planned_again() {
    let server = TestServer::with_table();
    server.put(&party(PAST));
    let (handle, is_first) = (server.handle(), Arc::new(AtomicBool::new(true)));
    let proxy = start_proxy(server.address, move |request| {
        if request.is_write() && is_first.swap(false, Ordering::SeqCst) {
            let mut revived = party(FUTURE);
            revived["status"]["S"] = json!("active");
            handle.request("PutItem", &json!({"TableName": TABLE, "Item": revived}));
        }
        Treatment::Forward
    });
    let run = Run::of(tool_at(&proxy).args(split_words("allow --app shop --from '+7*' --to b --yes"))).succeeds();
    run.prints("written").prints("the party expires at 2099-01-01 00:00 UTC");
    let item = &server.items()[0];
    assert_eq!(item["expires_at"]["N"], FUTURE.to_string());
    assert_eq!(item["incoming"]["M"].as_object().unwrap().keys().collect::<Vec<_>>(), ["*", "+1*", "+7*"]);
    assert_eq!(item["outgoing"], party(FUTURE)["outgoing"]);
}

#[test]
fn a_rule_that_expires_with_its_party_gets_a_notice() {
    let server = TestServer::with_table();
    server.put(&party(FUTURE));
    let notice = "the party expires at 2099-01-01 00:00 UTC";
    server.run("allow --app shop --from '+7*' --to b --yes").succeeds().prints(notice).prints("and this rule with it");
    server.run("allow --app shop --from '+8*' --to b --yes --until 30d").succeeds().does_not_print(notice);
    server.run("allow --app shop --from '+8*' --to c --yes").succeeds().does_not_print("expires");
    server.run("resume --app shop b").succeeds();
    server.run("suspend --app shop b").succeeds().prints(notice).prints("and its status with it");
}
