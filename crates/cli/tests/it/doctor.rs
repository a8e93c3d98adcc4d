//! `doctor`: the findings for mistakes in a table, and their fixes.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::{TestServer, csv};

/// Runs `doctor` and returns its findings as `kind: where`.
fn findings(server: &TestServer, arguments: &str) -> Vec<String> {
    let report = server.json(&format!("doctor {arguments}"));
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{}: {}", it["kind"].as_str().unwrap(), it["where"].as_str().unwrap()))
        .collect()
}

fn party(id: &str, incoming: &Value) -> Value {
    json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "PARTY"}, "incoming": {"M": incoming}})
}

fn pair_rule(from: &str, to: &str, more: &Value) -> Value {
    let mut item = json!({"pk": {"S": format!("PARTY#shop#{to}")}, "sk": {"S": format!("CALLER#{from}")}, "effect": {"S": "allow"}});
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item
}

#[test]
fn a_valid_table_has_no_findings() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005").succeeds();
    server.run("deny --app shop --from '*' --to PPP005").succeeds();
    server.run("deny --app shop --from '+881*' --to '*'").succeeds();
    server
        .run("allow --app shop --from PPP002 --to '*' --hours 'Mon-Fri 09:00-18:00 Europe/Moscow' --until 30d")
        .succeeds();
    server.run("suspend --app shop PPP007").succeeds();
    server.run("doctor").succeeds().prints("5 items and 4 rules inspected, 0 findings");
}

#[test]
fn rules_that_never_match_are_found_with_their_fix() {
    let server = TestServer::with_table();
    server.put(&pair_rule("+7 495 123", "PPP005", &json!({})));
    server.put(&party("PPP001", &json!({"8-495*": {"M": {"effect": {"S": "allow"}}}})));
    let run = server.run("doctor").exits_with(4);
    let run = run
        .prints("never_matches: rule from `+7 495 123` to `PPP005`")
        .prints("`+7 495 123` is not in canonical form: under this dial plan it would be stored as `+7495123`");
    run.prints("revoke --exactly --app shop --from '+7 495 123' --to PPP005 && callgatectl allow --app shop --from '+7 495 123' --to PPP005");
    server.run("revoke --exactly --app shop --from '+7 495 123' --to PPP005").succeeds().prints("revoked");
    server.run("revoke --exactly --app shop --from '8-495*' --to PPP001").succeeds();
    assert!(findings(&server, "").is_empty());
}

#[test]
fn rules_of_another_dial_plan_are_found() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from 84951234567 --to PPP005").succeeds();
    server.run("allow --app shop --from '8495*' --to PPP005").succeeds();
    server.run("doctor").succeeds();
    let plan = "--country-code 7 --trunk-prefix 8";
    assert_eq!(
        findings(&server, plan),
        [
            "never_matches: rule from `8495*` to `PPP005` of app `shop`",
            "never_matches: rule from `84951234567` to `PPP005` of app `shop`"
        ]
    );
    server.run(&format!("doctor {plan}")).exits_with(4).prints("--from '+7495*' --to PPP005");
}

#[test]
fn invalid_items_and_rules_are_found() {
    let server = TestServer::with_table();
    server.put(&party("PPP001", &json!({"*": {"M": {"effect": {"S": "alow"}}}})));
    server.put(&party("PPP002", &json!({"*": {"M": {"effect": {"S": "allow"}, "colour": {"S": "red"}}}})));
    server.put(&pair_rule("a", "PPP003", &json!({"hours": {"L": [{"S": "Mon 9-18 Mars/X"}]}})));
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "status": {"S": "on"}, "callesr": {"M": {}}}));
    server.put(&json!({"pk": {"S": "SHOP#1"}, "sk": {"S": "x"}}));
    assert_eq!(
        findings(&server, ""),
        [
            "foreign_item: item `SHOP#1`, `x`",
            "invalid_record: app `shop`",
            "unknown_attribute: app `shop`",
            "invalid_record: rule from `*` to `PPP001` of app `shop`",
            "unknown_attribute: rule from `*` to `PPP002` of app `shop`",
            "invalid_record: rule from `a` to `PPP003` of app `shop`",
        ]
    );
}

#[test]
fn expired_rules_and_milliseconds_are_found_and_fixed() {
    let server = TestServer::with_table();
    server.put(&party(
        "PPP001",
        &json!({
            "+1*": {"M": {"effect": {"S": "allow"}, "expires_at": {"N": "1000"}}},
            "+2*": {"M": {"effect": {"S": "allow"}, "expires_at": {"N": "4102358400000"}}},
            "+3*": {"M": {"effect": {"S": "allow"}, "hours": {"L": []}}},
            "+4*": {"M": {"effect": {"S": "allow"}}},
        }),
    ));
    server.put(&pair_rule("a", "PPP002", &json!({"expires_at": {"N": "1000"}})));
    server.put(&pair_rule("b", "PPP002", &json!({"expires_at": {"N": "4102358400000"}})));
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP003"}, "sk": {"S": "PARTY"}, "expires_at": {"N": "1000"}}));
    let all = [
        "expired: party `PPP003` of app `shop`",
        "expired: rule from `+1*` to `PPP001` of app `shop`",
        "milliseconds: rule from `+2*` to `PPP001` of app `shop`",
        "invalid_record: rule from `+3*` to `PPP001` of app `shop`",
        "expired: rule from `a` to `PPP002` of app `shop`",
        "milliseconds: rule from `b` to `PPP002` of app `shop`",
    ];
    assert_eq!(findings(&server, ""), all);
    server.run("doctor --fix").exits_with(4).prints("fixed: expired").prints("fixed: milliseconds").prints("1 finding");
    assert_eq!(findings(&server, ""), [all[3]]);
    let rules = server.run("export").exits_with(1).stdout;
    assert!(rules.contains("shop,+2*,PPP001,allow,,,2099-12-31T00:00:00Z,"), "{rules}");
    assert!(rules.contains("shop,+4*,PPP001,allow") && rules.contains("shop,b,PPP002,allow,,,2099"), "{rules}");
    assert_eq!(server.items().len(), 2);
}

