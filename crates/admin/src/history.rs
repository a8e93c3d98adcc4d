//! The history: who changed what, with the values before and after.
//!
//! Each change is an item of its own, with the partition key `HISTORY#<app>` and a sort key that begins with its time. It is
//! written in the same transaction as what it describes. The function never reads it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, Key, SK};
use callgate_core::{AppKey, EpochSeconds, PartyId, Pattern};
use jiff::Timestamp;

use crate::error::Result;
use crate::groups::GROUPS;
use crate::item_kind::ItemKind;
use crate::table::Table;

mod bulk;
mod description;
mod differences;
mod record;

pub(crate) use bulk::BulkChange;
pub use bulk::BulkCounts;
pub use description::{Description, ValueView};
pub(crate) use record::{HISTORY_PREFIX, history_pk, is_change};

/// How many days a change is kept unless the author chooses another number.
pub const DEFAULT_KEEP_DAYS: u16 = 400;

/// A change, as the history has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The sort key of its item: its time, and a random part.
    pub id: String,
    /// When it was written.
    pub at: Timestamp,
    /// The AWS identity, or the user of the machine.
    pub author: String,
    /// The command, as it was typed.
    pub command: String,
    /// What changed. Empty for the summary of a command that changes many items.
    pub values: Vec<ChangedValue>,
    /// The change that this one takes back.
    pub undoes: Option<String>,
    /// The counts of a command that changes many items.
    pub counts: Option<BulkCounts>,
    /// The file or feed of an import.
    pub list: Option<String>,
    /// Whether values were left out because they are too large for an item.
    pub is_cut: bool,
}

/// A value that a change wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedValue {
    /// The item.
    pub key: Key,
    /// The place in the item.
    pub place: Place,
    /// The value before. `None` if there was none.
    pub before: Option<AttributeValue>,
    /// The value after. `None` if it was removed.
    pub after: Option<AttributeValue>,
}

/// A place in an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The whole item, without its key.
    Item,
    /// An attribute.
    Attribute(String),
    /// An entry of a list of rules: the attribute, and the entry's key.
    Entry(String, String),
    /// A member of a set: the attribute, and the member.
    Member(String, String),
}

/// The attributes that are lists of rules.
pub(crate) const LISTS: [&str; 4] = ["callers", "destinations", "incoming", "outgoing"];

impl Place {
    /// What an item has in this place.
    pub(crate) fn value_in(&self, item: Option<&Attributes>) -> Option<AttributeValue> {
        let item = item?;
        match self {
            Self::Item => Some(AttributeValue::M(crate::item_edit::without_key(item))),
            Self::Attribute(name) => item.get(name).cloned(),
            Self::Entry(list, entry) => item.get(list)?.as_m().ok()?.get(entry).cloned(),
            Self::Member(set, member) => {
                item.get(set)?.as_ss().ok()?.contains(member).then(|| AttributeValue::S(member.clone()))
            }
        }
    }

    /// The lists that a change of this place has from their beginning to their end.
    fn whole_lists(&self) -> Vec<String> {
        match self {
            Self::Item => LISTS.map(str::to_owned).to_vec(),
            Self::Attribute(name) => LISTS.iter().filter(|list| *list == name).map(|&list| list.to_owned()).collect(),
            Self::Entry(..) | Self::Member(..) => Vec::new(),
        }
    }

    /// The place that the history names for a change of this one: for the first entry of a list, the list itself, so that the
    /// list can be removed again.
    pub(crate) fn recorded(&self, item: Option<&Attributes>) -> Self {
        match self {
            Self::Entry(list, _) if item.is_none_or(|item| !item.contains_key(list)) => Self::Attribute(list.clone()),
            place => place.clone(),
        }
    }
}

