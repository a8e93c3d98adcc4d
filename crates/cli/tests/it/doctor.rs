//! `doctor`: the findings for mistakes in a table, and their fixes.

use std::time::SystemTime;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use callgate_admin::{Author, Table};
use serde_json::{Value, json};

use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, TABLE, TestServer, csv, tool_at};

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
        .prints("`+7 495 123` is not in canonical form: in this region it would be stored as `+7495123`");
    run.prints("revoke --exactly --app shop --from '+7 495 123' --to PPP005 && callgatectl allow --app shop --from +7495123 --to PPP005");
    server.run("revoke --exactly --app shop --from '+7 495 123' --to PPP005").succeeds().prints("revoked");
    server.run("revoke --exactly --app shop --from '8-495*' --to PPP001").succeeds();
    assert!(findings(&server, "").is_empty());
}

#[test]
fn rules_of_another_region_are_found() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from 84951234567 --to PPP005").succeeds();
    server.run("allow --app shop --from '8495*' --to PPP005").succeeds();
    server.run("doctor").succeeds();
    let plan = "--phone-region RU";
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
            "+1*": {"M": {"effect": {"S": "allow"}, "expires_at": {"N": "1000000000"}}},
            "+2*": {"M": {"effect": {"S": "allow"}, "expires_at": {"N": "4102358400000"}}},
            "+3*": {"M": {"effect": {"S": "allow"}, "hours": {"L": []}}},
            "+4*": {"M": {"effect": {"S": "allow"}}},
        }),
    ));
    server.put(&pair_rule("a", "PPP002", &json!({"expires_at": {"N": "1000000000"}})));
    server.put(&pair_rule("b", "PPP002", &json!({"expires_at": {"N": "4102358400000"}})));
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP003"}, "sk": {"S": "PARTY"}, "expires_at": {"N": "1000000000"}}));
    let all = [
        "expired: party `PPP003` of app `shop`",
        "expired: rule from `+1*` to `PPP001` of app `shop`",
        "milliseconds: rule from `+2*` to `PPP001` of app `shop`",
        "invalid_record: rule from `+3*` to `PPP001` of app `shop`",
        "expired: rule from `a` to `PPP002` of app `shop`",
        "milliseconds: rule from `b` to `PPP002` of app `shop`",
    ];
    assert_eq!(findings(&server, ""), all);
    server.run("doctor").exits_with(4).prints("it looks like milliseconds; in seconds that is 4102358400");
    // A rule in milliseconds never expires. In seconds it would, so calls would be decided differently.
    let run = server.run("doctor --fix").exits_with(4).prints("fixed: expired").prints("3 findings");
    run.does_not_print("fixed: milliseconds");
    assert_eq!(findings(&server, ""), [all[2], all[3], all[5]]);
    let rules = server.run("export").exits_with(1).stdout;
    assert!(rules.contains("shop,+4*,PPP001,allow"), "{rules}");
    assert!(!rules.contains("+2*") && !rules.contains("PPP002"), "{rules}");
    assert_eq!(server.items().len(), 2);
}

