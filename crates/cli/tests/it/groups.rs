//! `group add`, `group remove`, `group show`.

use serde_json::{Value, json};

use crate::changed_meanwhile::{run, treat_first_write};
use crate::proxy::Treatment;
use crate::support::TestServer;

fn member(id: &str, groups: &[&str]) -> Value {
    json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "PARTY"}, "groups": {"SS": groups}})
}

#[test]
fn a_rule_for_a_group_matches_its_parties() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from @sales --to b --yes").succeeds();
    server.run("check --app shop --from PPP201 --to b").exits_with(3);
    server
        .run("group add --app shop @sales PPP201 sip:PPP202@example.com PPP201")
        .succeeds()
        .prints("added: PPP201 to @sales")
        .prints("`sip:PPP202@example.com` is `PPP202`")
        .prints("added: PPP202 to @sales");
    for caller in ["PPP201", "PPP202"] {
        server.run(&format!("check --app shop --from {caller} --to b")).succeeds();
    }
    let run = server.run("group add --app shop sales PPP202 PPP203").succeeds();
    run.prints("unchanged: PPP202 is in @sales").prints("added: PPP203 to @sales");
    server
        .run("group remove --app shop @sales PPP202 PPP204")
        .succeeds()
        .prints("removed: PPP202 from @sales")
        .prints("unchanged: PPP204 is not in @sales");
    server.run("check --app shop --from PPP202 --to b").exits_with(3);
    let ids: Vec<_> = server.items().iter().filter_map(|it| it.get("groups").map(|_| it["pk"]["S"].clone())).collect();
    assert_eq!(ids, ["PARTY#shop#PPP201", "PARTY#shop#PPP203"]);
    let shown = server.run("group show --app shop @sales").succeeds().prints("reading the whole table");
    assert_eq!(
        shown.stdout,
        "group @sales of app shop: 2 parties\n  PPP201\n  PPP203\nrules that name it:\n  allow @sales to b\n"
    );
    server.run("group show --app shop @nosuch").exits_with(1).prints("no party of app `shop` is in group `@nosuch`");
    server.run("group show --app other @sales").exits_with(1);
}

#[test]
fn the_name_of_a_group_is_checked() {
    let server = TestServer::with_table();
    let long = "x".repeat(65);
    for name in ["@Sales", "@", "''", "@a.b", "'@sales team'", "@@sales", "'@+7*'", &long] {
        for command in ["add", "remove", "show"] {
            let parties = if command == "show" { "" } else { " a" };
            let run = server.run(&format!("group {command} --app shop {name}{parties}"));
            run.exits_with(2).prints("it has 1 to 64 of the characters a-z, 0-9, `_` and `-`, as in `@sales`");
        }
    }
    for command in ["add", "remove"] {
        server.run(&format!("group {command} --app shop @sales")).exits_with(2).prints("<PARTY>");
        // Nothing is written if one of the parties is not valid.
        for party in ["'+7*'", "'*'", "@support", "''"] {
            server.run(&format!("group {command} --app shop @sales a {party}")).exits_with(2);
        }
    }
    server.run("group add --app shop @sales a '1.5550100123E+10'").exits_with(2).prints("--exactly");
    assert!(server.items().is_empty());
}

#[test]
fn a_dry_run_shows_the_changes_and_writes_nothing() {
    let server = TestServer::with_table();
    server.run("group add --app shop @sales a").succeeds();
    let run = server.run("group add --app shop @sales a b --dry-run").succeeds();
    run.prints("unchanged: a is in @sales").prints("would be added: b to @sales");
    server.run("group remove --app shop @sales a b --dry-run").succeeds().prints("would be removed: a from @sales");
    assert_eq!(server.items(), [member("a", &["sales"])]);
    let changes = server.json("group add --app shop @sales a b --dry-run");
    assert_eq!((&changes["result"], &changes["parties"][1]["result"]), (&json!("dry_run"), &json!("added")));
}

#[test]
fn other_groups_and_attributes_stay() {
    let server = TestServer::with_table();
    let mut item = member("a", &["sales", "support"]);
    item["team"] = json!({"S": "x"});
    server.put(&item);
    server.run("group remove --app shop @sales a").succeeds();
    item["groups"] = json!({"SS": ["support"]});
    assert_eq!(server.items(), [item.clone()]);
    server.run("group remove --app shop @support a").succeeds();
    item.as_object_mut().unwrap().remove("groups");
    assert_eq!(server.items(), [item]);
}

#[test]
fn groups_that_are_no_set_of_strings_are_not_changed() {
    let server = TestServer::with_table();
    let item = json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "groups": {"L": [{"S": "sales"}]}});
    server.put(&item);
    for command in ["add", "remove"] {
        // What is written before the failure is reported.
        let run = server.run(&format!("group {command} --app shop @sales a b c")).exits_with(1);
        run.prints("a ").prints("party `b`").prints("is not a set of strings").does_not_print("c ");
    }
}

#[test]
fn an_expired_party_is_in_no_group() {
    let server = TestServer::with_table();
    let mut item = member("a", &["sales", "support"]);
    item["expires_at"] = json!({"N": "1767225600"});
    item["outgoing"] = json!({"M": {"*": {"M": {"effect": {"S": "allow"}}}}});
    server.put(&item);
    server.run("group show --app shop @sales").exits_with(1);
    server.run("group remove --app shop @sales a").succeeds().prints("unchanged");
    server.run("group add --app shop @sales a").succeeds().prints("added").prints("the party had expired");
    assert_eq!(server.items(), [member("a", &["sales"])]);
}

#[test]
fn two_writers_add_to_the_groups_of_a_party_at_the_same_time() {
    let server = TestServer::with_table();
    std::thread::scope(|scope| {
        for series in ["x", "y"] {
            let server = &server;
            scope.spawn(move || {
                for number in 0..10 {
                    server.run(&format!("group add --app shop @{series}{number} a b")).succeeds();
                    if number % 2 == 0 {
                        server.run(&format!("group remove --app shop @{series}{number} a b")).succeeds();
                    }
                }
            });
        }
    });
    let items = server.items();
    assert_eq!(items.len(), 2);
    for item in items {
        let mut groups: Vec<_> = item["groups"]["SS"].as_array().unwrap().clone();
        groups.sort_by_key(ToString::to_string);
        assert_eq!(groups, ["x1", "x3", "x5", "x7", "x9", "y1", "y3", "y5", "y7", "y9"]);
    }
}

#[test]
fn a_membership_whose_request_or_answer_got_lost_is_reported() {
    let lost: [fn() -> Treatment; 2] = [|| Treatment::LoseAnswer, || Treatment::LoseRequest];
    for treatment in lost {
        let server = TestServer::with_table();
        for (command, result) in [("add", "added: a to @sales"), ("remove", "removed: a from @sales")] {
            let (proxy, _) = treat_first_write(&server, treatment);
            run(&proxy, &format!("group {command} --app shop @sales a")).succeeds().prints(result);
        }
        assert!(server.items().is_empty());
    }
}
