//! `allow`, `deny`, `revoke`, `suspend`, `resume`, `show`.

use serde_json::json;

use crate::support::TestServer;

#[test]
fn each_form_of_rule_is_stored_in_its_item() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005").succeeds().prints("written: allow PPP009 to PPP005");
    server.run("deny --app shop --from '*' --to PPP005").succeeds();
    server.run("allow --app shop --from PPP002 --to 'PPP*'").succeeds();
    server.run("deny --app shop --from '+881*' --to '*'").succeeds();
    server.run("allow --app shop --from PPP002 --to '*'").succeeds();
    let rule = |effect| json!({"M": {"effect": {"S": effect}}});
    assert_eq!(
        server.items(),
        [
            json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "callers": {"M": {"+881*": rule("deny")}}}),
            json!({"pk": {"S": "PARTY#shop#PPP002"}, "sk": {"S": "PARTY"},
                "outgoing": {"M": {"PPP*": rule("allow"), "*": rule("allow")}}}),
            json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "CALLER#PPP009"}, "effect": {"S": "allow"}}),
            json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"*": rule("deny")}}}),
        ]
    );
}

#[test]
fn numbers_match_in_any_spelling() {
    let server = TestServer::with_table();
    let plan = "--phone-region RU";
    server.run(&format!("allow --app shop --from '8 (495) 123-45-67' --to sip:PPP005@example.com {plan}")).succeeds();
    assert_eq!(server.items()[0]["sk"]["S"], "CALLER#+74951234567");
    server.run(&format!("check --app shop --from 'tel:+7-495-123-45-67' --to PPP005 {plan}")).succeeds();
    server.run("check --app shop --from 84951234567 --to PPP005").exits_with(3);
}

#[test]
fn conditions_are_stored_as_documented() {
    let server = TestServer::with_table();
    server
        .run(
            "allow --app shop --from PPP009 --to PPP005 --media audio --until 2099-12-31 --note 'on trial' \
             --hours 'mon-fri 9:00-18:00 europe/moscow' --hours 'Sat 10:00-24:00 UTC'",
        )
        .succeeds()
        .prints("allow PPP009 to PPP005, audio only, Mon-Fri 09:00-18:00 Europe/Moscow; Sat 10:00-24:00 UTC, until 2099-12-31 00:00 UTC (on trial)");
    let item = &server.items()[0];
    assert_eq!(item["media"], json!({"SS": ["audio"]}));
    assert_eq!(item["expires_at"], json!({"N": "4102358400"}));
    assert_eq!(item["hours"], json!({"L": [{"S": "Mon-Fri 09:00-18:00 Europe/Moscow"}, {"S": "Sat 10:00-24:00 UTC"}]}));
    assert_eq!(item["note"], json!({"S": "on trial"}));
}

#[test]
fn writing_the_same_rule_twice_changes_nothing() {
    let server = TestServer::with_table();
    for rule in ["--from PPP009 --to PPP005 --media audio,video", "--from '+7*' --to PPP005", "--from '*' --to '*'"] {
        let command = format!("allow --app shop {rule} --hours 'Mon 09:00-10:00 UTC'");
        server.run(&command).succeeds().prints("written");
        let before = server.request("Scan", &json!({"TableName": crate::support::TABLE}));
        server.run(&command).succeeds().prints("unchanged");
        assert_eq!(server.request("Scan", &json!({"TableName": crate::support::TABLE})), before);
    }
}

#[test]
fn a_rule_replaces_the_one_for_the_same_parties() {
    let server = TestServer::with_table();
    for parties in ["--from PPP009 --to PPP005", "--from '*' --to PPP005"] {
        server.run(&format!("allow --app shop {parties} --media audio --until 30d --note x")).succeeds();
        let clear = "--no-media --no-until --no-note";
        server
            .run(&format!("deny --app shop {parties} {clear}"))
            .succeeds()
            .prints("replaced: deny")
            .prints("before: allow");
    }
    let items = server.items();
    assert_eq!(
        items[0],
        json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "CALLER#PPP009"}, "effect": {"S": "deny"}})
    );
    assert_eq!(items[1]["incoming"], json!({"M": {"*": {"M": {"effect": {"S": "deny"}}}}}));
}

