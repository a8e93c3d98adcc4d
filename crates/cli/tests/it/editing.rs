//! Changes of a stored rule: `allow` and `deny` keep what they do not name, `enable` and `disable` keep all but one thing.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::changed_meanwhile::{put_before_first_write, run, treat_first_write};
use crate::proxy::Treatment;
use crate::support::TestServer;
use crate::terminal::run_and_type;

/// Rules of every kind: their arguments, and the door or doors that they go to.
const RULES: [(&str, &str); 7] = [
    ("--from a --to b", "doors caller and callee"),
    ("--from '+7*' --to b", "door callee"),
    ("--from a --to 'b*'", "door caller"),
    ("--from @sales --to b", "door callee"),
    ("--from '+7*' --to '*'", "door app"),
    ("--from a --to '*' --door app", "door app"),
    ("--from '*' --to '+8*'", "door destination"),
];

/// The attributes of the only rule of the table.
fn stored(server: &TestServer) -> Value {
    let mut item = server.items()[0].clone();
    let item = item.as_object_mut().unwrap();
    item.remove("pk");
    item.remove("sk");
    if item.contains_key("effect") {
        return json!(item);
    }
    let list = item.values().next().unwrap()["M"].as_object().unwrap();
    list.values().next().unwrap()["M"].clone()
}

fn conditions(effect: &str) -> Value {
    json!({
        "effect": {"S": effect}, "media": {"SS": ["audio"]}, "hours": {"L": [{"S": "Mon-Fri 09:00-18:00 UTC"}]},
        "expires_at": {"N": "4102358400"}, "list": {"S": "spam"}, "note": {"S": "on trial"},
    })
}

const CONDITIONS: &str =
    "--media audio --hours 'Mon-Fri 09:00-18:00 UTC' --until 2099-12-31 --list spam --note 'on trial'";

#[test]
fn conditions_that_are_not_named_stay() {
    for (parties, _) in RULES {
        let server = TestServer::with_table();
        let run =
            |effect: &str, rest: &str| server.run(&format!("{effect} --app shop {parties} --yes {rest}")).succeeds();
        run("allow", CONDITIONS).prints("written: allow");
        run("allow", "").prints("unchanged: allow");
        assert_eq!(stored(&server), conditions("allow"));
        // The other effect, too.
        run("deny", "").prints("replaced: deny").prints("before: allow");
        assert_eq!(stored(&server), conditions("deny"));
        run("allow", "--note new --until 2098-12-31").prints("replaced: allow").prints("(on trial)");
        let mut expected = conditions("allow");
        expected["note"] = json!({"S": "new"});
        expected["expires_at"] = json!({"N": "4070822400"});
        assert_eq!(stored(&server), expected);
        run("allow", "--disabled").prints("replaced: allow").prints("callgatectl enable --app shop");
        for (clear, name) in [
            ("--no-media", "media"),
            ("--no-hours", "hours"),
            ("--no-until", "expires_at"),
            ("--no-list", "list"),
            ("--no-note", "note"),
        ] {
            run("allow", clear).prints("replaced: allow");
            assert_eq!(stored(&server).get(name), None, "{clear}");
            run("allow", clear).prints("unchanged: allow");
        }
        assert_eq!(stored(&server), json!({"effect": {"S": "allow"}, "disabled": {"BOOL": true}}));
        run("allow", CONDITIONS);
        run("allow", "--note '' --list ''");
        assert_eq!(stored(&server).get("note").or(stored(&server).get("list")), None);
    }
}

#[test]
fn a_condition_is_not_both_set_and_cleared() {
    let server = TestServer::with_table();
    for (set, clear) in [
        ("--media audio", "--no-media"),
        ("--hours 'Mon 09:00-10:00 UTC'", "--no-hours"),
        ("--until 30d", "--no-until"),
        ("--list spam", "--no-list"),
        ("--note x", "--no-note"),
    ] {
        server
            .run(&format!("allow --app shop --from a --to b {set} {clear}"))
            .exits_with(2)
            .prints("cannot be used with");
    }
    assert!(server.items().is_empty());
}

/// DynamoDB may delete it at any moment, and nothing may depend on when.
#[test]
fn a_rule_that_has_expired_counts_as_absent() {
    for (parties, _) in RULES {
        let server = TestServer::with_table();
        let run = |rest: &str| server.run(&format!("allow --app shop {parties} --yes {rest}")).succeeds();
        run(CONDITIONS);
        let text = server.stored()[0].to_string().replace("4102358400", "1767225600");
        server.put(&serde_json::from_str(&text).unwrap());
        run("").prints("replaced: allow").prints("before: allow");
        assert_eq!(stored(&server), json!({"effect": {"S": "allow"}}));
    }
}

