//! Gives an app another key: copies all its items, then deletes the originals. At no moment a call is permitted that neither the
//! rules before nor the rules after permit.
//!
//! The new app is suspended until it is complete, and the old one before anything of it is deleted. Attributes of their items
//! name the other app, so that a move that was interrupted is found and completed.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, Key, PK, SK};
use callgate_core::{AppKey, Status};

use crate::error::{Error, Result};
use crate::history::BulkCounts;
use crate::item_kind::{ItemKind, key_of, keys};
use crate::mentions::{for_each, wait_for_caches};
use crate::move_party::is_same_item;
use crate::rules::Author;
use crate::table::Table;
use crate::table::batch::{MAX_ITEMS, Unconfirmed, put_request};
use crate::table::index::parties_prefix;
use crate::table::items::{Expression, Update};
use crate::table::scan::Filter;

/// The attribute of the new app's item that names the old app, until everything is copied.
const MOVED_FROM: &str = "moved_from";

/// The attribute of the old app's item that names the new app, from when everything is copied.
const MOVED_TO: &str = "moved_to";

/// The simultaneous scans of the table.
const SEGMENTS: u16 = 4;

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is done yet, or not everything is copied.
    Copy,
    /// Everything is copied.
    Delete,
}

/// An app to move, and what is in its way.
#[derive(Debug, Clone)]
pub struct AppMove {
    from: AppKey,
    to: AppKey,
    stage: Stage,
    is_resumed: bool,
    /// The items to copy or, if that is done, to delete.
    pub source: ItemCounts,
    /// The items that the new app has already. An interrupted move may have copied some of them.
    pub target: ItemCounts,
}

/// How many items an app has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ItemCounts {
    /// The app's own item: none or one.
    pub apps: u64,
    /// Items of parties.
    pub parties: u64,
    /// Rules between two parties.
    pub pairs: u64,
}

impl ItemCounts {
    /// The number of all items.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.apps + self.parties + self.pairs
    }
}

impl AppMove {
    /// Whether an earlier move between these apps was interrupted.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Whether everything is copied, so that the originals only have to be deleted.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.stage == Stage::Delete
    }

    /// The key of an item of the old app in the new one, or the other way round.
    fn other_key(&self, key: &Key) -> Option<Key> {
        let (from, to) = (&self.from, &self.to);
        for (from, to) in [(from, to), (to, from)] {
            if key.pk == Key::app(from).pk {
                return Some(Key::app(to));
            }
            if let Some(id) = key.pk.strip_prefix(&parties_prefix(from)) {
                return Some(Key { pk: format!("{}{id}", parties_prefix(to)), sk: key.sk.clone() });
            }
        }
        None
    }
}

impl Table {
    /// Counts the items of both apps, and finds out whether a move was interrupted. Scans the table, and writes nothing.
    ///
    /// # Errors
    /// [`Error::InvalidItem`] when one of the apps is being moved from or to a third one, or why the table cannot be read.
    pub async fn plan_app_move(&self, from: &AppKey, to: &AppKey) -> Result<AppMove> {
        if from == to {
            return Err(Error::InvalidInput(format!("both apps are `{from}`")));
        }
        let (from_key, to_key) = (Key::app(from), Key::app(to));
        let (source, target) = tokio::try_join!(self.get(&from_key), self.get(&to_key))?;
        let mark = |item: &Option<Attributes>, name: &str| {
            item.as_ref().and_then(|item| item.get(name)).and_then(|value| value.as_s().ok()).cloned()
        };
        let (moved_to, moved_from) = (mark(&source, MOVED_TO), mark(&target, MOVED_FROM));
        for (mark, expected, app) in [(&moved_to, to, from), (&moved_from, from, to)] {
            if let Some(other) = mark.as_deref().filter(|other| *other != expected.as_str()) {
                return Err(Error::InvalidItem(format!(
                    "a move between the apps `{app}` and `{other}` was interrupted; complete it first"
                )));
            }
        }
        let mut plan = AppMove {
            from: from.clone(),
            to: to.clone(),
            stage: if moved_to.is_some() { Stage::Delete } else { Stage::Copy },
            is_resumed: moved_to.is_some() || moved_from.is_some(),
            source: ItemCounts::default(),
            target: ItemCounts::default(),
        };
        (plan.source, plan.target) = tokio::try_join!(self.count_items(from), self.count_items(to))?;
        Ok(plan)
    }

