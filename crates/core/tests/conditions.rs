//! The conditions of a rule one by one, and the words in which a decision is told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use callgate_core::{
    App, AppKey, Applicability, Call, Decision, DialPlan, Door, Effect, EpochSeconds, Hours, MediaSet, ParsedItem,
    Party, PartyId, Pattern, Permissions, Rule, RuleKey, Status, decide, trace,
};

/// 2026-11-23, a Monday, 12:00 UTC.
const MONDAY_NOON: EpochSeconds = 1_795_435_200;
const HOUR: EpochSeconds = 60 * 60;
const DAY: EpochSeconds = 24 * HOUR;

fn ringing() -> Call {
    let id = |text| PartyId::new(text, &DialPlan::default()).unwrap();
    let media = MediaSet { audio: true, video: false };
    Call { app: AppKey::new("app").unwrap(), caller: id("caller"), callee: id("callee"), media }
}

/// What an open app says when the pair's rule is this one.
fn decided(pair: Rule, now: EpochSeconds) -> (Effect, &'static str) {
    let app: ParsedItem<App> = Ok(Some(App {
        callers: [(Pattern::Everyone, Ok(Rule::new(Effect::Allow)))].into_iter().collect(),
        ..App::default()
    }));
    let nobody: ParsedItem<Party> = Ok(None);
    let pair = Ok(Some(pair));
    let call = ringing();
    let decision = decide(&call, Permissions { app: &app, caller: &nobody, callee: &nobody, pair: &pair }, now);
    (decision.effect(), decision.reason())
}

#[test]
fn a_rule_applies_in_its_hours_only() {
    let office = || Some(Hours::parse("Mon-Fri 09:00-18:00 UTC").unwrap());
    let deny = || Rule { hours: office(), ..Rule::new(Effect::Deny) };
    let allow = || Rule { hours: office(), ..Rule::new(Effect::Allow) };
    for now in [MONDAY_NOON, MONDAY_NOON - 3 * HOUR, MONDAY_NOON + 4 * DAY] {
        assert_eq!(decided(deny(), now), (Effect::Deny, "pair_rule"));
        assert_eq!(decided(allow(), now), (Effect::Allow, "pair_rule"));
    }
    for now in [MONDAY_NOON - 3 * HOUR - 1, MONDAY_NOON + 6 * HOUR, MONDAY_NOON + 5 * DAY] {
        assert_eq!(decided(deny(), now), (Effect::Allow, "app_rule"));
        assert_eq!(decided(allow(), now), (Effect::Allow, "app_rule"));
    }
}

#[test]
fn a_rule_applies_until_its_moment_only() {
    let until = |expires_at| Rule { expires_at: Some(expires_at), ..Rule::new(Effect::Deny) };
    assert_eq!(decided(until(MONDAY_NOON + 1), MONDAY_NOON), (Effect::Deny, "pair_rule"));
    assert_eq!(decided(until(MONDAY_NOON), MONDAY_NOON), (Effect::Allow, "app_rule"));
}

#[test]
fn the_words_of_a_decision_are_stable() {
    assert_eq!(Door::ALL.map(Door::as_str), ["app", "caller", "callee"]);
    assert_eq!([Effect::Allow, Effect::Deny].map(Effect::as_str), ["allow", "deny"]);
    assert_eq!([Status::Active, Status::Suspended].map(Status::as_str), ["active", "suspended"]);
    let id = PartyId::anonymous();
    assert_eq!(RuleKey::Pair(&id).to_string(), "anonymous");
    assert_eq!(RuleKey::Entry(&Pattern::from_stored("+7495*")).to_string(), "+7495*");
    assert_eq!(AppKey::new("shop").unwrap().to_string(), "shop");
}

#[test]
fn windows_are_those_that_were_given() {
    let hours = Hours::parse("Mon 09:00-18:00 UTC; Sat 10:00-12:00 UTC").unwrap();
    let windows: Vec<_> = hours.windows().iter().map(ToString::to_string).collect();
    assert_eq!(windows, ["Mon 09:00-18:00 UTC", "Sat 10:00-12:00 UTC"]);
}

#[test]
fn a_trace_tells_every_rule_of_every_door_longest_first() {
    let allow = |key: &str| (Pattern::from_stored(key), Ok(Rule::new(Effect::Allow)));
    let deny = |key: &str| (Pattern::from_stored(key), Ok(Rule::new(Effect::Deny)));
    let app: ParsedItem<App> =
        Ok(Some(App { callers: [allow("*"), deny("x*")].into_iter().collect(), ..App::default() }));
    let caller: ParsedItem<Party> = Ok(None);
    let incoming = [allow("*"), deny("ca*"), allow("call*"), allow("caller")].into_iter().collect();
    let callee: ParsedItem<Party> = Ok(Some(Party { incoming, ..Party::default() }));
    let pair = Ok(Some(Rule::new(Effect::Allow)));
    let call = ringing();
    let told = trace(&call, Permissions { app: &app, caller: &caller, callee: &callee, pair: &pair }, MONDAY_NOON);
    let expected = Decision::Rule { door: Door::Callee, key: RuleKey::Pair(&call.caller), effect: Effect::Allow };
    assert_eq!(told.decision, expected);
    let rules: Vec<Vec<_>> = told
        .doors
        .iter()
        .map(|(_, rules)| {
            let applies = |applicability| matches!(applicability, Applicability::Applies(_));
            rules.iter().map(|it| (it.key.to_string(), applies(it.applicability), it.decides)).collect()
        })
        .collect();
    let rule = |text: &str, applies, decides| (text.to_owned(), applies, decides);
    assert_eq!(
        rules,
        [
            vec![rule("x*", false, false), rule("*", true, true)],
            vec![rule("callee", true, true)],
            vec![
                // Of two equally long ones that allow, the pair's.
                rule("caller", true, true),
                rule("caller", true, false),
                rule("call*", true, false),
                rule("ca*", true, false),
                rule("*", true, false),
            ],
        ]
    );
}
