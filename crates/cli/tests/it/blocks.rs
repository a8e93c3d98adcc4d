//! `block` and `unblock`.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::changed_meanwhile::{put_before_first_write, run, treat_first_write};
use crate::proxy::Treatment;
use crate::support::TestServer;
use crate::terminal::run_and_type;

const PAST: &str = "1767225600";
const NEVER: &str = "4102358400";

/// A party's item with this block.
fn blocked(block: &Value) -> Value {
    json!({"pk": {"S": "PARTY#shop#a"}, "sk": {"S": "PARTY"}, "blocked": {"M": block}})
}

#[test]
fn a_blocked_party_calls_no_one_and_can_be_called() {
    let server = TestServer::with_table();
    for rule in ["--from a --to b", "--from a --to '*' --yes", "--from '*' --to a --yes"] {
        server.run(&format!("allow --app shop {rule}")).succeeds();
    }
    let before = server.items();
    server
        .run("block --app shop a --note 'nuisance calls' --yes")
        .succeeds()
        .prints("written: block a (nuisance calls)");
    for callee in ["b", "c"] {
        server.run(&format!("check --app shop --from a --to {callee}")).exits_with(3).prints("caller_blocked");
    }
    server.run("check --app shop --from b --to a").succeeds();
    server.run("unblock --app shop a").succeeds().prints("unblocked: block a (nuisance calls)");
    assert_eq!(server.items(), before);
    server.run("unblock --app shop a").exits_with(1).prints("party `a` of app `shop` is not blocked");
    server.run("check --app shop --from a --to c").succeeds();
}

#[test]
fn a_block_keeps_what_is_not_named() {
    let server = TestServer::with_table();
    let block = |arguments: &str| server.run(&format!("block --app shop a --yes {arguments}")).succeeds();
    let stored = || server.items()[0]["blocked"]["M"].clone();
    let all = json!({"expires_at": {"N": NEVER}, "list": {"S": "spam"}, "note": {"S": "x"}});
    block("--until 2099-12-31 --list spam --note x").prints("written: block a, until");
    assert_eq!(stored(), all);
    block("").prints("unchanged: block a");
    block("--note y").prints("replaced: block a").prints("before: block a").prints("(x)");
    assert_eq!(stored()["note"], json!({"S": "y"}));
    assert_eq!((&stored()["expires_at"], &stored()["list"]), (&all["expires_at"], &all["list"]));
    for (arguments, name) in [("--no-until", "expires_at"), ("--no-list", "list"), ("--note ''", "note")] {
        block(arguments).prints("replaced");
        assert_eq!(stored().get(name), None);
    }
    assert_eq!(server.items(), [blocked(&json!({}))]);
    block("--note z");
    block("--no-note");
    assert_eq!(server.items(), [blocked(&json!({}))]);
    server.run("block --app shop a --yes --until 30d --no-until").exits_with(2);
    server.run("block --app shop a --yes --until 2020-01-01").exits_with(2).prints("is not in the future");
}

#[test]
fn a_block_that_has_expired_counts_as_absent() {
    let server = TestServer::with_table();
    server.put(&blocked(&json!({"expires_at": {"N": PAST}, "note": {"S": "old"}})));
    server.run("block --app shop a --yes").succeeds().prints("replaced: block a").prints("before: block a, until");
    assert_eq!(server.items(), [blocked(&json!({}))]);
}

#[test]
fn an_invalid_block_is_replaced_or_ended() {
    let server = TestServer::with_table();
    for value in [json!({"M": {"until": {"S": "x"}}}), json!({"S": "yes"})] {
        server.put(&json!({"pk": {"S": "PARTY#shop#a"}, "sk": {"S": "PARTY"}, "blocked": value}));
        server.run("unblock --app shop a").succeeds().prints("unblocked: the invalid block of a");
        assert!(server.items().is_empty());
        server.put(&json!({"pk": {"S": "PARTY#shop#a"}, "sk": {"S": "PARTY"}, "blocked": value}));
        server.run("block --app shop a --yes").succeeds().prints("before: an invalid block");
        assert_eq!(server.items(), [blocked(&json!({}))]);
    }
}