#[test]
fn an_expiry_that_is_no_time_is_neither_removed_nor_changed() {
    let server = TestServer::with_table();
    let deny = |at: i64| json!({"M": {"effect": {"S": "deny"}, "expires_at": {"N": at.to_string()}}});
    server.put(&party(
        "PPP001",
        &json!({"+1*": deny(1_000), "+2*": deny(20_991_231), "+3*": deny(253_402_128_000), "+4*": deny(4_102_444_800),
            "+5*": deny(i64::MAX), "+6*": deny(i64::MIN)}),
    ));
    server.put(
        &json!({"pk": {"S": "PARTY#shop#PPP002"}, "sk": {"S": "PARTY"}, "expires_at": {"N": i64::MIN.to_string()},
        "incoming": {"M": {"*": {"M": {"effect": {"S": "allow"}, "hours": {"L": [{"S": "Mon 09:00-18:00 UTC"}]}}}}}}),
    );
    server.put(&pair_rule("a", "b", &json!({"expires_at": {"N": "20240101"}})));
    let before = server.items();
    server
        .run("doctor")
        .exits_with(4)
        .does_not_print("fix:")
        .prints("a date is written `2099-12-31`")
        .prints("8 findings");
    server.run("doctor --fix").exits_with(4).does_not_print("fixed").prints("8 findings");
    assert_eq!(server.items(), before);
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
            "misplaced: rule from `a` to `PPP003` of app `shop`, door `callee`",
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
    let command = "callgatectl allow --app shop --from '+7495*' --to PPP001 --media audio --hours 'Mon-Fri 09:00-18:00 Europe/Moscow' \
                --hours 'Sat 10:00-14:00 UTC' --until 2099-12-31T00:00:00Z --note 'it'\\''s'";
    let run = server
        .run("doctor")
        .exits_with(4)
        .prints("`+7 495*` is not in canonical form: in this region it would be stored as `+7495*`");
    run.prints(&format!("revoke --exactly --app shop --from '+7 495*' --to PPP001 && {command}\n"))
        .prints("`tel:+7*` starts with a scheme, which ids do not keep")
        .prints("fix: callgatectl revoke --exactly --app shop --from 'tel:+7*' --to PPP001\n");
    server.put(&json!({"pk": {"S": "x"}, "sk": {"S": "y"}}));
    server
        .run("doctor")
        .exits_with(4)
        .prints("aws dynamodb delete-item --table-name permissions --key '{\"pk\":{\"S\":\"x\"}");
}

#[test]
fn a_fix_stores_its_author() {
    let server = TestServer::with_table();
    let rule = json!({"effect": {"S": "allow"}, "note": {"S": "x"}, "expires_at": {"N": "4102358400"}, "updated_by": {"S": "another operator"}, "updated_at": {"N": "1"}});
    server.put(&party("c", &json!({"a": {"M": rule}})));
    server.run("doctor").exits_with(4).prints("fix: callgatectl doctor --fix");
    server.run("doctor --fix").succeeds().prints("fixed: misplaced: rule from `a` to `c` of app `shop`, door `callee`");
    let shown = server.json("show --app shop c");
    let rule = &shown["incoming"][0];
    assert_eq!((&rule["expires_at"], &rule["note"]), (&json!("2099-12-31T00:00:00Z"), &json!("x")));
    assert!(rule["updated_by"] != "another operator" && rule["updated_by"].is_string(), "{rule}");
    assert!(rule["updated_at"].as_str().unwrap().starts_with("20"), "{rule}");
    assert_eq!(server.items().iter().filter(|item| item["sk"]["S"] == "CALLER#a").count(), 1);
    server.run("doctor").succeeds();
}

#[test]
fn a_rule_is_only_moved_where_every_call_is_decided_the_same() {
    let server = TestServer::with_table();
    let allow = json!({"M": {"effect": {"S": "allow"}}});
    // A pair item would also replace the rule at the door of the caller.
    server.put(&json!({"pk": {"S": "PARTY#shop#a"}, "sk": {"S": "PARTY"}, "outgoing": {"M": {"c*": {"M": {"effect": {"S": "deny"}, "media": {"SS": ["video"]}}}}}}));
    server.put(&party("c", &json!({"a": allow, "b": allow, "expired": allow})));
    server.put(&pair_rule("b", "c", &json!({"media": {"SS": ["audio"]}})));
    server.put(&pair_rule("expired", "c", &json!({"expires_at": {"N": "1000000000"}})));
    let report = server.json("doctor");
    for finding in report["findings"].as_array().unwrap().iter().filter(|it| it["kind"] == "misplaced") {
        assert_eq!((&finding["command"], &finding["fixable"]), (&json!(null), &json!(false)), "{finding}");
        assert!(finding["advice"].as_str().unwrap().starts_with("callgatectl show --app shop c;"), "{finding}");
    }
    let before = server.items();
    server.run("doctor --fix").exits_with(4).prints("fixed: expired").does_not_print("fixed: misplaced");
    assert_eq!(server.items().len(), before.len() - 1);
}

