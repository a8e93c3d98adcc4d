//! Restores the items of a [`backup`](crate::backup): checks the whole file, compares it with the table, and writes it.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::WriteRequest;
use callgate::store::item::{Attributes, Key};
use callgate_core::AppKey;
use tokio::task::JoinSet;

use crate::app_cache::max_age;
use crate::backup::{Footer, Header, reader};
use crate::error::{Error, Result};
use crate::history::{BulkChange, BulkCounts, is_change};
use crate::import::{ImportControl, wait};
use crate::item_edit::ItemEdit;
use crate::item_kind::{ItemKind, keys};
use crate::rules::Author;
use crate::table::Table;
use crate::table::batch::{MAX_ITEMS, Unconfirmed, put_request};

mod sorted_items;
mod tightened;

use sorted_items::{DifferentItem, SortedItems};
use tightened::tightened;

/// How many scans read the table at once.
const SEGMENTS: u16 = 2;

/// The most items that `BatchGetItem` returns.
const PAGE: usize = 100;

/// The stored items of a backup with more items than this are read with a scan, which is cheaper by item than reads by key.
const MAX_READS: u64 = 10_000;

/// A valid backup. Its items are in a temporary file.
#[derive(Debug)]
pub struct Restore {
    table: Table,
    items: SortedItems,
    /// The first line of the backup.
    pub header: Header,
    /// The last line of the backup.
    pub footer: Footer,
    counts: RestoreCounts,
    read_at: Instant,
    /// Whether the table has an app's item, which a function may have read a moment ago.
    has_app: bool,
}

/// How many items a restore changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreCounts {
    /// Items that the table does not have.
    pub added: u64,
    /// Items that differ from the table's.
    pub changed: u64,
    /// Items of the table that are not in the backup and are removed.
    pub removed: u64,
    /// Items that are in the table as they are in the backup.
    pub unchanged: u64,
    /// Items of the table that are not in the backup and stay.
    pub others: u64,
}

impl RestoreCounts {
    /// The number of items that differ.
    #[must_use]
    pub fn different(&self) -> u64 {
        self.added + self.changed + self.removed
    }
}

/// What a restore does with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemChange {
    /// The table does not have it.
    Added,
    /// It differs from the table's.
    Changed,
    /// It is not in the backup, and the backup replaces the table.
    Removed,
}

/// One of the two steps of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Writes what refuses calls.
    Tighten,
    /// Writes the rest.
    Finish,
}

impl Restore {
    /// Reads and checks a whole backup. The table is not read.
    ///
    /// # Errors
    /// [`Error::Local`] with the line that is not valid, or when the file was cut off or cannot be read.
    pub async fn check(table: &Table, source: impl Read + Send + 'static) -> Result<Self> {
        let table = table.clone();
        let check = move || {
            let items = SortedItems::new()?;
            let (header, footer) = reader::read(source, |number, item| {
                let (pk, sk) = keys(item).unwrap_or_default();
                if items.insert([pk, sk], item)? {
                    return Ok(());
                }
                Err(Error::Local(format!("line {number} has an item that is there already; nothing was written")))
            })?;
            let (counts, read_at) = (RestoreCounts::default(), Instant::now());
            Ok(Self { table, items, header, footer, counts, read_at, has_app: false })
        };
        tokio::task::spawn_blocking(check).await.map_err(|error| Error::Local(error.to_string()))?
    }