impl ChangedValue {
    /// The same change in its smallest parts: rule by rule, group by group, attribute by attribute. Only a pair item, which is one
    /// rule, stays whole.
    #[must_use]
    pub fn parts(&self) -> Vec<Self> {
        let Self { key, place, before, after } = self;
        let part = |place, before, after| Self { key: key.clone(), place, before, after };
        let parts = match place {
            Place::Item if !matches!(ItemKind::of(&key.attributes()), Some(ItemKind::Pair(..))) => {
                let whole = |value: &Option<AttributeValue>| match value {
                    Some(AttributeValue::M(item)) => item.clone(),
                    _ => Attributes::new(),
                };
                let parts = pairs(whole(before), whole(after));
                parts.flat_map(|(name, old, new)| part(Place::Attribute(name), old, new).parts()).collect()
            }
            Place::Attribute(list) if LISTS.contains(&list.as_str()) => {
                match (entries(before.as_ref()), entries(after.as_ref())) {
                    (Some(old), Some(new)) if !(old.is_empty() && new.is_empty()) => pairs(old, new)
                        .map(|(entry, old, new)| part(Place::Entry(list.clone(), entry), old, new))
                        .collect(),
                    _ => vec![self.clone()],
                }
            }
            Place::Attribute(set) if set == GROUPS => match (members(before.as_ref()), members(after.as_ref())) {
                (Some(old), Some(new)) => {
                    let member =
                        |name: &String, set: &BTreeSet<_>| set.contains(name).then(|| AttributeValue::S(name.clone()));
                    let part = |name: &String| {
                        part(Place::Member(set.clone(), name.clone()), member(name, &old), member(name, &new))
                    };
                    old.union(&new).map(part).collect()
                }
                _ => vec![self.clone()],
            },
            _ => vec![self.clone()],
        };
        parts.into_iter().filter(|part| part.before.is_some() || part.after.is_some() || part == self).collect()
    }

    /// Whether the change is about this party: about its item, a rule between exactly it and another, or one that names it.
    #[must_use]
    pub fn names(&self, party: &PartyId) -> bool {
        let is_party = |id: &str| id == party.as_str();
        let is_of_item = match ItemKind::of(&self.key.attributes()) {
            Some(ItemKind::Party(_, id)) => is_party(&id),
            Some(ItemKind::Pair(_, callee, caller)) => is_party(&callee) || is_party(&caller),
            Some(ItemKind::App(_)) | None => false,
        };
        let is_named = |part: &Self| {
            let Place::Entry(_, entry) = &part.place else { return false };
            matches!(Pattern::from_stored(entry), Pattern::Exact(id) if is_party(&id))
        };
        is_of_item || self.parts().iter().any(is_named)
    }
}

/// The values of two maps under each name, sorted by name.
fn pairs(
    mut old: Attributes,
    new: Attributes,
) -> impl Iterator<Item = (String, Option<AttributeValue>, Option<AttributeValue>)> {
    let mut all: BTreeMap<_, _> =
        new.into_iter().map(|(name, new)| (name.clone(), (old.remove(&name), Some(new)))).collect();
    all.extend(old.into_iter().map(|(name, old)| (name, (Some(old), None))));
    all.into_iter().map(|(name, (old, new))| (name, old, new))
}

fn entries(value: Option<&AttributeValue>) -> Option<Attributes> {
    match value {
        None => Some(Attributes::new()),
        Some(value) => value.as_m().ok().cloned(),
    }
}

fn members(value: Option<&AttributeValue>) -> Option<BTreeSet<String>> {
    match value {
        None => Some(BTreeSet::new()),
        Some(value) => value.as_ss().ok().map(|names| names.iter().cloned().collect()),
    }
}

/// Which changes to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct HistoryFilter<'a> {
    /// Those about this party.
    pub party: Option<&'a PartyId>,
    /// Those since this moment.
    pub since: Option<EpochSeconds>,
    /// Those before this change.
    pub before: Option<&'a str>,
}

/// Some changes of an app, newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistoryPage {
    /// The changes.
    pub changes: Vec<Change>,
    /// How many were read.
    pub read: usize,
    /// The change before which the next page begins. `None` if there are no more.
    pub next: Option<String>,
}

/// How many changes are read with one request.
const PAGE: i32 = 100;

