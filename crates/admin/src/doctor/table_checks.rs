//! Checks across items: `shadowed`, `contradicted`, `misplaced`, `short_prefix`, `suspended`, `empty_group`.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::Attributes;
use callgate_core::{App, AppKey, Door, Effect, EpochSeconds, Groups, ParseError, Party, Pattern, Rule, Rules, Status};

use super::commands::{item_command, revoke_command, show_command};
use super::finding::{Finding, FindingKind, Location};
use super::fix::{Action, Fix, Move, can_decide_at_both_doors};
use super::rule_store::RuleStore;
use crate::error::Result;
use crate::item_kind::ItemKind;
use crate::redundancy::{
    Candidate, ItemRules, Redundancy, Related, RuleIndex, SharedRules, Subject, check, id_of, is_same_decision,
    literal, needs_callers, needs_destinations,
};
use crate::stored_rule::StoredRule;
use crate::wording::{count, quote, rule_text};

/// With fewer known parties than this, it does not matter how many of them a prefix matches.
const MIN_PARTIES: usize = 20;

/// The parts of all items that the checks across items need. The rules are in a temporary file.
pub(super) struct Contents {
    items: Items,
    /// By app: every id in the key of an item.
    ids: HashMap<String, HashSet<Box<str>>>,
    /// The valid rules that a call can match, and the keys of the other pair items.
    rules: RuleStore,
    /// The entries of rules between two parties that are stored in the list of one.
    entries: Vec<Attributes>,
    /// By app and id: how many rules are stored with a suspended party. Without an id, the app itself.
    suspended: HashMap<(String, Option<String>), u64>,
    /// By app: the groups that a party is in.
    groups: HashMap<String, HashSet<String>>,
    /// By app: how many rules it has.
    rule_counts: HashMap<String, u64>,
    shared: SharedRules,
}

/// The rules of the lists.
#[derive(Default)]
struct Items {
    /// By app.
    apps: HashMap<String, std::result::Result<AppRules, ParseError>>,
    /// By app and id. A party that is not there has no rules in lists, no group and no expiry.
    parties: HashMap<String, Parties>,
}

/// The parties of an app, by id.
type Parties = HashMap<Box<str>, std::result::Result<Box<PartyRules>, ParseError>>;

/// The rules of an app's item.
struct AppRules {
    callers: RuleIndex,
    destinations: RuleIndex,
}

/// A party with its rules.
struct PartyRules {
    groups: Groups,
    expires_at: Option<EpochSeconds>,
    incoming: RuleIndex,
    outgoing: RuleIndex,
}

/// App, caller and callee.
pub(super) type PairKey = (String, String, String);

/// A valid rule that a call can match.
pub(super) struct CheckedRule {
    pub(super) app: AppKey,
    pub(super) from: Pattern,
    pub(super) to: Pattern,
    /// The door whose list holds it. `None` for a pair item.
    pub(super) door: Option<Door>,
    pub(super) rule: Rule,
    /// For a rule between two parties that is stored in the list of one: the number of the entry.
    pub(super) entry: Option<usize>,
}

impl CheckedRule {
    fn subject(&self) -> Subject<'_> {
        let Self { app, from, to, door, rule, entry: _ } = self;
        Subject { app, from, to, door: *door, rule }
    }

    /// The key of the pair item of its parties, if it names two.
    fn pair_key(&self) -> Option<PairKey> {
        match (&self.from, &self.to) {
            (Pattern::Exact(from), Pattern::Exact(to)) => {
                Some((self.app.as_str().to_owned(), from.clone(), to.clone()))
            }
            _ => None,
        }
    }

    fn location(&self) -> Location {
        Location::rule(self.app.as_str(), &self.from.to_string(), &self.to.to_string(), self.door)
    }

    fn show_command(&self) -> String {
        show_command(self.app.as_str(), &self.from.to_string(), &self.to.to_string(), self.door)
    }

    fn revoke_command(&self, table: &str) -> String {
        revoke_command(table, self.app.as_str(), &self.from.to_string(), &self.to.to_string(), self.door)
    }
}

