//! `allow`, `deny`, `revoke`, `suspend`, `resume`, `show`.

use serde_json::json;

use crate::support::Place;

#[test]
fn a_rule_is_written_where_it_belongs() {
    let place = Place::new();
    place.run("allow --app shop --from PPP009 --to PPP005").done().says("written: allow PPP009 to PPP005");
    place.run("deny --app shop --from '*' --to PPP005").done();
    place.run("allow --app shop --from PPP002 --to 'PPP*'").done();
    place.run("deny --app shop --from '+881*' --to '*'").done();
    place.run("allow --app shop --from PPP002 --to '*'").done();
    let rule = |effect| json!({"M": {"effect": {"S": effect}}});
    assert_eq!(
        place.items(),
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
fn numbers_match_however_they_are_written() {
    let place = Place::new();
    let plan = "--country-code 7 --trunk-prefix 8 --international-prefix 810";
    place.run(&format!("allow --app shop --from '8 (495) 123-45-67' --to sip:PPP005@example.com {plan}")).done();
    assert_eq!(place.items()[0]["sk"]["S"], "CALLER#+74951234567");
    place.run(&format!("check --app shop --from 'tel:+7-495-123-45-67' --to PPP005 {plan}")).done();
    place.run("check --app shop --from 84951234567 --to PPP005").ends(3);
}

#[test]
fn conditions_are_stored_as_the_contract_says() {
    let place = Place::new();
    place
        .run(
            "allow --app shop --from PPP009 --to PPP005 --media audio --until 2100-01-01 --note 'on trial' \
             --hours 'mon-fri 9:00-18:00 europe/moscow' --hours 'Sat 10:00-24:00 UTC'",
        )
        .done()
        .says("allow PPP009 to PPP005, audio only, Mon-Fri 09:00-18:00 Europe/Moscow; Sat 10:00-24:00 UTC, until 2100-01-01T00:00:00Z (on trial)");
    let item = &place.items()[0];
    assert_eq!(item["media"], json!({"SS": ["audio"]}));
    assert_eq!(item["expires_at"], json!({"N": "4102444800"}));
    assert_eq!(item["hours"], json!({"L": [{"S": "Mon-Fri 09:00-18:00 Europe/Moscow"}, {"S": "Sat 10:00-24:00 UTC"}]}));
    assert_eq!(item["note"], json!({"S": "on trial"}));
}

#[test]
fn saying_the_same_thing_twice_changes_nothing() {
    let place = Place::new();
    for rule in ["--from PPP009 --to PPP005 --media audio,video", "--from '+7*' --to PPP005", "--from '*' --to '*'"] {
        let command = format!("allow --app shop {rule} --hours 'Mon 09:00-10:00 UTC'");
        place.run(&command).done().says("written");
        let before = place.ask("Scan", &json!({"TableName": crate::support::TABLE}));
        place.run(&command).done().says("unchanged");
        assert_eq!(place.ask("Scan", &json!({"TableName": crate::support::TABLE})), before);
    }
}

#[test]
fn a_rule_replaces_the_one_about_the_same_parties() {
    let place = Place::new();
    for parties in ["--from PPP009 --to PPP005", "--from '*' --to PPP005"] {
        place.run(&format!("allow --app shop {parties} --media audio --until 30d --note x")).done();
        place.run(&format!("deny --app shop {parties}")).done().says("replaced: deny").says("before: allow");
    }
    let items = place.items();
    assert_eq!(
        items[0],
        json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "CALLER#PPP009"}, "effect": {"S": "deny"}})
    );
    assert_eq!(items[1]["incoming"], json!({"M": {"*": {"M": {"effect": {"S": "deny"}}}}}));
}

#[test]
fn who_wrote_a_rule_is_written_down() {
    let place = Place::new();
    place.run("allow --app shop --from PPP009 --to PPP005").done();
    let item = place.ask("Scan", &json!({"TableName": crate::support::TABLE}))["Items"][0].clone();
    assert!(!item["updated_by"]["S"].as_str().unwrap().is_empty());
    assert!(item["updated_at"]["N"].as_str().unwrap().parse::<i64>().unwrap() > 1_700_000_000);
}

#[test]
fn a_rule_that_changes_no_answer_says_so() {
    let place = Place::new();
    let note = "this rule has no effect at present";
    place.run("deny --app shop --from '+881*' --to '*'").done().keeps_quiet_about(note);
    place.run("allow --app shop --from +8815551 --to PPP005").done().says(note).says("the app's rule `+881*` denies");
    place.run("allow --app shop --from '+881*' --to PPP005").done().says(note);
    place.run("allow --app shop --from '+88*' --to PPP005").done().keeps_quiet_about(note);
    place.run("allow --app shop --from '+887*' --to PPP005").done().says(note).says("allows these calls already");
    place.run("deny --app shop --from '+88777*' --to PPP005 --until 30d").done().keeps_quiet_about(note);
    place.run("suspend --app shop PPP005").done();
    place.run("allow --app shop --from PPP001 --to PPP005").done().says(note).says("the callee is suspended");
}

#[test]
fn revoke_takes_back_what_is_there() {
    let place = Place::new();
    for parties in
        ["--from PPP009 --to PPP005", "--from '*' --to PPP005", "--from PPP005 --to 'P*'", "--from 'P*' --to '*'"]
    {
        let revoke = format!("revoke --app shop {parties}");
        place.run(&revoke).ends(1).says("there is no rule from");
        place.run(&format!("allow --app shop {parties}")).done();
        place.run(&revoke).done().says("revoked: allow");
        place.run(&revoke).ends(1).says("there is no rule from");
    }
    assert_eq!(place.json("revoke --app shop --from a --to b")["result"], "absent");
}

