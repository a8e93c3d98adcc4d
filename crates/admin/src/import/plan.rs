//! Compares the rules of a file with those of the table, and plans the steps of the import.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, Key};
use callgate_core::{Effect, EpochSeconds, Rule, has_expired};

use super::steps::{Denies, Kind, LISTS, Overrides, Phase, Step, union};
use super::{Data, Difference, DifferenceCounts, Import};
use crate::error::{Error, Result};
use crate::history::BulkCounts;
use crate::item_kind::{ItemKind, keys};
use crate::rule_file::{Problem, Problems};
use crate::rule_row::RuleRow;
use crate::rules::Author;
use crate::sorted_rules::{Selection, SortedItem, SortedRule, SortedRules, merge};
use crate::stored_rule::{StoredRow, expiry_of, rows_of};
use crate::table::batch::unix_time;
use crate::table::size::{MAX_ITEM_BYTES, size_of_entry, size_of_item, too_big};
use crate::time;
use crate::wording::escape;

/// How many scans read the table at once.
const SEGMENTS: u16 = 2;

/// The most items that `BatchGetItem` returns.
const PAGE: usize = 100;

/// The stored rules of a file with more rules than this are read with a scan, which is cheaper by item than reads by key.
const MAX_READS: u64 = 10_000;

/// What an import will do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) author: Author,
    pub(super) counts: DifferenceCounts,
    /// The counts of each app, for the history.
    pub(super) apps: BTreeMap<String, BulkCounts>,
    /// Whether rules that are not in the file are removed.
    pub(super) is_replaced: bool,
    /// The only list whose rules are removed.
    pub(super) list: Option<String>,
    /// The apps in which some old allows go before the last new ones are written.
    pub(super) conflicts: HashSet<String>,
    /// The number of steps of each phase.
    pub(super) steps: HashMap<Phase, u64>,
    /// The phases in which an app's item refuses more than before. Functions notice it late, because they keep the item.
    pub(super) app_refusals: HashSet<Phase>,
    /// Lines whose rule will not last, or ends what is stored for a party that has expired.
    pub(super) notices: Problems,
    pub(super) read_at: Instant,
    /// Whether an app had rules, which another import may have changed a moment ago.
    pub(super) has_app_rules: bool,
    /// When the last deny of an app's list was written.
    pub(super) app_denied_at: Option<EpochSeconds>,
}

/// The change of one rule.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: [String; 4],
    pub(super) kind: Kind,
    /// The rule of the file, with its line.
    pub(super) new: Option<(SortedRule, Rule)>,
    /// The stored rule. Its parsed form is `None` if it could not be parsed.
    pub(super) old: Option<(SortedRule, Option<Rule>)>,
    /// Whether the stored rule no longer applies because its party has expired.
    is_over: bool,
    /// Whether it is part of a conflict as a new or as an old allow.
    waits: bool,
    goes_early: bool,
}

impl Import {
    /// Reads the stored rules and plans the import. With `is_replaced`, the rules of the file's apps that are not in the file
    /// will be removed, or those of its list. Can be called again, to compare the file with what is stored by then.
    ///
    /// # Errors
    /// [`Error::InvalidItem`] when an item would become too big for DynamoDB, or why the table cannot be read.
    pub async fn plan(&mut self, is_replaced: bool, author: &Author) -> Result<()> {
        self.lock().stored = SortedRules::new()?;
        let mut plan = Plan {
            author: author.clone(),
            counts: DifferenceCounts::default(),
            apps: BTreeMap::new(),
            is_replaced,
            list: self.list.clone(),
            conflicts: HashSet::new(),
            steps: HashMap::new(),
            app_refusals: HashSet::new(),
            notices: Problems::default(),
            read_at: Instant::now(),
            has_app_rules: false,
            app_denied_at: None,
        };
        if is_replaced || self.rule_count() > MAX_READS {
            let mut pages = self.table.scan(SEGMENTS);
            while let Some(page) = pages.recv().await {
                plan.keep(&mut self.lock(), page?)?;
            }
        } else {
            let mut last = Default::default();
            loop {
                let page = self.lock().rules.item_keys(&last, PAGE)?;
                let Some(key) = page.last() else { break };
                last = key.clone();
                let page: Vec<_> = page.into_iter().map(|[pk, sk]| Key { pk, sk }).collect();
                let items = self.table.get_many(&page).await?;
                plan.keep(&mut self.lock(), items)?;
            }
        }
        let data = Arc::clone(&self.data);
        let planned = tokio::task::spawn_blocking(move || {
            let data = super::lock(&data);
            plan.check_sizes(&data)?;
            plan.find_steps(&data)?;
            Ok::<_, Error>(plan)
        });
        self.plan = Some(Arc::new(planned.await.map_err(|error| Error::Local(error.to_string()))??));
        Ok(())
    }
}

