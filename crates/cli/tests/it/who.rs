//! `who`: who may call a party, and whom it may call.

use serde_json::{Value, json};

use crate::support::TestServer;

/// The pattern and the answer of each row.
fn answers(table: &Value) -> Vec<(String, String)> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    table["rows"].as_array().unwrap().iter().map(|row| (text(row, "pattern"), text(row, "decision"))).collect()
}

fn row<'a>(table: &'a Value, pattern: &str) -> &'a Value {
    table["rows"].as_array().unwrap().iter().find(|row| row["pattern"] == pattern).unwrap()
}

/// A table with rules at every door, groups, blocks, suspensions, hours, and rules that are disabled or have expired.
fn office() -> TestServer {
    let server = TestServer::with_table();
    for rule in [
        "deny --app shop --from '+881*' --to '*'",
        "allow --app shop --from '*' --to 'PPP00*'",
        "deny --app shop --from '*' --to '+882*'",
        "allow --app shop --from '*' --to PPP010",
        "deny --app shop --from '+7495*' --to PPP010",
        "allow --app shop --from '+74951*' --to PPP010 --disabled",
        "allow --app shop --from '+8815*' --to PPP010",
        "deny --app shop --from '@trainees' --to PPP010 --hours 'Mon-Fri 09:00-18:00 UTC'",
        "deny --app shop --from PPP001 --to PPP010",
        "allow --app shop --from PPP002 --to PPP010 --until 2090-01-01",
        "allow --app shop --from PPP003 --to PPP010",
        "allow --app shop --from PPP004 --to PPP010",
        "allow --app shop --from PPP005 --to PPP010",
        "allow --app shop --from PPP006 --to PPP010 --media audio",
        "deny --app shop --from PPP005 --to 'PPP*'",
        "allow --app shop --from PPP010 --to '+7*' --until 2090-01-01",
        "allow --app shop --from PPP010 --to '+88*'",
        "deny --app shop --from PPP010 --to PPP001",
        "deny --app shop --from '*' --to PPP009",
        "allow --app shop --from PPP010 --to PPP009",
        "allow --app shop --from PPP010 --to @trainees",
    ] {
        server.run(&format!("{rule} --yes")).succeeds();
    }
    server.run("suspend --app shop PPP003").succeeds();
    let party = |id: &str, name: &str, value: &Value| {
        server.put(&json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "PARTY"}, name: value}));
    };
    party("PPP004", "blocked", &json!({"M": {"note": {"S": "again"}}}));
    party("PPP020", "groups", &json!({"SS": ["trainees"]}));
    party("PPP021", "groups", &json!({"SS": ["trainees", "others"]}));
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP022"}, "sk": {"S": "PARTY"}, "groups": {"SS": ["trainees"]},
        "outgoing": {"M": {"*": {"M": {"effect": {"S": "allow"}}}}}}));
    server
}

const MONDAY: &str = "2026-11-23T12:00:00Z";
const SUNDAY: &str = "2026-11-22T12:00:00Z";

#[test]
fn who_lists_the_callers_of_a_party_from_every_door() {
    let server = office();
    let table = server.json(&format!("who --app shop --to PPP010 --at {MONDAY}"));
    let expected = [
        ("PPP001", "deny"),
        ("PPP002", "allow"),
        ("PPP003", "deny"),
        ("PPP004", "deny"),
        ("PPP005", "allow"),
        ("PPP006", "allow"),
        ("@trainees", "deny"),
        ("+74951*", "deny"),
        ("+7495*", "deny"),
        ("+8815*", "deny"),
        ("+881*", "deny"),
        ("*", "allow"),
    ];
    let expected: Vec<_> = expected.map(|(pattern, answer)| (pattern.to_owned(), answer.to_owned())).into();
    let mut sorted = answers(&table);
    // Prefixes of the same length are sorted by their text.
    sorted.sort_by_key(|row| expected.iter().position(|it| it == row));
    assert_eq!(sorted, expected, "{table:#}");
    let reason = |pattern: &str| row(&table, pattern)["reason"].as_str().unwrap().to_owned();
    assert_eq!(reason("PPP003"), "caller_suspended");
    assert_eq!(reason("PPP004"), "caller_blocked");
    assert_eq!(reason("+8815*"), "app_rule");
    // When its rule expires, the rule for everyone allows it all the same.
    assert_eq!((reason("PPP002"), &row(&table, "PPP002")["until"]), ("pair_rule".to_owned(), &Value::Null));
    assert_eq!(row(&table, "@trainees")["until"], "2026-11-23T18:00:00Z");
    assert_eq!(row(&table, "@trainees")["members"], json!({"count": 3, "permitted": 0}));
    assert_eq!(
        row(&table, "+74951*")["inactive"],
        json!(["door callee: allow +74951* to PPP010, disabled is disabled"])
    );
    assert_eq!(row(&table, "*")["rule"]["from"], "*");
    assert_eq!((&row(&table, "*")["may_differ"], &row(&table, "+881*")["may_differ"]), (&json!(true), &json!(false)));
    assert_eq!(row(&table, "PPP002")["may_differ"], false);

    let video = server.json(&format!("who --app shop --to PPP010 --video --at {SUNDAY}"));
    // Without the rule for audio, the rule for everyone decides.
    assert_eq!(row(&video, "PPP006")["reason"], "callee_rule");
    assert_eq!(
        row(&video, "PPP006")["inactive"],
        json!(["between these two: allow PPP006 to PPP010, audio only is for other media"])
    );
    assert_eq!(row(&video, "@trainees")["decision"], "allow");
    assert_eq!(row(&video, "@trainees")["until"], "2026-11-23T09:00:00Z");
    assert_eq!(row(&video, "@trainees")["members"], json!({"count": 3, "permitted": 3}));
}