#[test]
fn of_two_rules_without_effect_because_of_each_other_one_is_removed() {
    let server = TestServer::with_table();
    let deny = json!({"M": {"effect": {"S": "deny"}}});
    server.run("allow --app shop --from '*' --to '*' --yes").succeeds();
    server.put(&party("b", &json!({"a": deny})));
    server.run("deny --app shop --from a --to b").succeeds();
    assert_eq!(findings(&server, ""), ["misplaced: rule from `a` to `b` of app `shop`, door `callee`"]);
    let command = "revoke --exactly --door callee --app shop --from a --to b";
    server.run("doctor").exits_with(4).prints(&format!("fix: callgatectl {command}\n"));
    server.run(command).succeeds();
    server.run("doctor").succeeds();
    server.run("check --app shop --from a --to b").exits_with(3).prints("pair_rule");
}

#[test]
fn an_exact_rule_of_an_app_decides_for_every_callee() {
    let server = TestServer::with_table();
    let rule = |effect: &str| json!({"M": {"effect": {"S": effect}}});
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"},
        "callers": {"M": {"+7*": rule("deny"), "+7495": rule("allow"), "+8*": rule("deny"), "+8800": rule("deny")}}}));
    // It is an exception, so it has an effect. At the caller's door it would have none.
    assert_eq!(findings(&server, ""), ["shadowed: rule from `+8800` to `*` of app `shop`, door `app`"]);
    let command = "revoke --exactly --door app --app shop --from +8800 --to '*'";
    server.run("doctor").exits_with(4).prints(&format!("fix: callgatectl {command}\n"));
    server.run(&format!("{command} --yes")).succeeds();
    server.run("doctor").succeeds().prints("1 item and 3 rules");
}

#[test]
fn windows_that_coincide_until_the_next_clock_change_are_different() {
    let server = TestServer::with_table();
    let hours = |window: &str| json!({"M": {"effect": {"S": "allow"}, "hours": {"L": [{"S": window}]}}});
    // These are the same in winter, and these in summer.
    for (party_id, zone) in [("w", "Mon-Sun 09:00-18:00 UTC"), ("s", "Mon-Sun 08:00-17:00 UTC")] {
        server.put(&party(party_id, &json!({"*": hours("Mon-Sun 09:00-18:00 Europe/London"), "+7*": hours(zone)})));
    }
    server.put(&party(
        "always",
        &json!({"*": hours("Mon-Sun 10:00-19:00 Europe/Berlin"), "+7*": hours("Mon-Sun 09:00-18:00 Europe/London")}),
    ));
    assert_eq!(findings(&server, ""), ["shadowed: rule from `+7*` to `always` of app `shop`"]);
}

#[test]
fn a_prefix_decides_for_ids_that_no_other_rule_names() {
    let server = TestServer::with_table();
    let allow = json!({"M": {"effect": {"S": "allow"}}});
    let mut rules = json!({"+7*": {"M": {"effect": {"S": "deny"}}}, "+7": allow, "*": allow});
    for end in ["0", "1", "5", "9", "z", "Z", "~"] {
        rules[format!("+7{end}*")] = allow.clone();
    }
    server.put(&party("PPP001", &rules));
    server.run("check --app shop --from +72 --to PPP001").exits_with(3);
    server.run("doctor").does_not_print("rule from `+7*`");
}

#[test]
fn a_fix_names_a_party_with_control_characters_and_stars() {
    let server = TestServer::with_table();
    server.put(&party("PPP001", &json!({"x\u{1b}[2J'y": {"M": {"effect": {"S": "deny"}}}})));
    server.put(&pair_rule(
        "98*",
        "b",
        &json!({"expires_at": {"N": "4102358400"}, "hours": {"L": [{"S": "Mon 09:00-18:00 UTC"}]}}),
    ));
    let command = server.json("doctor")["findings"][0]["command"].as_str().unwrap().to_owned();
    assert_eq!(command, r"callgatectl revoke --exactly --door callee --app shop --from $'x\x1b[2J\'y' --to PPP001");
    server.run("doctor").exits_with(4).prints(&command).prints("1 finding");
}

