//! Scans the whole table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, Key, PK, SK};
use callgate_core::AppKey;
use tokio::sync::mpsc;

use super::Table;
use super::index::parties_prefix;
use super::items::Expression;
use crate::error::Result;
use crate::history::HISTORY_PREFIX;

/// The most items of a page. As parsed attributes, the 1 MB that DynamoDB returns at most takes ten times as much memory,
/// and several pages are in memory at once.
const PAGE: i32 = 2_000;

/// Which items a scan returns. It reads all of them, whatever the filter is.
#[derive(Debug)]
pub(crate) struct Filter {
    condition: String,
    expression: Expression,
}

impl Filter {
    /// The items with this `sk` whose `pk` starts with a text.
    pub(crate) fn by_key(sk: &str, prefix: &str) -> Self {
        let mut expression = Expression::default();
        let (pk_name, sk_name) = (expression.name(PK), expression.name(SK));
        let sk = expression.value(AttributeValue::S(sk.to_owned()));
        let prefix = expression.value(AttributeValue::S(prefix.to_owned()));
        Self { condition: format!("{sk_name} = {sk} AND begins_with({pk_name}, {prefix})"), expression }
    }

    /// All items but those of the history.
    pub(crate) fn without_history() -> Self {
        let mut expression = Expression::default();
        let prefix = expression.value(AttributeValue::S(HISTORY_PREFIX.to_owned()));
        Self { condition: format!("NOT begins_with({}, {prefix})", expression.name(PK)), expression }
    }

    /// All items of an app.
    pub(crate) fn by_app(app: &AppKey) -> Self {
        let mut expression = Expression::default();
        let pk = expression.name(PK);
        let own = expression.value(AttributeValue::S(Key::app(app).pk));
        let prefix = expression.value(AttributeValue::S(parties_prefix(app)));
        Self { condition: format!("{pk} = {own} OR begins_with({pk}, {prefix})"), expression }
    }

    /// The expression, with its names and values.
    pub(super) fn into_parts(self) -> (String, Option<HashMap<String, String>>, Option<Attributes>) {
        let Self { condition, expression } = self;
        (condition, expression.names(), expression.values())
    }
}

impl Table {
    /// Reads every item but those of the history, page by page and in no particular order, with several scans at once. A slow
    /// reader slows the scans down, so that only a few pages are in memory at any time.
    #[must_use]
    pub fn scan(&self, segments: u16) -> mpsc::Receiver<Result<Vec<Attributes>>> {
        self.scan_where(segments, Some(Filter::without_history()))
    }

    /// Reads the items that a filter lets through, as [`Self::scan`] does.
    pub(crate) fn scan_where(&self, segments: u16, filter: Option<Filter>) -> mpsc::Receiver<Result<Vec<Attributes>>> {
        let (pages, reader) = mpsc::channel(usize::from(segments));
        let (condition, names, values) = match filter.map(Filter::into_parts) {
            Some((condition, names, values)) => (Some(condition), names, values),
            None => (None, None, None),
        };
        let scan = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true)
            .limit(PAGE)
            .total_segments(i32::from(segments))
            .set_filter_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values);
        for segment in 0..segments {
            let (table, pages, scan) = (self.clone(), pages.clone(), scan.clone().segment(i32::from(segment)));
            tokio::spawn(async move {
                let mut scan = scan.into_paginator().send();
                while let Some(page) = scan.next().await {
                    let page = page.map_err(|error| table.request_error("cannot read the table", &error));
                    let is_last = page.is_err();
                    let items = page.map(|page| page.items.unwrap_or_default());
                    // This fails if the reader was dropped, which needs no error.
                    if pages.send(items).await.is_err() || is_last {
                        return;
                    }
                }
            });
        }
        reader
    }
}
