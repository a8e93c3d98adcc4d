//! Finds rules that cannot change any decision. Compares the function's own decisions with and without the rule, for a set of
//! calls that represents all calls that the rule matches.

use std::collections::BTreeSet;

use callgate_core::{
    App, AppKey, Call, Decision, Door, Effect, EpochSeconds, MediaSet, ParsedItem, Party, PartyId, Pattern, Rule,
    RuleKey, Rules, decide,
};

use crate::rule_target::{RuleOwner, RuleTarget};

mod moments;
mod patterns;
mod related;
mod rule_index;

pub(crate) use moments::{EIGHT_DAYS, time_conditions};
pub(crate) use patterns::{example_id, id_of, literal, overlap};
pub(crate) use related::{Candidate, ItemRules, Related};
pub(crate) use rule_index::{RuleIndex, SharedRules};

/// The permissions that decide, together with a rule, the calls that the rule matches.
#[derive(Debug, Clone)]
pub struct Context {
    /// The app.
    pub app: ParsedItem<App>,
    /// The caller, if the rule names one.
    pub caller: ParsedItem<Party>,
    /// The callee, if the rule names one.
    pub callee: ParsedItem<Party>,
    /// The pair item, if the rule names both.
    pub pair: ParsedItem<Rule>,
}

/// With more related rules than this, the check is skipped.
const MAX_RELATED: usize = 200;

/// Why a rule cannot change any decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redundancy {
    /// The reasons in words.
    pub why: String,
    /// Whether other rules deny calls that the rule matches.
    pub is_denied: bool,
}

/// Explains why no call is decided differently with this rule than without it. `None` if the rule may change the
/// decision of some call.
///
/// The answer is conservative: parties that the rule does not name may have any rules of their own.
#[must_use]
pub fn why_redundant(
    target: &RuleTarget,
    owner: &RuleOwner,
    rule: &Rule,
    context: &Context,
    now: EpochSeconds,
) -> Option<Redundancy> {
    let RuleTarget { app, from, to } = target;
    let door = match owner {
        RuleOwner::App => Some(Door::App),
        RuleOwner::Destination => Some(Door::Destination),
        RuleOwner::Caller(_) => Some(Door::Caller),
        RuleOwner::Callee(_) => Some(Door::Callee),
        RuleOwner::Pair(..) => None,
    };
    let app_item = |it: &'_ App| ItemRules { status: it.status, ..ItemRules::default() };
    let party_item = |it: &'_ Party| {
        let (groups, blocked) = (it.groups.clone(), it.blocked.clone());
        ItemRules { status: it.status, groups, blocked, expires_at: it.expires_at, rules: Vec::new() }
    };
    let mut related = Related {
        app: context.app.as_ref().map(|it| it.as_ref().map(app_item).unwrap_or_default()),
        destinations: Vec::new(),
        caller: context.caller.as_ref().map(|it| it.as_ref().map(party_item).unwrap_or_default()),
        callee: context.callee.as_ref().map(|it| it.as_ref().map(party_item).unwrap_or_default()),
        pair: context.pair.iter().flatten().map(|rule| Candidate::new(to, Ok(rule))).next(),
    };
    let app_list = context.app.iter().flatten().next().filter(|_| needs_callers(door)).map(|it| &it.callers);
    let lists = [
        (&mut related.app, app_list, from),
        (&mut related.caller, context.caller.iter().flatten().map(|it| &it.outgoing).next(), to),
        (&mut related.callee, context.callee.iter().flatten().map(|it| &it.incoming).next(), from),
    ];
    for (item, rules, side) in lists {
        if let (Ok(item), Some(rules)) = (item, rules) {
            item.rules = overlapping(rules, side);
        }
    }
    if let Some(app) = context.app.iter().flatten().next().filter(|_| needs_destinations(door)) {
        related.destinations = overlapping(&app.destinations, to);
    }
    check(&Subject { app, from, to, door, rule }, related, now)
}

fn overlapping<'a>(rules: &'a Rules, side: &Pattern) -> Vec<Candidate<'a>> {
    let overlapping = rules.iter().filter(|(pattern, _)| overlap(pattern, side)).take(MAX_RELATED + 1);
    overlapping.map(|(pattern, rule)| Candidate::new(pattern, rule)).collect()
}

/// Whether the rules of door `app` matter to a rule of this door. To one of door `destination`, the callers can be anyone,
/// so that door `app` is one of the unknown doors.
pub(crate) fn needs_callers(door: Option<Door>) -> bool {
    door != Some(Door::Destination)
}

/// Whether the rules of door `destination` matter to a rule of this door, in the same way.
pub(crate) fn needs_destinations(door: Option<Door>) -> bool {
    door != Some(Door::App)
}

/// A rule whose effect is checked, and the door whose list holds it. `None` for a pair item, which decides at two doors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) app: &'a AppKey,
    pub(crate) from: &'a Pattern,
    pub(crate) to: &'a Pattern,
    pub(crate) door: Option<Door>,
    pub(crate) rule: &'a Rule,
}