#[test]
fn a_fix_is_not_applied_to_what_changed_since_it_was_read() {
    let server = TestServer::with_table();
    let allow = json!({"M": {"effect": {"S": "allow"}}});
    let deny = json!({"M": {"effect": {"S": "deny"}}});
    let expired = json!({"N": "1000000000"});
    let gone = |incoming: &Value| {
        let mut item = party("PPP001", incoming);
        item["expires_at"] = expired.clone();
        item
    };
    let caller = |id: &str, outgoing: &Value| json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "PARTY"}, "outgoing": {"M": outgoing}});
    server.put(&gone(&json!({"*": allow})));
    server.put(&pair_rule("a", "PPP002", &json!({"expires_at": expired})));
    server.put(&caller("b", &json!({"c": allow})));
    server.put(&party("e", &json!({"d": allow})));
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .endpoint_url(format!("http://{}", server.address))
        .http_client(callgate::store::client::https_client());
    let table = Table::new(Client::from_conf(config.build()), TABLE, None, None);
    let author =
        Author { name: "operator".to_owned(), at: 1_795_500_000, command: "doctor --fix".to_owned(), keep_days: 400 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let findings = runtime.block_on(table.inspect(author.at)).unwrap().findings;
    let fixes: Vec<_> = findings.iter().filter_map(|finding| finding.fix.as_ref()).collect();
    assert_eq!(fixes.len(), 4, "{findings:#?}");
    // Another writer adds a rule to the expired party, a note to the expired rule, and rules that decide the moved ones.
    server.put(&gone(&json!({"*": allow, "+7*": deny})));
    server.put(&pair_rule("a", "PPP002", &json!({"expires_at": expired, "note": {"S": "x"}})));
    server.put(&party("c", &json!({"*": deny})));
    server.put(&pair_rule("d", "e", &json!({"effect": {"S": "deny"}})));
    let before = server.items();
    for fix in fixes {
        assert!(!runtime.block_on(table.fix(fix, &author)).unwrap(), "{fix:?}");
    }
    assert_eq!(server.items(), before);
}

#[test]
fn what_is_suspended_with_a_note_is_not_reported() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    server.run("suspend --app shop b").succeeds();
    server.run("suspend --app shop").succeeds();
    assert_eq!(findings(&server, ""), ["suspended: app `shop`", "suspended: party `b` of app `shop`"]);
    let run = server.run("doctor").exits_with(4).prints("what is suspended with a note is not reported");
    run.prints("if it is suspended on purpose: callgatectl suspend --note 'WHY' --app shop b");
    server.run("suspend --note 'left the company' --app shop b").succeeds().prints("written: party `b`");
    server.run("suspend --note 'left the company' --app shop b").succeeds().prints("unchanged");
    // Another suspension does not lose the note.
    server.run("suspend --app shop b").succeeds().prints("unchanged");
    server.run("suspend --note closed --app shop --yes").succeeds();
    server.run("doctor").succeeds().prints("0 findings");
    server.run("show --app shop b").succeeds().prints("note: left the company");
    // It may be about something else than the suspension.
    server.run("resume --app shop b").succeeds().prints("its note stays: left the company; --no-note removes it");
    server.run("show --app shop b").succeeds().prints("note: left the company");
    server.run("resume --app shop b --no-note").succeeds().does_not_print("its note");
    server.run("resume --app shop --no-note").succeeds().does_not_print("its note");
    assert_eq!(server.items().len(), 1, "only the rule is left");
    server.run("suspend --note x --app shop b").succeeds();
    server.run("suspend --note '' --app shop b").succeeds().prints("written");
    assert_eq!(findings(&server, ""), ["suspended: party `b` of app `shop`"]);
}