    async fn count_items(&self, app: &AppKey) -> Result<ItemCounts> {
        let mut counts = ItemCounts::default();
        let mut pages = self.scan_where(SEGMENTS, Some(Filter::by_app(app)));
        while let Some(page) = pages.recv().await {
            for item in page? {
                match ItemKind::of(&item) {
                    Some(ItemKind::App(_)) => counts.apps += 1,
                    Some(ItemKind::Party(..)) => counts.parties += 1,
                    Some(ItemKind::Pair(..)) => counts.pairs += 1,
                    None => {}
                }
            }
        }
        Ok(counts)
    }

    /// Moves the app. Items of the new app that the old one does not have are deleted first. When it is interrupted, planning and
    /// doing it again completes it. Returns the keys of the items that remain in the old app, because they were written while it
    /// was moved, or their copies were changed.
    ///
    /// The functions keep an app's item for `app_cache`; `announce` is called with the length of each wait for them.
    ///
    /// # Errors
    /// [`Error::Conflict`] when something changed since it was read, or why the table cannot be changed.
    pub async fn move_app(
        &self,
        plan: &AppMove,
        author: &Author,
        app_cache: Duration,
        announce: impl Fn(Duration),
    ) -> Result<Vec<Key>> {
        let (moved, replaced) = (plan.source.all(), if plan.is_resumed { 0 } else { plan.target.all() });
        let old = BulkCounts { removed: moved, more: moved, ..BulkCounts::default() };
        let new = BulkCounts { added: moved, removed: replaced, more: replaced, ..BulkCounts::default() };
        let bulk = self.begin_bulk(author, [(plan.from.clone(), old), (plan.to.clone(), new)], None).await?;
        if plan.stage == Stage::Copy {
            self.mark(&plan.to, MOVED_FROM, &plan.from, true).await?;
            wait_for_caches(Instant::now(), app_cache, &announce).await;
            self.delete_others(plan).await?;
            self.copy_items(plan).await?;
            self.mark(&plan.from, MOVED_TO, &plan.to, false).await?;
        }
        self.open_moved_app(plan).await?;
        self.mark(&plan.from, MOVED_TO, &plan.to, true).await?;
        wait_for_caches(Instant::now(), app_cache, &announce).await;
        let remaining = self.delete_copied(plan).await?;
        if remaining.is_empty() {
            let key = Key::app(&plan.from);
            if let Some(item) = self.get(&key).await? {
                self.delete_as_read(&key, &item).await?;
            }
            self.complete_bulk(&bulk).await?;
        }
        Ok(remaining)
    }

    /// Marks the item of an app with the name of the other one, and perhaps suspends it.
    async fn mark(&self, app: &AppKey, mark: &str, other: &AppKey, suspends: bool) -> Result<()> {
        let mut expression = Expression::default();
        let mark = expression.name(mark);
        let mut action = format!("SET {mark} = {}", expression.value(AttributeValue::S(other.to_string())));
        if suspends {
            let suspended = AttributeValue::S(Status::Suspended.as_str().to_owned());
            let (status, suspended) = (expression.name("status"), expression.value(suspended));
            action = format!("{action}, {status} = {suspended}");
        }
        self.update(Update { key: &Key::app(app), action, condition: None, expression }).await.map(drop)
    }

    /// Calls `take` with the items of an app in groups that one request can read, without the app's own item.
    async fn for_each_group<F>(&self, app: &AppKey, size: usize, take: impl Fn(Vec<Attributes>) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let mut pages = self.scan_where(SEGMENTS, Some(Filter::by_app(app)));
        while let Some(page) = pages.recv().await {
            let items = page?.into_iter();
            let items: Vec<_> = items.filter(|item| keys(item).is_some_and(|(_, sk)| sk != "APP")).collect();
            for_each(items.chunks(size).map(<[Attributes]>::to_vec), &take).await?;
        }
        Ok(())
    }