/// How many changes a page reads at most.
const MAX_READ: usize = 1_000;

impl Change {
    /// Whether the change is about this party. One that changed many items may be about any.
    #[must_use]
    pub fn names(&self, party: &PartyId) -> bool {
        self.counts.is_some() || self.values.iter().any(|value| value.names(party))
    }
}

impl Table {
    /// Reads the changes of an app since a moment, oldest first.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn history(&self, app: &AppKey, since: Option<EpochSeconds>) -> Result<Vec<Change>> {
        let since = since.and_then(|since| Timestamp::from_second(since).ok());
        // A key cannot be compared with an empty text, and this is before every time.
        let from = since.map_or_else(|| "0".to_owned(), |since| format!("{since:.6}"));
        let items = self.query_from(&Key { pk: history_pk(app), sk: from }).await?;
        Ok(items.iter().filter_map(record::read).collect())
    }

    /// Reads changes of an app from the newest to the oldest, without reading all of them: those since a moment, about a party, and
    /// before another change. Ends when `limit` changes are found or 1,000 are read.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn history_page(&self, app: &AppKey, filter: HistoryFilter<'_>, limit: usize) -> Result<HistoryPage> {
        let HistoryFilter { party, since, before } = filter;
        let since = since.and_then(|since| Timestamp::from_second(since).ok());
        let mut page = HistoryPage::default();
        let mut end = before.map(str::to_owned);
        loop {
            let condition = if end.is_some() { "#pk = :pk AND #sk < :end" } else { "#pk = :pk" };
            let mut query = self.query_partition(&history_pk(app), condition);
            if let Some(end) = end.take() {
                query = query.expression_attribute_names("#sk", SK);
                query = query.expression_attribute_values(":end", AttributeValue::S(end));
            }
            let answer = query.scan_index_forward(false).limit(PAGE).send().await;
            let answer = answer.map_err(|error| self.request_error("cannot read the table", &error))?;
            for item in answer.items() {
                page.read += 1;
                let Some(change) = record::read(item) else { continue };
                if since.is_some_and(|since| change.at < since) {
                    return Ok(page);
                }
                end = Some(change.id.clone());
                if party.is_none_or(|party| change.names(party)) {
                    page.changes.push(change);
                }
                if page.changes.len() >= limit {
                    page.next = end;
                    return Ok(page);
                }
            }
            if answer.last_evaluated_key().is_none() || end.is_none() {
                return Ok(page);
            }
            if page.read >= MAX_READ {
                page.next = end;
                return Ok(page);
            }
        }
    }

    /// Reads one change.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn change(&self, app: &AppKey, id: &str) -> Result<Option<Change>> {
        let item = self.get(&Key { pk: history_pk(app), sk: id.to_owned() }).await?;
        Ok(item.as_ref().and_then(record::read))
    }

    /// Finds the app that has a change with this id.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn app_of_change(&self, id: &str) -> Result<Option<AppKey>> {
        let keys = self.find_keys(id, HISTORY_PREFIX).await?;
        Ok(keys.first().and_then(|key| record::app_of(&key.pk)))
    }

    /// Finds the last change that is the wanted one, and is not older than a moment.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn last_change(
        &self,
        app: &AppKey,
        since: Option<EpochSeconds>,
        is_wanted: impl Fn(&Change) -> bool,
    ) -> Result<Option<Change>> {
        let query = self.query_partition(&history_pk(app), "#pk = :pk").scan_index_forward(false);
        // It is usually one of the last ones.
        let (mut limit, mut start) = (Some(10), None);
        loop {
            let page = query.clone().set_limit(limit.take()).set_exclusive_start_key(start).send().await;
            let page = page.map_err(|error| self.request_error("cannot read the table", &error))?;
            for change in page.items().iter().filter_map(record::read) {
                if since.is_some_and(|since| change.at.as_second() < since) {
                    return Ok(None);
                }
                if is_wanted(&change) {
                    return Ok(Some(change));
                }
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(None);
            }
        }
    }
}
