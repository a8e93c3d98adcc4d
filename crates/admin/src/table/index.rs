//! Finds the keys of items by the index `inverted`, which has the table's keys the other way round: `sk`, then `pk`.
//!
//! The index is eventually consistent: it may miss an item of the last second. Read the items with these keys afterwards, as a
//! deleted item may still be in it.

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Key, PK, SK};
use callgate_core::{AppKey, PartyId};

use super::Table;
use super::scan::Filter;
use crate::error::Result;
use crate::item_kind::key_of;

/// The name of the index.
pub(crate) const INDEX: &str = "inverted";

/// The simultaneous scans of a table whose index cannot be used.
const SEGMENTS: u16 = 4;

/// What failed, if the index could not be read.
pub(super) const ACTION: &str = "cannot read the index `inverted` of the table";

/// Why the index cannot be used: there is none, it is not active yet, or it has other keys. Nothing else in the request can be
/// invalid.
pub(super) fn unusable(error: &QueryError) -> Option<String> {
    let is_about_index = error.code() == Some("ValidationException");
    // moto answers so.
    let is_absent = error.message().is_some_and(|message| message.starts_with("Invalid index"));
    (is_about_index || is_absent).then(|| error.message().unwrap_or("it is not valid").to_owned())
}

impl Table {
    /// The keys of the pair items of a caller: its rules for single callees.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn pairs_of_caller(&self, app: &AppKey, caller: &PartyId) -> Result<Vec<Key>> {
        let caller = Key::pair(app, caller, caller).sk;
        self.find_keys(&caller, &parties_prefix(app)).await
    }

    /// The keys of the items of an app's parties. A party without an own item, which only rules of others name, is not among
    /// them.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn parties_of_app(&self, app: &AppKey) -> Result<Vec<Key>> {
        self.find_keys("PARTY", &parties_prefix(app)).await
    }

    /// The keys with this `sk` whose `pk` starts with a text. Without the index, scans the table.
    pub(crate) async fn find_keys(&self, sk: &str, prefix: &str) -> Result<Vec<Key>> {
        match self.query_index(sk, prefix).await? {
            Ok(keys) => Ok(keys),
            Err(reason) => self.scan_keys(sk, prefix, reason).await,
        }
    }

    /// The keys with this `sk` whose `pk` starts with a text. The inner error is why the index cannot be used.
    async fn query_index(&self, sk: &str, prefix: &str) -> Result<std::result::Result<Vec<Key>, String>> {
        let mut pages = self.index_query(sk, prefix).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => found.extend(page.items().iter().filter_map(key_of)),
                Err(error) => match error.as_service_error().and_then(unusable) {
                    Some(why) => return Ok(Err(why)),
                    None => return Err(self.request_error(ACTION, &error)),
                },
            }
        }
        Ok(Ok(found))
    }

    /// A query of the index.
    pub(crate) fn index_query(&self, sk: &str, prefix: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .index_name(INDEX)
            .key_condition_expression("#sk = :sk AND begins_with(#pk, :pk)")
            .expression_attribute_names("#sk", SK)
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":sk", AttributeValue::S(sk.to_owned()))
            .expression_attribute_values(":pk", AttributeValue::S(prefix.to_owned()))
    }

    /// Finds the same keys without the index.
    async fn scan_keys(&self, sk: &str, prefix: &str, reason: String) -> Result<Vec<Key>> {
        (self.on_scan)(format!(
            "the index `{INDEX}` cannot be used ({reason}), so the whole table is scanned; `callgatectl table create --table {}` \
             adds it",
            self.name
        ));
        let mut pages = self.scan_where(SEGMENTS, Some(Filter::by_key(sk, prefix)));
        let mut found = Vec::new();
        while let Some(page) = pages.recv().await {
            found.extend(page?.iter().filter_map(key_of));
        }
        Ok(found)
    }
}

/// The beginning of the partition keys of an app's parties.
pub(crate) fn parties_prefix(app: &AppKey) -> String {
    let pk = Key::app(app).pk;
    format!("PARTY#{}#", pk.strip_prefix("APP#").unwrap_or(&pk))
}
