//! Finds rules that cannot change any decision. Compares the function's own decisions with and without the rule, for a set of
//! calls that represents all calls that the rule matches.

use std::collections::{BTreeSet, HashSet};

use callgate_core::{
    App, AppKey, Call, Decision, Door, Effect, EpochSeconds, Hours, MediaSet, ParseError, ParsedItem, Party, PartyId,
    Pattern, Permissions, Rule, RuleKey, Rules, Status, decide,
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

/// Every clock change within this time is taken into account. Longer than a year.
const ONE_YEAR: EpochSeconds = 400 * 24 * 60 * 60;

/// A clock change within this time is taken into account if the zones never had the same offsets before.
const THIRTY_YEARS: EpochSeconds = 30 * 366 * 24 * 60 * 60;

/// With more related rules than this, the check is skipped.
const MAX_RELATED: usize = 200;

/// With more combinations of removable rules than this for one call, the check is skipped.
const MAX_COMBINATIONS: usize = 64;

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
        RuleOwner::Caller(_) => Some(Door::Caller),
        RuleOwner::Callee(_) => Some(Door::Callee),
        RuleOwner::Pair(..) => None,
    };
    let app_rules = |it: &'_ App| ItemRules { status: it.status, expires_at: None, rules: Vec::new() };
    let party_rules = |it: &'_ Party| ItemRules { status: it.status, expires_at: it.expires_at, rules: Vec::new() };
    let mut related = Related {
        app: context.app.as_ref().map(|it| it.as_ref().map(app_rules).unwrap_or_default()),
        caller: context.caller.as_ref().map(|it| it.as_ref().map(party_rules).unwrap_or_default()),
        callee: context.callee.as_ref().map(|it| it.as_ref().map(party_rules).unwrap_or_default()),
        pair: context.pair.iter().flatten().map(|rule| Candidate::new(to, Ok(rule))).next(),
    };
    let lists = [
        (&mut related.app, context.app.iter().flatten().map(|it| &it.callers).next(), from),
        (&mut related.caller, context.caller.iter().flatten().map(|it| &it.outgoing).next(), to),
        (&mut related.callee, context.callee.iter().flatten().map(|it| &it.incoming).next(), from),
    ];
    for (item, rules, side) in lists {
        if let (Ok(item), Some(rules)) = (item, rules) {
            let overlapping = rules.iter().filter(|(pattern, _)| overlap(pattern, side)).take(MAX_RELATED + 1);
            item.rules = overlapping.map(|(pattern, rule)| Candidate::new(pattern, rule)).collect();
        }
    }
    check(&Subject { app, from, to, door, rule }, related, now)
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

/// A rule that may decide the same calls as the subject.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pattern: &'a Pattern,
    rule: Result<&'a Rule, &'a ParseError>,
    /// Whether the rule may be removed at any moment, or not at all. Then the decisions must agree in both cases.
    is_removable: bool,
}

/// An item without those of its rules that match none of the subject's calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct ItemRules<'a> {
    pub(crate) status: Status,
    pub(crate) expires_at: Option<EpochSeconds>,
    pub(crate) rules: Vec<Candidate<'a>>,
}

