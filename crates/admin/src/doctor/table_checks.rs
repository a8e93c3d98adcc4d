//! Checks across items: `shadowed`, `contradicted`, `misplaced`, `short_prefix`, `suspended`.

use std::collections::{BTreeSet, HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::Attributes;
use callgate_core::{App, AppKey, Door, Effect, EpochSeconds, Groups, ParseError, Party, Pattern, Rule, Status};

use super::commands::{item_command, revoke_command, show_command};
use super::finding::{Finding, FindingKind, Location};
use super::fix::{Action, Fix, Move, can_decide_at_both_doors};
use crate::item_kind::ItemKind;
use crate::redundancy::{
    Candidate, ItemRules, Redundancy, Related, RuleIndex, Subject, check, id_of, is_same_decision, literal,
    needs_callers, needs_destinations,
};
use crate::stored_rule::StoredRule;
use crate::wording::{count, rule_text};

/// With fewer known parties than this, it does not matter how many of them a prefix matches.
const MIN_PARTIES: usize = 20;

/// The parts of all items that the checks across items need.
#[derive(Default)]
pub(super) struct Contents {
    items: Items,
    /// By app: every id in the key of an item.
    ids: HashMap<String, BTreeSet<String>>,
    /// The valid rules that a call can match.
    rules: Vec<CheckedRule>,
    /// The pair items whose rules are invalid or never apply.
    unusable_pairs: HashSet<PairKey>,
    /// By app and id: how many rules are stored with the party.
    rule_counts: HashMap<(String, String), u64>,
}

/// The rules of the lists.
#[derive(Default)]
struct Items {
    /// By app.
    apps: HashMap<String, Result<AppRules, ParseError>>,
    /// By app and id.
    parties: HashMap<(String, String), Result<PartyRules, ParseError>>,
}

/// The rules of an app's item.
struct AppRules {
    callers: RuleIndex,
    destinations: RuleIndex,
}

/// A party with its rules.
struct PartyRules {
    status: Status,
    groups: Groups,
    expires_at: Option<EpochSeconds>,
    incoming: RuleIndex,
    outgoing: RuleIndex,
}

/// App, caller and callee.
type PairKey = (String, String, String);

/// A valid rule that a call can match.
pub(super) struct CheckedRule {
    pub(super) app: AppKey,
    pub(super) from: Pattern,
    pub(super) to: Pattern,
    /// The door whose list holds it. `None` for a pair item.
    pub(super) door: Option<Door>,
    pub(super) rule: Rule,
    /// For a rule between two parties that is stored in the list of one: the entry.
    pub(super) entry: Option<Box<Attributes>>,
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

    fn order(&self) -> impl Ord + '_ {
        let text = |pattern| (literal(pattern), matches!(pattern, Pattern::Exact(_)));
        (self.app.as_str(), self.door.is_none(), text(&self.to), text(&self.from), self.door.map(Door::as_str))
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
    pub(super) fn add_app(&mut self, app: &str, parsed: Result<App, ParseError>) {
        let parsed = parsed.map(|App { status: _, callers, destinations, note: _ }| AppRules {
            callers: RuleIndex::new(&callers),
            destinations: RuleIndex::new(&destinations),
        });
        self.items.apps.insert(app.to_owned(), parsed);
    }

    pub(super) fn add_party(&mut self, app: &str, id: &str, parsed: Result<Party, ParseError>) {
        self.ids.entry(app.to_owned()).or_default().insert(id.to_owned());
        let parsed = parsed.map(|Party { status, incoming, outgoing, groups, blocked: _, expires_at, note: _ }| {
            let (incoming, outgoing) = (RuleIndex::new(&incoming), RuleIndex::new(&outgoing));
            PartyRules { status, groups, expires_at, incoming, outgoing }
        });
        self.items.parties.insert((app.to_owned(), id.to_owned()), parsed);
    }

    pub(super) fn add_pair(&mut self, app: &str, caller: &str, callee: &str) {
        self.ids.entry(app.to_owned()).or_default().extend([callee.to_owned(), caller.to_owned()]);
    }

    /// Adds a rule that is invalid or never applies, if it is a pair item.
    pub(super) fn add_unusable_pair(&mut self, stored: &StoredRule) {
        let StoredRule { app, from, to, .. } = stored;
        if stored.door().is_none() {
            self.unusable_pairs.insert((app.clone(), from.clone(), to.clone()));
        }
    }

    pub(super) fn add_rule(&mut self, rule: CheckedRule) {
        self.rules.push(rule);
    }

    pub(super) fn count_rule(&mut self, app: &str, owner: &str) {
        *self.rule_counts.entry((app.to_owned(), owner.to_owned())).or_default() += 1;
    }

    /// Runs the checks, after everything was added.
    pub(super) fn check(self, table: &str, now: EpochSeconds) -> Vec<Finding> {
        let Self { mut items, ids, mut rules, unusable_pairs, rule_counts } = self;
        let mut findings: Vec<_> = rule_counts.iter().filter_map(|(key, count)| items.suspended(key, *count)).collect();
        // Where two rules are redundant because of each other, the first is offered for removal: rather one in a list.
        rules.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
        let ids: HashMap<_, Vec<_>> = ids.iter().map(|(app, ids)| (app.as_str(), ids.iter().collect())).collect();
        let mut pairs = Pairs::new(&rules, unusable_pairs);
        let mut misplaced = Vec::new();
        for checked in &rules {
            let redundancy = items.redundancy(checked, &pairs, now);
            if redundancy.is_some() {
                items.set_removable(checked, &mut pairs);
            }
            if checked.entry.is_some() {
                misplaced.push((checked, redundancy));
            } else if let Some(redundancy) = redundancy {
                findings.push(redundant(table, checked, redundancy));
            }
            let ids = ids.get(checked.app.as_str()).map(Vec::as_slice);
            let sides = [&checked.from, &checked.to];
            findings.extend(sides.into_iter().filter_map(|side| short_prefix(checked, side, ids?)));
        }
        // A rule is moved only where that changes nothing whatever other rules are removed.
        let mut moved = HashSet::new();
        for (checked, redundancy) in misplaced {
            let fix = if redundancy.is_none() { items.move_to_pair(checked, &pairs, now) } else { None };
            let fix = fix.filter(|_| checked.pair_key().is_some_and(|key| moved.insert(key)));
            findings.push(misplaced_finding(table, checked, redundancy, fix));
        }
        findings
    }
}

/// The pair items of parties that also have a rule about each other in a list. Others are not needed.
struct Pairs<'a> {
    /// The rule, and whether it may be removed. `None` for an item whose rule is invalid or never applies.
    items: HashMap<PairKey, Option<(&'a Rule, bool)>>,
}

impl<'a> Pairs<'a> {
    fn new(rules: &'a [CheckedRule], unusable: HashSet<PairKey>) -> Self {
        let listed: HashSet<_> =
            rules.iter().filter(|it| it.door.is_some()).filter_map(CheckedRule::pair_key).collect();
        let mut items: HashMap<_, _> =
            unusable.into_iter().filter(|key| listed.contains(key)).map(|key| (key, None)).collect();
        if !listed.is_empty() {
            for checked in rules.iter().filter(|it| it.door.is_none()) {
                items.extend(
                    checked
                        .pair_key()
                        .filter(|key| listed.contains(key))
                        .map(|key| (key, Some((&checked.rule, false)))),
                );
            }
        }
        Self { items }
    }
}

impl Items {
    /// Why a rule cannot change any decision, whichever of the removable rules are removed.
    fn redundancy(&self, checked: &CheckedRule, pairs: &Pairs<'_>, now: EpochSeconds) -> Option<Redundancy> {
        check(&checked.subject(), self.related(checked, pairs)?, now)
    }

    /// Takes into account that a rule may be removed.
    fn set_removable(&mut self, checked: &CheckedRule, pairs: &mut Pairs<'_>) {
        let CheckedRule { app, from, to, door, rule: _, entry: _ } = checked;
        let party = |id: &Pattern| (app.as_str().to_owned(), id.to_string());
        match door {
            Some(Door::App) => {
                if let Some(Ok(app)) = self.apps.get_mut(app.as_str()) {
                    app.callers.set_removable(from);
                }
            }
            Some(Door::Destination) => {
                if let Some(Ok(app)) = self.apps.get_mut(app.as_str()) {
                    app.destinations.set_removable(to);
                }
            }
            Some(Door::Caller) => {
                if let Some(Ok(caller)) = self.parties.get_mut(&party(from)) {
                    caller.outgoing.set_removable(to);
                }
            }
            Some(Door::Callee) => {
                if let Some(Ok(callee)) = self.parties.get_mut(&party(to)) {
                    callee.incoming.set_removable(from);
                }
            }
            None => {
                let pair = checked.pair_key().and_then(|key| pairs.items.get_mut(&key));
                if let Some(Some((_, is_removable))) = pair {
                    *is_removable = true;
                }
            }
        }
    }

    /// The rules that may decide the same calls. Suspended and blocked parties count as active, because that may end soon.
    /// `None` if an item or a rule among them is invalid: once it is repaired, the other rules decide these calls.
    fn related<'a>(&'a self, checked: &'a CheckedRule, pairs: &Pairs<'a>) -> Option<Related<'a>> {
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
            match self.parties.get(&(app.as_str().to_owned(), id.clone())) {
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
            Some(Some((rule, is_removable))) => Some(Candidate::new(to, Ok(rule)).removable(*is_removable)),
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
    fn move_to_pair(&self, checked: &CheckedRule, pairs: &Pairs<'_>, now: EpochSeconds) -> Option<Fix> {
        let CheckedRule { app, from: Pattern::Exact(from), to: Pattern::Exact(to), door, rule, entry } = checked else {
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
        let entry = AttributeValue::M(entry.as_deref()?.clone());
        Some(Fix(Action::Move(Move { app: app.clone(), caller, callee, is_outgoing, entry })))
    }

    /// A suspended party that has rules, given its app and id.
    fn suspended(&self, key: &(String, String), rules: u64) -> Option<Finding> {
        self.parties.get(key)?.as_ref().ok().filter(|party| party.status == Status::Suspended)?;
        let (app, id) = key;
        let kind = ItemKind::Party(app.clone(), id.clone());
        Some(
            Finding::new(
                FindingKind::Suspended,
                &Location::party(app, id),
                format!("it is suspended and has {}", count(rules, "rule")),
                "its rules have no effect until it is resumed",
            )
            .with_advice(format!(
                "{}; if its rules should decide again: {}",
                item_command("show", &kind),
                item_command("resume", &kind)
            )),
        )
    }
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

/// A prefix that matches most of the known parties of the app, given their sorted ids.
fn short_prefix(checked: &CheckedRule, side: &Pattern, ids: &[&String]) -> Option<Finding> {
    let Pattern::Prefix(prefix) = side else { return None };
    if ids.len() < MIN_PARTIES {
        return None;
    }
    let from = ids.get(ids.partition_point(|id| *id < prefix)..)?;
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
