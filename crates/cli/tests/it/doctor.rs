//! `doctor`.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::{Place, csv};

/// The findings as `kind: where`.
fn found(place: &Place, arguments: &str) -> Vec<String> {
    let report = place.json(&format!("doctor {arguments}"));
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|it| format!("{}: {}", it["kind"].as_str().unwrap(), it["where"].as_str().unwrap())).collect()
}

fn party(id: &str, incoming: &Value) -> Value {
    json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "PARTY"}, "incoming": {"M": incoming}})
}

fn pair(from: &str, to: &str, more: &Value) -> Value {
    let mut item = json!({"pk": {"S": format!("PARTY#shop#{to}")}, "sk": {"S": format!("CALLER#{from}")}, "effect": {"S": "allow"}});
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item
}

#[test]
fn a_sound_table_has_no_findings() {
    let place = Place::new();
    place.run("allow --app shop --from PPP009 --to PPP005").done();
    place.run("deny --app shop --from '*' --to PPP005").done();
    place.run("deny --app shop --from '+881*' --to '*'").done();
    place.run("allow --app shop --from PPP002 --to '*' --hours 'Mon-Fri 09:00-18:00 Europe/Moscow' --until 30d").done();
    place.run("suspend --app shop PPP007").done();
    place.run("doctor").done().says("5 items and 4 rules inspected, 0 findings");
}

#[test]
fn what_never_matches_is_found_with_its_mend() {
    let place = Place::new();
    place.put(&pair("+7 495 123", "PPP005", &json!({})));
    place.put(&party("PPP001", &json!({"8-495*": {"M": {"effect": {"S": "allow"}}}})));
    let run = place.run("doctor").ends(4);
    let run = run
        .says("never_matches: rule from `+7 495 123` to `PPP005`")
        .says("`+7 495 123` is not in canonical form: under this dial plan it would be stored as `+7495123`");
    run.says("revoke --exactly --app shop --from '+7 495 123' --to PPP005 && callgatectl allow --app shop --from '+7 495 123' --to PPP005");
    place.run("revoke --exactly --app shop --from '+7 495 123' --to PPP005").done().says("revoked");
    place.run("revoke --exactly --app shop --from '8-495*' --to PPP001").done();
    assert!(found(&place, "").is_empty());
}

#[test]
fn rules_of_another_dial_plan_are_found() {
    let place = Place::new();
    place.run("deny --app shop --from 84951234567 --to PPP005").done();
    place.run("allow --app shop --from '8495*' --to PPP005").done();
    place.run("doctor").done();
    let plan = "--country-code 7 --trunk-prefix 8";
    assert_eq!(
        found(&place, plan),
        [
            "never_matches: rule from `8495*` to `PPP005` of app `shop`",
            "never_matches: rule from `84951234567` to `PPP005` of app `shop`"
        ]
    );
    place.run(&format!("doctor {plan}")).ends(4).says("--from '+7495*' --to PPP005");
}

#[test]
fn what_is_refused_as_invalid_is_found() {
    let place = Place::new();
    place.put(&party("PPP001", &json!({"*": {"M": {"effect": {"S": "alow"}}}})));
    place.put(&party("PPP002", &json!({"*": {"M": {"effect": {"S": "allow"}, "colour": {"S": "red"}}}})));
    place.put(&pair("a", "PPP003", &json!({"hours": {"L": [{"S": "Mon 9-18 Mars/X"}]}})));
    place.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "status": {"S": "on"}, "callesr": {"M": {}}}));
    place.put(&json!({"pk": {"S": "SHOP#1"}, "sk": {"S": "x"}}));
    assert_eq!(
        found(&place, ""),
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
fn time_is_looked_at() {
    let place = Place::new();
    place.put(&party(
        "PPP001",
        &json!({
            "+1*": {"M": {"effect": {"S": "allow"}, "expires_at": {"N": "1000"}}},
            "+2*": {"M": {"effect": {"S": "allow"}, "expires_at": {"N": "4102444800000"}}},
            "+3*": {"M": {"effect": {"S": "allow"}, "hours": {"L": []}}},
            "+4*": {"M": {"effect": {"S": "allow"}}},
        }),
    ));
    place.put(&pair("a", "PPP002", &json!({"expires_at": {"N": "1000"}})));
    place.put(&pair("b", "PPP002", &json!({"expires_at": {"N": "4102444800000"}})));
    place.put(&json!({"pk": {"S": "PARTY#shop#PPP003"}, "sk": {"S": "PARTY"}, "expires_at": {"N": "1000"}}));
    let all = [
        "expired: party `PPP003` of app `shop`",
        "expired: rule from `+1*` to `PPP001` of app `shop`",
        "milliseconds: rule from `+2*` to `PPP001` of app `shop`",
        "invalid_record: rule from `+3*` to `PPP001` of app `shop`",
        "expired: rule from `a` to `PPP002` of app `shop`",
        "milliseconds: rule from `b` to `PPP002` of app `shop`",
    ];
    assert_eq!(found(&place, ""), all);
    place.run("doctor --fix").ends(4).says("fixed: expired").says("fixed: milliseconds").says("1 finding");
    assert_eq!(found(&place, ""), [all[3]]);
    let rules = place.run("export").ends(1).out;
    assert!(rules.contains("shop,+2*,PPP001,allow,,,2100-01-01T00:00:00Z,"), "{rules}");
    assert!(rules.contains("shop,+4*,PPP001,allow") && rules.contains("shop,b,PPP002,allow,,,2100"), "{rules}");
    assert_eq!(place.items().len(), 2);
}

#[test]
fn hours_that_come_too_late_are_found() {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let place = Place::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // 1970 began on a Thursday.
    let day_after_tomorrow = DAYS[usize::try_from((now / 86_400 + 3 + 2) % 7).unwrap()];
    let expires_at = (now + 3_600).to_string();
    let hours = format!("{day_after_tomorrow} 00:00-24:00 UTC");
    let rule = json!({"effect": {"S": "allow"}, "expires_at": {"N": expires_at}, "hours": {"L": [{"S": hours}]}});
    place.put(&party("PPP001", &json!({"+3*": {"M": rule}})));
    assert_eq!(found(&place, ""), ["never_opens: rule from `+3*` to `PPP001` of app `shop`"]);
}

#[test]
fn what_others_decide_is_found() {
    let place = Place::new();
    place.run("deny --app shop --from '+881*' --to '*'").done();
    place.run("allow --app shop --from +8815551 --to PPP005").done();
    place.run("allow --app shop --from '*' --to PPP001").done();
    place.run("allow --app shop --from '+7*' --to PPP001").done();
    place.run("allow --app shop --from '*' --to PPP002").done();
    place.run("suspend --app shop PPP002").done();
    place.put(&json!({"pk": {"S": "PARTY#shop#PPP003"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"a": {"M": {"effect": {"S": "deny"}}}}}}));
    assert_eq!(
        found(&place, ""),
        [
            "suspended: party `PPP002` of app `shop`",
            "shadowed: rule from `+7*` to `PPP001` of app `shop`",
            "contradicted: rule from `+8815551` to `PPP005` of app `shop`",
            "misplaced: rule from `a` to `PPP003` of app `shop`",
        ]
    );
}