    /// Reads the stored items and compares them with the backup. With `is_replaced`, items that are not in the backup will be
    /// removed. Can be called again.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn plan(&mut self, is_replaced: bool) -> Result<RestoreCounts> {
        self.items.forget_stored()?;
        (self.counts, self.read_at, self.has_app) = (RestoreCounts::default(), Instant::now(), false);
        if is_replaced || self.footer.items > MAX_READS {
            let mut pages = self.table.scan_where(SEGMENTS, None);
            while let Some(page) = pages.recv().await {
                self.keep(&page?, is_replaced)?;
            }
        } else {
            let mut last = Default::default();
            loop {
                let page = self.items.keys(&last, PAGE)?;
                let Some(key) = page.last() else { break };
                last = key.clone();
                let page: Vec<_> = page.into_iter().map(|[pk, sk]| Key { pk, sk }).collect();
                let items = self.table.get_many(&page).await?;
                self.keep(&items, is_replaced)?;
            }
        }
        self.counts.added = self.footer.items - self.counts.changed - self.counts.unchanged;
        Ok(self.counts)
    }

    fn keep(&mut self, items: &[Attributes], is_replaced: bool) -> Result<()> {
        for item in items {
            let (kind, is_change) = (ItemKind::of(item), is_change(item));
            let Some((pk, sk)) = keys(item).filter(|_| kind.is_some() || is_change) else { continue };
            self.has_app |= matches!(kind, Some(ItemKind::App(_)));
            let counts = &mut self.counts;
            // The history is never removed.
            let is_replaced = is_replaced && !is_change;
            let count = match self.items.add_stored([pk, sk], item, is_replaced)? {
                Some(true) => &mut counts.unchanged,
                Some(false) => &mut counts.changed,
                None if is_change => continue,
                None if is_replaced => &mut counts.removed,
                None => &mut counts.others,
            };
            *count += 1;
        }
        Ok(())
    }

    /// How many items the restore changes. All counts are 0 before [`Self::plan`].
    #[must_use]
    pub fn counts(&self) -> RestoreCounts {
        self.counts
    }

    /// Calls `take` with every item that differs, sorted by key. A change of the history has no kind. Stops at its first error.
    ///
    /// # Errors
    /// The error of `take`, or why the temporary file cannot be read.
    pub fn for_each_difference<E: From<Error>>(
        &self,
        mut take: impl FnMut(ItemChange, Option<&ItemKind>, &[String; 2]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = <[String; 2]>::default();
        loop {
            let page = self.items.differences(&after, MAX_ITEMS)?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.key);
            for item in &page {
                let DifferentItem { key, new, old } = item;
                let change = match (new, old) {
                    (Some(_), None) => ItemChange::Added,
                    (None, _) => ItemChange::Removed,
                    _ => ItemChange::Changed,
                };
                take(change, item.kind().as_ref(), key)?;
            }
        }
    }

    /// Writes and removes what [`Self::plan`] found, with up to `concurrency` requests at once. At every moment, the table
    /// permits only calls that the items before or the items of the backup permit. For that, it waits until no function uses
    /// an older version of an app's item, which the function keeps for `app_cache`; `announce` is called with the length of
    /// the wait. Items that changed since they were read are replaced all the same, but not removed.
    ///
    /// # Errors
    /// Why the restore ended early: [`Error::Stopped`] when `control` stopped it, [`Error::Conflict`] when items changed and
    /// were not removed. Running it again completes it.
    pub async fn apply(
        &mut self,
        concurrency: u16,
        app_cache: Duration,
        author: &Author,
        control: &ImportControl,
        announce: impl Fn(Duration),
    ) -> Result<()> {
        let bulk = self.table.begin_bulk(author, self.counts_of_apps()?, None).await?;
        let delay = max_age(app_cache);
        let (tightened, mut changed) = self.run(Step::Tighten, concurrency, control, &bulk).await?;
        if self.has_app {
            // A restore that was ended a moment ago may have written what this one did not have to write.
            let since = if tightened > 0 { Instant::now() } else { self.read_at };
            wait(delay.saturating_sub(since.elapsed()), control, &announce).await;
        }
        changed += self.run(Step::Finish, concurrency, control, &bulk).await?.1;
        let text = match changed {
            0 => return self.table.complete_bulk(&bulk).await,
            1 => "1 item was not removed, because another writer changed it meanwhile".to_owned(),
            _ => format!("{changed} items were not removed, because other writers changed them meanwhile"),
        };
        Err(Error::Conflict(text))
    }

    /// What the restore changes in each app.
    fn counts_of_apps(&self) -> Result<Vec<(AppKey, BulkCounts)>> {
        let mut apps = BTreeMap::<String, BulkCounts>::new();
        self.for_each_difference(|change, kind, _| {
            let Some(kind) = kind else { return Ok::<_, Error>(()) };
            let counts = apps.entry(kind.app().to_owned()).or_default();
            *match change {
                ItemChange::Added => &mut counts.added,
                ItemChange::Changed => &mut counts.changed,
                ItemChange::Removed => &mut counts.removed,
            } += 1;
            Ok(())
        })?;
        Ok(apps.into_iter().filter_map(|(app, counts)| Some((AppKey::new(&app).ok()?, counts))).collect())
    }

    /// Runs a step to its end. Returns the number of requests, and of items that changed meanwhile and were not removed.
    async fn run(
        &mut self,
        step: Step,
        concurrency: u16,
        control: &ImportControl,
        bulk: &BulkChange,
    ) -> Result<(u64, u64)> {
        let (mut after, mut sent, mut changed, mut writers) = (Default::default(), 0, 0, JoinSet::new());
        let add = |result: Result<Result<u64>, _>, changed: &mut u64| {
            *changed += result.map_err(|error: tokio::task::JoinError| Error::Local(error.to_string()))??;
            Ok::<_, Error>(())
        };
        loop {
            if control.is_stopped() {
                break;
            }
            let page = self.items.differences(&after, MAX_ITEMS)?;
            let Some(last) = page.last() else { break };
            after = last.key.clone();
            let mut writes = Writes::default();
            page.into_iter().try_for_each(|item| writes.add(item, step))?;
            if writes.is_empty() {
                continue;
            }
            if writers.len() >= usize::from(concurrency.max(1))
                && let Some(result) = writers.join_next().await
            {
                add(result, &mut changed)?;
            }
            sent += 1;
            writers.spawn(writes.send(self.table.clone(), control.clone(), bulk.clone()));
        }
        while let Some(result) = writers.join_next().await {
            add(result, &mut changed)?;
        }
        if control.is_stopped() {
            Err(Error::Stopped("the restore was stopped".to_owned()))
        } else {
            Ok((sent, changed))
        }
    }
}

