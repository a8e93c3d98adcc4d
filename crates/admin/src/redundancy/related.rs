//! The permissions that decide the calls of one rule, with those of their rules that match such calls.

use std::collections::{BTreeSet, HashSet};

use callgate_core::{
    App, Block, Door, Effect, EpochSeconds, Groups, ParseError, ParsedItem, Party, PartyId, Pattern, Permissions, Rule,
    Rules, Status,
};

use super::Subject;
use super::moments::moments;
use super::patterns::{covers, example_id, id_of};

/// With more combinations of removable rules than this for one call, the check is skipped.
const MAX_COMBINATIONS: usize = 64;

/// With more groups than this in the rules for one side of a call, the check is skipped.
const MAX_GROUPS: usize = 4;

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
    pub(crate) groups: Groups,
    pub(crate) blocked: Option<Block>,
    pub(crate) expires_at: Option<EpochSeconds>,
    pub(crate) rules: Vec<Candidate<'a>>,
}

/// A party of a call that represents others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ExampleParty {
    pub(crate) id: PartyId,
    pub(crate) groups: Groups,
}

/// The permissions that decide the subject's calls. A party that the subject does not name has no rules here.
#[derive(Debug, Clone)]
pub(crate) struct Related<'a> {
    /// The rules of door `app`.
    pub(crate) app: Result<ItemRules<'a>, &'a ParseError>,
    /// The rules of door `destination`, which the app's item holds too.
    pub(crate) destinations: Vec<Candidate<'a>>,
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

    fn matches(&self, party: &ExampleParty) -> bool {
        self.pattern.matches(&party.id, &party.groups)
    }
}

fn parsed_rules(rules: &[Candidate<'_>]) -> Rules {
    rules.iter().map(|it| (it.pattern.clone(), it.rule.cloned().map_err(Clone::clone))).collect()
}

/// Every list with none or one of the removable rules. Of several that apply to a call, only the most specific decides.
fn combinations<'a>(rules: &[Candidate<'a>]) -> Vec<Vec<Candidate<'a>>> {
    let fixed: Vec<_> = rules.iter().filter(|it| !it.is_removable).copied().collect();
    let one = rules.iter().filter(|it| it.is_removable).copied().map(Some);
    std::iter::once(None).chain(one).map(|one| fixed.iter().copied().chain(one).collect()).collect()
}

impl<'a> ItemRules<'a> {
    fn matching(&self, party: &ExampleParty) -> Self {
        self.with(self.rules.iter().filter(|it| it.matches(party)).copied().collect())
    }

    fn with(&self, rules: Vec<Candidate<'a>>) -> Self {
        let Self { status, groups, blocked, expires_at, rules: _ } = self.clone();
        Self { status, groups, blocked, expires_at, rules }
    }

    /// Removes the rule with this pattern.
    pub(crate) fn remove(&mut self, pattern: &Pattern) {
        self.rules.retain(|it| it.pattern != pattern);
    }

    fn combinations(&self) -> Vec<Self> {
        combinations(&self.rules).into_iter().map(|rules| self.with(rules)).collect()
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
            Some(Door::Destination) => {
                self.destinations.retain(|it| it.pattern != to);
                self.destinations.push(Candidate::new(to, Ok(rule)).removable(true));
                return;
            }
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
    pub(super) fn matching(&self, caller: &ExampleParty, callee: &ExampleParty) -> Self {
        let matching = |item: &Result<ItemRules<'a>, &'a ParseError>, party| {
            item.as_ref().map(|item| item.matching(party)).map_err(|error| *error)
        };
        Self {
            app: matching(&self.app, caller),
            destinations: self.destinations.iter().filter(|it| it.matches(callee)).copied().collect(),
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
        let destinations = combinations(&self.destinations);
        let pairs = match self.pair {
            Some(pair) if pair.is_removable => vec![None, Some(pair)],
            pair => vec![pair],
        };
        if apps.len() * destinations.len() * callers.len() * callees.len() * pairs.len() > MAX_COMBINATIONS {
            return None;
        }
        let mut all = Vec::new();
        for (app, destinations) in apps.iter().flat_map(|app| destinations.iter().map(move |it| (app, it))) {
            for (caller, callee) in callers.iter().flat_map(|caller| callees.iter().map(move |it| (caller, it))) {
                let with = |pair: &Option<Candidate<'a>>| Self {
                    app: app.clone(),
                    destinations: destinations.clone(),
                    caller: caller.clone(),
                    callee: callee.clone(),
                    pair: *pair,
                };
                all.extend(pairs.iter().map(with));
            }
        }
        Some(all)
    }

    /// The permissions of a call between these parties, as the function has them. A party with an assumed effect has one rule
    /// for everyone instead.
    pub(super) fn permissions(
        &self,
        (caller, caller_effect): (&ExampleParty, Option<Effect>),
        (callee, callee_effect): (&ExampleParty, Option<Effect>),
    ) -> OwnedPermissions {
        let party = |item: &Result<ItemRules<'_>, &ParseError>, groups: &Groups, effect: Option<Effect>| {
            let everyone = |effect| -> Rules {
                [(Pattern::Everyone, Ok::<_, ParseError>(Rule::new(effect)))].into_iter().collect()
            };
            let (party, rules) = match (item, effect) {
                (_, Some(effect)) => (Party::default(), everyone(effect)),
                (Err(error), None) => return Err((*error).clone()),
                (Ok(ItemRules { status, groups: _, blocked, expires_at, rules }), None) => (
                    Party { status: *status, blocked: blocked.clone(), expires_at: *expires_at, ..Party::default() },
                    parsed_rules(rules),
                ),
            };
            Ok((Party { groups: groups.clone(), ..party }, rules))
        };
        let app = self.app.as_ref().map_err(|error| (*error).clone());
        OwnedPermissions {
            app: app.map(|app| {
                let destinations = parsed_rules(&self.destinations);
                Some(App { status: app.status, callers: parsed_rules(&app.rules), destinations, note: None })
            }),
            caller: party(&self.caller, &caller.groups, caller_effect)
                .map(|(party, outgoing)| Some(Party { outgoing, ..party })),
            callee: party(&self.callee, &callee.groups, callee_effect)
                .map(|(party, incoming)| Some(Party { incoming, ..party })),
            pair: self.pair.map(|it| it.rule.cloned().map_err(Clone::clone)).transpose(),
        }
    }

