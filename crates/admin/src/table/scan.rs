//! Scans the whole table.

use callgate::store::item::{Attributes, Key};
use callgate_core::{AppKey, PartyId};
use tokio::sync::mpsc;

use super::Table;
use crate::error::Result;
use crate::item_kind::{ItemKind, keys};

impl Table {
    /// The keys of the rules of a caller to single parties.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn pairs_of_caller(&self, app: &AppKey, caller: &PartyId) -> Result<Vec<Key>> {
        let mut found = Vec::new();
        let mut pages = self.scan(2);
        while let Some(page) = pages.recv().await {
            for item in page? {
                if let (Some(ItemKind::Pair(of, _, from)), Some((pk, sk))) = (ItemKind::of(&item), keys(&item))
                    && of == app.as_str()
                    && from == caller.as_str()
                {
                    found.push(Key { pk: pk.to_owned(), sk: sk.to_owned() });
                }
            }
        }
        Ok(found)
    }

    /// Reads every item, page by page and in no particular order, with several scans at once. A slow reader slows the
    /// scans down, so that only a few pages are in memory at any time.
    #[must_use]
    pub fn scan(&self, segments: u16) -> mpsc::Receiver<Result<Vec<Attributes>>> {
        let (pages, reader) = mpsc::channel(usize::from(segments));
        for segment in 0..segments {
            let (table, pages) = (self.clone(), pages.clone());
            tokio::spawn(async move {
                if let Err(error) = table.scan_segment(segment, segments, &pages).await {
                    // This fails if the reader was dropped, which needs no error.
                    let _ = pages.send(Err(error)).await;
                }
            });
        }
        reader
    }

    async fn scan_segment(
        &self,
        segment: u16,
        segments: u16,
        pages: &mpsc::Sender<Result<Vec<Attributes>>>,
    ) -> Result<()> {
        let mut scan = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true)
            .segment(i32::from(segment))
            .total_segments(i32::from(segments))
            .into_paginator()
            .send();
        while let Some(page) = scan.next().await {
            let page = page.map_err(|error| self.request_error("cannot read the table", &error))?;
            if pages.send(Ok(page.items.unwrap_or_default())).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