#[test]
fn the_author_of_a_rule_is_stored() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005").succeeds();
    let item = server.stored()[0].clone();
    assert!(!item["updated_by"]["S"].as_str().unwrap().is_empty());
    assert!(item["updated_at"]["N"].as_str().unwrap().parse::<i64>().unwrap() > 1_700_000_000);
}

#[test]
fn a_rule_without_effect_gets_a_note() {
    let server = TestServer::with_table();
    let note = "this rule has no effect at present";
    server.run("deny --app shop --from '+881*' --to '*'").succeeds().does_not_print(note);
    server
        .run("allow --app shop --from +8815551 --to PPP005")
        .succeeds()
        .prints(note)
        .prints("the app's rule `+881*` denies");
    server.run("allow --app shop --from '+881*' --to PPP005").succeeds().prints(note);
    server.run("allow --app shop --from '+88*' --to PPP005").succeeds().does_not_print(note);
    server
        .run("allow --app shop --from '+887*' --to PPP005")
        .succeeds()
        .prints(note)
        .prints("allows these calls already");
    server.run("deny --app shop --from '+88777*' --to PPP005 --until 30d").succeeds().does_not_print(note);
    server.run("suspend --app shop PPP005").succeeds();
    server.run("allow --app shop --from PPP001 --to PPP005").succeeds().prints(note).prints("the callee is suspended");
}

#[test]
fn revoke_deletes_a_stored_rule() {
    let server = TestServer::with_table();
    for parties in
        ["--from PPP009 --to PPP005", "--from '*' --to PPP005", "--from PPP005 --to 'P*'", "--from 'P*' --to '*'"]
    {
        let revoke = format!("revoke --app shop {parties}");
        server.run(&revoke).exits_with(1).prints("there is no rule from");
        server.run(&format!("allow --app shop {parties}")).succeeds();
        server.run(&revoke).succeeds().prints("revoked: allow");
        server.run(&revoke).exits_with(1).prints("there is no rule from");
    }
    assert_eq!(server.json("revoke --app shop --from a --to b")["result"], "absent");
}

#[test]
fn the_effect_of_a_pattern_is_printed_before_it_is_written() {
    let server = TestServer::with_table();
    server
        .run("allow --app shop --from '+7495*' --to PPP005")
        .succeeds()
        .prints("this allows calls: anyone whose id starts with +7495 calling PPP005");
    server.run("deny --app shop --from '*' --to '*'").succeeds().prints("this refuses calls: anyone calling anyone");
    server.run("allow --app shop --from '*' --to PPP001 --yes").succeeds().does_not_print("this allows calls");
}

#[test]
fn a_status_is_written_with_or_without_an_item() {
    let server = TestServer::with_table();
    server.run("resume --app shop PPP007").succeeds().prints("unchanged");
    assert!(server.items().is_empty());
    server.run("suspend --app shop PPP007").succeeds().prints("party `PPP007` of app `shop` is suspended");
    server.run("suspend --app shop PPP007").succeeds().prints("unchanged");
    server.run("suspend --app shop").succeeds().prints("app `shop` is suspended");
    server.run("allow --app shop --from '*' --to PPP007").succeeds();
    server.run("check --app shop --from a --to PPP007").exits_with(3).prints("app_suspended");
    server.run("resume --app shop --yes").succeeds();
    server.run("check --app shop --from a --to PPP007").exits_with(3).prints("callee_suspended");
    server.run("resume --app shop PPP007").succeeds().prints("is active");
    server.run("check --app shop --from a --to PPP007").succeeds().prints("permitted: callee_rule");
}

