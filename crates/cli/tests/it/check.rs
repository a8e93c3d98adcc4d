//! `check`: the decision, and why each rule did or did not decide.

use serde_json::json;

use crate::support::TestServer;

#[test]
fn check_prints_every_rule_and_why_it_applies() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from '+881*' --to '*'").succeeds();
    server.run("deny --app shop --from '*' --to PPP005").succeeds();
    server.run("allow --app shop --from 'PPP*' --to PPP005 --media audio").succeeds();
    server.run("allow --app shop --from 'PPP00*' --to PPP005 --hours 'Mon-Fri 09:00-18:00 Europe/Moscow'").succeeds();
    server.run("allow --app shop --from PPP009 --to PPP005 --until 2090-01-01").succeeds();

    let work = server.run("check --app shop --from PPP009 --to PPP005 --at 2026-11-23T12:00:00+03:00").succeeds();
    assert_eq!(
        work.stdout,
        "\
permitted: pair_rule (the rule between these two allows the call)
  PPP009 to PPP005 in app shop, audio, at 2026-11-23 09:00 UTC
door app: who may call anyone in app shop
  no rule applies
  +881*  deny   does not match
door destination: whom anyone in app shop may call
  no rules
door caller: whom PPP009 may call
> PPP005  allow  rule between these two, decides, until 2090-01-01 00:00 UTC
door callee: who may call PPP005
> PPP009  allow  rule between these two, decides, until 2090-01-01 00:00 UTC
  PPP00*  allow  applies, but `PPP009` is more specific, Mon-Fri 09:00-18:00 Europe/Moscow
  PPP*    allow  applies, but `PPP009` is more specific, audio only
  *       deny   applies, but `PPP009` is more specific
to refuse it: callgatectl deny --app shop --from PPP009 --to PPP005
"
    );
    let later =
        server.run("check --app shop --from PPP009 --to PPP005 --video --at 2095-01-01T12:00:00+03:00").exits_with(3);
    let later = later
        .prints("refused: callee_rule (the rule `*` at door callee denies the call)")
        .prints("expired at 2090-01-01 00:00 UTC");
    later.prints("the call is outside Mon-Fri 09:00-18:00 Europe/Moscow").prints("is for audio only");
    let json = server.json("check --app shop --from +88155 --to PPP005");
    assert_eq!(json["decision"], "deny");
    assert_eq!(json["reason"], "app_rule");
    assert_eq!(json["doors"][0]["says"], "deny");
    assert_eq!(json["doors"][3]["rules"][0]["standing"], "about_others");
}

#[test]
fn an_invalid_rule_is_named() {
    let server = TestServer::with_table();
    let rule = json!({"M": {"effect": {"S": "allow"}, "hours": {"L": [{"S": "Mon 9-18 Mars/Olympus"}]}}});
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"*": rule}}}));
    server.run("check --app shop --from a --to b").exits_with(3).prints("invalid_record").prints("not a time of day");
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": {"S": "x"}}));
    server.run("check --app shop --from a --to b").exits_with(3).prints("invalid_record").prints("not a map");
}

#[test]
fn calls_are_denied_by_default() {
    let server = TestServer::with_table();
    server.run("check --app nosuch --from a --to b").exits_with(3).prints("refused: no_rule");
}

#[test]
fn suspended_and_expired_parties_are_marked_at_their_door() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from '*' --to '*'").succeeds();
    server.run("suspend --app shop a").succeeds();
    let party = json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "status": {"S": "suspended"}, "expires_at": {"N": "1000000000"},
        "incoming": {"M": {"*": {"M": {"effect": {"S": "deny"}}}}}});
    server.put(&party);
    let run = server.run("check --app shop --from a --to b").exits_with(3).prints("refused: caller_suspended");
    let run = run
        .prints("\ndoor app: who may call anyone in app shop\n")
        .prints("\ndoor caller: whom a may call (suspended)\n");
    run.prints(
        "\ndoor callee: who may call b (expired at 2001-09-09 01:46:40 UTC, so it counts as absent)\n  no rules",
    );
    let json = server.json("check --app shop --from a --to b");
    let doors: Vec<_> =
        json["doors"].as_array().unwrap().iter().map(|it| (&it["suspended"], &it["expired_at"])).collect();
    let (no, none) = (json!(false), json!(null));
    assert_eq!(doors, [(&no, &none), (&no, &none), (&json!(true), &none), (&no, &json!("2001-09-09T01:46:40Z"))]);
    server.run("check --app shop --from a --to b --at 2001-09-09T01:46:00Z").exits_with(3).prints("callee_suspended");
    server.run("suspend --app shop").succeeds();
    server
        .run("check --app shop --from x --to y")
        .exits_with(3)
        .prints("\ndoor app: who may call anyone in app shop (suspended)\n");
}

#[test]
fn an_empty_caller_is_anonymous_and_an_empty_callee_is_an_error() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from anonymous --to b").succeeds();
    server.run("check --app shop --from '' --to b").exits_with(3).prints("anonymous to b in app shop");
    server.run("check --app shop --from a --to ' '").exits_with(2).prints("a party is empty");
}