#[test]
fn another_effect_is_asked_about_even_between_two_parties() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b --note x").succeeds();
    let (code, shown) = run_and_type(&server, "deny --app shop --from a --to b", "n\n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("deny a to b (x) in app `shop`") && shown.contains("before: allow a to b (x)"), "{shown}");
    assert_eq!(stored(&server)["effect"]["S"], "allow");
    let (code, shown) = run_and_type(&server, "deny --app shop --from a --to b", "y\n");
    assert!(code == Some(0) && shown.contains("replaced: deny a to b (x)"), "{shown}");
    let (code, shown) = run_and_type(&server, "allow --app shop --from a --to b", "n\n");
    assert!(code == Some(1) && shown.contains("before: deny a to b (x)"), "{shown}");
    for quiet in ["deny --app shop --from a --to b --note y", "allow --app shop --from a --to b --yes"] {
        let (code, shown) = run_and_type(&server, quiet, "");
        assert!(code == Some(0) && !shown.contains("Do it?"), "{shown}");
    }
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "alow"}}));
    let (code, shown) = run_and_type(&server, "allow --app shop --from a --to b", "n\n");
    assert!(code == Some(1) && shown.contains("before: an invalid rule"), "{shown}");
}

#[test]
fn the_door_of_a_rule_is_always_printed() {
    let server = TestServer::with_table();
    for (parties, doors) in RULES {
        let all = format!("--app shop {parties} --yes");
        server.run(&format!("allow {all}")).succeeds().prints("written: allow ").prints(&format!(" [{doors}]\n"));
        server.run(&format!("deny {all} --note x")).succeeds().prints(&format!(" (x) [{doors}]\n"));
        server.run(&format!("deny {all}")).succeeds().prints("unchanged").prints(&format!(" [{doors}]\n"));
        server.run(&format!("disable {all}")).succeeds().prints(&format!(" [{doors}]\n"));
        server.run(&format!("revoke {all}")).succeeds().prints(&format!(" [{doors}]\n"));
        let names: Vec<_> = doors.split(' ').skip(1).filter(|word| *word != "and").collect();
        for command in ["allow", "disable", "enable", "revoke"] {
            assert_eq!(server.json(&format!("{command} {all}"))["door"], json!(names), "{command} {parties}");
        }
        assert_eq!(server.json(&format!("revoke {all}"))["door"], json!(names));
    }
}

#[test]
fn a_rule_is_switched_off_and_on_with_everything_else_kept() {
    for (parties, _) in RULES {
        let server = TestServer::with_table();
        let run = |command: &str| server.run(&format!("{command} --app shop {parties}")).succeeds();
        server.run(&format!("deny --app shop {parties} {CONDITIONS} --yes")).succeeds();
        run("enable --yes").prints("unchanged: deny");
        run("disable --yes").prints("disabled: deny").prints("before: deny");
        let mut expected = conditions("deny");
        expected["disabled"] = json!({"BOOL": true});
        assert_eq!(stored(&server), expected);
        run("disable --yes").prints("unchanged: deny");
        run("enable --yes").prints("enabled: deny");
        assert_eq!(stored(&server), conditions("deny"));
    }
}

#[test]
fn switching_a_rule_for_many_is_asked_about() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from '+7*' --to b --note x --yes").succeeds();
    let (code, shown) = run_and_type(&server, "disable --app shop --from '+7*' --to b", "n\n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        shown.contains("deny +7* to b, disabled (x) in app `shop`\r\nthis rule will not decide calls: anyone"),
        "{shown}"
    );
    assert!(shown.contains("before: deny +7* to b (x)"), "{shown}");
    server.run("disable --app shop --from '+7*' --to b").succeeds().prints("this rule will not decide calls");
    let (code, shown) = run_and_type(&server, "enable --app shop --from '+7*' --to b", "n\n");
    assert!(code == Some(1) && shown.contains("this refuses calls: anyone"), "{shown}");
    assert_eq!(stored(&server)["disabled"], json!({"BOOL": true}));
}

#[test]
fn a_disabled_rule_decides_nothing_until_it_is_enabled() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from '*' --to '*' --yes").succeeds();
    server.run("deny --app shop --from a --to b").succeeds();
    for (command, code) in [("disable", 0), ("enable", 3), ("disable", 0)] {
        server.run(&format!("{command} --app shop --from a --to b")).succeeds();
        server.run("check --app shop --from a --to b").exits_with(code);
    }
}