/// The permissions that decide the subject's calls. A party that the subject does not name has no rules here.
#[derive(Debug, Clone)]
pub(crate) struct Related<'a> {
    pub(crate) app: Result<ItemRules<'a>, &'a ParseError>,
    pub(crate) caller: Result<ItemRules<'a>, &'a ParseError>,
    pub(crate) callee: Result<ItemRules<'a>, &'a ParseError>,
    pub(crate) pair: Option<Candidate<'a>>,
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
            let combinations = combinations.iter().map(|it| it.permissions(caller_effect, callee_effect));
            let combinations: Vec<_> = combinations.collect();
            let (first, others) = combinations.split_first()?;
            for media in MEDIA {
                let call = Call { app: subject.app.clone(), caller: caller.clone(), callee: callee.clone(), media };
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
    let [before, after] = [before, after].map(|it| it.matching(caller, callee));
    let moments: BTreeSet<_> = before.moments(now).into_iter().chain(after.moments(now)).collect();
    let [before, after] = [before, after].map(|it| it.permissions(None, None));
    MEDIA.into_iter().all(|media| {
        let call = Call { app: app.clone(), caller: caller.clone(), callee: callee.clone(), media };
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
        (Some(Door::App), ..) => ANYTHING.map(|effect| (effect, None)).to_vec(),
        _ => vec![(None, None)],
    }
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(pattern: &'a Pattern, rule: Result<&'a Rule, &'a ParseError>) -> Self {
        Self { pattern, rule, is_removable: false }
    }

    pub(crate) fn removable(self, is_removable: bool) -> Self {
        Self { is_removable, ..self }
    }

    /// Whether it denies calls, or refuses them because it cannot be parsed.
    pub(crate) fn refuses(&self) -> bool {
        self.rule.map_or(true, |rule| rule.effect == Effect::Deny)
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.rule.is_ok()
    }

    /// Whether it names exactly one party.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.pattern, Pattern::Exact(_))
    }
}

impl<'a> ItemRules<'a> {
    fn matching(&self, id: &PartyId) -> Self {
        let rules = self.rules.iter().filter(|it| it.pattern.matches(id)).copied().collect();
        Self { status: self.status, expires_at: self.expires_at, rules }
    }

    /// Removes the rule with this pattern.
    pub(crate) fn remove(&mut self, pattern: &Pattern) {
        self.rules.retain(|it| it.pattern != pattern);
    }

    /// Every item with none or one of the removable rules. Of several that apply to a call, only the most specific decides.
    fn combinations(&self) -> Vec<Self> {
        let fixed: Vec<_> = self.rules.iter().filter(|it| !it.is_removable).copied().collect();
        let one = self.rules.iter().filter(|it| it.is_removable).copied().map(Some);
        let item = |one: Option<Candidate<'a>>| {
            let rules = fixed.iter().copied().chain(one).collect();
            Self { status: self.status, expires_at: self.expires_at, rules }
        };
        std::iter::once(None).chain(one).map(item).collect()
    }

    fn parsed_rules(&self) -> Rules {
        self.rules.iter().map(|it| (it.pattern.clone(), it.rule.cloned().map_err(Clone::clone))).collect()
    }
}

/// Owns what [`Permissions`] borrows.
struct OwnedPermissions {
    app: ParsedItem<App>,
    caller: ParsedItem<Party>,
    callee: ParsedItem<Party>,
    pair: ParsedItem<Rule>,
}

impl OwnedPermissions {
    fn borrow(&self) -> Permissions<'_> {
        let Self { app, caller, callee, pair } = self;
        Permissions { app, caller, callee, pair }
    }
}

impl<'a> Related<'a> {
    /// Adds the subject as a removable rule. It replaces the rule that is stored in its place.
    fn include(&mut self, subject: &Subject<'a>) {
        let Subject { app: _, from, to, door, rule } = *subject;
        let (item, pattern) = match door {
            Some(Door::App) => (&mut self.app, from),
            Some(Door::Caller) => (&mut self.caller, to),
            Some(Door::Callee) => (&mut self.callee, from),
            None => {
                self.pair = Some(Candidate::new(to, Ok(rule)).removable(true));
                return;
            }
        };
        if let Ok(item) = item {
            item.remove(pattern);
            item.rules.push(Candidate::new(pattern, Ok(rule)).removable(true));
        }
    }

    /// Only the rules that match a call.
    fn matching(&self, caller: &PartyId, callee: &PartyId) -> Self {
        let matching = |item: &Result<ItemRules<'a>, &'a ParseError>, id| {
            item.as_ref().map(|item| item.matching(id)).map_err(|error| *error)
        };
        Self {
            app: matching(&self.app, caller),
            caller: matching(&self.caller, callee),
            callee: matching(&self.callee, caller),
            pair: self.pair,
        }
    }