    /// Deletes the items of the new app that are not copies of the old app's items.
    async fn delete_others(&self, plan: &AppMove) -> Result<()> {
        self.for_each_group(&plan.to, 100, |items| {
            let (table, plan) = (self.clone(), plan.clone());
            async move {
                for (key, item, original) in table.with_others(&plan, items).await? {
                    if !original.is_some_and(|original| is_same_item(&original, &item)) {
                        table.delete_as_read(&key, &item).await?;
                    }
                }
                Ok(())
            }
        })
        .await
    }

    async fn copy_items(&self, plan: &AppMove) -> Result<()> {
        self.for_each_group(&plan.from, MAX_ITEMS, |items| {
            let (table, plan) = (self.clone(), plan.clone());
            async move {
                let requests = items.into_iter().filter_map(|mut item| {
                    item.extend(plan.other_key(&key_of(&item)?)?.attributes());
                    Some(put_request(item))
                });
                let requests = requests.collect::<Result<Vec<_>>>()?;
                table.write_items(requests).await.map_err(|Unconfirmed { error, .. }| error)
            }
        })
        .await
    }

    /// Gives the new app the item of the old one, so that its calls are decided. Does nothing if that is done.
    async fn open_moved_app(&self, plan: &AppMove) -> Result<()> {
        let (from_key, to_key) = (Key::app(&plan.from), Key::app(&plan.to));
        let (source, target) = tokio::try_join!(self.get(&from_key), self.get(&to_key))?;
        let Some(target) = target.filter(|item| item.contains_key(MOVED_FROM)) else { return Ok(()) };
        let mut source = source.unwrap_or_default();
        source.retain(|name, _| ![PK, SK, MOVED_FROM, MOVED_TO].contains(&name.as_str()));
        let mut expression = Expression::default();
        let condition = expression.unchanged(Some(&target));
        // An app without an item has none under its new key.
        let is_done = if source.is_empty() {
            self.delete(&to_key, condition, expression).await?
        } else {
            self.replace(&to_key, source, condition, expression).await?
        };
        if is_done {
            return Ok(());
        }
        Err(Error::Conflict(format!("another writer changed the item of app `{}` meanwhile; try again", plan.to)))
    }

    /// Deletes the items of the old app that are copied. Returns the keys of the others.
    async fn delete_copied(&self, plan: &AppMove) -> Result<Vec<Key>> {
        let (sender, mut remaining) = tokio::sync::mpsc::unbounded_channel();
        self.for_each_group(&plan.from, 100, |items| {
            let (table, plan, sender) = (self.clone(), plan.clone(), sender.clone());
            async move {
                for (key, item, copy) in table.with_others(&plan, items).await? {
                    if copy.is_some_and(|copy| is_same_item(&copy, &item)) {
                        table.delete_as_read(&key, &item).await?;
                    } else {
                        // The receiver is there until all tasks have ended.
                        let _ = sender.send(key);
                    }
                }
                Ok(())
            }
        })
        .await?;
        drop(sender);
        let mut keys = Vec::new();
        while let Some(key) = remaining.recv().await {
            keys.push(key);
        }
        keys.sort_by(|one, other| (&one.pk, &one.sk).cmp(&(&other.pk, &other.sk)));
        Ok(keys)
    }

    /// Items with their keys, and the items of the other app in their places.
    async fn with_others(
        &self,
        plan: &AppMove,
        items: Vec<Attributes>,
    ) -> Result<Vec<(Key, Attributes, Option<Attributes>)>> {
        let keyed: Vec<_> = items
            .into_iter()
            .filter_map(|item| {
                let key = key_of(&item)?;
                Some((plan.other_key(&key)?, key, item))
            })
            .collect();
        let others: Vec<_> = keyed.iter().map(|(other, ..)| other.clone()).collect();
        let mut others: std::collections::HashMap<_, _> =
            self.get_many(&others).await?.into_iter().filter_map(|item| Some((key_of(&item)?, item))).collect();
        Ok(keyed.into_iter().map(|(other, key, item)| (key, item, others.remove(&other))).collect())
    }
}
