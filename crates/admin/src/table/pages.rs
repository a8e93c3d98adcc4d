//! Reads a part of the table at a time, from where the last part ended.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, Key, SK};

use super::Table;
use super::index::{ACTION, unusable};
use super::scan::Filter;
use crate::error::Result;
use crate::item_kind::key_of;

/// Some items, in the order of the table.
#[derive(Debug)]
pub(crate) struct ItemPage {
    pub(crate) items: Vec<Attributes>,
    /// How many items were read for them, with those that were filtered out.
    pub(crate) items_read: usize,
    /// Where the next page begins. `None` if this is the last one.
    pub(crate) last: Option<Key>,
}

/// Some keys of the index, in its order.
#[derive(Debug)]
pub(crate) struct KeyPage {
    pub(crate) keys: Vec<Key>,
    /// Where the next page begins. `None` if this is the last one.
    pub(crate) last: Option<Key>,
}

impl Table {
    /// Reads at most so many items of the table, and returns those that a filter lets through.
    pub(crate) async fn scan_page(&self, filter: Filter, after: Option<&Key>, limit: usize) -> Result<ItemPage> {
        let (condition, names, values) = filter.into_parts();
        let request = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true)
            .limit(as_limit(limit))
            .set_exclusive_start_key(after.map(Key::attributes))
            .filter_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values);
        let page = request.send().await.map_err(|error| self.request_error("cannot read the table", &error))?;
        let items_read = usize::try_from(page.scanned_count).unwrap_or_default();
        let last = page.last_evaluated_key.as_ref().and_then(key_of);
        Ok(ItemPage { items: page.items.unwrap_or_default(), items_read, last })
    }

    /// Reads at most so many pair items of a callee.
    pub(crate) async fn pair_page(&self, pk: &str, after: Option<&Key>, limit: usize) -> Result<ItemPage> {
        let request = self
            .query_partition(pk, "#pk = :pk AND begins_with(#sk, :sk)")
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":sk", AttributeValue::S("CALLER#".to_owned()))
            .limit(as_limit(limit))
            .set_exclusive_start_key(after.map(Key::attributes));
        let page = request.send().await.map_err(|error| self.request_error("cannot read the table", &error))?;
        let items_read = usize::try_from(page.scanned_count).unwrap_or_default();
        let last = page.last_evaluated_key.as_ref().and_then(key_of);
        Ok(ItemPage { items: page.items.unwrap_or_default(), items_read, last })
    }

    /// Reads at most so many keys with this `sk` whose `pk` starts with a text. The inner error is why the index cannot be
    /// used.
    pub(crate) async fn index_page(
        &self,
        sk: &str,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<std::result::Result<KeyPage, String>> {
        let request =
            self.index_query(sk, prefix).limit(as_limit(limit)).set_exclusive_start_key(after.map(Key::attributes));
        match request.send().await {
            Ok(page) => {
                let last = page.last_evaluated_key.as_ref().and_then(key_of);
                Ok(Ok(KeyPage { keys: page.items().iter().filter_map(key_of).collect(), last }))
            }
            Err(error) => match error.as_service_error().and_then(unusable) {
                Some(why) => Ok(Err(why)),
                None => Err(self.request_error(ACTION, &error)),
            },
        }
    }
}

/// A limit as DynamoDB takes it, which is at least 1.
fn as_limit(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX).max(1)
}