    /// The lists that are matched against the caller.
    fn caller_rules(&self) -> impl Iterator<Item = &Candidate<'a>> {
        [&self.app, &self.callee].into_iter().flatten().flat_map(|item| &item.rules)
    }

    /// The lists that are matched against the callee.
    fn callee_rules(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.caller.iter().flat_map(|item| &item.rules).chain(&self.destinations)
    }

    pub(super) fn lists(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.caller_rules().chain(self.callee_rules())
    }

    /// Now, and every later moment at which a rule may start or stop applying.
    pub(super) fn moments(&self, now: EpochSeconds) -> Vec<EpochSeconds> {
        let rules: Vec<_> = self.lists().chain(&self.pair).filter_map(|it| it.rule.ok()).collect();
        let items = || [&self.caller, &self.callee].into_iter().flatten();
        let expiries = items().filter_map(|it| it.expires_at);
        let expiries = expiries.chain(items().filter_map(|it| it.blocked.as_ref()?.expires_at));
        moments(&rules, expiries, now)
    }

    /// The two parties of a call, with the groups that they have now.
    pub(super) fn parties(&self, caller: &PartyId, callee: &PartyId) -> (ExampleParty, ExampleParty) {
        let party = |id: &PartyId, item: &Result<ItemRules<'_>, _>| {
            let groups = item.as_ref().map(|item| item.groups.clone()).unwrap_or_default();
            ExampleParty { id: id.clone(), groups }
        };
        (party(caller, &self.caller), party(callee, &self.callee))
    }

    /// Callers and callees that represent all calls that the rule matches: those that the rule or a related one names,
    /// and for each prefix an id that no more specific rule matches, in every combination of the groups that rules name.
    /// `None` if there is no such id for a prefix, or there are too many groups.
    pub(super) fn calls(&self, subject: &Subject<'_>) -> Option<Vec<(ExampleParty, ExampleParty)>> {
        let representatives =
            |side: &Pattern, item: &Result<ItemRules<'_>, _>, named: HashSet<&Pattern>| -> Option<Vec<ExampleParty>> {
                if let Pattern::Exact(id) = side {
                    let groups = item.as_ref().map(|item| item.groups.clone()).unwrap_or_default();
                    return Some(vec![ExampleParty { id: id_of(id)?, groups }]);
                }
                let is_group = matches!(side, Pattern::Group(_));
                let within = named.iter().copied().filter(|it| is_group || covers(side, it)).chain([side]);
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
                let groups = memberships(side, &named)?;
                let party = |id: &PartyId, groups: &Groups| ExampleParty { id: id.clone(), groups: groups.clone() };
                Some(ids.iter().flat_map(|id| groups.iter().map(|groups| party(id, groups))).collect())
            };
        let callers = self.caller_rules().map(|it| it.pattern).collect();
        let callers = representatives(subject.from, &self.caller, callers)?;
        let callees = self.callee_rules().map(|it| it.pattern).collect();
        let callees = representatives(subject.to, &self.callee, callees)?;
        Some(callers.iter().flat_map(|caller| callees.iter().map(|callee| (caller.clone(), callee.clone()))).collect())
    }
}

/// Every combination of the groups that these patterns name, each with the group of the side itself. `None` if there are
/// too many.
fn memberships(side: &Pattern, named: &HashSet<&Pattern>) -> Option<Vec<Groups>> {
    let own: Groups = [side].into_iter().filter_map(group_name).collect();
    let others: BTreeSet<_> = named.iter().filter_map(|it| group_name(it)).filter(|name| !own.contains(name)).collect();
    if others.len() > MAX_GROUPS {
        return None;
    }
    Some(others.into_iter().fold(vec![own], |mut all, name| {
        let with = |groups: &Groups| groups.iter().cloned().chain([name.clone()]).collect();
        let with: Vec<Groups> = all.iter().map(with).collect();
        all.extend(with);
        all
    }))
}

fn group_name(pattern: &Pattern) -> Option<String> {
    if let Pattern::Group(name) = pattern { Some(name.clone()) } else { None }
}