impl Contents {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            items: Items::default(),
            ids: HashMap::new(),
            rules: RuleStore::new()?,
            entries: Vec::new(),
            suspended: HashMap::new(),
            groups: HashMap::new(),
            rule_counts: HashMap::new(),
            shared: SharedRules::default(),
        })
    }

    pub(super) fn add_app(&mut self, app: &str, parsed: std::result::Result<App, ParseError>) {
        let parsed = parsed.map(|App { status, callers, destinations, note }| {
            if is_unexplained(status, note.as_deref()) {
                self.suspended.insert((app.to_owned(), None), 0);
            }
            let (callers, destinations) = (self.index(&callers), self.index(&destinations));
            AppRules { callers, destinations }
        });
        self.items.apps.insert(app.to_owned(), parsed);
    }

    pub(super) fn add_party(&mut self, app: &str, id: &str, parsed: std::result::Result<Party, ParseError>) {
        self.add_id(app, id);
        let parsed = parsed.map(|Party { status, incoming, outgoing, groups, blocked: _, expires_at, note }| {
            if is_unexplained(status, note.as_deref()) {
                let rules = incoming.iter().count() + outgoing.iter().count();
                self.suspended.insert((app.to_owned(), Some(id.to_owned())), rules as u64);
            }
            if !groups.is_empty() {
                self.groups.entry(app.to_owned()).or_default().extend(groups.iter().cloned());
            }
            let (incoming, outgoing) = (self.index(&incoming), self.index(&outgoing));
            Box::new(PartyRules { groups, expires_at, incoming, outgoing })
        });
        if parsed.as_ref().is_ok_and(|it| it.is_empty()) {
            return;
        }
        self.items.parties.entry(app.to_owned()).or_default().insert(id.into(), parsed);
    }

    fn index(&mut self, rules: &Rules) -> RuleIndex {
        RuleIndex::new(rules, &mut self.shared)
    }

    pub(super) fn add_pair(&mut self, app: &str, caller: &str, callee: &str) {
        self.add_id(app, caller);
        self.add_id(app, callee);
    }

    fn add_id(&mut self, app: &str, id: &str) {
        let ids = match self.ids.get_mut(app) {
            Some(ids) => ids,
            None => self.ids.entry(app.to_owned()).or_default(),
        };
        if !ids.contains(id) {
            ids.insert(id.into());
        }
    }

    pub(super) fn count_rule(&mut self, app: &str) {
        match self.rule_counts.get_mut(app) {
            Some(count) => *count += 1,
            None => {
                self.rule_counts.insert(app.to_owned(), 1);
            }
        }
    }

    /// Adds a rule that is invalid or never applies, if it is a pair item.
    pub(super) fn add_unusable_pair(&mut self, stored: &StoredRule) -> Result<()> {
        let StoredRule { app, from, to, .. } = stored;
        if stored.door().is_none() { self.rules.add_unusable_pair((app, from, to)) } else { Ok(()) }
    }

    pub(super) fn add_rule(&mut self, rule: &CheckedRule) -> Result<()> {
        self.rules.add(rule)
    }

    /// Keeps an entry that may be moved, and returns its number.
    pub(super) fn add_entry(&mut self, entry: &Attributes) -> usize {
        self.entries.push(entry.clone());
        self.entries.len() - 1
    }

    /// Runs the checks, after everything was added.
    pub(super) fn check(self, table: &str, now: EpochSeconds) -> Result<Vec<Finding>> {
        let Self { mut items, ids, rules, entries, mut suspended, groups, rule_counts, shared: _ } = self;
        for ((app, _), rules) in suspended.iter_mut().filter(|((_, id), _)| id.is_none()) {
            *rules = rule_counts.get(app).copied().unwrap_or_default();
        }
        let pairs = Pairs::new(&rules, !entries.is_empty(), &mut suspended)?;
        let mut findings: Vec<_> = suspended.iter().filter_map(|(key, rules)| suspended_finding(key, *rules)).collect();
        let ids: HashMap<_, Vec<_>> = ids
            .into_iter()
            .map(|(app, ids)| {
                let mut ids: Vec<_> = ids.into_iter().collect();
                ids.sort_unstable();
                (app, ids)
            })
            .collect();
        let mut misplaced = Vec::new();
        rules.for_each(|checked| {
            let redundancy = items.redundancy(&checked, &pairs, now);
            if redundancy.is_some() {
                items.set_removable(&checked);
            }
            let ids = ids.get(checked.app.as_str()).map(Vec::as_slice);
            let sides = [&checked.from, &checked.to];
            findings.extend(sides.into_iter().filter_map(|side| short_prefix(&checked, side, ids?)));
            let groups = groups.get(checked.app.as_str());
            findings.extend(sides.into_iter().filter_map(|side| empty_group(&checked, side, groups)));
            if checked.entry.is_some() {
                misplaced.push((checked, redundancy));
            } else if let Some(redundancy) = redundancy {
                findings.push(redundant(table, &checked, redundancy));
            }
        })?;
        // A rule is moved only where that changes nothing whatever other rules are removed.
        let mut moved = HashSet::new();
        for (checked, redundancy) in misplaced {
            let entry = checked.entry.and_then(|number| entries.get(number));
            let fix = entry.filter(|_| redundancy.is_none());
            let fix = fix.and_then(|entry| items.move_to_pair(&checked, entry, &pairs, now));
            let fix = fix.filter(|_| checked.pair_key().is_some_and(|key| moved.insert(key)));
            findings.push(misplaced_finding(table, &checked, redundancy, fix));
        }
        Ok(findings)
    }
}