/// Checks that each call is decided the same with and without the subject, whichever of the removable rules are removed
/// too, now and at any later moment. Returns why.
pub(crate) fn check<'a>(subject: &Subject<'a>, mut related: Related<'a>, now: EpochSeconds) -> Option<Redundancy> {
    related.include(subject);
    if related.lists().count() > MAX_RELATED {
        return None;
    }
    let (mut reasons, mut is_denied) = (BTreeSet::new(), false);
    for (caller, callee) in related.calls(subject)? {
        let matching = related.matching(&caller, &callee);
        let moments = matching.moments(now);
        // The first combination has none of the removable rules.
        let combinations = matching.combinations()?;
        for (caller_effect, callee_effect) in unknown_doors(subject) {
            let parties = ((&caller, caller_effect), (&callee, callee_effect));
            let combinations: Vec<_> = combinations.iter().map(|it| it.permissions(parties.0, parties.1)).collect();
            let (first, others) = combinations.split_first()?;
            for media in MEDIA {
                let (app, caller, callee) = (subject.app.clone(), caller.id.clone(), callee.id.clone());
                let call = Call { app, caller, callee, media };
                for &moment in &moments {
                    let decision = decide(&call, first.borrow(), moment);
                    if others.iter().any(|it| decide(&call, it.borrow(), moment).effect() != decision.effect()) {
                        return None;
                    }
                    // Only what is stored explains the decision.
                    if caller_effect.is_none() && callee_effect.is_none() {
                        reasons.insert(explain(&decision));
                        is_denied |= matches!(decision, Decision::Rule { effect: Effect::Deny, .. });
                    }
                }
            }
        }
    }
    let why = if reasons.is_empty() {
        "it never applies".to_owned()
    } else {
        reasons.into_iter().collect::<Vec<_>>().join("; ")
    };
    Some(Redundancy { why, is_denied })
}