    /// The permissions with every combination of the removable rules, the one without any of them first. `None` if there
    /// are too many.
    fn combinations(&self) -> Option<Vec<Self>> {
        let items = |item: &Result<ItemRules<'a>, &'a ParseError>| match item {
            Ok(item) => item.combinations().into_iter().map(Ok).collect(),
            Err(error) => vec![Err(*error)],
        };
        let (apps, callers, callees) = (items(&self.app), items(&self.caller), items(&self.callee));
        let pairs = match self.pair {
            Some(pair) if pair.is_removable => vec![None, Some(pair)],
            pair => vec![pair],
        };
        if apps.len() * callers.len() * callees.len() * pairs.len() > MAX_COMBINATIONS {
            return None;
        }
        let mut combinations = Vec::new();
        for app in &apps {
            for caller in &callers {
                for callee in &callees {
                    let with = |pair: &Option<Candidate<'a>>| Self {
                        app: app.clone(),
                        caller: caller.clone(),
                        callee: callee.clone(),
                        pair: *pair,
                    };
                    combinations.extend(pairs.iter().map(with));
                }
            }
        }
        Some(combinations)
    }

    /// The permissions as the function has them. A party with an assumed effect has one rule for everyone instead.
    fn permissions(&self, caller_effect: Option<Effect>, callee_effect: Option<Effect>) -> OwnedPermissions {
        let Self { app, caller, callee, pair } = self;
        let everyone =
            |effect| -> Rules { [(Pattern::Everyone, Ok::<_, ParseError>(Rule::new(effect)))].into_iter().collect() };
        let app = app.as_ref().map_err(|error| (*error).clone());
        let party = |item: &Result<ItemRules<'_>, &ParseError>, is_caller, effect: Option<Effect>| match (item, effect)
        {
            (_, Some(effect)) if is_caller => Ok(Some(Party { outgoing: everyone(effect), ..Party::default() })),
            (_, Some(effect)) => Ok(Some(Party { incoming: everyone(effect), ..Party::default() })),
            (Err(error), None) => Err((*error).clone()),
            (Ok(item), None) => {
                let rules = item.parsed_rules();
                let (incoming, outgoing) =
                    if is_caller { (Rules::default(), rules) } else { (rules, Rules::default()) };
                Ok(Some(Party { status: item.status, incoming, outgoing, expires_at: item.expires_at, note: None }))
            }
        };
        OwnedPermissions {
            app: app.map(|app| Some(App { status: app.status, callers: app.parsed_rules(), note: None })),
            caller: party(caller, true, caller_effect),
            callee: party(callee, false, callee_effect),
            pair: pair.map(|it| it.rule.cloned().map_err(Clone::clone)).transpose(),
        }
    }

    /// The lists that are matched against the caller.
    fn caller_rules(&self) -> impl Iterator<Item = &Candidate<'a>> {
        [&self.app, &self.callee].into_iter().flatten().flat_map(|item| &item.rules)
    }

    /// The list that is matched against the callee.
    fn callee_rules(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.caller.iter().flat_map(|item| &item.rules)
    }

    fn lists(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.caller_rules().chain(self.callee_rules())
    }

    /// Now, and every later moment at which a rule may start or stop applying.
    fn moments(&self, now: EpochSeconds) -> Vec<EpochSeconds> {
        let rules = || self.lists().chain(&self.pair).filter_map(|it| it.rule.ok());
        let expiries = rules().filter_map(|rule| time_conditions(rule).1);
        let parties = [&self.caller, &self.callee].into_iter().flatten().filter_map(|it| it.expires_at);
        let steps: BTreeSet<_> = expiries.chain(parties).filter(|&at| at > now).chain([now]).collect();
        let hours: Vec<_> = rules().filter_map(|rule| time_conditions(rule).0).collect();
        if hours.is_empty() {
            return steps.into_iter().collect();
        }
        let weeks = weeks(&steps, &hours);
        let transitions = weeks.iter().flat_map(|&(start, end)| {
            let edges = hours.iter().flat_map(move |hours| hours.transitions(start, end));
            edges.chain([start])
        });
        transitions.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Callers and callees that represent all calls that the rule matches: those that the rule or a related one names,
    /// and for each prefix an id that no more specific rule matches. `None` if there is no such id for a prefix.
    fn calls(&self, subject: &Subject<'_>) -> Option<Vec<(PartyId, PartyId)>> {
        let representatives = |side: &Pattern, named: HashSet<&Pattern>| -> Option<BTreeSet<PartyId>> {
            if let Pattern::Exact(id) = side {
                return Some([id_of(id)?].into());
            }
            let within = named.iter().copied().filter(|it| covers(side, it)).chain([side]);
            let mut ids = BTreeSet::new();
            for pattern in within {
                match pattern {
                    // No call has an id that is not canonical.
                    Pattern::Exact(id) => ids.extend(id_of(id)),
                    _ => {
                        ids.insert(example_id(pattern, &named)?);
                    }
                }
            }
            Some(ids)
        };
        let callers = representatives(subject.from, self.caller_rules().map(|it| it.pattern).collect())?;
        let callees = representatives(subject.to, self.callee_rules().map(|it| it.pattern).collect())?;
        Some(callers.iter().flat_map(|caller| callees.iter().map(|callee| (caller.clone(), callee.clone()))).collect())
    }
}

