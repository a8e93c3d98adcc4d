//! The permissions that decide the calls of one rule, with those of their rules that match such calls.

use std::collections::{BTreeSet, HashSet};

use callgate_core::{
    App, Door, Effect, EpochSeconds, ParseError, ParsedItem, Party, PartyId, Pattern, Permissions, Rule, Rules, Status,
};

use super::Subject;
use super::moments::moments;
use super::patterns::{covers, example_id, id_of};

/// With more combinations of removable rules than this for one call, the check is skipped.
const MAX_COMBINATIONS: usize = 64;

/// A rule that may decide the same calls as the subject.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(super) pattern: &'a Pattern,
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
pub(super) struct OwnedPermissions {
    app: ParsedItem<App>,
    caller: ParsedItem<Party>,
    callee: ParsedItem<Party>,
    pair: ParsedItem<Rule>,
}

impl OwnedPermissions {
    pub(super) fn borrow(&self) -> Permissions<'_> {
        let Self { app, caller, callee, pair } = self;
        Permissions { app, caller, callee, pair }
    }
}

impl<'a> Related<'a> {
    /// Adds the subject as a removable rule. It replaces the rule that is stored in its place.
    pub(super) fn include(&mut self, subject: &Subject<'a>) {
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
    pub(super) fn matching(&self, caller: &PartyId, callee: &PartyId) -> Self {
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
    pub(super) fn combinations(&self) -> Option<Vec<Self>> {
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
    pub(super) fn permissions(&self, caller_effect: Option<Effect>, callee_effect: Option<Effect>) -> OwnedPermissions {
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

    pub(super) fn lists(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.caller_rules().chain(self.callee_rules())
    }

    /// Now, and every later moment at which a rule may start or stop applying.
    pub(super) fn moments(&self, now: EpochSeconds) -> Vec<EpochSeconds> {
        let rules: Vec<_> = self.lists().chain(&self.pair).filter_map(|it| it.rule.ok()).collect();
        let parties = [&self.caller, &self.callee].into_iter().flatten().filter_map(|it| it.expires_at);
        moments(&rules, parties, now)
    }

    /// Callers and callees that represent all calls that the rule matches: those that the rule or a related one names,
    /// and for each prefix an id that no more specific rule matches. `None` if there is no such id for a prefix.
    pub(super) fn calls(&self, subject: &Subject<'_>) -> Option<Vec<(PartyId, PartyId)>> {
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
