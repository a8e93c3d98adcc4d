//! `check`.

use serde_json::json;

use crate::support::Place;

#[test]
fn check_tells_every_rule_and_why() {
    let place = Place::new();
    place.run("deny --app shop --from '+881*' --to '*'").done();
    place.run("deny --app shop --from '*' --to PPP005").done();
    place.run("allow --app shop --from 'PPP*' --to PPP005 --media audio").done();
    place.run("allow --app shop --from 'PPP00*' --to PPP005 --hours 'Mon-Fri 09:00-18:00 Europe/Moscow'").done();
    place.run("allow --app shop --from PPP009 --to PPP005 --until 2090-01-01").done();

    let work = place.run("check --app shop --from PPP009 --to PPP005 --at 2026-11-23T12:00:00+03:00").done();
    assert_eq!(
        work.out,
        "\
permitted: pair_rule (the rule between these two allows the call)
  PPP009 to PPP005 in app shop, audio, at 2026-11-23T09:00:00Z
door app: who may call anyone in app shop
  no rule applies
  +881*  deny   does not match
door caller: whom PPP009 may call
> PPP005  allow  rule between these two, decides, until 2090-01-01T00:00:00Z
door callee: who may call PPP005
> PPP009  allow  rule between these two, decides, until 2090-01-01T00:00:00Z
  PPP00*  allow  applies, but `PPP009` is more specific, Mon-Fri 09:00-18:00 Europe/Moscow
  PPP*    allow  applies, but `PPP009` is more specific, audio only
  *       deny   applies, but `PPP009` is more specific
"
    );
    let later = place.run("check --app shop --from PPP009 --to PPP005 --video --at 2095-01-01T12:00:00+03:00").ends(3);
    let later = later
        .says("refused: callee_rule (the rule `*` at door callee denies the call)")
        .says("expired at 2090-01-01T00:00:00Z");
    later.says("the call is outside Mon-Fri 09:00-18:00 Europe/Moscow").says("is for audio only");
    let json = place.json("check --app shop --from +88155 --to PPP005");
    assert_eq!(json["decision"], "deny");
    assert_eq!(json["reason"], "app_rule");
    assert_eq!(json["doors"][0]["says"], "deny");
    assert_eq!(json["doors"][2]["rules"][0]["standing"], "about_others");
}

#[test]
fn a_broken_rule_is_named() {
    let place = Place::new();
    let rule = json!({"M": {"effect": {"S": "allow"}, "hours": {"L": [{"S": "Mon 9-18 Mars/Olympus"}]}}});
    place.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"*": rule}}}));
    place.run("check --app shop --from a --to b").ends(3).says("invalid_record").says("not a time of day");
    place.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": {"S": "x"}}));
    place.run("check --app shop --from a --to b").ends(3).says("invalid_record").says("not a map");
}

#[test]
fn nothing_stored_permits_nothing() {
    let place = Place::new();
    place.run("check --app nosuch --from a --to b").ends(3).says("refused: no_rule");
}

#[test]
fn who_is_suspended_or_has_expired_is_told_at_the_door() {
    let place = Place::new();
    place.run("allow --app shop --from '*' --to '*'").done();
    place.run("suspend --app shop a").done();
    let party = json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "status": {"S": "suspended"}, "expires_at": {"N": "1000"},
        "incoming": {"M": {"*": {"M": {"effect": {"S": "deny"}}}}}});
    place.put(&party);
    let run = place.run("check --app shop --from a --to b").ends(3).says("refused: caller_suspended");
    let run =
        run.says("\ndoor app: who may call anyone in app shop\n").says("\ndoor caller: whom a may call (suspended)\n");
    run.says("\ndoor callee: who may call b (expired at 1970-01-01T00:16:40Z, so it counts as absent)\n  no rules");
    let said = place.json("check --app shop --from a --to b");
    let doors: Vec<_> =
        said["doors"].as_array().unwrap().iter().map(|it| (&it["suspended"], &it["expired_at"])).collect();
    let (no, none) = (json!(false), json!(null));
    assert_eq!(doors, [(&no, &none), (&json!(true), &none), (&no, &json!("1970-01-01T00:16:40Z"))]);
    place.run("check --app shop --from a --to b --at 1970-01-01T00:16:00Z").ends(3).says("callee_suspended");
    place.run("suspend --app shop").done();
    place
        .run("check --app shop --from x --to y")
        .ends(3)
        .says("\ndoor app: who may call anyone in app shop (suspended)\n");
}

#[test]
fn an_event_without_a_callee_is_no_call() {
    let place = Place::new();
    place.run("deny --app shop --from anonymous --to b").done();
    place.run("check --app shop --from '' --to b").ends(3).says("anonymous to b in app shop");
    place.run("check --app shop --from a --to ' '").ends(2).says("a party is empty");
}