/// The weeks that represent all times from the first of the steps on. Each starts at a step, or at a clock change after
/// which windows of several zones may no longer coincide.
fn weeks(steps: &BTreeSet<EpochSeconds>, hours: &[&Hours]) -> Vec<(EpochSeconds, EpochSeconds)> {
    let offsets = |moment| hours.iter().flat_map(|hours| hours.offsets(moment)).collect::<Vec<_>>();
    let is_one_zone = hours.iter().flat_map(|hours| hours.windows()).collect::<Vec<_>>();
    let is_one_zone = is_one_zone.windows(2).all(|pair| matches!(pair, [one, other] if one.zone() == other.zone()));
    let mut weeks = Vec::new();
    let mut ends = steps.iter().copied().skip(1).chain([EpochSeconds::MAX]);
    for &step in steps {
        let horizon = step.saturating_add(if is_one_zone { ONE_YEAR } else { THIRTY_YEARS });
        let end = ends.next().unwrap_or(EpochSeconds::MAX).min(horizon);
        let changes: BTreeSet<_> = hours.iter().flat_map(|hours| hours.clock_changes(step, end)).collect();
        let starts: Vec<_> = [step].into_iter().chain(changes).collect();
        let nexts = starts.iter().copied().skip(1).chain([EpochSeconds::MAX]);
        let mut seen = HashSet::new();
        for (&start, next) in starts.iter().zip(nexts) {
            let end = start.saturating_add(EIGHT_DAYS);
            // After a shorter time, not every window has opened.
            let is_new = seen.insert((offsets(start), next < end));
            if is_new || start <= step.saturating_add(ONE_YEAR) {
                weeks.push((start, end.min(next)));
            }
        }
    }
    weeks
}

/// A list of rules, sorted by their texts, so that the rules that overlap with a pattern are found without reading all of
/// them.
#[derive(Debug, Default)]
pub(crate) struct RuleIndex(Vec<IndexedRule>);

#[derive(Debug, Clone)]
struct IndexedRule {
    pattern: Pattern,
    rule: Result<Rule, ParseError>,
    is_removable: bool,
}