#[test]
fn size_and_reach_are_looked_at() {
    let place = Place::new();
    let import = |text: String| place.pipe("import -", &text).done();
    import(csv(0..99, |number| format!("shop,+{number:02}*,PPP005,allow")));
    import(csv(0..12, |number| format!("shop,x{number},Q{number},allow")));
    import("app,from,to,effect\nshop,x*,PPP001,allow\nshop,Q1,x*,allow\n".to_owned());
    let kinds = found(&place, "");
    assert!(kinds.contains(&"too_big: party `PPP005` of app `shop`".to_owned()), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind.starts_with("short_prefix")), "{kinds:?}");
    import(csv(12..40, |number| format!("shop,x{number},x0,allow")));
    assert!(found(&place, "").contains(&"short_prefix: rule from `x*` to `PPP001` of app `shop`".to_owned()));
}

#[test]
fn a_mend_says_the_whole_rule_again() {
    let place = Place::new();
    let rule = json!({"effect": {"S": "allow"}, "media": {"SS": ["audio"]}, "expires_at": {"N": "4102444800"}, "note": {"S": "it's"},
        "hours": {"L": [{"S": "Mon-Fri 09:00-18:00 Europe/Moscow"}, {"S": "Sat 10:00-14:00 UTC"}]}});
    place.put(&party("PPP001", &json!({"+7 495*": {"M": rule}, "tel:+7*": {"M": {"effect": {"S": "deny"}}}})));
    let said = "callgatectl allow --app shop --from '+7 495*' --to PPP001 --media audio --hours 'Mon-Fri 09:00-18:00 Europe/Moscow' \
                --hours 'Sat 10:00-14:00 UTC' --until 2100-01-01T00:00:00Z --note 'it'\\''s'";
    let run = place
        .run("doctor")
        .ends(4)
        .says("`+7 495*` is not in canonical form: under this dial plan it would be stored as `+7495*`");
    run.says(&format!("revoke --exactly --app shop --from '+7 495*' --to PPP001 && {said}\n"))
        .says("`tel:+7*` starts with a scheme, which ids do not keep")
        .says("revoke --exactly --app shop --from 'tel:+7*' --to PPP001, then write it again with a valid caller\n");
    place.put(&json!({"pk": {"S": "x"}, "sk": {"S": "y"}}));
    place.run("doctor").ends(4).says("aws dynamodb delete-item --table-name permissions --key '{\"pk\":{\"S\":\"x\"}");
}

#[test]
fn who_mended_a_rule_is_written_down() {
    let place = Place::new();
    let late = json!({"expires_at": {"N": "4102444800000"}, "updated_by": {"S": "somebody"}, "updated_at": {"N": "1"}});
    place.put(&pair("a", "b", &late));
    place.put(&party("c", &json!({"*": {"M": {"effect": {"S": "allow"}, "expires_at": {"N": "4102444800000"}}}})));
    place.run("doctor").ends(4).says("fix: callgatectl doctor --fix");
    place.run("doctor --fix").done();
    for shown in [place.json("show --app shop b"), place.json("show --app shop c")] {
        let rule = &shown["incoming"][0];
        assert_eq!(rule["expires_at"], "2100-01-01T00:00:00Z");
        assert!(rule["updated_by"] != "somebody" && rule["updated_by"].is_string(), "{rule}");
        assert!(rule["updated_at"].as_str().unwrap().starts_with("20"), "{rule}");
    }
}