#[test]
fn show_prints_all_stored_rules_in_order() {
    let server = TestServer::with_table();
    server.run("show --app shop").exits_with(1).prints("nothing is stored for app `shop`");
    server.run("show --app shop PPP005").succeeds().prints("nothing is stored for party PPP005");
    server.run("deny --app shop --from '*' --to PPP005").succeeds();
    server.run("allow --app shop --from '+7*' --to PPP005").succeeds();
    server.run("allow --app shop --from PPP009 --to PPP005 --media video").succeeds();
    server.run("allow --app shop --from PPP005 --to 'PPP*'").succeeds();
    let run = server.run("show --app shop PPP005").succeeds();
    let at = |text| run.stdout.find(text).unwrap_or_else(|| panic!("{text} in {run:?}"));
    assert!(at("allow PPP009 to PPP005, video only") < at("allow +7* to PPP005"));
    assert!(at("allow +7* to PPP005") < at("deny * to PPP005"));
    assert!(at("deny * to PPP005") < at("allow PPP005 to PPP*"));
    let shown = server.json("show --app shop PPP005");
    assert_eq!(shown["incoming"][0]["from"], "PPP009");
    assert_eq!(shown["incoming"][0]["media"], json!(["video"]));
    assert_eq!(shown["outgoing"][0]["to"], "PPP*");
    server.run("deny --app shop --from '+881*' --to '*' --note spam").succeeds();
    server.run("show --app shop").succeeds().prints("deny +881* to * (spam)");
}

#[test]
fn a_prefix_that_cannot_be_dialled_gets_a_note() {
    let server = TestServer::with_table();
    let plan = "--phone-region RU --exactly";
    let long = format!("deny --app shop --from '84951234*' --to PPP005 {plan}");
    server
        .run(&long)
        .succeeds()
        .prints("start with +74951234… in this region: only extensions and other short numbers can match it")
        .prints("write `+74951234*`");
    server.run(&long).succeeds().prints("unchanged").prints("start with +74951234…");
    server.run(&format!("allow --app shop --from PPP005 --to '8495*' {plan}")).succeeds().prints(
        "numbers that are dialled as 8495… start with +7495… in this region: only extensions and other short numbers",
    );
    server.run(&format!("deny --app shop --from '8107*' --to '*' {plan}")).succeeds().prints("write `+7*`");
    server.run(&format!("deny --app shop --from '+7*' --to PPP001 {plan}")).succeeds().does_not_print("dialled");
    let written = server.json(&format!("deny --app shop --from '8495*' --to PPP005 {plan}"));
    assert!(written["notice"].as_str().unwrap().contains("+7495*"), "{written}");
}

#[test]
fn a_status_applies_to_one_party_not_to_a_pattern() {
    let server = TestServer::with_table();
    server.run("suspend --app shop 'PPP*'").exits_with(2).prints("`PPP*` is a pattern, not one party");
    server
        .run("suspend --app shop ''")
        .exits_with(2)
        .prints("a party is empty; write `anonymous` for a withheld number");
    assert!(server.items().is_empty());
}

#[test]
fn show_prints_invalid_rules_and_items() {
    let server = TestServer::with_table();
    let invalid = json!({"M": {"effect": {"S": "alow"}}});
    let valid = json!({"M": {"effect": {"S": "allow"}, "updated_by": {"S": "op"}, "updated_at": {"N": "1000"}}});
    let lists = json!({"M": {"+7*": invalid, "*": valid}});
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": lists, "outgoing": lists}));
    let run = server.run("show --app shop b").succeeds().prints("party b of app shop: active");
    run.prints("+7* to b: invalid: `effect` is `alow`").prints("allow * to b [op, 1970-01-01 00:16:40 UTC]");
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "status": {"S": "on"}, "incoming": lists}));
    let run =
        server.run("show --app shop b").exits_with(1).prints("invalid, so all its calls are refused: `status` is `on`");
    run.prints("allow * to b");
    let shown = server.json("show --app shop b");
    assert_eq!((&shown["status"], &shown["incoming"][1]["updated_by"]), (&json!(null), &json!("op")));
    assert!(shown["fault"].as_str().unwrap().starts_with("`status` is `on`"), "{shown}");
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "status": {"N": "1"}, "callers": lists}));
    server
        .run("show --app shop")
        .exits_with(1)
        .prints("app shop: invalid, so all its calls are refused")
        .prints("allow * to *");
}