impl DifferentItem {
    fn kind(&self) -> Option<ItemKind> {
        self.new.as_ref().or(self.old.as_ref()).and_then(ItemKind::of)
    }
}

/// The requests for a page of items.
#[derive(Default)]
struct Writes {
    puts: Vec<WriteRequest>,
    /// The items to replace, and what they are after it.
    replacements: Vec<(Key, Attributes)>,
    /// The items to remove, as they were read, and what they are until then.
    removals: Vec<(Key, Attributes, Option<Attributes>)>,
    /// How many items are as in the backup after this.
    completed: u64,
}

impl Writes {
    fn add(&mut self, item: DifferentItem, step: Step) -> Result<()> {
        let Some(kind) = item.kind() else {
            // A change of the history.
            if let Some(change) = item.new.filter(|_| step == Step::Finish) {
                self.puts.push(put_request(change)?);
                self.completed += 1;
            }
            return Ok(());
        };
        let DifferentItem { key: [pk, sk], new, old } = item;
        let tightened = tightened(&kind, old.as_ref(), new.as_ref());
        let (before, after) = match step {
            Step::Tighten => (old, tightened.clone()),
            Step::Finish => (tightened.clone(), new.clone()),
        };
        if before == after {
            return Ok(());
        }
        self.completed += u64::from(step == Step::Finish || tightened == new);
        match (before, after) {
            (Some(item), after) if new.is_none() => self.removals.push((Key { pk, sk }, item, after)),
            (Some(item), None) => self.removals.push((Key { pk, sk }, item, None)),
            (Some(_), Some(item)) => self.replacements.push((Key { pk, sk }, item)),
            (None, Some(item)) => self.puts.push(put_request(item)?),
            (None, None) => {}
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.replacements.is_empty() && self.removals.is_empty()
    }

    /// Sends the requests. Returns the number of items that changed meanwhile and were not removed.
    async fn send(self, table: Table, control: ImportControl, bulk: BulkChange) -> Result<u64> {
        let Self { mut puts, replacements, removals, completed } = self;
        for (key, item) in replacements {
            if bulk.records(&key) {
                table.replace_in_bulk(&key, &item, &bulk).await?;
            } else {
                puts.push(put_request(item)?);
            }
        }
        if !puts.is_empty() {
            table.write_items(puts).await.map_err(|Unconfirmed { requests: _, error }| error)?;
        }
        let mut changed = 0;
        for (key, item, after) in removals {
            let is_removal = after.is_none();
            let edit = ItemEdit::replace(&key, Some(&item), after);
            let is_removed = if bulk.records(&key) {
                table.edit_in_bulk(edit, &bulk, |_| true).await?
            } else {
                table.edit_unrecorded(edit).await?
            };
            // If it changed before the last step, it is not removed in that.
            changed += u64::from(is_removal && !is_removed);
        }
        control.add_items(completed.saturating_sub(changed));
        Ok(changed)
    }
}