impl Plan {
    /// Keeps what the import has to know about the items.
    fn keep(&mut self, data: &mut Data, items: Vec<Attributes>) -> Result<()> {
        for item in items {
            let (Some(kind), Some((pk, sk))) = (ItemKind::of(&item), keys(&item)) else { continue };
            let (ItemKind::App(app) | ItemKind::Party(app, _) | ItemKind::Pair(app, ..)) = &kind;
            let is_wanted =
                if self.is_replaced { data.rules.contains_app(app)? } else { data.rules.contains_item(pk, sk)? };
            if !is_wanted {
                continue;
            }
            if !matches!(kind, ItemKind::Pair(..)) {
                let bytes = u64::try_from(size_of_item(&item)).unwrap_or(u64::MAX);
                let expires_at = expiry_of(&item).filter(|_| matches!(kind, ItemKind::Party(..)));
                data.stored.insert_item(pk, sk, SortedItem { bytes, expires_at })?;
            }
            for StoredRow { list, entry, row, rule, value } in rows_of(&item) {
                if matches!(kind, ItemKind::App(_)) {
                    self.has_app_rules = true;
                    let denied_at =
                        rule.ok().filter(|rule| rule.effect == Effect::Deny).and_then(|rule| rule.updated_at);
                    self.app_denied_at = self.app_denied_at.max(denied_at);
                }
                let size = value.map_or(0, |value| size_of_entry(&entry, value));
                data.stored.insert([pk, sk, list, &entry], &row, u64::try_from(size).unwrap_or(u64::MAX))?;
            }
        }
        Ok(())
    }

    /// Checks that every item will fit, with its old and its new rules together.
    fn check_sizes(&self, data: &Data) -> Result<()> {
        let mut item = GrowingItem::default();
        merge(&data.rules, &data.stored, Selection::Sizeable, |new, old| {
            let Some(change) = self.change(data, new, old)? else { return Ok(()) };
            let [pk, sk, list, entry] = &change.key;
            if item.key != [pk.as_str(), sk.as_str()] {
                std::mem::take(&mut item).check()?;
                let stored = data.stored.item(pk, sk)?.filter(|_| !change.is_over);
                let empty = || Key { pk: pk.clone(), sk: sk.clone() }.attributes();
                let bytes = stored.map_or_else(|| size_of_item(&empty()) as u64, |stored| stored.bytes);
                item = GrowingItem { key: [pk.clone(), sk.clone()], bytes, ..GrowingItem::default() };
            }
            let Some((_, new)) = &change.new else { return Ok(()) };
            let size = |rule: &Rule| {
                let attributes = item::write_rule(&self.author.sign(rule.clone()));
                let size = if list.is_empty() {
                    size_of_item(&attributes)
                } else {
                    size_of_entry(entry, &AttributeValue::M(attributes))
                };
                u64::try_from(size).unwrap_or(u64::MAX)
            };
            let old = change.old.as_ref().filter(|_| !change.is_over && !list.is_empty());
            let mut bytes = size(new);
            if let (Kind::MovedDeny, Some((_, Some(old)))) = (change.kind, old) {
                bytes = bytes.max(size(&union(old, new)));
            }
            if item.list != *list {
                // The list's name and the map itself.
                bytes += list.len() as u64 + 3;
                item.list.clone_from(list);
            }
            let growth = if change.kind == Kind::Unchanged { 0 } else { bytes };
            item.add(growth.saturating_sub(old.map_or(0, |(old, _)| old.number)));
            Ok::<_, Error>(())
        })?;
        item.check()
    }