#[test]
fn blocks_groups_and_destinations_are_checked() {
    let server = TestServer::with_table();
    let with = |id: &str, attributes: &Value| {
        let mut item = attributes.clone();
        item["pk"] = json!({"S": format!("PARTY#shop#{id}")});
        item["sk"] = json!({"S": "PARTY"});
        server.put(&item);
    };
    with("over", &json!({"blocked": {"M": {"expires_at": {"N": "1000000000"}, "note": {"S": "x"}}}}));
    with("over2", &json!({"blocked": {"M": {"expires_at": {"N": "1000000000"}}}, "groups": {"SS": ["vip"]}}));
    with("ms", &json!({"blocked": {"M": {"expires_at": {"N": "4102358400000"}}}}));
    with("invalid", &json!({"blocked": {"M": {"until": {"S": "x"}}}}));
    with("invalid2", &json!({"groups": {"S": "vip"}}));
    with("shut", &json!({"blocked": {"M": {}}}));
    let rule = |effect: &str| json!({"M": {"effect": {"S": effect}}});
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "callers": {"M": {"@vip": rule("allow"), "@none": rule("deny")}},
        "destinations": {"M": {"+882*": rule("deny"), "+8821*": rule("deny"), "+883*": rule("allow"),
            "+7*": {"M": {"effect": {"S": "allow"}, "disabled": {"BOOL": true}}}, "+9*": {"M": {"effect": {"S": "alow"}}}}}}));
    let all = [
        "empty_group: rule from `@none` to `*` of app `shop`",
        "expired: block of party `over2` of app `shop`",
        "expired: block of party `over` of app `shop`",
        "invalid_record: party `invalid2` of app `shop`",
        "invalid_record: party `invalid` of app `shop`",
        "invalid_record: rule from `*` to `+9*` of app `shop`",
        "milliseconds: block of party `ms` of app `shop`",
        "shadowed: rule from `*` to `+8821*` of app `shop`",
    ];
    let mut found = findings(&server, "");
    found.sort();
    assert_eq!(found, all);
    let run = server.run("doctor --fix").exits_with(4).prints("fixed: expired: block of party `over` of app `shop`");
    run.prints("6 findings");
    // The item of one is empty then, and the other one keeps its group.
    let items = server.items();
    let has = |id: &str| items.iter().find(|item| item["pk"]["S"] == format!("PARTY#shop#{id}"));
    assert!(has("over").is_none(), "{items:?}");
    assert_eq!(has("over2").unwrap()["groups"], json!({"SS": ["vip"]}));
    assert!(has("over2").unwrap()["blocked"].is_null());
}

#[test]
fn a_big_item_is_explained_by_its_largest_list() {
    let server = TestServer::with_table();
    let rules: serde_json::Map<_, _> =
        (0..200).map(|number| (format!("+88{number:03}*"), json!({"M": {"effect": {"S": "deny"}}}))).collect();
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "destinations": {"M": rules},
        "callers": {"M": {"*": {"M": {"effect": {"S": "allow"}}}}}}));
    let run = server.run("doctor").exits_with(4).prints("too_big: app `shop`");
    run.prints("most of it in `destinations` with 200 rules");
}

/// `DynamoDB` refuses an expression of more than 4 KB.
#[test]
fn an_item_with_many_attributes_is_fixed() {
    let server = TestServer::with_table();
    let mut item = json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "expires_at": {"N": "1000000000"}});
    for number in 0..1_000 {
        item[format!("unknown{number}")] = json!({"N": number.to_string()});
    }
    server.put(&item);
    let url = start_proxy(server.address, |request| {
        if request.is_write() {
            let longest = ["ConditionExpression", "UpdateExpression"]
                .map(|name| request.json()[name].as_str().map_or(0, str::len));
            if longest.iter().any(|&bytes| bytes > 4_096) {
                return Treatment::refuse_with(
                    "ValidationException",
                    "Expression size has exceeded the maximum allowed size",
                );
            }
        }
        Treatment::Forward
    });
    let run = Run::of(tool_at(&url).args(["doctor", "--fix"]));
    run.prints("fixed: expired: party `b` of app `shop`");
    assert!(server.items().is_empty());
}