/// Whether something is suspended without a note that explains it.
fn is_unexplained(status: Status, note: Option<&str>) -> bool {
    status == Status::Suspended && note.is_none_or(|note| note.trim().is_empty())
}

impl PartyRules {
    /// Whether an absent party is decided the same.
    fn is_empty(&self) -> bool {
        let Self { groups, expires_at, incoming, outgoing } = self;
        groups.is_empty() && expires_at.is_none() && incoming.is_empty() && outgoing.is_empty()
    }
}

/// The pair items of parties that also have a rule about each other in a list. Others are not needed.
struct Pairs {
    /// `None` for an item whose rule is invalid or never applies.
    items: HashMap<PairKey, Option<Rule>>,
}

impl Pairs {
    /// Finds these pairs, and adds those of suspended parties to their numbers of rules.
    fn new(rules: &RuleStore, is_needed: bool, suspended: &mut HashMap<(String, Option<String>), u64>) -> Result<Self> {
        let mut items = HashMap::new();
        let mut listed = HashSet::new();
        if is_needed {
            rules.for_each_misplaced(|key| {
                listed.insert(key);
            })?;
        }
        if is_needed || !suspended.is_empty() {
            rules.for_each_pair(|(app, from, to), rule| {
                if !suspended.is_empty() {
                    suspended.entry((app.clone(), Some(to.clone()))).and_modify(|rules| *rules += 1);
                }
                let key = (app, from, to);
                if listed.contains(&key) {
                    items.insert(key, rule);
                }
            })?;
        }
        Ok(Self { items })
    }
}

impl Items {
    /// Why a rule cannot change any decision, whichever of the removable rules are removed.
    fn redundancy(&self, checked: &CheckedRule, pairs: &Pairs, now: EpochSeconds) -> Option<Redundancy> {
        check(&checked.subject(), self.related(checked, pairs)?, now)
    }

    /// Takes into account that a rule may be removed. The pair items come last, so that no other rule is checked after one.
    fn set_removable(&mut self, checked: &CheckedRule) {
        let CheckedRule { app, from, to, door, rule: _, entry: _ } = checked;
        let app = app.as_str();
        match door {
            Some(Door::App) => {
                if let Some(Ok(app)) = self.apps.get_mut(app) {
                    app.callers.set_removable(from);
                }
            }
            Some(Door::Destination) => {
                if let Some(Ok(app)) = self.apps.get_mut(app) {
                    app.destinations.set_removable(to);
                }
            }
            Some(Door::Caller) => {
                if let Some(Some(Ok(caller))) = self.parties.get_mut(app).map(|it| it.get_mut(literal(from))) {
                    caller.outgoing.set_removable(to);
                }
            }
            Some(Door::Callee) => {
                if let Some(Some(Ok(callee))) = self.parties.get_mut(app).map(|it| it.get_mut(literal(to))) {
                    callee.incoming.set_removable(from);
                }
            }
            None => {}
        }
    }