    /// Counts the differences and the steps, and finds the conflicts.
    fn find_steps(&mut self, data: &Data) -> Result<()> {
        let mut apps: HashMap<String, Overrides> = HashMap::new();
        self.count(data, &mut apps)?;
        self.conflicts = apps.into_iter().filter(|(_, it)| it.conflict()).map(|(app, _)| app).collect();
        if self.conflicts.is_empty() {
            return Ok(());
        }
        // The conflicts change the phases of some steps.
        self.count(data, &mut HashMap::new())
    }

    fn count(&mut self, data: &Data, apps: &mut HashMap<String, Overrides>) -> Result<()> {
        let (mut counts, mut steps, mut refusals) = (DifferenceCounts::default(), HashMap::new(), HashSet::new());
        let (mut notices, mut in_apps) = (Problems::default(), BTreeMap::<String, BulkCounts>::new());
        self.for_each_group(data, |group| {
            find_overrides(&group, self.is_replaced, apps);
            self.notice_other_lists(&group, &mut notices);
            notice(data, &group, &mut notices)?;
            for change in group {
                if let Some(difference) = change.difference() {
                    let app = difference.rule().app.clone();
                    let in_app: &mut BulkCounts = in_apps.entry(app).or_default();
                    let (count, in_app) = match difference {
                        Difference::Added(_) => (&mut counts.added, &mut in_app.added),
                        Difference::Changed { .. } => (&mut counts.changed, &mut in_app.changed),
                        Difference::Removed(_) => (&mut counts.removed, &mut in_app.removed),
                    };
                    *count += 1;
                    *in_app += 1;
                } else if change.kind == Kind::Unchanged {
                    counts.unchanged += 1;
                }
                for Step { phase, .. } in change.steps() {
                    *steps.entry(phase).or_insert(0) += 1;
                    if change.is_in_app() && change.kind.may_refuse(phase) {
                        refusals.insert(phase);
                    }
                }
            }
            Ok::<_, Error>(())
        })?;
        (self.counts, self.apps) = (counts, in_apps);
        (self.steps, self.app_refusals, self.notices) = (steps, refusals, notices);
        Ok(())
    }

    /// Adds notices about rules that the table has outside the list, and that become part of it.
    fn notice_other_lists(&self, group: &[Change], notices: &mut Problems) {
        let Some(list) = &self.list else { return };
        for change in group.iter().filter(|change| !change.is_over) {
            let (Some((new, _)), Some((old, _))) = (&change.new, &change.old) else { continue };
            if old.row.list != self.list {
                let reason = format!("becomes part of list `{}`; now it is: {}", escape(list), old.row.text());
                notices.add(Problem::of_line(new.number, reason));
            }
        }
    }