#[test]
fn a_rule_that_is_not_there_is_not_switched() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from +15550100 --to '*' --door app --yes").succeeds();
    server
        .run("disable --app shop --from a --to b")
        .exits_with(1)
        .prints("there is no rule from `a` to `b` in app `shop`");
    server
        .run("disable --app shop --from +15550100 --to '*'")
        .exits_with(1)
        .prints("the list of door `app` has one, which `--door app` disables");
    let list = json!({"M": {"+1 555": {"M": {"effect": {"S": "deny"}}}, "a": {"M": {"effect": {"S": "alow"}}}}});
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": list}));
    server.run("disable --app shop --from '+1 555' --to b --door callee").exits_with(1).prints("there is no rule");
    server.run("disable --app shop --from '+1 555' --to b --door callee --exactly").succeeds().prints("disabled: deny");
    server.run("disable --app shop --from a --to b --door callee").exits_with(1).prints("the rule cannot be parsed");
    server.put(&json!({
        "pk": {"S": "PARTY#shop#c"}, "sk": {"S": "PARTY"}, "expires_at": {"N": "1767225600"},
        "incoming": {"M": {"+7*": {"M": {"effect": {"S": "deny"}}}}},
    }));
    server.run("disable --app shop --from '+7*' --to c").exits_with(1).prints("there is no rule");
}

#[test]
fn a_rule_that_changed_meanwhile_is_not_switched() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    let theirs = json!({
        "pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "deny"}, "updated_by": {"S": "another operator"},
    });
    let proxy = put_before_first_write(&server, theirs.clone());
    let run = run(&proxy, "disable --app shop --from a --to b --yes").exits_with(1);
    run.prints("another writer changed this rule meanwhile").prints("before: deny").prints("nothing was written");
    assert_eq!(server.stored(), [theirs]);
}

/// The conditions of the rule that another writer stored are kept, once that is confirmed.
#[test]
fn a_rule_that_changed_meanwhile_keeps_its_new_conditions() {
    let theirs = json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"}, "note": {"S": "theirs"}});
    let server = TestServer::with_table();
    let proxy = put_before_first_write(&server, theirs.clone());
    run(&proxy, "allow --app shop --from a --to b --yes").succeeds().prints("unchanged: allow a to b (theirs)");
    assert_eq!(server.stored(), [theirs]);
}

#[test]
fn a_switch_whose_request_or_answer_got_lost_is_reported() {
    let lost: [fn() -> Treatment; 2] = [|| Treatment::LoseAnswer, || Treatment::LoseRequest];
    for treatment in lost {
        let server = TestServer::with_table();
        server.run("allow --app shop --from '+7*' --to b --note x --yes").succeeds();
        for (command, result) in [("disable", "disabled: allow"), ("enable", "enabled: allow")] {
            let (proxy, writes) = treat_first_write(&server, treatment);
            run(&proxy, &format!("{command} --app shop --from '+7*' --to b --yes")).succeeds().prints(result);
            assert!(writes.load(Ordering::SeqCst) > 1);
        }
    }
}

/// A party whose item is almost full, and what does not fit into it.
#[test]
fn what_does_not_fit_into_its_item_is_refused_before_it_is_written() {
    let note = "x".repeat(1_000);
    let rule = json!({"M": {"effect": {"S": "deny"}, "note": {"S": note}}});
    let full = |pk: &str, sk: &str, list: &str| {
        let rules: serde_json::Map<_, _> = (0..398).map(|number| (format!("+{number:04}*"), rule.clone())).collect();
        json!({"pk": {"S": pk}, "sk": {"S": sk}, list: {"M": rules}})
    };
    let items = [full("APP#shop", "APP", "destinations"), full("PARTY#shop#b", "PARTY", "incoming")];
    let server = TestServer::with_table();
    for item in &items {
        server.put(item);
    }
    let long = "y".repeat(9_000);
    for command in [
        format!("deny --app shop --from '*' --to '+9*' --note {long} --yes"),
        format!("deny --app shop --from '+9*' --to b --note {long} --yes"),
        format!("deny --app shop --from '+0001*' --to b --note {long} --yes"),
        format!("block --app shop b --note {long} --yes"),
    ] {
        let writes = treat_first_write(&server, || Treatment::Forward);
        let fitting = match () {
            () if command.contains("+0001*") => "397 rules would fit without it",
            () if command.contains("block") => "it holds 398 rules already",
            () => "398 rules would fit without it",
        };
        let run = run(&writes.0, &command).exits_with(1);
        run.prints("KB with this ").prints("and DynamoDB allows 400 KB").prints(fitting).prints("nothing was written");
        assert_eq!(writes.1.load(Ordering::SeqCst), 0);
    }
    assert_eq!(server.stored(), items);
    server.run(&format!("deny --app shop --from a --to b --note {long}")).succeeds();
    // 20 bytes less than the most.
    let note = "x".repeat(400 * 1024 - 20 - "pkPARTY#shop#cskPARTYnote".len());
    server.put(&json!({"pk": {"S": "PARTY#shop#c"}, "sk": {"S": "PARTY"}, "note": {"S": note}}));
    let add = |group: &str| server.run(&format!("group add --app shop @{group} c"));
    add("fifteen-letters").exits_with(1).prints("with this group").prints("it holds 0 rules already");
    add("fourteen-chars").succeeds();
}
