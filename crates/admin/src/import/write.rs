//! Sends the batches of an import to the table.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use callgate::store::item::{Attributes, Key};
use callgate_core::has_expired;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinError;

use super::apply::{ImportControl, UnconfirmedRule};
use super::batches::{Batch, BatchAction, PlannedRule};
use crate::error::{Error, Result};
use crate::history::{BulkChange, Place};
use crate::item_edit::ItemEdit;
use crate::item_kind::key_of;
use crate::rule_row::RuleRow;
use crate::rules::retry_pause;
use crate::stored_rule::{BLOCKED, StoredRow, expiry_of, rows_of};
use crate::table::Table;
use crate::table::batch::{MAX_ATTEMPTS, Unconfirmed, unix_time};
use crate::table::items::is_same;

/// Why a batch or a phase failed.
pub(super) struct Failure {
    /// The number of the batch.
    pub(super) batch: u64,
    pub(super) unconfirmed: Option<Box<UnconfirmedRule>>,
    pub(super) error: Error,
}

impl Failure {
    pub(super) fn of_task(error: &JoinError) -> Self {
        let error = Error::Local(format!("a task of the import failed: {error}"));
        Self { batch: u64::MAX, unconfirmed: None, error }
    }
}

/// The error of a request, and the first rule that it did not confirm.
type Rejection<'a> = (Option<&'a PlannedRule>, Error);

/// Sends batches to the table until there are no more. Returns the rules that changed meanwhile and were not removed.
pub(super) async fn write_batches(
    table: Table,
    batches: Arc<Mutex<mpsc::Receiver<Batch>>>,
    control: ImportControl,
    bulk: BulkChange,
) -> Result<Vec<RuleRow>, Failure> {
    let mut changed = Vec::new();
    while !control.is_stopped() {
        let Some(batch) = batches.lock().await.recv().await else { break };
        changed.extend(write_batch(Writer { table: &table, control: &control, bulk: &bulk }, batch).await?);
    }
    Ok(changed)
}

/// What the batches are written with.
#[derive(Clone, Copy)]
struct Writer<'a> {
    table: &'a Table,
    control: &'a ImportControl,
    bulk: &'a BulkChange,
}

impl Writer<'_> {
    /// Makes an edit, and records the values of those places for which this was decided before.
    async fn edit(self, edit: ItemEdit<'_>, recorded: &BTreeSet<Place>) -> Result<bool> {
        if recorded.is_empty() {
            return self.table.edit_unrecorded(edit).await;
        }
        self.table.edit_in_bulk(edit, self.bulk, |place| recorded.contains(place)).await
    }

    /// The places of the rules that get a change item of their own.
    fn recorded<'a>(self, key: &Key, places: impl IntoIterator<Item = (&'a PlannedRule, Place)>) -> BTreeSet<Place> {
        let places = places.into_iter().filter(|(rule, _)| rule.has_previous && self.bulk.records(key));
        places.map(|(_, place)| place).collect()
    }
}

async fn write_batch(writer: Writer<'_>, batch: Batch) -> Result<Vec<RuleRow>, Failure> {
    let Batch { number, rules, action } = batch;
    let failed = |(rule, error): Rejection<'_>| {
        let is_cause = is_about_an_item(&error);
        let unconfirmed = rule.map(|PlannedRule { line, row, .. }| {
            Box::new(UnconfirmedRule { line: *line, rule: row.clone(), is_cause })
        });
        Failure { batch: number, unconfirmed, error }
    };
    match action {
        BatchAction::PutPairs(requests) => {
            put_pairs(writer, &rules, requests).await.map_err(failed)?;
            Ok(Vec::new())
        }
        BatchAction::PutEntries(key, list, entries) => {
            put_entries(writer, &rules, (&key, &list), &entries).await.map_err(failed)?;
            Ok(Vec::new())
        }
        BatchAction::PutBlock(key, block) => {
            put_block(writer, &rules, &key, block).await.map_err(failed)?;
            Ok(Vec::new())
        }
        BatchAction::RemoveBlock(key) => remove_block(writer, &rules, &key).await.map_err(failed),
        BatchAction::RemovePairs(keys) => remove_pairs(writer, &rules, keys).await.map_err(failed),
        BatchAction::RemoveEntries(key, list, entries) => {
            remove_entries(writer, &rules, (&key, &list), &entries).await.map_err(failed)
        }
    }
}