#[test]
fn what_a_pattern_opens_is_said_before_it_is_written() {
    let place = Place::new();
    place
        .run("allow --app shop --from '+7495*' --to PPP005")
        .done()
        .says("this allows calls: anyone whose id starts with +7495 calling PPP005");
    place.run("deny --app shop --from '*' --to '*'").done().says("this refuses calls: anyone calling anyone");
    place.run("allow --app shop --from '*' --to PPP001 --yes").done().keeps_quiet_about("this allows calls");
}

#[test]
fn status_is_written_whether_or_not_there_is_an_item() {
    let place = Place::new();
    place.run("resume --app shop PPP007").done().says("unchanged");
    assert!(place.items().is_empty());
    place.run("suspend --app shop PPP007").done().says("party `PPP007` of app `shop` is suspended");
    place.run("suspend --app shop PPP007").done().says("unchanged");
    place.run("suspend --app shop").done().says("app `shop` is suspended");
    place.run("allow --app shop --from '*' --to PPP007").done();
    place.run("check --app shop --from a --to PPP007").ends(3).says("app_suspended");
    place.run("resume --app shop --yes").done();
    place.run("check --app shop --from a --to PPP007").ends(3).says("callee_suspended");
    place.run("resume --app shop PPP007").done().says("is active");
    place.run("check --app shop --from a --to PPP007").done().says("permitted: callee_rule");
}

#[test]
fn show_shows_what_is_there() {
    let place = Place::new();
    place.run("show --app shop").ends(1).says("nothing is stored for app `shop`");
    place.run("show --app shop PPP005").ends(1).says("nothing is stored for party `PPP005`");
    place.run("deny --app shop --from '*' --to PPP005").done();
    place.run("allow --app shop --from '+7*' --to PPP005").done();
    place.run("allow --app shop --from PPP009 --to PPP005 --media video").done();
    place.run("allow --app shop --from PPP005 --to 'PPP*'").done();
    let run = place.run("show --app shop PPP005").done();
    let at = |text| run.out.find(text).unwrap_or_else(|| panic!("{text} in {run:?}"));
    assert!(at("allow PPP009 to PPP005, video only") < at("allow +7* to PPP005"));
    assert!(at("allow +7* to PPP005") < at("deny * to PPP005"));
    assert!(at("deny * to PPP005") < at("allow PPP005 to PPP*"));
    let shown = place.json("show --app shop PPP005");
    assert_eq!(shown["incoming"][0]["from"], "PPP009");
    assert_eq!(shown["incoming"][0]["media"], json!(["video"]));
    assert_eq!(shown["outgoing"][0]["to"], "PPP*");
    place.run("deny --app shop --from '+881*' --to '*' --note spam").done();
    place.run("show --app shop").done().says("deny +881* to * (spam)");
}

#[test]
fn a_prefix_that_nobody_dials_is_told_when_it_is_written() {
    let place = Place::new();
    let plan = "--country-code 7 --trunk-prefix 8 --international-prefix 810";
    let long = format!("deny --app shop --from '84951234*' --to PPP005 {plan}");
    place.run(&long).done().says("start with +74951234…: no call can match it").says("write `+74951234*`");
    place.run(&long).done().says("unchanged").says("no call can match it");
    place
        .run(&format!("allow --app shop --from PPP005 --to '8495*' {plan}"))
        .done()
        .says("under this dial plan numbers dialled as 8495… start with +7495…: only numbers of fewer than 8 digits");
    place.run(&format!("deny --app shop --from '8107*' --to '*' {plan}")).done().says("write `+7*`");
    place.run(&format!("deny --app shop --from '+7*' --to PPP001 {plan}")).done().keeps_quiet_about("dialled");
    let said = place.json(&format!("deny --app shop --from '8495*' --to PPP005 {plan}"));
    assert!(said["notice"].as_str().unwrap().contains("+7495*"), "{said}");
}

#[test]
fn a_pattern_is_nobodys_status() {
    let place = Place::new();
    place.run("suspend --app shop 'PPP*'").done().says("`PPP*` is the id of one party here, not a pattern");
    place.run("suspend --app shop ''").ends(2).says("a party is empty; write `anonymous` for a withheld number");
    assert_eq!(place.items().len(), 1);
}

#[test]
fn show_shows_what_cannot_be_understood() {
    let place = Place::new();
    let broken = json!({"M": {"effect": {"S": "alow"}}});
    let sound = json!({"M": {"effect": {"S": "allow"}, "updated_by": {"S": "op"}, "updated_at": {"N": "1000"}}});
    let lists = json!({"M": {"+7*": broken, "*": sound}});
    place.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": lists, "outgoing": lists}));
    let run = place.run("show --app shop b").done().says("party b of app shop: active");
    run.says("+7* to b: invalid: `effect` is `alow`").says("allow * to b [op, 1970-01-01T00:16:40Z]");
    place.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "status": {"S": "on"}, "incoming": lists}));
    let run = place.run("show --app shop b").ends(1).says("invalid, so all its calls are refused: `status` is `on`");
    run.says("allow * to b");
    let said = place.json("show --app shop b");
    assert_eq!((&said["status"], &said["incoming"][1]["updated_by"]), (&json!(null), &json!("op")));
    assert!(said["fault"].as_str().unwrap().starts_with("`status` is `on`"), "{said}");
    place.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "status": {"N": "1"}, "callers": lists}));
    place.run("show --app shop").ends(1).says("app shop: invalid, so all its calls are refused").says("allow * to *");
}
