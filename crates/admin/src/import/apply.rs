//! Writes a checked import to the table: one task builds requests, several send them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_sdk_dynamodb::types::WriteRequest;
use callgate::store::item::{self, Attributes, Key};
use callgate_core::Rule;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinError, JoinSet};

use super::Import;
use crate::error::{Error, Result};
use crate::rule_row::RuleRow;
use crate::rules::Author;
use crate::sorted_rules::{SortedRule, SortedRules};
use crate::table::Table;
use crate::table::batch::{MAX_ENTRIES, MAX_ITEMS, delete_request, put_request};

/// Reports the progress of a running import, and stops it. Clones control the same import.
#[derive(Debug, Clone, Default)]
pub struct ImportControl(Arc<State>);

#[derive(Debug, Default)]
struct State {
    done: AtomicU64,
    is_stopped: AtomicBool,
}

impl ImportControl {
    /// The number of rules that are written or removed so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// Stops the import. Requests that are under way are completed.
    pub fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.0.is_stopped.load(Ordering::Relaxed)
    }

    fn add(&self, rules: u64) {
        self.0.done.fetch_add(rules, Ordering::Relaxed);
    }
}

/// How many rules an import changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The rules that were written, including unchanged ones.
    pub written: u64,
    /// The rules that were removed.
    pub removed: u64,
}

/// An import that was not completed. Importing the same file again completes it.
#[derive(Debug, thiserror::Error)]
#[error("{done} of {total} rules are written")]
pub struct ApplyError {
    /// The number of rules that are written or removed.
    pub done: u64,
    /// The number of rules to write and remove.
    pub total: u64,
    /// Why the import ended early. [`Error::Stopped`] when its [`ImportControl`] stopped it.
    #[source]
    pub error: Error,
}

impl Import {
    /// Writes every rule, with up to `concurrency` requests at once. Then removes those that [`Self::replace`] found.
    ///
    /// # Errors
    /// How many rules are written, and why the others are not.
    pub async fn apply(
        self,
        author: &Author,
        concurrency: u16,
        control: &ImportControl,
    ) -> Result<Applied, ApplyError> {
        let Self { table, rules, removed, warnings: _ } = self;
        let applied = Applied { written: rules.len(), removed: removed.len() };
        let total = applied.written + applied.removed;
        let (queue, batches) = mpsc::channel(usize::from(concurrency).max(1));
        let author = author.clone();
        let feeder = tokio::task::spawn_blocking(move || feed(&rules, &removed, queue, author));
        let batches = Arc::new(Mutex::new(batches));
        let mut writers = JoinSet::new();
        for _ in 0..concurrency.max(1) {
            writers.spawn(write_batches(table.clone(), Arc::clone(&batches), control.clone()));
        }
        drop(batches);
        let mut failure = None;
        while let Some(result) = writers.join_next().await {
            if let Err(error) = result.unwrap_or_else(|error| Err(task_failed(&error))) {
                control.stop();
                failure.get_or_insert(error);
            }
        }
        // When the writers have stopped, the feeder cannot send the rest. That is not another failure.
        let fed = feeder.await.unwrap_or_else(|error| Err(task_failed(&error)));
        let done = control.done();
        let result = match failure {
            Some(error) => Err(error),
            None if control.is_stopped() && done < total => Err(Error::Stopped("the import was stopped".to_owned())),
            None => fed,
        };
        result.map(|()| applied).map_err(|error| ApplyError { done, total, error })
    }
}

fn task_failed(error: &JoinError) -> Error {
    Error::Local(format!("a task of the import failed: {error}"))
}

/// Puts all rules into batches for the writers.
fn feed(rules: &SortedRules, removed: &SortedRules, queue: mpsc::Sender<Batch>, author: Author) -> Result<()> {
    let mut feeder = Feeder { queue, author, requests: Vec::new(), entries: None };
    rules.for_each(|SortedRule { key, row }| feeder.put(key, &row))?;
    feeder.finish()?;
    removed.for_each(|SortedRule { key, row: _ }| feeder.remove(key))?;
    feeder.finish()
}

