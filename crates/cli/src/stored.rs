//! Every rule of the table as it is stored, and the scan that finds them.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes};
use callgate_core::{EpochSeconds, ParseError, Rule};
use tokio::sync::mpsc;

use crate::connection::Table;
use crate::items::ItemKind;

/// A rule where it stands.
#[derive(Debug, Clone)]
pub(crate) struct StoredRule {
    pub(crate) app: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// The list it is an entry of; none, and it is a pair's item.
    pub(crate) list: Option<&'static str>,
    /// The entry's key in the list; of a pair the empty string.
    pub(crate) entry: String,
    pub(crate) rule: Result<Rule, ParseError>,
}

/// The rules of an item; `None` when it is no item of ours.
pub(crate) fn rules_of(item: &Attributes) -> Option<Vec<StoredRule>> {
    Some(match ItemKind::of(item)? {
        ItemKind::Pair(app, to, from) => {
            let rule = item::read_pair(item.clone());
            vec![StoredRule { app, from, to, list: None, entry: String::new(), rule }]
        }
        ItemKind::App(app) => entries(item, "callers")
            .map(|(from, rule)| listed(app.clone(), from.clone(), "*".to_owned(), "callers", from, rule))
            .collect(),
        ItemKind::Party(app, id) => {
            let expires_at = item.get(item::EXPIRES_AT).and_then(|it| it.as_n().ok()).and_then(|it| it.parse().ok());
            let incoming = entries(item, "incoming")
                .map(|(from, rule)| listed(app.clone(), from.clone(), id.clone(), "incoming", from, rule));
            let outgoing = entries(item, "outgoing")
                .map(|(to, rule)| listed(app.clone(), id.clone(), to.clone(), "outgoing", to, rule));
            incoming.chain(outgoing).map(|stored| until(stored, expires_at)).collect()
        }
    })
}

fn entries(item: &Attributes, list: &str) -> impl Iterator<Item = (String, Result<Rule, ParseError>)> {
    let map = item.get(list).and_then(|value: &AttributeValue| value.as_m().ok());
    map.into_iter().flatten().map(|(key, value)| {
        let rule = match value {
            AttributeValue::M(map) => item::read_rule(map.clone()),
            _ => Err(ParseError("it is no map".to_owned())),
        };
        (key.clone(), rule)
    })
}

fn listed(
    app: String,
    from: String,
    to: String,
    list: &'static str,
    entry: String,
    rule: Result<Rule, ParseError>,
) -> StoredRule {
    StoredRule { app, from, to, list: Some(list), entry, rule }
}

/// The rules of a party that expires do so with it.
fn until(mut stored: StoredRule, expires_at: Option<EpochSeconds>) -> StoredRule {
    if let (Ok(rule), Some(at)) = (&mut stored.rule, expires_at) {
        rule.expires_at = Some(rule.expires_at.map_or(at, |own| own.min(at)));
    }
    stored
}

impl Table {
    /// Every item of the table, page by page and in no order, read by several scans at once. A reader that is slow
    /// holds them up, so that no more than a few pages are ever in memory.
    pub(crate) fn scan(&self, segments: u16) -> mpsc::Receiver<anyhow::Result<Vec<Attributes>>> {
        let (pages, reader) = mpsc::channel(usize::from(segments));
        for segment in 0..segments {
            let (table, pages) = (self.clone(), pages.clone());
            tokio::spawn(async move {
                if let Err(error) = table.scan_segment(segment, segments, &pages).await {
                    // Who no longer reads needs no error.
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
        pages: &mpsc::Sender<anyhow::Result<Vec<Attributes>>>,
    ) -> anyhow::Result<()> {
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
            let page = page.map_err(|error| self.failed(&error).context("cannot read the table"))?;
            if pages.send(Ok(page.items.unwrap_or_default())).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
