//! Sends the batches of an import to the table.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::WriteRequest;
use callgate::store::item::{Attributes, Key};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinError;

use super::apply::{ImportControl, UnconfirmedRule};
use super::batches::{Batch, BatchAction, PlannedRule};
use crate::error::{Error, Result};
use crate::rule_row::RuleRow;
use crate::stored_rule::{BLOCKED, StoredRow, rows_of};
use crate::table::Table;
use crate::table::batch::{MAX_ATTEMPTS, Unconfirmed};

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
) -> Result<Vec<RuleRow>, Failure> {
    let mut changed = Vec::new();
    while !control.is_stopped() {
        let Some(batch) = batches.lock().await.recv().await else { break };
        changed.extend(write_batch(&table, batch, &control).await?);
    }
    Ok(changed)
}

async fn write_batch(table: &Table, batch: Batch, control: &ImportControl) -> Result<Vec<RuleRow>, Failure> {
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
            put_pairs(table, &rules, requests, control).await.map_err(failed)?;
            Ok(Vec::new())
        }
        BatchAction::PutEntries(key, list, entries) => {
            put_entries(table, &rules, (&key, &list), &entries, control).await.map_err(failed)?;
            Ok(Vec::new())
        }
        BatchAction::PutBlock(key, block) => {
            table.put_block(&key, block).await.map_err(|error| failed((rules.first(), error)))?;
            control.add(&rules);
            Ok(Vec::new())
        }
        BatchAction::RemoveBlock(key) => remove_block(table, &rules, &key, control).await.map_err(failed),
        BatchAction::RemovePairs(keys) => remove_pairs(table, &rules, keys, control).await.map_err(failed),
        BatchAction::RemoveEntries(key, list, entries) => {
            remove_entries(table, &rules, (&key, &list), &entries, control).await.map_err(failed)
        }
    }
}

async fn put_pairs<'a>(
    table: &Table,
    rules: &'a [PlannedRule],
    requests: Vec<WriteRequest>,
    control: &ImportControl,
) -> Result<(), Rejection<'a>> {
    let Err(Unconfirmed { requests: rest, error }) = table.write_items(requests.clone()).await else {
        control.add(rules);
        return Ok(());
    };
    let (unconfirmed, confirmed): (Vec<_>, Vec<_>) =
        rules.iter().zip(requests).partition(|(_, request)| rest.contains(request));
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
    table: &Table,
    rules: &'a [PlannedRule],
    (key, list): (&Key, &str),
    entries: &[(String, Attributes)],
    control: &ImportControl,
) -> Result<(), Rejection<'a>> {
    let Err(error) = table.put_entries(key, list, entries).await else {
        control.add(rules);
        return Ok(());
    };
    if !is_about_an_item(&error) {
        return Err((rules.first(), error));
    }
    for (rule, entry) in rules.iter().zip(entries) {
        table.put_entries(key, list, std::slice::from_ref(entry)).await.map_err(|error| (Some(rule), error))?;
        control.add([rule]);
    }
    Ok(())
}

/// Deletes pairs that are as planned. Returns those that are not.
async fn remove_pairs<'a>(
    table: &Table,
    rules: &'a [PlannedRule],
    keys: Vec<Key>,
    control: &ImportControl,
) -> Result<Vec<RuleRow>, Rejection<'a>> {
    let mut changed = Vec::new();
    let mut rest: Vec<_> = rules.iter().zip(keys).collect();
    for _ in 0..MAX_ATTEMPTS {
        let keys: Vec<_> = rest.iter().map(|(_, key)| key.clone()).collect();
        let items = table.get_many(&keys).await.map_err(|error| (rest.first().map(|(rule, _)| *rule), error))?;
        let mut again = Vec::new();
        for (rule, key) in rest {
            let Some(item) = items.iter().find(|item| key.is_of(item)) else {
                // Another writer has deleted it.
                control.add([rule]);
                continue;
            };
            match rows_of(item).into_iter().next() {
                Some(StoredRow { row, .. }) if row != rule.row => changed.push(row),
                _ if table.delete_pair(&key, item).await.map_err(|error| (Some(rule), error))? => control.add([rule]),
                _ => again.push((rule, key)),
            }
        }
        rest = again;
        if rest.is_empty() {
            return Ok(changed);
        }
    }
    changed.extend(rest.into_iter().map(|(rule, _)| rule.row.clone()));
    Ok(changed)
}

/// Removes entries that are as planned. Returns those that are not.
async fn remove_entries<'a>(
    table: &Table,
    rules: &'a [PlannedRule],
    (key, list): (&Key, &str),
    entries: &[String],
    control: &ImportControl,
) -> Result<Vec<RuleRow>, Rejection<'a>> {
    for _ in 0..MAX_ATTEMPTS {
        let item = table.get(key).await.map_err(|error| (rules.first(), error))?.unwrap_or_default();
        let mut stored: HashMap<_, _> = rows_of(&item)
            .into_iter()
            .filter(|stored| stored.list == list)
            .filter_map(|StoredRow { entry, row, value, .. }| Some((entry, (row, value?))))
            .collect();
        let (mut changed, mut removed, mut confirmed) = (Vec::new(), Vec::new(), Vec::new());
        for (rule, entry) in rules.iter().zip(entries) {
            match stored.remove(entry) {
                Some((row, _)) if row != rule.row => {
                    changed.push(row);
                    continue;
                }
                Some((_, value)) => removed.push((entry.as_str(), value)),
                // Another writer has removed it.
                None => {}
            }
            confirmed.push(rule);
        }
        let removal = async || table.remove_entries(key, list, &removed).await;
        if removed.is_empty() || removal().await.map_err(|error| (confirmed.first().copied(), error))? {
            control.add(confirmed);
            return Ok(changed);
        }
    }
    Ok(rules.iter().map(|rule| rule.row.clone()).collect())
}

/// Removes a block that is as planned. Returns it if it is not.
async fn remove_block<'a>(
    table: &Table,
    rules: &'a [PlannedRule],
    key: &Key,
    control: &ImportControl,
) -> Result<Vec<RuleRow>, Rejection<'a>> {
    let Some(rule) = rules.first() else { return Ok(Vec::new()) };
    for _ in 0..MAX_ATTEMPTS {
        let item = table.get(key).await.map_err(|error| (Some(rule), error))?.unwrap_or_default();
        let stored = rows_of(&item).into_iter().find(|stored| stored.list == BLOCKED);
        match stored {
            Some(StoredRow { row, .. }) if row != rule.row => return Ok(vec![row]),
            Some(StoredRow { value: Some(value), .. })
                if !table.remove_block(key, value).await.map_err(|error| (Some(rule), error))? =>
            {
                continue;
            }
            // It is removed, by this or by another writer.
            _ => {}
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