    /// The rules that may decide the same calls. Suspended and blocked parties count as active, because that may end soon.
    /// `None` if an item or a rule among them is invalid: once it is repaired, the other rules decide these calls.
    fn related<'a>(&'a self, checked: &'a CheckedRule, pairs: &'a Pairs) -> Option<Related<'a>> {
        let CheckedRule { app, from, to, door, rule: _, entry: _ } = checked;
        let (mut callers, mut destinations) = (Vec::new(), Vec::new());
        if let Some(app) = self.apps.get(app.as_str()) {
            let app = app.as_ref().ok()?;
            if needs_callers(*door) {
                callers = app.callers.overlapping(from);
            }
            if needs_destinations(*door) {
                destinations = app.destinations.overlapping(to);
            }
        }
        let party = |pattern: &'a Pattern, rules: &dyn Fn(&'a PartyRules) -> Vec<Candidate<'a>>| {
            // A rule of the app decides about calls of any party.
            let Pattern::Exact(id) = pattern else { return Some(ItemRules::default()) };
            if matches!(door, Some(Door::App | Door::Destination)) {
                return Some(ItemRules::default());
            }
            match self.parties.get(app.as_str()).and_then(|parties| parties.get(id.as_str())) {
                None => Some(ItemRules::default()),
                Some(Err(_)) => None,
                Some(Ok(party)) => Some(ItemRules {
                    groups: party.groups.clone(),
                    expires_at: party.expires_at,
                    rules: rules(party),
                    ..ItemRules::default()
                }),
            }
        };
        let pair = match checked.pair_key().and_then(|key| pairs.items.get(&key)) {
            Some(None) => return None,
            Some(Some(rule)) => Some(Candidate::new(to, Ok(rule))),
            None => None,
        };
        let app = ItemRules { rules: callers, ..ItemRules::default() };
        let caller = party(from, &|it| it.outgoing.overlapping(to))?;
        let callee = party(to, &|it| it.incoming.overlapping(from))?;
        let lists = [&app.rules, &destinations, &caller.rules, &callee.rules];
        let is_valid = lists.into_iter().flatten().all(Candidate::is_valid);
        is_valid.then_some(Related { app: Ok(app), destinations, caller: Ok(caller), callee: Ok(callee), pair })
    }

    /// The fix that moves a rule between two parties from a list to its pair item. `None` if there is a pair item already,
    /// or calls may be decided differently.
    fn move_to_pair(&self, checked: &CheckedRule, entry: &Attributes, pairs: &Pairs, now: EpochSeconds) -> Option<Fix> {
        let CheckedRule { app, from: Pattern::Exact(from), to: Pattern::Exact(to), door, rule, entry: _ } = checked
        else {
            return None;
        };
        if from == to || pairs.items.contains_key(&checked.pair_key()?) {
            return None;
        }
        let before = self.related(checked, pairs)?;
        let mut after = before.clone();
        let is_outgoing = *door == Some(Door::Caller);
        let [(own, pattern), (other, _)] = if is_outgoing {
            [(&mut after.caller, &checked.to), (&mut after.callee, &checked.from)]
        } else {
            [(&mut after.callee, &checked.from), (&mut after.caller, &checked.to)]
        };
        if !can_decide_at_both_doors(rule.effect, &other.as_ref().ok()?.rules) {
            return None;
        }
        own.as_mut().ok()?.remove(pattern);
        after.pair = Some(Candidate::new(&checked.to, Ok(rule)));
        let (caller, callee) = (id_of(from)?, id_of(to)?);
        if !is_same_decision(app, (&caller, &callee), [&before, &after], now) {
            return None;
        }
        let entry = AttributeValue::M(entry.clone());
        Some(Fix(Action::Move(Move { app: app.clone(), caller, callee, is_outgoing, entry })))
    }
}