    /// Calls `take` with the changes of each list, and of each pair. Stops at its first error.
    pub(super) fn for_each_group<E: From<Error>>(
        &self,
        data: &Data,
        mut take: impl FnMut(Vec<Change>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut group: Vec<Change> = Vec::new();
        merge(&data.rules, &data.stored, Selection::All, |new, old| {
            let Some(change) = self.change(data, new, old)? else { return Ok::<_, E>(()) };
            if group.first().is_some_and(|first| !first.is_beside(&change)) {
                take(self.marked(std::mem::take(&mut group)))?;
            }
            group.push(change);
            Ok(())
        })?;
        if group.is_empty() { Ok(()) } else { take(self.marked(group)) }
    }

    /// The change of a rule that is in the file, in the table, or in both.
    fn change(&self, data: &Data, new: Option<SortedRule>, old: Option<SortedRule>) -> Result<Option<Change>> {
        let Some(key) = new.as_ref().or(old.as_ref()).map(|rule| rule.key.clone()) else { return Ok(None) };
        let [pk, sk, list, _] = &key;
        let is_over = !list.is_empty()
            && data.stored.item(pk, sk)?.is_some_and(|item| has_expired(item.expires_at, self.author.at));
        let new = new.map(|new| new.row.rule().map(|rule| (new, rule))).transpose()?;
        let old = old.map(|old| {
            let rule = old.row.rule().ok();
            (old, rule)
        });
        let old_rule = old.as_ref().filter(|_| !(is_over && new.is_some())).map(|(_, rule)| rule.as_ref());
        let is_replaced = self.is_replaced && self.is_of_list(old.as_ref().map(|(old, _)| &old.row));
        let kind = Kind::of(old_rule, new.as_ref().map(|(_, rule)| rule), is_replaced);
        Ok(Some(Change { key, kind, new, old, is_over, waits: false, goes_early: false }))
    }

    /// Whether the import may remove a stored rule.
    fn is_of_list(&self, row: Option<&RuleRow>) -> bool {
        self.list.is_none() || row.is_some_and(|row| row.list == self.list)
    }

    /// Marks the changes that are part of a conflict.
    fn marked(&self, mut group: Vec<Change>) -> Vec<Change> {
        let app = group.first().and_then(Change::row).map(|row| &row.app);
        if app.is_none_or(|app| !self.conflicts.contains(app)) {
            return group;
        }
        let marks: Vec<_> = {
            let [old_denies, new_denies] = denies(&group);
            let mark = |change: &Change| {
                let [_, _, list, entry] = &change.key;
                let overrides = |denies: &Denies<'_>| list.is_empty() || denies.are_overridden_by(entry);
                (
                    change.kind.adds_allow() && overrides(&old_denies),
                    change.kind.takes_allow() && overrides(&new_denies),
                )
            };
            group.iter().map(mark).collect()
        };
        for (change, (waits, goes_early)) in group.iter_mut().zip(marks) {
            (change.waits, change.goes_early) = (waits, goes_early);
        }
        group
    }
}

impl Change {
    /// The steps of the change.
    pub(super) fn steps(&self) -> Vec<Step> {
        let old = self.old.as_ref().filter(|_| !self.is_over).map(|(_, rule)| rule.as_ref());
        self.kind.steps(old, self.new.as_ref().map(|(_, rule)| rule), self.waits, self.goes_early)
    }

    /// The change as people see it. `None` when nothing changes.
    pub(super) fn difference(&self) -> Option<Difference> {
        let old = || self.old.as_ref().map(|(old, _)| old.row.clone());
        match (&self.new, self.kind) {
            (_, Kind::Keep | Kind::Unchanged) => None,
            (Some((rule, _)), _) => Some(match old() {
                Some(previous) if !self.is_over => {
                    Difference::Changed { rule: rule.row.clone(), previous: Box::new(previous) }
                }
                _ => Difference::Added(rule.row.clone()),
            }),
            (None, _) => old().map(Difference::Removed),
        }
    }

    /// Whether a rule is stored that has not ended with its party.
    pub(super) fn has_previous(&self) -> bool {
        self.old.is_some() && !self.is_over
    }

    /// The rule that the change writes or removes.
    pub(super) fn row(&self) -> Option<&RuleRow> {
        self.new.as_ref().map(|(new, _)| &new.row).or(self.old.as_ref().map(|(old, _)| &old.row))
    }

    fn is_in_app(&self) -> bool {
        let [_, sk, ..] = &self.key;
        sk == "APP"
    }