impl RuleIndex {
    pub(crate) fn new(rules: &Rules) -> Self {
        let rules = rules.iter().map(|(pattern, rule)| IndexedRule {
            pattern: pattern.clone(),
            rule: rule.cloned().map_err(Clone::clone),
            is_removable: false,
        });
        let mut rules: Vec<_> = rules.collect();
        rules.sort_by(|one, other| literal(&one.pattern).cmp(literal(&other.pattern)));
        Self(rules)
    }

    /// Marks a rule as one that may be removed.
    pub(crate) fn set_removable(&mut self, pattern: &Pattern) {
        let start = self.0.partition_point(|it| literal(&it.pattern) < literal(pattern));
        let from = self.0.get_mut(start..).unwrap_or_default();
        if let Some(found) = from.iter_mut().take(2).find(|it| it.pattern == *pattern) {
            found.is_removable = true;
        }
    }

    /// The rules that match some id that the pattern matches too, at most one more than [`check`] takes into account.
    pub(crate) fn overlapping(&self, side: &Pattern) -> Vec<Candidate<'_>> {
        let text = literal(side);
        // A wider pattern has a shorter text. The same text may be an id or a prefix.
        let shorter = text.char_indices().filter_map(|(end, _)| text.get(..end));
        let wider = shorter.flat_map(|text| self.starting_at(text).take_while(move |it| literal(&it.pattern) == text));
        let is_exact = matches!(side, Pattern::Exact(_));
        let narrower = self.starting_at(text).take_while(move |indexed| {
            let it = literal(&indexed.pattern);
            if is_exact { it == text } else { it.starts_with(text) }
        });
        let overlapping = wider.chain(narrower).filter(|it| overlap(&it.pattern, side)).take(MAX_RELATED + 1);
        overlapping
            .map(|IndexedRule { pattern, rule, is_removable }| {
                Candidate::new(pattern, rule.as_ref()).removable(*is_removable)
            })
            .collect()
    }

    /// The rules from this text on, in the order of their texts.
    fn starting_at(&self, text: &str) -> impl Iterator<Item = &IndexedRule> {
        let start = self.0.partition_point(|it| literal(&it.pattern) < text);
        self.0.get(start..).unwrap_or_default().iter()
    }
}

/// The text before the `*`, or the id.
pub(crate) fn literal(pattern: &Pattern) -> &str {
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
    let stem = literal(pattern);
    let longer: Vec<_> = named.iter().filter(|it| **it != pattern && covers(pattern, it)).collect();
    let unknown = |end: &str| {
        let id = format!("{stem}{end}");
        let is_known = longer.iter().any(|it| covers(it, &Pattern::Exact(id.clone())));
        if is_known { None } else { id_of(&id) }
    };
    // A digit for numbers, a letter for names. There are more letters than related rules.
    let numbers = ["0000000", "1111111", "5555555", "9999999", "zzz", ""].into_iter().find_map(unknown);
    let letters = ('0'..='9').chain('a'..='z').chain('A'..='Z').chain('\u{4e00}'..='\u{4fff}');
    numbers.or_else(|| letters.into_iter().find_map(|letter| unknown(letter.encode_utf8(&mut [0; 4]))))
}

/// The party with exactly this id, if it is canonical.
pub(crate) fn id_of(text: &str) -> Option<PartyId> {
    PartyId::new(text, None).ok().filter(|id| id.as_str() == text)
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
                texts_of(&mut overlapping.iter().map(|it| it.pattern)),
                texts_of(&mut patterns.iter().filter(|it| covers(it, side) || covers(side, it))),
                "{side}"
            );
            assert_eq!(overlapping.len(), texts_of(&mut overlapping.iter().map(|it| it.pattern)).len(), "{side}");
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
        let redundancy = why_redundant(&target, &target.owner().unwrap(), &deny, &context(20), 0).unwrap();
        assert_eq!(redundancy, Redundancy { why: "the app's rule `*` denies these calls".to_owned(), is_denied: true });
        assert_eq!(why_redundant(&target, &target.owner().unwrap(), &deny, &context(MAX_RELATED), 0), None);
    }
}