/// A suspended app or party that has rules and no note.
fn suspended_finding((app, id): &(String, Option<String>), rules: u64) -> Option<Finding> {
    if rules == 0 {
        return None;
    }
    let kind = match id {
        Some(id) => ItemKind::Party(app.clone(), id.clone()),
        None => ItemKind::App(app.clone()),
    };
    let note = item_command("suspend --note 'WHY'", &kind);
    Some(
        Finding::new(
            FindingKind::Suspended,
            &Location::item(&kind),
            format!("it is suspended and has {}", count(rules, "rule")),
            "its rules have no effect until it is resumed; what is suspended with a note is not reported",
        )
        .with_advice(format!(
            "{}; if its rules should decide again: {}; if it is suspended on purpose: {note}",
            item_command("show", &kind),
            item_command("resume", &kind)
        )),
    )
}

/// A rule that cannot change any decision.
fn redundant(table: &str, checked: &CheckedRule, Redundancy { why, is_denied }: Redundancy) -> Finding {
    let CheckedRule { from, to, rule, .. } = checked;
    let kind =
        if rule.effect == Effect::Allow && is_denied { FindingKind::Contradicted } else { FindingKind::Shadowed };
    let what = format!("{} has no effect", rule_text(from, to, rule));
    Finding::new(kind, &checked.location(), what, why).with_command(checked.revoke_command(table))
}

/// A rule between two parties that is stored in the list of one.
fn misplaced_finding(table: &str, checked: &CheckedRule, redundancy: Option<Redundancy>, fix: Option<Fix>) -> Finding {
    let list = if checked.door == Some(Door::Caller) { "outgoing" } else { "incoming" };
    let what = format!("it is stored in a list (`{list}`), where only patterns belong");
    let why = "it is checked at one door only, and every call of the party reads it";
    let finding = |why| Finding::new(FindingKind::Misplaced, &checked.location(), what, why);
    match (redundancy, fix) {
        (Some(Redundancy { why, .. }), _) => {
            finding(format!("it has no effect: {why}")).with_command(checked.revoke_command(table))
        }
        (None, Some(fix)) => finding(why.to_owned()).with_fix(fix),
        (None, None) => finding(why.to_owned()).with_advice(format!(
            "{}; a rule for exactly these two decides at both doors, so with it calls may be decided differently",
            checked.show_command()
        )),
    }
}

/// A group without parties, given the groups of the app that a party is in.
fn empty_group(checked: &CheckedRule, side: &Pattern, groups: Option<&HashSet<String>>) -> Option<Finding> {
    let Pattern::Group(name) = side else { return None };
    if groups.is_some_and(|groups| groups.contains(name)) {
        return None;
    }
    let (what, why) = (format!("no party is in group `{side}`"), "it matches no call until the group has a party");
    let add = format!("callgatectl group add --app {} {side} PARTY", quote(checked.app.as_str()));
    let advice = format!("{}; if the group should have parties: {add}", checked.show_command());
    Some(Finding::new(FindingKind::EmptyGroup, &checked.location(), what, why).with_advice(advice))
}

/// A prefix that matches most of the known parties of the app, given their sorted ids.
fn short_prefix(checked: &CheckedRule, side: &Pattern, ids: &[Box<str>]) -> Option<Finding> {
    let Pattern::Prefix(prefix) = side else { return None };
    if ids.len() < MIN_PARTIES {
        return None;
    }
    let from = ids.get(ids.partition_point(|id| **id < **prefix)..)?;
    let matching = from.partition_point(|id| id.starts_with(prefix.as_str()));
    if matching * 2 <= ids.len() {
        return None;
    }
    let what = format!("`{side}` is so short that it matches {matching} of the {} known parties", ids.len());
    let why = "it may match more parties than intended";
    Some(Finding::new(FindingKind::ShortPrefix, &checked.location(), what, why).with_advice(format!(
        "{}; if it should match fewer parties, write it again with a longer prefix, and if everyone, with `*`",
        checked.show_command()
    )))
}