#[test]
fn what_a_block_cannot_do_is_refused_with_the_deny_to_write() {
    let server = TestServer::with_table();
    for (arguments, deny) in [
        ("'+7*'", "`callgatectl deny --app shop --from '+7*' --to '*'`"),
        ("'*'", "`callgatectl deny --app shop --from '*' --to '*'`"),
        ("@sales", "`callgatectl deny --app shop --from @sales --to '*'`"),
        ("'+7*' --to b", "`callgatectl deny --app shop --from '+7*' --to b`"),
        ("a --to 'b*'", "`callgatectl deny --app shop --from a --to 'b*'`"),
        ("a --to b --media video", "`callgatectl deny --app shop --from a --to b --media video`"),
        ("a --media audio", "`callgatectl deny --app shop --from a --to '*' --media audio`"),
        (
            "a --hours 'Mon-Fri 09:00-18:00 UTC'",
            "`callgatectl deny --app shop --from a --to '*' --hours 'Mon-Fri 09:00-18:00 UTC'`",
        ),
    ] {
        server.run(&format!("block --app shop {arguments} --yes")).exits_with(2).prints(deny);
    }
    server.run("block --app shop @Sales --yes").exits_with(2).prints("is not the name of a group");
    server.run("block --app shop '1.5550100123E+10' --yes").exits_with(2).prints("--exactly");
    assert!(server.items().is_empty());
    server.run("block --app shop '*98' --yes").succeeds().prints("written: block *98");
    server
        .run("unblock --app shop '+7*'")
        .exits_with(2)
        .prints("`callgatectl revoke --app shop --from '+7*' --to '*'`");
}

#[test]
fn a_block_revives_an_expired_party_without_its_former_rules() {
    let server = TestServer::with_table();
    let mut party = blocked(&json!({"note": {"S": "old"}}));
    party.as_object_mut().unwrap().extend([
        ("expires_at".to_owned(), json!({"N": PAST})),
        ("note".to_owned(), json!({"S": "a guest"})),
        ("outgoing".to_owned(), json!({"M": {"*": {"M": {"effect": {"S": "allow"}}}}})),
    ]);
    server.put(&party);
    server.run("block --app shop a --yes").succeeds().prints("written: block a").prints("the party had expired");
    let mut expected = blocked(&json!({}));
    expected["note"] = json!({"S": "a guest"});
    assert_eq!(server.items(), [expected]);
    party["expires_at"] = json!({"N": NEVER});
    server.put(&party);
    server
        .run("block --app shop a --yes --note z")
        .succeeds()
        .prints("the party expires at")
        .prints("and this block with it");
}

#[test]
fn a_block_is_asked_about_on_a_terminal() {
    let server = TestServer::with_table();
    let (code, shown) = run_and_type(&server, "block --app shop a", "n\n");
    assert!(code == Some(1) && shown.contains("this refuses all calls from `a`, whatever the rules"), "{shown}");
    assert!(server.items().is_empty());
    let (code, shown) = run_and_type(&server, "block --app shop a", "y\n");
    assert!(code == Some(0), "{shown}");
    let (code, shown) = run_and_type(&server, "block --app shop a --note x", "n\n");
    assert!(code == Some(1) && shown.contains("before: block a"), "{shown}");
    let (code, shown) = run_and_type(&server, "unblock --app shop a", "");
    assert!(code == Some(0) && !shown.contains("Do it?"), "{shown}");
}

#[test]
fn a_block_that_changed_meanwhile_is_not_overwritten_or_ended() {
    let theirs = blocked(&json!({"note": {"S": "theirs"}, "updated_by": {"S": "another operator"}}));
    for (before, command) in
        [(None, "block --app shop a --note x --yes"), (Some(blocked(&json!({}))), "unblock --app shop a")]
    {
        let server = TestServer::with_table();
        if let Some(item) = before {
            server.put(&item);
        }
        let proxy = put_before_first_write(&server, theirs.clone());
        run(&proxy, command).exits_with(1).prints("another writer changed").prints("nothing was written");
        assert_eq!(server.stored(), std::slice::from_ref(&theirs), "{command}");
    }
}

#[test]
fn a_block_whose_request_or_answer_got_lost_is_reported() {
    let lost: [fn() -> Treatment; 2] = [|| Treatment::LoseAnswer, || Treatment::LoseRequest];
    for treatment in lost {
        let server = TestServer::with_table();
        for (command, result) in [
            ("block --app shop a --yes", "written: block a"),
            ("block --app shop a --yes --note x", "replaced: block a (x)"),
            ("unblock --app shop a", "unblocked: block a (x)"),
        ] {
            let (proxy, writes) = treat_first_write(&server, treatment);
            run(&proxy, command).succeeds().prints(result);
            assert!(writes.load(Ordering::SeqCst) >= 1, "{command}");
        }
        assert!(server.items().is_empty());
    }
}