/// Sends batches to the table until there are no more.
async fn write_batches(table: Table, batches: Arc<Mutex<mpsc::Receiver<Batch>>>, control: ImportControl) -> Result<()> {
    while !control.is_stopped() {
        let Some(batch) = batches.lock().await.recv().await else { break };
        let rules = batch.rules();
        write_batch(&table, batch).await?;
        control.add(rules);
    }
    Ok(())
}

async fn write_batch(table: &Table, batch: Batch) -> Result<()> {
    match batch {
        Batch::Items(requests) => table.write_items(requests).await,
        Batch::Entries(Entries { key, list, put, removed }) => {
            if !put.is_empty() {
                table.put_entries(&key, &list, put).await?;
            }
            if removed.is_empty() { Ok(()) } else { table.remove_entries(&key, &list, &removed).await }
        }
    }
}

/// The rules of one request: pair items, or entries of one list.
enum Batch {
    Items(Vec<WriteRequest>),
    Entries(Entries),
}

/// The changes to one list of one item.
struct Entries {
    key: Key,
    list: String,
    put: Vec<(String, Attributes)>,
    removed: Vec<String>,
}

impl Entries {
    fn len(&self) -> usize {
        self.put.len() + self.removed.len()
    }
}

impl Batch {
    fn rules(&self) -> u64 {
        match self {
            Self::Items(requests) => requests.len() as u64,
            Self::Entries(entries) => entries.len() as u64,
        }
    }
}

/// Collects rules that can be written with one request.
struct Feeder {
    queue: mpsc::Sender<Batch>,
    author: Author,
    requests: Vec<WriteRequest>,
    entries: Option<Entries>,
}

impl Feeder {
    fn put(&mut self, [pk, sk, list, entry]: [String; 4], row: &RuleRow) -> Result<()> {
        let Author { name, at } = &self.author;
        let rule = Rule { updated_at: Some(*at), updated_by: Some(name.clone()), ..row.rule()? };
        let mut attributes = item::write_rule(&rule);
        let key = Key { pk, sk };
        if list.is_empty() {
            attributes.extend(key.attributes());
            return self.add_request(put_request(attributes)?);
        }
        self.entries_of(key, list)?.put.push((entry, attributes));
        Ok(())
    }

    fn remove(&mut self, [pk, sk, list, entry]: [String; 4]) -> Result<()> {
        let key = Key { pk, sk };
        if list.is_empty() {
            return self.add_request(delete_request(&key)?);
        }
        self.entries_of(key, list)?.removed.push(entry);
        Ok(())
    }

    fn add_request(&mut self, request: WriteRequest) -> Result<()> {
        self.requests.push(request);
        if self.requests.len() < MAX_ITEMS { Ok(()) } else { self.send_requests() }
    }

    /// The batch for entries of a list. Sends the current batch first if it is full or belongs to another list.
    fn entries_of(&mut self, key: Key, list: String) -> Result<&mut Entries> {
        if self.entries.as_ref().is_some_and(|it| it.key != key || it.list != list || it.len() >= MAX_ENTRIES) {
            self.send_entries()?;
        }
        Ok(self.entries.get_or_insert_with(|| Entries { key, list, put: Vec::new(), removed: Vec::new() }))
    }

    fn finish(&mut self) -> Result<()> {
        self.send_requests()?;
        self.send_entries()
    }

    fn send_requests(&mut self) -> Result<()> {
        let requests = std::mem::take(&mut self.requests);
        if requests.is_empty() { Ok(()) } else { self.send(Batch::Items(requests)) }
    }

    fn send_entries(&mut self) -> Result<()> {
        self.entries.take().map_or(Ok(()), |entries| self.send(Batch::Entries(entries)))
    }

    fn send(&self, batch: Batch) -> Result<()> {
        self.queue.blocking_send(batch).map_err(|_| Error::Stopped("the writers have stopped".to_owned()))
    }
}