/// Whether a call between these two is decided the same by both permissions, with any media, now and at any later moment.
pub(crate) fn is_same_decision(
    app: &AppKey,
    (caller, callee): (&PartyId, &PartyId),
    [before, after]: [&Related<'_>; 2],
    now: EpochSeconds,
) -> bool {
    let (caller, callee) = before.parties(caller, callee);
    let [before, after] = [before, after].map(|it| it.matching(&caller, &callee));
    let moments: BTreeSet<_> = before.moments(now).into_iter().chain(after.moments(now)).collect();
    let [before, after] = [before, after].map(|it| it.permissions((&caller, None), (&callee, None)));
    MEDIA.into_iter().all(|media| {
        let call = Call { app: app.clone(), caller: caller.id.clone(), callee: callee.id.clone(), media };
        moments.iter().all(|&moment| {
            decide(&call, before.borrow(), moment).effect() == decide(&call, after.borrow(), moment).effect()
        })
    })
}

/// The media that a call can have. Calls with each of them represent all calls.
const MEDIA: [MediaSet; 4] = [
    MediaSet { audio: true, video: false },
    MediaSet { audio: true, video: true },
    MediaSet { audio: false, video: true },
    MediaSet { audio: false, video: false },
];

/// Explains what decides these calls without the rule.
fn explain(decision: &Decision<'_>) -> String {
    match decision {
        Decision::Rule { door, key, effect } => {
            let list = match (door, key) {
                (_, RuleKey::Pair(_)) => "the rule between these two".to_owned(),
                (Door::App, _) => format!("the app's rule `{key}`"),
                (Door::Destination, _) => format!("the app's rule to `{key}`"),
                (Door::Caller, _) => format!("the caller's rule `{key}`"),
                (Door::Callee, _) => format!("the callee's rule `{key}`"),
            };
            match effect {
                Effect::Allow => format!("{list} allows these calls already"),
                Effect::Deny => format!("{list} denies these calls"),
            }
        }
        Decision::Suspended(door) => format!("the {} is suspended", door.as_str()),
        Decision::Blocked(_) => "the caller is blocked".to_owned(),
        Decision::NoRule => "no rule allows these calls anyway".to_owned(),
        Decision::InvalidRecord(invalid) => format!("an item or a rule is invalid: {}", invalid.error),
    }
}

/// Every combination of effects at the doors of parties that the rule does not name.
fn unknown_doors(subject: &Subject<'_>) -> Vec<(Option<Effect>, Option<Effect>)> {
    const ANYTHING: [Option<Effect>; 3] = [None, Some(Effect::Allow), Some(Effect::Deny)];
    match (subject.door, subject.from, subject.to) {
        (Some(Door::Caller), _, to) if !matches!(to, Pattern::Exact(_)) => {
            ANYTHING.map(|effect| (None, effect)).to_vec()
        }
        (Some(Door::Callee), from, _) if !matches!(from, Pattern::Exact(_)) => {
            ANYTHING.map(|effect| (effect, None)).to_vec()
        }
        // One unknown door is enough: another door cannot undo a deny, and one allow has the effect of two.
        (Some(Door::App | Door::Destination), ..) => ANYTHING.map(|effect| (effect, None)).to_vec(),
        _ => vec![(None, None)],
    }
}

#[cfg(test)]
mod tests {
    use callgate_core::Hours;

    use super::*;

    /// Whether a rule to PPP005 is redundant, beside other rules to it.
    #[track_caller]
    fn check_redundancy(from: &str, rule: &Rule, others: &[(&str, &Rule)], now: EpochSeconds, is_redundant: bool) {
        let target = RuleTarget {
            app: AppKey::new("shop").unwrap(),
            from: Pattern::from_stored(from),
            to: Pattern::from_stored("PPP005"),
        };
        let incoming = others.iter().map(|(text, rule)| (Pattern::from_stored(*text), Ok((*rule).clone()))).collect();
        let callee = Ok(Some(Party { incoming, ..Party::default() }));
        let context = Context { app: Ok(None), caller: Ok(None), callee, pair: Ok(None) };
        let redundancy = why_redundant(&target, &target.owner().unwrap(), rule, &context, now);
        assert_eq!(redundancy.is_some(), is_redundant, "{from} {rule:?}: {redundancy:?}");
    }

    /// A rule for a date far away is only redundant if the rules that decide then decide the same.
    #[test]
    fn rules_for_dates_are_checked_at_these_dates() {
        let now = 1_795_435_200; // 2026-11-23T12:00:00Z
        let with_hours = |effect, hours: &str| Rule { hours: Hours::parse(hours).ok(), ..Rule::new(effect) };
        let check = |rule: &Rule, of_everyone: &Rule, now, is_redundant| {
            check_redundancy("+7*", rule, &[("*", of_everyone)], now, is_redundant);
        };
        let holiday = with_hours(Effect::Deny, "2027-05-01 00:00-24:00 Europe/Moscow");
        check(&holiday, &Rule::new(Effect::Allow), now, false);
        check(&holiday, &Rule::new(Effect::Deny), now, true);
        // The date has passed.
        check(&holiday, &Rule::new(Effect::Allow), now + 365 * 24 * 60 * 60, true);
        let always_but = with_hours(Effect::Allow, "Mon-Sun 00:00-24:00 Europe/Moscow except 2027-05-01");
        check(&always_but, &Rule::new(Effect::Allow), now, true);
        check(&Rule::new(Effect::Allow), &always_but, now, false);
        check(&with_hours(Effect::Deny, "2027-05-02 00:00-24:00 UTC"), &always_but, now, false);
    }

    #[test]
    fn groups_are_checked_in_every_combination() {
        let [allow, deny] = [Effect::Allow, Effect::Deny].map(Rule::new);
        let check = |from: &str, rule: &Rule, others: &[(&str, &Rule)], is_redundant| {
            check_redundancy(from, rule, others, 0, is_redundant);
        };
        check("@a", &allow, &[("*", &allow)], true);
        check("@a", &allow, &[("*", &deny)], false);
        // A party may be in both groups. Then the deny decides.
        check("@a", &allow, &[("*", &allow), ("@b", &deny)], true);
        check("@a", &deny, &[("*", &allow), ("@b", &deny)], false);
        check("+7*", &allow, &[("*", &allow), ("@a", &deny)], true);
        check("+7*", &allow, &[("*", &deny), ("@a", &allow)], false);
        // Only a party that is in both groups is decided by the deny of one of them.
        check("@a", &deny, &[("*", &deny), ("@b", &allow)], false);
        check("@a", &deny, &[("*", &deny)], true);
    }

    #[test]
    fn a_pattern_with_too_many_overlapping_rules_is_not_checked() {
        let deny = Rule::new(Effect::Deny);
        let target = RuleTarget {
            app: callgate_core::AppKey::new("shop").unwrap(),
            from: Pattern::from_stored("+7*"),
            to: Pattern::from_stored("PPP005"),
        };
        let context = |prefixes: usize| {
            let rules = (1..prefixes).map(|number| format!("+7{number:03}*")).chain(["+7*".to_owned()]);
            let incoming = rules.map(|text| (Pattern::from_stored(&text), Ok(deny.clone()))).collect();
            let app = App { callers: [(Pattern::Everyone, Ok(deny.clone()))].into_iter().collect(), ..App::default() };
            let callee = Ok(Some(Party { incoming, ..Party::default() }));
            Context { app: Ok(Some(app)), caller: Ok(None), callee, pair: Ok(None) }
        };
        let redundancy = why_redundant(&target, &target.owner().unwrap(), &deny, &context(20), 0).unwrap();
        assert_eq!(redundancy, Redundancy { why: "the app's rule `*` denies these calls".to_owned(), is_denied: true });
        assert_eq!(why_redundant(&target, &target.owner().unwrap(), &deny, &context(MAX_RELATED), 0), None);
    }
}
