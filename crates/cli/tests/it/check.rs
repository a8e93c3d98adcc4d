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
permitted: pair_rule (the rule of exactly these two allows at door 3)
  PPP009 to PPP005 in app shop, audio, at 2026-11-23T09:00:00Z
door 1, app shop: who may call anybody
  no rule applies: says nothing
  +881*  deny   is about others
door 2, caller PPP009: whom it may call
> PPP005  allow  rule of exactly these two, decides here, until 2090-01-01T00:00:00Z
door 3, callee PPP005: who may call it
> PPP009  allow  rule of exactly these two, decides here, until 2090-01-01T00:00:00Z
  PPP00*  allow  applies, but is shorter than `PPP009`, Mon-Fri 09:00-18:00 Europe/Moscow
  PPP*    allow  applies, but is shorter than `PPP009`, audio only
  *       deny   applies, but is shorter than `PPP009`
"
    );
    let later = place.run("check --app shop --from PPP009 --to PPP005 --video --at 2095-01-01T12:00:00+03:00").ends(3);
    let later = later.says("refused: callee_rule (`*` denies at door 3)").says("expired at 2090-01-01T00:00:00Z");
    later.says("now is outside Mon-Fri 09:00-18:00 Europe/Moscow").says("is about audio only");
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
    place.run("check --app shop --from a --to b").ends(3).says("invalid_record").says("no time of day");
    place.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": {"S": "x"}}));
    place.run("check --app shop --from a --to b").ends(3).says("invalid_record").says("not a map");
}

#[test]
fn nothing_stored_permits_nothing() {
    let place = Place::new();
    place.run("check --app nosuch --from a --to b").ends(3).says("refused: no_rule");
}
