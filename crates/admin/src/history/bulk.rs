//! Commands that change many items: one summary for each app, and a change item for each rule that is changed or removed, up to
//! a number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, Key};
use callgate_core::{AppKey, EpochSeconds};

use super::record::{history_pk, new_id};
use crate::error::Result;
use crate::item_kind::ItemKind;
use crate::rules::Author;
use crate::table::Table;
use crate::table::batch::{MAX_ITEMS, Unconfirmed, put_request};

/// How many rules or items have a change item of their own, for one command.
const MAX_RECORDED: u64 = 1_000;

/// What a command that changes many items did in an app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkCounts {
    /// The rules, or items, that were not there before.
    pub added: u64,
    /// Those that were replaced.
    pub changed: u64,
    /// Those that were removed.
    pub removed: u64,
    /// How many of those that were changed or removed have no change item of their own.
    pub more: u64,
    /// Whether the command ran to its end. Otherwise the counts are what it was to do.
    pub is_complete: bool,
    /// The moment with which its rules are signed.
    pub signed_at: EpochSeconds,
}

impl BulkCounts {
    /// Whether something was changed that has no change item of its own.
    #[must_use]
    pub fn has_unrecorded(&self) -> bool {
        self.added > 0 || self.more > 0 || !self.is_complete
    }
}

/// A command that changes many items, while it runs. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct BulkChange {
    author: Author,
    list: Option<String>,
    /// By partition key of the history: the summary's id and counts, and how many values were recorded.
    apps: Arc<Mutex<Apps>>,
}

#[derive(Debug, Default)]
struct Apps {
    recorded: u64,
    summaries: BTreeMap<String, (String, BulkCounts)>,
}

impl BulkChange {
    /// The author of the change.
    pub(crate) fn author(&self) -> &Author {
        &self.author
    }

    /// Whether the change of a value in this item gets a change item of its own. Otherwise it is counted.
    pub(crate) fn records(&self, key: &Key) -> bool {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if apps.recorded < MAX_RECORDED {
            apps.recorded += 1;
            return true;
        }
        let app = ItemKind::of(&key.attributes()).and_then(|kind| AppKey::new(kind.app()).ok());
        if let Some((_, counts)) = app.and_then(|app| apps.summaries.get_mut(&history_pk(&app))) {
            counts.more += 1;
        }
        false
    }

    fn summaries(&self) -> Result<Vec<aws_sdk_dynamodb::types::WriteRequest>> {
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let summaries = apps.summaries.iter().map(|(pk, (id, counts))| {
            put_request(self.author.summary(pk.clone(), id.clone(), counts, self.list.as_deref()))
        });
        summaries.collect()
    }
}

impl Table {
    /// Writes the summaries of a command before it changes anything, so that a command that ends early is in the history too.
    pub(crate) async fn begin_bulk(
        &self,
        author: &Author,
        apps: impl IntoIterator<Item = (AppKey, BulkCounts)>,
        list: Option<&str>,
    ) -> Result<BulkChange> {
        let summaries = apps.into_iter().map(|(app, counts)| {
            (history_pk(&app), (new_id(), BulkCounts { signed_at: author.at, is_complete: false, ..counts }))
        });
        let apps = Apps { recorded: 0, summaries: summaries.collect() };
        let bulk =
            BulkChange { author: author.clone(), list: list.map(str::to_owned), apps: Arc::new(Mutex::new(apps)) };
        self.write_summaries(&bulk).await?;
        Ok(bulk)
    }

    /// Marks the summaries of a command as complete.
    pub(crate) async fn complete_bulk(&self, bulk: &BulkChange) -> Result<()> {
        {
            let mut apps = bulk.apps.lock().unwrap_or_else(PoisonError::into_inner);
            apps.summaries.values_mut().for_each(|(_, counts)| counts.is_complete = true);
        }
        self.write_summaries(bulk).await
    }

    async fn write_summaries(&self, bulk: &BulkChange) -> Result<()> {
        let requests = bulk.summaries()?;
        for requests in requests.chunks(MAX_ITEMS) {
            let written = self.write_items(requests.to_vec()).await;
            written.map_err(|Unconfirmed { requests: _, error }| error)?;
        }
        Ok(())
    }
}

pub(super) fn write_counts(counts: &BulkCounts) -> Attributes {
    let BulkCounts { added, changed, removed, more, is_complete, signed_at } = *counts;
    let numbers = [("added", added), ("changed", changed), ("removed", removed), ("more", more)];
    let numbers = numbers.into_iter().map(|(name, number)| (name, AttributeValue::N(number.to_string())));
    let others =
        [("complete", AttributeValue::Bool(is_complete)), ("signed_at", AttributeValue::N(signed_at.to_string()))];
    numbers.chain(others).map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn read_counts(counts: &AttributeValue) -> Option<BulkCounts> {
    let counts = counts.as_m().ok()?;
    let text = |name: &str| counts.get(name).and_then(|it| it.as_n().ok());
    let number = |name: &str| text(name).and_then(|it| it.parse().ok()).unwrap_or_default();
    Some(BulkCounts {
        added: number("added"),
        changed: number("changed"),
        removed: number("removed"),
        more: number("more"),
        is_complete: counts.get("complete").is_some_and(|it| it.as_bool().is_ok_and(|it| *it)),
        signed_at: text("signed_at").and_then(|it| it.parse().ok()).unwrap_or_default(),
    })
}