    /// Whether both are in one list.
    fn is_beside(&self, other: &Self) -> bool {
        let ([pk, sk, list, _], [other_pk, other_sk, other_list, _]) = (&self.key, &other.key);
        !list.is_empty() && (pk, sk, list) == (other_pk, other_sk, other_list)
    }
}

/// The entries of a list that deny before and after the import.
fn denies(group: &[Change]) -> [Denies<'_>; 2] {
    let is_deny = |rule: &Rule| rule.effect == Effect::Deny && !rule.disabled;
    let (mut old, mut new) = (Denies::default(), Denies::default());
    for change in group {
        let [_, _, _, entry] = &change.key;
        let before = change.old.as_ref().filter(|_| !change.is_over).and_then(|(_, rule)| rule.as_ref());
        let after = match &change.new {
            Some((_, rule)) => Some(rule),
            None => before.filter(|_| change.kind == Kind::Keep),
        };
        if before.is_some_and(is_deny) {
            old.add(entry);
        }
        if after.is_some_and(is_deny) {
            new.add(entry);
        }
    }
    [old, new]
}

/// Finds the new allows that override old denies, and the old allows that override new denies.
fn find_overrides(group: &[Change], is_replaced: bool, apps: &mut HashMap<String, Overrides>) {
    let Some((first, RuleRow { app, .. })) = group.first().and_then(|first| Some((first, first.row()?))) else {
        return;
    };
    let [_, _, list, _] = &first.key;
    let [old_denies, new_denies] = denies(group);
    let any = |is_allow: fn(Kind) -> bool, denies: &Denies<'_>| {
        let mut allows = group.iter().filter(|change| is_allow(change.kind));
        allows.any(|Change { key: [_, _, list, entry], .. }| list.is_empty() || denies.are_overridden_by(entry))
    };
    let (new, old) = (any(Kind::adds_allow, &old_denies), any(Kind::takes_allow, &new_denies));
    // The items of apps come first, and pairs only conflict with the lists of apps.
    let is_relevant = !list.is_empty() && (new || old);
    if !is_relevant && !apps.contains_key(app) {
        return;
    }
    let known = apps.entry(app.clone()).or_insert_with(|| Overrides {
        // Without a scan, not all lists are read.
        party_denies: [!is_replaced; 2],
        ..Overrides::default()
    });
    let places = LISTS.map(|place| place == list);
    for (is_here, (known_new, known_old)) in places.into_iter().zip(known.new.iter_mut().zip(&mut known.old)) {
        *known_new |= is_here && new;
        *known_old |= is_here && old;
    }
    if matches!(list.as_str(), "incoming" | "outgoing") {
        let [old_party_deny, new_party_deny] = &mut known.party_denies;
        *old_party_deny |= !old_denies.is_empty();
        *new_party_deny |= !new_denies.is_empty();
    }
}

/// Adds notices about rules of a party that expires later, or that has expired.
fn notice(data: &Data, group: &[Change], notices: &mut Problems) -> Result<()> {
    let Some([pk, sk, list, _]) = group.first().map(|first| &first.key) else { return Ok(()) };
    if list.is_empty() {
        return Ok(());
    }
    let Some(at) = data.stored.item(pk, sk)?.and_then(|item| item.expires_at) else { return Ok(()) };
    let now = unix_time();
    for change in group {
        let Some((SortedRule { number, row, .. }, rule)) = &change.new else { continue };
        let party = if list == "incoming" { &row.to } else { &row.from };
        let (party, text) = (escape(party), row.text());
        let reason = if has_expired(Some(at), now) {
            format!("party `{party}` has expired; its former rules are removed when this rule is written: {text}")
        } else if rule.expires_at.is_some_and(|own| own <= at) {
            continue;
        } else {
            format!("party `{party}` expires at {}, and this rule with it: {text}", time::describe(at))
        };
        notices.add(Problem::of_line(*number, reason));
    }
    Ok(())
}

/// An item to which rules are added.
#[derive(Debug, Default)]
struct GrowingItem {
    key: [String; 2],
    list: String,
    bytes: u64,
    rules: u64,
    /// The number of rules until the item is full.
    fitting: u64,
}

impl GrowingItem {
    fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.rules += 1;
        if self.bytes <= MAX_ITEM_BYTES as u64 {
            self.fitting += 1;
        }
    }

    fn check(self) -> Result<()> {
        let Self { key: [pk, sk], list: _, bytes, rules, fitting } = self;
        if rules == 0 || bytes <= MAX_ITEM_BYTES as u64 {
            return Ok(());
        }
        let when = "during the import, with its old and new rules together";
        let fitting = format!("{fitting} of the file's {rules} rules for it would fit");
        Err(too_big(&Key { pk, sk }, bytes, when, &fitting))
    }
}
