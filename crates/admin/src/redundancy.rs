//! Finds rules that cannot change any decision. Compares the function's own decisions with and without the rule, for a set of
//! calls that represents all calls that the rule matches.

use std::collections::{BTreeSet, HashSet};

use callgate_core::{
    App, Call, Decision, DialPlan, Door, Effect, EpochSeconds, Hours, MediaSet, ParseError, ParsedItem, Party, PartyId,
    Pattern, Permissions, Rule, RuleKey, Rules, decide,
};

use crate::rule_target::{RuleOwner, RuleTarget};

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

/// Every weekly window opens within this time, with a day to spare.
pub(crate) const EIGHT_DAYS: EpochSeconds = 8 * 24 * 60 * 60;

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
pub fn why_redundant(target: &RuleTarget, rule: &Rule, context: &Context, now: EpochSeconds) -> Option<Redundancy> {
    let owner = target.owner().ok()?;
    let related = related(context, target, &owner);
    let with = related.with(target, &owner, Some(rule));
    let without = related.with(target, &owner, None);
    if with.len() > MAX_RELATED {
        return None;
    }
    let (mut reasons, mut is_denied) = (BTreeSet::new(), false);
    let moments = with.moments(now);
    let calls = with.calls(target)?;
    // A caller or callee that the rule does not name may have any rules.
    for (caller_effect, callee_effect) in unknown_doors(&owner) {
        let [with, without] = [&with, &without].map(|it| it.clone().assuming(caller_effect, callee_effect));
        for (caller, callee) in &calls {
            for media in MEDIA {
                let call = Call { app: target.app.clone(), caller: caller.clone(), callee: callee.clone(), media };
                for &moment in &moments {
                    let (before, after) =
                        (decide(&call, without.permissions(), moment), decide(&call, with.permissions(), moment));
                    if before.effect() != after.effect() {
                        return None;
                    }
                    // Only what is stored explains the decision.
                    if caller_effect.is_none() && callee_effect.is_none() {
                        reasons.insert(explain(&before));
                        is_denied |= matches!(before, Decision::Rule { effect: Effect::Deny, .. });
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
                (Door::Caller, _) => format!("the caller's rule `{key}`"),
                (Door::Callee, _) => format!("the callee's rule `{key}`"),
            };
            match effect {
                Effect::Allow => format!("{list} allows these calls already"),
                Effect::Deny => format!("{list} denies these calls"),
            }
        }
        Decision::Suspended(door) => format!("the {} is suspended", door.as_str()),
        Decision::NoRule => "no rule allows these calls anyway".to_owned(),
        Decision::InvalidRecord(invalid) => format!("an item or a rule is invalid: {}", invalid.error),
    }
}

/// Every combination of effects at the doors of parties that the rule does not name.
fn unknown_doors(owner: &RuleOwner) -> Vec<(Option<Effect>, Option<Effect>)> {
    const ANYTHING: [Option<Effect>; 3] = [None, Some(Effect::Allow), Some(Effect::Deny)];
    match owner {
        RuleOwner::Pair(..) => vec![(None, None)],
        RuleOwner::Caller(_) => ANYTHING.map(|effect| (None, effect)).to_vec(),
        RuleOwner::Callee(_) => ANYTHING.map(|effect| (effect, None)).to_vec(),
        // One unknown door is enough: another door cannot undo a deny, and one allow has the effect of two.
        RuleOwner::App => ANYTHING.map(|effect| (effect, None)).to_vec(),
    }
}

impl Context {
    /// Replaces the rule in this context, or removes it.
    fn with(&self, target: &RuleTarget, owner: &RuleOwner, rule: Option<&Rule>) -> Self {
        let mut context = self.clone();
        let replace = |rules: &mut Rules, at: &Pattern| {
            let others = rules.iter().filter(|(pattern, _)| *pattern != at);
            let others = others.map(|(pattern, rule)| (pattern.clone(), rule.cloned().map_err(Clone::clone)));
            let one = rule.map(|rule| (at.clone(), Ok::<_, ParseError>(rule.clone())));
            *rules = others.chain(one).collect();
        };
        match owner {
            RuleOwner::Pair(..) => context.pair = Ok(rule.cloned()),
            RuleOwner::App => {
                if let Ok(app) = &mut context.app {
                    replace(&mut app.get_or_insert_default().callers, &target.from);
                }
            }
            RuleOwner::Caller(_) => {
                if let Ok(party) = &mut context.caller {
                    replace(&mut party.get_or_insert_default().outgoing, &target.to);
                }
            }
            RuleOwner::Callee(_) => {
                if let Ok(party) = &mut context.callee {
                    replace(&mut party.get_or_insert_default().incoming, &target.from);
                }
            }
        }
        context
    }

    fn permissions(&self) -> Permissions<'_> {
        Permissions { app: &self.app, caller: &self.caller, callee: &self.callee, pair: &self.pair }
    }

    /// Adds a rule for everyone to the parties that the rule does not name.
    fn assuming(mut self, caller: Option<Effect>, callee: Option<Effect>) -> Self {
        let everyone =
            |effect| -> Rules { [(Pattern::Everyone, Ok::<_, ParseError>(Rule::new(effect)))].into_iter().collect() };
        if let Some(effect) = caller {
            self.caller = Ok(Some(Party { outgoing: everyone(effect), ..Party::default() }));
        }
        if let Some(effect) = callee {
            self.callee = Ok(Some(Party { incoming: everyone(effect), ..Party::default() }));
        }
        self
    }

    /// The lists that are matched against the caller.
    fn caller_rules(&self) -> impl Iterator<Item = (&Pattern, Result<&Rule, &ParseError>)> {
        let app = self.app.iter().flatten().flat_map(|app| app.callers.iter());
        app.chain(self.callee.iter().flatten().flat_map(|party| party.incoming.iter()))
    }

    /// The list that is matched against the callee.
    fn callee_rules(&self) -> impl Iterator<Item = (&Pattern, Result<&Rule, &ParseError>)> {
        self.caller.iter().flatten().flat_map(|party| party.outgoing.iter())
    }

    fn lists(&self) -> impl Iterator<Item = (&Pattern, Result<&Rule, &ParseError>)> {
        self.caller_rules().chain(self.callee_rules())
    }

    fn len(&self) -> usize {
        self.lists().count()
    }

    /// Now, and every later moment at which a rule may start or stop applying.
    fn moments(&self, now: EpochSeconds) -> Vec<EpochSeconds> {
        let rules = || self.lists().filter_map(|(_, rule)| rule.ok()).chain(self.pair.iter().flatten());
        let expiries = rules().filter_map(|rule| time_conditions(rule).1);
        let parties = [&self.caller, &self.callee].into_iter().flatten().flatten().filter_map(|it| it.expires_at);
        let steps: BTreeSet<_> = expiries.chain(parties).filter(|&at| at > now).chain([now]).collect();
        let transitions = |&step: &EpochSeconds| {
            rules()
                .filter_map(|rule| time_conditions(rule).0)
                .flat_map(move |it| it.transitions(step, step.saturating_add(EIGHT_DAYS)))
        };
        let all: BTreeSet<_> = steps.iter().flat_map(transitions).chain(steps.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// Callers and callees that represent all calls that the rule matches: those that the rule or a related one names,
    /// and for each prefix an id that no more specific rule matches.
    fn calls(&self, target: &RuleTarget) -> Option<Vec<(PartyId, PartyId)>> {
        let representatives = |side: &Pattern, named: HashSet<&Pattern>| -> Option<BTreeSet<PartyId>> {
            if let Pattern::Exact(id) = side {
                return Some([id_of(id)?].into());
            }
            let within = named.iter().copied().filter(|it| covers(side, it)).chain([side]);
            Some(within.filter_map(|pattern| example_id(pattern, &named)).collect())
        };
        let callers = representatives(&target.from, self.caller_rules().map(|(pattern, _)| pattern).collect())?;
        let callees = representatives(&target.to, self.callee_rules().map(|(pattern, _)| pattern).collect())?;
        if callers.is_empty() || callees.is_empty() {
            return None;
        }
        Some(callers.iter().flat_map(|caller| callees.iter().map(|callee| (caller.clone(), callee.clone()))).collect())
    }
}

/// Keeps only the rules that may match the same calls as the rule.
fn related(context: &Context, target: &RuleTarget, owner: &RuleOwner) -> Context {
    fn map<T>(parsed: &ParsedItem<T>, keep: impl FnOnce(&T) -> T) -> ParsedItem<T> {
        parsed.as_ref().map(|item| item.as_ref().map(keep)).map_err(Clone::clone)
    }
    let Context { app, caller, callee, pair } = context;
    let overlapping = |rules: &Rules, side: &Pattern| -> Rules {
        let overlapping = rules.iter().filter(|(it, _)| overlap(it, side)).take(MAX_RELATED + 1);
        overlapping.map(|(pattern, rule)| (pattern.clone(), rule.cloned().map_err(Clone::clone))).collect()
    };
    let party = |Party { status, incoming: _, outgoing: _, expires_at, note: _ }: &Party, incoming, outgoing| Party {
        status: *status,
        incoming,
        outgoing,
        expires_at: *expires_at,
        note: None,
    };
    Context {
        app: map(app, |App { status, callers, note: _ }| App {
            status: *status,
            callers: overlapping(callers, &target.from),
            note: None,
        }),
        caller: map(caller, |it| party(it, Rules::default(), overlapping(&it.outgoing, &target.to))),
        callee: map(callee, |it| party(it, overlapping(&it.incoming, &target.from), Rules::default())),
        pair: if matches!(owner, RuleOwner::Pair(..)) { pair.clone() } else { Ok(None) },
    }
}

/// A list of rules, sorted by their texts, so that the rules that overlap with a pattern are found without reading all of
/// them.
#[derive(Debug, Default)]
pub(crate) struct RuleIndex(Vec<(Pattern, Result<Rule, ParseError>)>);

impl RuleIndex {
    pub(crate) fn new(rules: &Rules) -> Self {
        let rules = rules.iter().map(|(pattern, rule)| (pattern.clone(), rule.cloned().map_err(Clone::clone)));
        let mut rules: Vec<_> = rules.collect();
        rules.sort_by(|(one, _), (other, _)| literal(one).cmp(literal(other)));
        Self(rules)
    }

    /// The rules that match some id that the pattern matches too, at most one more than [`why_redundant`] takes into
    /// account.
    pub(crate) fn overlapping(&self, side: &Pattern) -> Rules {
        let text = literal(side);
        // A wider pattern has a shorter text. The same text may be an id or a prefix.
        let shorter = text.char_indices().filter_map(|(end, _)| text.get(..end));
        let wider = shorter.flat_map(|text| self.starting_at(text).take_while(move |it| literal(&it.0) == text));
        let is_exact = matches!(side, Pattern::Exact(_));
        let narrower = self.starting_at(text).take_while(move |(pattern, _)| {
            let it = literal(pattern);
            if is_exact { it == text } else { it.starts_with(text) }
        });
        let overlapping = wider.chain(narrower).filter(|(it, _)| overlap(it, side));
        overlapping.take(MAX_RELATED + 1).cloned().collect()
    }

    /// The rules from this text on, in the order of their texts.
    fn starting_at(&self, text: &str) -> impl Iterator<Item = &(Pattern, Result<Rule, ParseError>)> {
        let start = self.0.partition_point(|(pattern, _)| literal(pattern) < text);
        self.0.get(start..).unwrap_or_default().iter()
    }
}

/// The text before the `*`, or the id.
fn literal(pattern: &Pattern) -> &str {
    match pattern {
        Pattern::Everyone => "",
        Pattern::Prefix(text) | Pattern::Exact(text) => text,
    }
}

/// Whether some id matches both patterns.
fn overlap(one: &Pattern, other: &Pattern) -> bool {
    covers(one, other) || covers(other, one)
}

/// Whether every id that `narrow` matches also matches `wide`.
fn covers(wide: &Pattern, narrow: &Pattern) -> bool {
    match (wide, narrow) {
        (Pattern::Everyone, _) => true,
        (Pattern::Prefix(wide), Pattern::Prefix(id) | Pattern::Exact(id)) => id.starts_with(wide.as_str()),
        (Pattern::Exact(wide), Pattern::Exact(id)) => id == wide,
        _ => false,
    }
}

/// An id that matches the pattern and no more specific one.
fn example_id(pattern: &Pattern, named: &HashSet<&Pattern>) -> Option<PartyId> {
    let stem = match pattern {
        Pattern::Exact(id) => return id_of(id),
        Pattern::Everyone => "",
        Pattern::Prefix(prefix) => prefix,
    };
    let unknown = |end: &str| {
        let id = format!("{stem}{end}");
        let longer = named.iter().filter(|it| **it != pattern && covers(pattern, it));
        let is_known = longer.into_iter().any(|it| covers(it, &Pattern::Exact(id.clone())));
        (!is_known).then_some(id)
    };
    // A digit for numbers, a letter for names. One of them is free unless the list names all of them.
    ["0000000", "1111111", "5555555", "9999999", "zzz", "ZZZ", "~", ""].iter().find_map(|end| id_of(&unknown(end)?))
}

fn id_of(text: &str) -> Option<PartyId> {
    PartyId::new(text, &DialPlan::default()).ok().filter(|id| id.as_str() == text)
}

/// The conditions of a rule that depend on the time. For conditions that depend on the call, see [`MEDIA`].
pub(crate) fn time_conditions(rule: &Rule) -> (Option<&Hours>, Option<EpochSeconds>) {
    let Rule { effect: _, media: _, hours, expires_at, note: _, updated_at: _, updated_by: _ } = rule;
    (hours.as_ref(), *expires_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_rules_are_those_that_match_a_common_id() {
        let texts = ["*", "+*", "+7*", "+7", "+74*", "+74", "+749*", "+75*", "+8*", "a*", "a", "ab", "é*", "éa*", "ß"];
        let patterns = texts.map(Pattern::from_stored);
        let rules = || patterns.iter().map(|pattern| (pattern.clone(), Ok(Rule::new(Effect::Allow))));
        let index = RuleIndex::new(&rules().collect());
        let texts_of = |patterns: &mut dyn Iterator<Item = &Pattern>| -> BTreeSet<String> {
            patterns.map(ToString::to_string).collect()
        };
        for side in &patterns {
            let overlapping = index.overlapping(side);
            assert_eq!(
                texts_of(&mut overlapping.iter().map(|(pattern, _)| pattern)),
                texts_of(&mut patterns.iter().filter(|it| covers(it, side) || covers(side, it))),
                "{side}"
            );
            let once: Vec<_> = overlapping.iter().collect();
            assert_eq!(once.len(), texts_of(&mut once.iter().map(|(pattern, _)| *pattern)).len(), "{side}");
        }
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
        let redundancy = why_redundant(&target, &deny, &context(20), 0).unwrap();
        assert_eq!(redundancy, Redundancy { why: "the app's rule `*` denies these calls".to_owned(), is_denied: true });
        assert_eq!(why_redundant(&target, &deny, &context(MAX_RELATED), 0), None);
    }
}