#[test]
fn rules_that_expire_before_their_hours_are_found() {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let server = TestServer::with_table();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // 1970 began on a Thursday.
    let day_after_tomorrow = DAYS[usize::try_from((now / 86_400 + 3 + 2) % 7).unwrap()];
    let expires_at = (now + 3_600).to_string();
    let hours = format!("{day_after_tomorrow} 00:00-24:00 UTC");
    let rule = json!({"effect": {"S": "allow"}, "expires_at": {"N": expires_at}, "hours": {"L": [{"S": hours}]}});
    server.put(&party("PPP001", &json!({"+3*": {"M": rule}})));
    assert_eq!(findings(&server, ""), ["never_opens: rule from `+3*` to `PPP001` of app `shop`"]);
}

#[test]
fn rules_without_effect_are_found() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from '+881*' --to '*'").succeeds();
    server.run("allow --app shop --from +8815551 --to PPP005").succeeds();
    server.run("allow --app shop --from '*' --to PPP001").succeeds();
    server.run("allow --app shop --from '+7*' --to PPP001").succeeds();
    server.run("allow --app shop --from '*' --to PPP002").succeeds();
    server.run("suspend --app shop PPP002").succeeds();
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP003"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"a": {"M": {"effect": {"S": "deny"}}}}}}));
    assert_eq!(
        findings(&server, ""),
        [
            "suspended: party `PPP002` of app `shop`",
            "shadowed: rule from `+7*` to `PPP001` of app `shop`",
            "contradicted: rule from `+8815551` to `PPP005` of app `shop`",
            "misplaced: rule from `a` to `PPP003` of app `shop`",
        ]
    );
}

#[test]
fn large_items_and_short_prefixes_are_found() {
    let server = TestServer::with_table();
    let import = |text: String| server.pipe("import -", &text).succeeds();
    import(csv(0..99, |number| format!("shop,+{number:02}*,PPP005,allow")));
    import(csv(0..12, |number| format!("shop,x{number},Q{number},allow")));
    import("app,from,to,effect\nshop,x*,PPP001,allow\nshop,Q1,x*,allow\n".to_owned());
    let kinds = findings(&server, "");
    assert!(kinds.contains(&"too_big: party `PPP005` of app `shop`".to_owned()), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind.starts_with("short_prefix")), "{kinds:?}");
    import(csv(12..40, |number| format!("shop,x{number},x0,allow")));
    assert!(findings(&server, "").contains(&"short_prefix: rule from `x*` to `PPP001` of app `shop`".to_owned()));
}

#[test]
fn a_fix_repeats_the_whole_rule() {
    let server = TestServer::with_table();
    let rule = json!({"effect": {"S": "allow"}, "media": {"SS": ["audio"]}, "expires_at": {"N": "4102358400"}, "note": {"S": "it's"},
        "hours": {"L": [{"S": "Mon-Fri 09:00-18:00 Europe/Moscow"}, {"S": "Sat 10:00-14:00 UTC"}]}});
    server.put(&party("PPP001", &json!({"+7 495*": {"M": rule}, "tel:+7*": {"M": {"effect": {"S": "deny"}}}})));
    let command = "callgatectl allow --app shop --from '+7 495*' --to PPP001 --media audio --hours 'Mon-Fri 09:00-18:00 Europe/Moscow' \
                --hours 'Sat 10:00-14:00 UTC' --until 2099-12-31T00:00:00Z --note 'it'\\''s'";
    let run = server
        .run("doctor")
        .exits_with(4)
        .prints("`+7 495*` is not in canonical form: under this dial plan it would be stored as `+7495*`");
    run.prints(&format!("revoke --exactly --app shop --from '+7 495*' --to PPP001 && {command}\n"))
        .prints("`tel:+7*` starts with a scheme, which ids do not keep")
        .prints("revoke --exactly --app shop --from 'tel:+7*' --to PPP001, then write it again with a valid caller\n");
    server.put(&json!({"pk": {"S": "x"}, "sk": {"S": "y"}}));
    server
        .run("doctor")
        .exits_with(4)
        .prints("aws dynamodb delete-item --table-name permissions --key '{\"pk\":{\"S\":\"x\"}");
}

#[test]
fn a_fix_stores_its_author() {
    let server = TestServer::with_table();
    let late = json!({"expires_at": {"N": "4102358400000"}, "updated_by": {"S": "another operator"}, "updated_at": {"N": "1"}});
    server.put(&pair_rule("a", "b", &late));
    server.put(&party("c", &json!({"*": {"M": {"effect": {"S": "allow"}, "expires_at": {"N": "4102358400000"}}}})));
    server.run("doctor").exits_with(4).prints("fix: callgatectl doctor --fix");
    server.run("doctor --fix").succeeds();
    for shown in [server.json("show --app shop b"), server.json("show --app shop c")] {
        let rule = &shown["incoming"][0];
        assert_eq!(rule["expires_at"], "2099-12-31T00:00:00Z");
        assert!(rule["updated_by"] != "another operator" && rule["updated_by"].is_string(), "{rule}");
        assert!(rule["updated_at"].as_str().unwrap().starts_with("20"), "{rule}");
    }
}