/// Each row is what `check` decides for a party that only this row matches.
#[test]
fn every_row_is_what_check_decides() {
    let server = office();
    let example = |pattern: &str| match pattern {
        "@trainees" => "PPP020".to_owned(),
        "*" => "zzz".to_owned(),
        "PPP00*" => "PPP00x".to_owned(),
        "+7*" => "+70000000000".to_owned(),
        "+88*" => "+88000000000".to_owned(),
        pattern => pattern.replace('*', "00000"),
    };
    let mut rows = 0;
    for party in ["PPP010", "PPP005", "PPP004", "anonymous"] {
        for at in [MONDAY, "2095-01-01T12:00:00Z"] {
            for side in ["to", "from"] {
                let table = server.json(&format!("who --app shop --{side} {party} --at {at}"));
                for (pattern, answer) in answers(&table) {
                    let other = example(&pattern);
                    let (from, to) = if side == "to" { (other.as_str(), party) } else { (party, other.as_str()) };
                    let check = server.json(&format!("check --app shop --from {from} --to {to} --at {at}"));
                    assert_eq!(check["decision"], answer, "{from} to {to}: {pattern}: {table:#}");
                    assert_eq!(
                        check["reason"],
                        row(&table, &pattern)["reason"],
                        "{from} to {to}: {pattern}: {table:#}"
                    );
                    rows += 1;
                }
            }
        }
    }
    assert!(rows > 50, "{rows}");
}

#[test]
fn who_lists_whom_a_party_may_call() {
    let server = office();
    let table = server.json(&format!("who --app shop --from PPP010 --at {MONDAY}"));
    let text = server.run(&format!("who --app shop --from PPP010 --at {MONDAY}")).succeeds();
    assert_eq!(row(&table, "PPP009")["decision"], "allow");
    assert_eq!(row(&table, "+7*")["until"], "2090-01-01T00:00:00Z");
    assert_eq!(row(&table, "PPP001")["decision"], "deny");
    assert_eq!(row(&table, "+882*")["reason"], "destination_rule");
    assert_eq!(row(&table, "+88*")["decision"], "allow");
    assert_eq!(row(&table, "PPP00*")["reason"], "destination_rule");
    assert_eq!(row(&table, "*")["reason"], "no_rule");
    assert_eq!((&table["from"], &table["to"]), (&json!("PPP010"), &Value::Null));
    text.prints("whom PPP010 may call in app shop, audio, at ")
        .prints("yes  PPP009 ")
        .prints("between these two: allow PPP010 to PPP009")
        .prints("yes  @trainees (3 members) ")
        .prints("no   +882* ")
        .prints("door destination: deny * to +882*")
        .prints("no   * ")
        .prints("no rule applies")
        .prints("a callee that only a pattern matches may have rules of its own");
}

/// Members that have rules of their own get other answers than the group.
#[test]
fn members_of_a_group_are_decided_by_their_own_rules_too() {
    let server = office();
    server.run("deny --app shop --from PPP022 --to '*' --yes").succeeds();
    server
        .run(&format!("who --app shop --to PPP010 --at {SUNDAY}"))
        .succeeds()
        .prints("yes  @trainees (3 members, 2 of them permitted)");
}

#[test]
fn a_suspended_or_blocked_party_and_a_suspended_app_are_shown_so() {
    let server = office();
    let all = |arguments: &str| -> (Vec<String>, Vec<String>) {
        let table = server.json(arguments);
        let rows = table["rows"].as_array().unwrap().clone();
        let texts = |name: &str| rows.iter().map(|row| row[name].as_str().unwrap().to_owned()).collect();
        (texts("decision"), texts("reason"))
    };
    for (arguments, reason) in [
        ("who --app shop --from PPP003", "caller_suspended"),
        ("who --app shop --to PPP003", "callee_suspended"),
        ("who --app shop --from PPP004", "caller_blocked"),
    ] {
        let (decisions, reasons) = all(arguments);
        assert!(decisions.iter().all(|it| it == "deny"), "{arguments}: {decisions:?}");
        assert!(reasons.iter().filter(|it| *it == reason).count() + 1 >= reasons.len(), "{arguments}: {reasons:?}");
    }
    server.run("who --app shop --from PPP004").succeeds().prints("the caller is blocked (again)");
    server.run("suspend --app shop --yes").succeeds();
    let (_, reasons) = all("who --app shop --to PPP010");
    assert!(reasons.iter().all(|it| it == "app_suspended"), "{reasons:?}");
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "status": {"S": "on"}}));
    server.run("who --app shop --to PPP010").succeeds().prints("the app's item is invalid");
}

#[test]
fn who_needs_one_side_and_one_party() {
    let server = TestServer::with_table();
    server.run("who --app shop").exits_with(2);
    server.run("who --app shop --to a --from b").exits_with(2);
    server.run("who --app shop --to 'a*'").exits_with(2).prints("name one party");
    server.run("who --app shop --to a").succeeds().prints("no   *").prints("no rule applies");
}
