//! Change items: written with what they describe, and read back.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, EXPIRES_AT, Key, PK, SK};
use callgate_core::{AppKey, EpochSeconds};
use jiff::Timestamp;

use super::bulk::{read_counts, write_counts};
use super::{BulkCounts, Change, ChangedValue, Place};
use crate::item_kind::{keys, unescape};
use crate::rules::Author;
use crate::table::size::{MAX_ITEM_BYTES, size_of_item};

/// The beginning of the partition keys of change items.
pub(crate) const HISTORY_PREFIX: &str = "HISTORY#";

/// The room for the key and the author of a change in its item.
const RESERVED_BYTES: usize = 8 * 1024;

/// The partition key of the changes of an app.
pub(crate) fn history_pk(app: &AppKey) -> String {
    pk_for(&Key::app(app).pk)
}

/// The partition key of the changes of the app that an item with this partition key belongs to.
fn pk_for(pk: &str) -> String {
    let app = pk.strip_prefix("APP#").or_else(|| pk.strip_prefix("PARTY#")?.split('#').next()).unwrap_or_default();
    format!("{HISTORY_PREFIX}{app}")
}

/// The app of a partition key of changes.
pub(super) fn app_of(pk: &str) -> Option<AppKey> {
    AppKey::new(&unescape(pk.strip_prefix(HISTORY_PREFIX)?)?).ok()
}

/// Whether an item is a change.
pub(crate) fn is_change(item: &Attributes) -> bool {
    keys(item).is_some_and(|(pk, _)| app_of(pk).is_some())
}

/// The sort key of a change that is written now: sorted by time, and unique.
pub(super) fn new_id() -> String {
    format!("{:.6}#{:08x}", Timestamp::now(), RandomState::new().build_hasher().finish() & 0xffff_ffff)
}

impl Author {
    /// The change items of a command that changed these values, one for each app.
    pub(crate) fn records_of(&self, changes: Vec<ChangedValue>, undoes: Option<&str>) -> Vec<Attributes> {
        let mut records: Vec<(String, Vec<ChangedValue>)> = Vec::new();
        for change in changes {
            let pk = pk_for(&change.key.pk);
            match records.iter_mut().find(|(other, _)| *other == pk) {
                Some((_, changes)) => changes.push(change),
                None => records.push((pk, vec![change])),
            }
        }
        let records = records.into_iter().map(|(pk, changes)| self.record(pk, &changes, undoes));
        records.collect()
    }

    /// The change item of one value of a command that changes many.
    pub(crate) fn record_of(&self, change: &ChangedValue) -> Attributes {
        self.record(pk_for(&change.key.pk), std::slice::from_ref(change), None)
    }

    fn record(&self, pk: String, changes: &[ChangedValue], undoes: Option<&str>) -> Attributes {
        let mut item = self.signed(pk, new_id());
        if let Some(undoes) = undoes {
            item.insert("undoes".to_owned(), text(undoes));
        }
        let values = changes.iter().map(|change| AttributeValue::M(write_value(change)));
        item.insert("values".to_owned(), AttributeValue::L(values.collect()));
        if size_of_item(&item) > MAX_ITEM_BYTES - RESERVED_BYTES {
            let without = changes.iter().map(|change| ChangedValue { before: None, after: None, ..change.clone() });
            let values = without.map(|change| AttributeValue::M(write_value(&change)));
            item.insert("values".to_owned(), AttributeValue::L(values.collect()));
            item.insert("cut".to_owned(), AttributeValue::Bool(true));
        }
        item
    }

    /// The summary of a command that changes many items of an app.
    pub(super) fn summary(&self, pk: String, id: String, counts: &BulkCounts, list: Option<&str>) -> Attributes {
        let mut item = self.signed(pk, id);
        item.insert("counts".to_owned(), AttributeValue::M(write_counts(counts)));
        if let Some(list) = list {
            item.insert("list".to_owned(), text(list));
        }
        item
    }

    fn signed(&self, pk: String, id: String) -> Attributes {
        let kept_for = EpochSeconds::from(self.keep_days) * 24 * 60 * 60;
        let expires_at = AttributeValue::N(self.at.saturating_add(kept_for).to_string());
        let texts = [(PK, pk), (SK, id), ("by", self.name.clone()), ("command", self.command.clone())];
        let texts = texts.into_iter().map(|(name, value)| (name.to_owned(), AttributeValue::S(value)));
        texts.chain([(EXPIRES_AT.to_owned(), expires_at)]).collect()
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn write_value(ChangedValue { key, place, before, after }: &ChangedValue) -> Attributes {
    let mut value = key.attributes();
    let mut insert = |name: &str, it: AttributeValue| value.insert(name.to_owned(), it);
    match place {
        Place::Item => {}
        Place::Attribute(name) => _ = insert("attribute", text(name)),
        Place::Entry(list, entry) => {
            insert("attribute", text(list));
            insert("entry", text(entry));
        }
        Place::Member(set, member) => {
            insert("attribute", text(set));
            insert("member", text(member));
        }
    }
    for (name, it) in [("before", before), ("after", after)] {
        if let Some(it) = it {
            insert(name, it.clone());
        }
    }
    value
}

fn read_value(value: &AttributeValue) -> Option<ChangedValue> {
    let value = value.as_m().ok()?;
    let (pk, sk) = keys(value)?;
    let text = |name: &str| value.get(name).and_then(|it| it.as_s().ok()).cloned();
    let place = match (text("attribute"), text("entry"), text("member")) {
        (None, ..) => Place::Item,
        (Some(list), Some(entry), _) => Place::Entry(list, entry),
        (Some(set), None, Some(member)) => Place::Member(set, member),
        (Some(name), None, None) => Place::Attribute(name),
    };
    let [before, after] = ["before", "after"].map(|name| value.get(name).cloned());
    Some(ChangedValue { key: Key { pk: pk.to_owned(), sk: sk.to_owned() }, place, before, after })
}

/// The change of an item. `None` for an item that is not a change.
pub(super) fn read(item: &Attributes) -> Option<Change> {
    let (pk, id) = keys(item)?;
    app_of(pk)?;
    let text = |name: &str| item.get(name).and_then(|it| it.as_s().ok()).cloned();
    let values = item.get("values").and_then(|values| values.as_l().ok()).map(Vec::as_slice).unwrap_or_default();
    Some(Change {
        id: id.to_owned(),
        at: id.split('#').next()?.parse().ok()?,
        author: text("by").unwrap_or_default(),
        command: text("command").unwrap_or_default(),
        values: values.iter().filter_map(read_value).collect(),
        undoes: text("undoes"),
        counts: item.get("counts").and_then(read_counts),
        list: text("list"),
        is_cut: item.get("cut").is_some(),
    })
}