async fn put_pairs<'a>(
    writer: Writer<'_>,
    rules: &'a [PlannedRule],
    requests: Vec<WriteRequest>,
) -> Result<(), Rejection<'a>> {
    let Writer { table, control, bulk } = writer;
    let (mut added, mut put) = (Vec::new(), Vec::new());
    for (rule, request) in rules.iter().zip(requests) {
        let item = request.put_request().map(PutRequest::item).cloned().unwrap_or_default();
        if let Some(key) = key_of(&item).filter(|key| rule.has_previous && bulk.records(key)) {
            table.replace_in_bulk(&key, &item, bulk).await.map_err(|error| (Some(rule), error))?;
            control.add([rule]);
        } else {
            added.push(rule);
            put.push(request);
        }
    }
    if put.is_empty() {
        return Ok(());
    }
    let Err(Unconfirmed { requests: rest, error }) = table.write_items(put.clone()).await else {
        control.add(added);
        return Ok(());
    };
    let (unconfirmed, confirmed): (Vec<_>, Vec<_>) =
        added.into_iter().zip(put).partition(|(_, request)| rest.contains(request));
    control.add(confirmed.into_iter().map(|(rule, _)| rule));
    if !is_about_an_item(&error) {
        return Err((unconfirmed.first().map(|(rule, _)| *rule), error));
    }
    // One item is the cause, so each is written by itself.
    for (rule, request) in unconfirmed {
        table.write_items(vec![request]).await.map_err(|Unconfirmed { error, .. }| (Some(rule), error))?;
        control.add([rule]);
    }
    Ok(())
}

async fn put_entries<'a>(
    writer: Writer<'_>,
    rules: &'a [PlannedRule],
    (key, list): (&Key, &str),
    entries: &[(String, Attributes)],
) -> Result<(), Rejection<'a>> {
    let Writer { table, control, .. } = writer;
    let place = |entry: &str| Place::Entry(list.to_owned(), entry.to_owned());
    let recorded = writer.recorded(key, rules.iter().zip(entries).map(|(rule, (entry, _))| (rule, place(entry))));
    let put = async |entries: &[(String, Attributes)]| {
        let is_recorded = entries.iter().any(|(entry, _)| recorded.contains(&place(entry)));
        if !is_recorded {
            return table.put_entries(key, list, entries).await;
        }
        let values =
            || entries.iter().map(|(entry, rule)| (place(entry), Some(AttributeValue::M(rule.clone())))).collect();
        put_recorded(writer, key, values, &recorded).await
    };
    let Err(error) = put(entries).await else {
        control.add(rules);
        return Ok(());
    };
    if !is_about_an_item(&error) {
        return Err((rules.first(), error));
    }
    for (rule, entry) in rules.iter().zip(entries) {
        put(std::slice::from_ref(entry)).await.map_err(|error| (Some(rule), error))?;
        control.add([rule]);
    }
    Ok(())
}

/// Writes values into an item, whatever it has there now, together with the change items. The item of a party that has expired is
/// replaced.
async fn put_recorded(
    writer: Writer<'_>,
    key: &Key,
    values: impl Fn() -> Vec<(Place, Option<AttributeValue>)>,
    recorded: &BTreeSet<Place>,
) -> Result<()> {
    for attempt in 0..MAX_ATTEMPTS {
        let now = unix_time();
        let item = writer.table.get(key).await?;
        let is_party = key.sk == "PARTY";
        let is_expired = is_party && has_expired(item.as_ref().and_then(expiry_of), now);
        let new = values();
        let is_stored =
            |(place, new): &(Place, Option<_>)| is_same(place.value_in(item.as_ref()).as_ref(), new.as_ref());
        let is_done = new.iter().all(is_stored);
        if is_done && !is_expired {
            return Ok(());
        }
        let edit = if is_expired {
            ItemEdit::replace_expired(key, item.as_ref(), ItemEdit::attributes_of(&new)?)
        } else {
            let not_expired_at = is_party.then_some(now);
            ItemEdit { key, item: item.as_ref(), values: new, not_expired_at, unchanged: None }
        };
        if writer.edit(edit, recorded).await? {
            return Ok(());
        }
        tokio::time::sleep(retry_pause(attempt)).await;
    }
    Err(Error::Conflict(format!("other writers keep changing `{}`", key.pk)))
}

async fn put_block<'a>(
    writer: Writer<'_>,
    rules: &'a [PlannedRule],
    key: &Key,
    block: Attributes,
) -> Result<(), Rejection<'a>> {
    let place = Place::Attribute(BLOCKED.to_owned());
    let recorded = writer.recorded(key, rules.iter().map(|rule| (rule, place.clone())));
    let written = if recorded.is_empty() {
        writer.table.put_block(key, block).await
    } else {
        let values = || vec![(place.clone(), Some(AttributeValue::M(block.clone())))];
        put_recorded(writer, key, values, &recorded).await
    };
    written.map_err(|error| (rules.first(), error))?;
    writer.control.add(rules);
    Ok(())
}