#[test]
fn a_rule_of_one_caller_to_everyone_may_be_the_apps() {
    let server = TestServer::with_table();
    let rule = "--app shop --from +15550100 --to '*'";
    server.run("deny --app shop --from '+1*' --to '*'").succeeds();
    server.run(&format!("allow {rule} --door app")).succeeds().prints("written");
    server.run(&format!("allow {rule}")).succeeds().prints("written");
    let callers = server.items()[0]["callers"]["M"].as_object().unwrap().clone();
    assert_eq!(callers.keys().collect::<Vec<_>>(), ["+1*", "+15550100"]);
    assert_eq!(server.items()[1]["outgoing"]["M"]["*"], json!({"M": {"effect": {"S": "allow"}}}));
    server.run("check --app shop --from +15550100 --to b").succeeds();
    server.run("check --app shop --from +15550101 --to b").exits_with(3);
    server.run(&format!("revoke {rule}")).succeeds();
    server
        .run(&format!("revoke {rule}"))
        .exits_with(1)
        .prints("the list of door `app` has one, which `--door app` revokes");
    server.run(&format!("revoke {rule} --door app")).succeeds();
    server.run("check --app shop --from +15550100 --to b").exits_with(3);
}

#[test]
fn a_door_that_has_no_place_for_a_rule_is_refused() {
    let server = TestServer::with_table();
    for (rule, why) in [
        ("--from a --to b --door app", "so it cannot be written for door `app` alone"),
        ("--from a --to b --door callee", "so it cannot be written for door `callee` alone"),
        ("--from a --to 'P*' --door app", "a rule of door `app` goes to `*`, not to `P*`"),
        ("--from '+7*' --to '*' --door caller", "a rule of door `caller` comes from one party, not from `+7*`"),
        ("--from a --to '*' --door callee", "a rule of door `callee` goes to one party, not to `*`"),
    ] {
        server.run(&format!("allow --app shop {rule}")).exits_with(2).prints(why);
    }
    assert!(server.items().is_empty());
}

/// Other programs may store an exact id in a list, where it decides at one door only.
#[test]
fn each_place_of_a_rule_is_revoked_by_itself() {
    let list = json!({"M": {"a": {"M": {"effect": {"S": "allow"}}}, "b": {"M": {"effect": {"S": "allow"}}}}});
    let items = [
        json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "callers": list}),
        json!({"pk": {"S": "PARTY#shop#a"}, "sk": {"S": "PARTY"}, "outgoing": list}),
        json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"}}),
        json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": list}),
    ];
    for exactly in ["", "--exactly "] {
        for (place, arguments) in
            [(0, "--to '*' --door app"), (1, "--to b --door caller"), (2, "--to b"), (3, "--to b --door callee")]
        {
            let server = TestServer::with_table();
            for item in &items {
                server.put(item);
            }
            server.run(&format!("revoke {exactly}--app shop --from a {arguments}")).succeeds();
            let mut expected = items.to_vec();
            match place {
                0 => drop(expected[0]["callers"]["M"].as_object_mut().unwrap().remove("a")),
                1 => drop(expected[1]["outgoing"]["M"].as_object_mut().unwrap().remove("b")),
                2 => drop(expected.remove(2)),
                _ => drop(expected[3]["incoming"]["M"].as_object_mut().unwrap().remove("a")),
            }
            assert_eq!(server.items(), expected, "{exactly}{arguments}");
        }
    }
}

#[test]
fn values_may_begin_with_a_hyphen() {
    let server = TestServer::with_table();
    for app in ["--app -x", "--app=-x", "--app --x", "--app=--x", "--app -y", "--app --yes"] {
        let key = app.trim_start_matches("--app").trim_start_matches([' ', '=']);
        let rule = format!("allow {app} --from -a --to=-b --note -c --until 2099-12-31");
        server.run(&rule).succeeds().prints("allow -a to -b, until 2099-12-31 00:00 UTC (-c)");
        server
            .run(&format!("check {app} --from=-a --to -b"))
            .succeeds()
            .prints(&format!("-a to -b in app {key}, audio"));
        server.run(&format!("resume {app} --yes -- -b")).succeeds().prints("party `-b`");
        server.run(&format!("show {app} -b")).succeeds().prints("allow -a to -b");
        let exported = server.run(&format!("export {app}")).succeeds().stdout;
        assert!(exported.ends_with(&format!("\n'{key},'-a,'-b,allow,,,2099-12-31T00:00:00Z,,,'-c\n")), "{exported}");
        server.run(&format!("deny {app} --from -a --to -b")).succeeds();
        server.run(&format!("revoke {app} --from -a --to -b")).succeeds();
    }
    server.run("allow --app shop --from a --to b --hours '-x 09:00-18:00 UTC'").exits_with(2).prints("is not a day");
}
