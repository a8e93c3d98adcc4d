//! `find`: ids, patterns, groups, lists and notes by a part of their text.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::TestServer;

fn filled() -> TestServer {
    let server = TestServer::with_table();
    for rule in [
        "allow --app shop --from '+7495*' --to PPP005 --note 'Head Office'",
        "deny --app shop --from PPP666 --to '*' --list Spam",
        "allow --app shop --from +74951234567 --to PPP005",
        "allow --app store --from PPP009 --to PPP005 --note 'the OFFICE again'",
        "allow --app shop --from '@sales' --to PPP010",
    ] {
        server.run(&format!("{rule} --yes")).succeeds();
    }
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP020"}, "sk": {"S": "PARTY"}, "groups": {"SS": ["sales", "b"]},
        "note": {"S": "Maria"}}));
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP030"}, "sk": {"S": "PARTY"},
        "blocked": {"M": {"list": {"S": "spam"}}}}));
    server
}

/// What is found, as the sorted lines of the text.
fn found(server: &TestServer, arguments: &str) -> BTreeSet<String> {
    server.run(&format!("find {arguments}")).succeeds().stdout.lines().map(str::to_owned).collect()
}

fn lines<const N: usize>(lines: [&str; N]) -> BTreeSet<String> {
    lines.map(str::to_owned).into()
}

#[test]
fn find_searches_ids_patterns_groups_lists_and_notes() {
    let server = filled();
    let office = "allow +7495* to PPP005 (Head Office) in app shop";
    let again = "allow PPP009 to PPP005 (the OFFICE again) in app store";
    assert_eq!(found(&server, "office"), lines([office, again]));
    assert_eq!(found(&server, "OFFICE --app store"), lines([again]));
    assert_eq!(
        found(&server, "spam"),
        lines(["deny PPP666 to *, list Spam in app shop", "block PPP030, list spam in app shop"])
    );
    assert_eq!(
        found(&server, "@sales"),
        lines(["allow @sales to PPP010 in app shop", "party PPP020 in app shop, groups @b, @sales (Maria)"])
    );
    assert_eq!(found(&server, "ppp02"), lines(["party PPP020 in app shop, groups @b, @sales (Maria)"]));
    assert_eq!(found(&server, "4951234"), lines(["allow +74951234567 to PPP005 in app shop"]));
    server.run("find nothing-of-this").succeeds().prints("`nothing-of-this` is not found");
    server.run("find ' '").exits_with(2).prints("is empty");
}

/// A number is found however it is written.
#[test]
fn find_compares_ids_in_canonical_form() {
    let server = filled();
    let both = lines(["allow +7495* to PPP005 (Head Office) in app shop", "allow +74951234567 to PPP005 in app shop"]);
    assert_eq!(found(&server, "'+7 (495)'"), both);
    assert_eq!(found(&server, "'8 (495)' --phone-region RU"), both);
    assert_eq!(
        found(&server, "'8 (495) 123-45-67' --phone-region RU"),
        lines(["allow +74951234567 to PPP005 in app shop"])
    );
    assert_eq!(
        found(&server, "'sip:PPP009@example.com'"),
        lines(["allow PPP009 to PPP005 (the OFFICE again) in app store"])
    );
    server
        .run("find '8 (495)' --phone-region RU")
        .succeeds()
        .prints("ids are also compared with `+7495`")
        .prints("2 places found");
}

#[test]
fn find_prints_json_lines() {
    let server = filled();
    let run = server.run("find PPP020 --output json").succeeds();
    let party: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        party,
        json!({"kind": "party", "app": "shop", "party": "PPP020", "groups": ["b", "sales"], "note": "Maria"})
    );
    let run = server.run("find again --output json").succeeds();
    let rule: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&rule["kind"], &rule["rule"]["app"], &rule["place"]), (&json!("rule"), &json!("store"), &json!("")));
}