/// Deletes pairs that are as planned. Returns those that are not.
async fn remove_pairs<'a>(
    writer: Writer<'_>,
    rules: &'a [PlannedRule],
    keys: Vec<Key>,
) -> Result<Vec<RuleRow>, Rejection<'a>> {
    let Writer { table, control, .. } = writer;
    let mut changed = Vec::new();
    let recorded = |rule, key: &Key| writer.recorded(key, [(rule, Place::Item)]);
    let rest = rules.iter().zip(keys).map(|(rule, key)| (rule, recorded(rule, &key), key));
    let mut rest: Vec<_> = rest.collect();
    for _ in 0..MAX_ATTEMPTS {
        let keys: Vec<_> = rest.iter().map(|(.., key)| key.clone()).collect();
        let items = table.get_many(&keys).await.map_err(|error| (rest.first().map(|(rule, ..)| *rule), error))?;
        let mut again = Vec::new();
        for (rule, recorded, key) in rest {
            let Some(item) = items.iter().find(|item| key.is_of(item)) else {
                // Another writer has deleted it.
                control.add([rule]);
                continue;
            };
            let edit = || writer.edit(ItemEdit::replace(&key, Some(item), None), &recorded);
            match rows_of(item).into_iter().next() {
                Some(StoredRow { row, .. }) if row != rule.row => changed.push(row),
                _ if edit().await.map_err(|error| (Some(rule), error))? => control.add([rule]),
                _ => again.push((rule, recorded, key)),
            }
        }
        rest = again;
        if rest.is_empty() {
            return Ok(changed);
        }
    }
    changed.extend(rest.into_iter().map(|(rule, ..)| rule.row.clone()));
    Ok(changed)
}

/// Removes entries that are as planned. Returns those that are not.
async fn remove_entries<'a>(
    writer: Writer<'_>,
    rules: &'a [PlannedRule],
    (key, list): (&Key, &str),
    entries: &[String],
) -> Result<Vec<RuleRow>, Rejection<'a>> {
    let Writer { table, control, .. } = writer;
    let place = |entry: &String| Place::Entry(list.to_owned(), entry.clone());
    let recorded = writer.recorded(key, rules.iter().zip(entries).map(|(rule, entry)| (rule, place(entry))));
    for _ in 0..MAX_ATTEMPTS {
        let item = table.get(key).await.map_err(|error| (rules.first(), error))?.unwrap_or_default();
        let stored: HashMap<_, _> = rows_of(&item)
            .into_iter()
            .filter(|stored| stored.list == list && stored.value.is_some())
            .map(|StoredRow { entry, row, .. }| (entry, row))
            .collect();
        let (mut changed, mut removed, mut confirmed) = (Vec::new(), Vec::new(), Vec::new());
        for (rule, entry) in rules.iter().zip(entries) {
            match stored.get(entry) {
                Some(row) if *row != rule.row => {
                    changed.push(row.clone());
                    continue;
                }
                Some(_) => removed.push(place(entry)),
                // Another writer has removed it.
                None => {}
            }
            confirmed.push(rule);
        }
        let removal = async || writer.edit(ItemEdit::remove(key, Some(&item), removed.clone()), &recorded).await;
        if removed.is_empty() || removal().await.map_err(|error| (confirmed.first().copied(), error))? {
            control.add(confirmed);
            return Ok(changed);
        }
    }
    Ok(rules.iter().map(|rule| rule.row.clone()).collect())
}

/// Removes a block that is as planned. Returns it if it is not.
async fn remove_block<'a>(
    writer: Writer<'_>,
    rules: &'a [PlannedRule],
    key: &Key,
) -> Result<Vec<RuleRow>, Rejection<'a>> {
    let Writer { table, control, .. } = writer;
    let Some(rule) = rules.first() else { return Ok(Vec::new()) };
    let place = Place::Attribute(BLOCKED.to_owned());
    let recorded = writer.recorded(key, [(rule, place.clone())]);
    for _ in 0..MAX_ATTEMPTS {
        let item = table.get(key).await.map_err(|error| (Some(rule), error))?;
        let row = item
            .as_ref()
            .and_then(|item| rows_of(item).into_iter().find(|stored| stored.list == BLOCKED))
            .map(|stored| stored.row);
        match row {
            Some(row) if row != rule.row => return Ok(vec![row]),
            Some(_) => {
                let edit = ItemEdit::remove(key, item.as_ref(), [place.clone()]);
                if !writer.edit(edit, &recorded).await.map_err(|error| (Some(rule), error))? {
                    continue;
                }
            }
            // Another writer has removed it.
            None => {}
        }
        control.add([rule]);
        return Ok(Vec::new());
    }
    Ok(vec![rule.row.clone()])
}

/// Whether `DynamoDB` or the item refuses what is written, so that other items of the batch may be accepted.
fn is_about_an_item(error: &Error) -> bool {
    match error {
        Error::InvalidItem(_) => true,
        Error::Request { code, .. } => code.as_deref() == Some("ValidationException"),
        _ => false,
    }
}
