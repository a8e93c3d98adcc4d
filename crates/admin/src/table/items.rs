//! Reads items, and changes one item at a time, on the condition that it did not change meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, TransactWriteItem};
use callgate::store::item::{Attributes, EXPIRES_AT, Key, PK, SK};
use callgate_core::{EpochSeconds, Status, has_expired};

use super::Table;
use super::batch::{MAX_ATTEMPTS, unix_time};
use crate::error::{Error, Result};
use crate::item_kind::{ItemKind, keys};
use crate::time;

/// Every attribute that the function reads from an item, without its key.
pub(crate) const KNOWN_ATTRIBUTES: [&str; 16] = [
    "status",
    "note",
    "callers",
    "destinations",
    "incoming",
    "outgoing",
    "groups",
    "blocked",
    EXPIRES_AT,
    "effect",
    "media",
    "hours",
    "disabled",
    "list",
    "updated_at",
    "updated_by",
];

/// The most keys that `BatchGetItem` takes.
const MAX_KEYS: usize = 100;

impl Table {
    /// Reads one item with a strongly consistent read.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Attributes>> {
        let request =
            self.client.get_item().table_name(&self.name).set_key(Some(key.attributes())).consistent_read(true);
        let output = request.send().await.map_err(|error| self.request_error("cannot read the table", &error))?;
        Ok(output.item)
    }

    /// Reads the items that exist with these keys, however many they are.
    pub(crate) async fn get_many(&self, keys: &[Key]) -> Result<Vec<Attributes>> {
        let mut items = Vec::new();
        for keys in keys.chunks(MAX_KEYS) {
            items.extend(self.get_batch(keys).await?);
        }
        Ok(items)
    }

    async fn get_batch(&self, keys: &[Key]) -> Result<Vec<Attributes>> {
        let mut items = Vec::new();
        let mut keys: Vec<_> = keys.iter().map(Key::attributes).collect();
        while !keys.is_empty() {
            let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build()?;
            let output = self.client.batch_get_item().request_items(&self.name, request).send().await;
            let output = output.map_err(|error| self.request_error("cannot read the table", &error))?;
            items.extend(output.responses.unwrap_or_default().into_values().flatten());
            let unprocessed = output.unprocessed_keys.unwrap_or_default();
            keys = unprocessed.into_values().flat_map(|table| table.keys).collect();
        }
        Ok(items)
    }

    /// Reads all items with a partition key: a party's item, and the pair items of its callers.
    pub(crate) async fn query(&self, key: &Key) -> Result<Vec<Attributes>> {
        self.collect(self.query_partition(&key.pk, "#pk = :pk")).await
    }

    /// Reads the items with a partition key, from a sort key on, in order.
    pub(crate) async fn query_from(&self, key: &Key) -> Result<Vec<Attributes>> {
        let query = self.query_partition(&key.pk, "#pk = :pk AND #sk >= :sk").expression_attribute_names("#sk", SK);
        self.collect(query.expression_attribute_values(":sk", AttributeValue::S(key.sk.clone()))).await
    }

    /// A query of the items with a partition key, which is `:pk` in the condition.
    pub(crate) fn query_partition(&self, pk: &str, condition: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression(condition)
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
    }

    async fn collect(&self, query: QueryFluentBuilder) -> Result<Vec<Attributes>> {
        let items = query.into_paginator().items().send().collect::<std::result::Result<Vec<_>, _>>().await;
        items.map_err(|error| self.request_error("cannot read the table", &error))
    }

    /// Deletes an item in which nothing is left, for example after a removal whose answer was lost.
    ///
    /// # Errors
    /// Why the table cannot be read or written to.
    pub async fn delete_empty(&self, key: &Key) -> Result<()> {
        match self.get(key).await? {
            Some(item) => self.delete_if_empty(&item).await,
            None => Ok(()),
        }
    }

    /// Deletes an item if it is empty and still as it was read. If another writer was faster, the item stays.
    async fn delete_if_empty(&self, item: &Attributes) -> Result<()> {
        let Some((pk, sk)) = keys(item).filter(|_| is_empty(item, unix_time())) else { return Ok(()) };
        let mut expression = Expression::default();
        let condition = expression.unchanged(Some(item));
        let key = Key { pk: pk.to_owned(), sk: sk.to_owned() };
        match self.delete(&key, condition, expression).await {
            Ok(_) => Ok(()),
            Err(Error::Request { action: _, code, message }) => {
                let action = "the change is written, but the item, which is now empty, cannot be deleted".to_owned();
                Err(Error::Request { action, code, message })
            }
            Err(error) => Err(error),
        }
    }

    /// Updates an item. `false` when the condition no longer holds; nothing is written then.
    pub(crate) async fn update(&self, update: Update<'_>) -> Result<bool> {
        let Update { key, action, condition, expression } = update;
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .update_expression(action)
            .set_condition_expression(condition)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values());
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.request_error("cannot write to the table", &error)),
        }
    }

    /// Replaces a whole item. `false` when the condition no longer holds; nothing is written then.
    pub(crate) async fn replace(
        &self,
        key: &Key,
        attributes: Attributes,
        condition: String,
        expression: Expression,
    ) -> Result<bool> {
        let request = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(key.attributes().into_iter().chain(attributes).collect()))
            .condition_expression(condition)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values());
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(false)
            }
            Err(error) => Err(self.request_error("cannot write to the table", &error)),
        }
    }

    /// Deletes an item. `false` when the condition no longer holds; nothing is deleted then.
    pub(crate) async fn delete(&self, key: &Key, condition: String, expression: Expression) -> Result<bool> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .condition_expression(condition)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values());
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.request_error("cannot write to the table", &error)),
        }
    }
}

impl Table {
    /// Writes several items at once. `false` when a condition no longer holds, or another writer is writing one of the items;
    /// nothing is written then. One that DynamoDB does not accept at once, because it is busy, is sent again.
    pub(crate) async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<bool> {
        const ACTION: &str = "cannot write to the table";
        const CHANGED: [&str; 2] = ["ConditionalCheckFailed", "TransactionConflict"];
        const BUSY: [&str; 2] = ["ThrottlingError", "ProvisionedThroughputExceeded"];
        let mut attempt = 0;
        loop {
            let Err(error) = self.client.transact_write_items().set_transact_items(Some(items.clone())).send().await
            else {
                return Ok(true);
            };
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    canceled.cancellation_reasons()
                }
                _ => &[],
            };
            let has = |codes: &[&str]| reasons.iter().filter_map(|it| it.code()).any(|code| codes.contains(&code));
            if has(&CHANGED) {
                return Ok(false);
            }
            attempt += 1;
            if !has(&BUSY) || attempt >= MAX_ATTEMPTS {
                let refused = reasons.iter().find(|reason| reason.code().is_some_and(|code| code != "None"));
                return Err(
                    refused.map_or_else(|| self.request_error(ACTION, &error), |it| Error::canceled(ACTION, it))
                );
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt.min(7))).await;
        }
    }
}

/// Whether an item of an app or a party has nothing left that means something: no rule, group, block or note, and not
/// suspended. An attribute that is not known, or not valid, may mean something.
pub(crate) fn is_empty(item: &Attributes, now: EpochSeconds) -> bool {
    let (lists, is_party) = match ItemKind::of(item) {
        Some(ItemKind::App(_)) => (["callers", "destinations"], false),
        Some(ItemKind::Party(..)) => (["incoming", "outgoing"], true),
        Some(ItemKind::Pair(..)) | None => return false,
    };
    item.iter().all(|(name, value)| match (name.as_str(), value) {
        (PK | SK, _) => true,
        ("status", AttributeValue::S(status)) => status == Status::Active.as_str(),
        (EXPIRES_AT, AttributeValue::N(at)) if is_party => {
            at.parse().is_ok_and(|at| time::check(at).is_ok() && has_expired(Some(at), now))
        }
        (list, AttributeValue::M(rules)) => lists.contains(&list) && rules.is_empty(),
        _ => false,
    })
}

/// Whether both are the same value, or both are missing.
pub(crate) fn is_same(one: Option<&AttributeValue>, other: Option<&AttributeValue>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => is_same_value(one, other),
        _ => false,
    }
}

/// Whether two values are the same. A set has no order.
pub(crate) fn is_same_value(one: &AttributeValue, other: &AttributeValue) -> bool {
    let sorted = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort();
        texts
    };
    match (one, other) {
        (AttributeValue::Ss(one), AttributeValue::Ss(other)) | (AttributeValue::Ns(one), AttributeValue::Ns(other)) => {
            sorted(one) == sorted(other)
        }
        (AttributeValue::M(one), AttributeValue::M(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| is_same_value(value, other)))
        }
        (AttributeValue::L(one), AttributeValue::L(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same_value(one, other))
        }
        (one, other) => one == other,
    }
}

/// An update of one item, in DynamoDB's expression language.
pub(crate) struct Update<'a> {
    pub(crate) key: &'a Key,
    /// The update expression: `SET …`, `REMOVE …`.
    pub(crate) action: String,
    /// `None` writes the item unconditionally.
    pub(crate) condition: Option<String>,
    pub(crate) expression: Expression,
}

/// The most bytes of an expression (Amazon DynamoDB Developer Guide, "Service, account, and table quotas").
const MAX_EXPRESSION_BYTES: usize = 4 * 1024;

/// The placeholders of an expression, for names and values.
#[derive(Debug, Default)]
pub(crate) struct Expression {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// The placeholder of an attribute's name.
    pub(crate) fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#n{}", self.names.len());
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    /// The placeholder of a value.
    pub(crate) fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    /// The condition that an item is still as it was read, `None` if it did not exist. Of the attributes that it did not
    /// have, those that mean something must still be absent. Of those that mean nothing, only as many are compared as fit
    /// into an expression.
    pub(crate) fn unchanged(&mut self, item: Option<&Attributes>) -> String {
        let pk = self.name(PK);
        let Some(item) = item else { return format!("attribute_not_exists({pk})") };
        let is_other = |name: &&str| *name != PK && *name != SK && !KNOWN_ATTRIBUTES.contains(name);
        let others = item.keys().map(String::as_str).filter(is_other);
        let mut condition = format!("attribute_exists({pk})");
        for name in KNOWN_ATTRIBUTES {
            condition = format!("{condition} AND {}", self.same(item, name));
        }
        // Of more attributes than an expression can name, the function reads none.
        for name in others {
            if condition.len() > MAX_EXPRESSION_BYTES - " AND #n999 = :v999".len() {
                break;
            }
            condition = format!("{condition} AND {}", self.same(item, name));
        }
        condition
    }

    /// The condition that an attribute still has the value that was read, or is still absent.
    pub(crate) fn same(&mut self, item: &Attributes, name: &str) -> String {
        let placeholder = self.name(name);
        match item.get(name) {
            Some(value) => format!("{placeholder} = {}", self.value(value.clone())),
            None => format!("attribute_not_exists({placeholder})"),
        }
    }

    /// The condition that a party has not expired. What is written to an expired party has no effect.
    pub(crate) fn not_expired(&mut self, now: EpochSeconds) -> String {
        let name = self.name(EXPIRES_AT);
        let (number, now) =
            (self.value(AttributeValue::S("N".to_owned())), self.value(AttributeValue::N(now.to_string())));
        format!("(attribute_not_exists({name}) OR NOT attribute_type({name}, {number}) OR {name} > {now})")
    }

    // DynamoDB refuses empty maps.
    pub(crate) fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    pub(crate) fn values(self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then_some(self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_empty_if_nothing_in_it_means_something() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let number = |number: &str| AttributeValue::N(number.to_owned());
        let no_rules = || AttributeValue::M(HashMap::new());
        let item = |sk: &str, attributes: &[(&str, AttributeValue)]| -> Attributes {
            let pk = if sk == "APP" { "APP#shop" } else { "PARTY#shop#b" };
            let key = [(PK, text(pk)), (SK, text(sk))];
            key.iter().chain(attributes).map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let rule = || AttributeValue::M([("*".to_owned(), no_rules())].into());
        for (sk, name, value, expected) in [
            ("APP", "status", text("active"), true),
            ("APP", "status", text("suspended"), false),
            ("APP", "status", number("1"), false),
            ("APP", "callers", no_rules(), true),
            ("APP", "destinations", no_rules(), true),
            ("APP", "destinations", rule(), false),
            ("APP", "incoming", no_rules(), false),
            ("APP", "expires_at", number("1000000000"), false),
            ("PARTY", "status", text("active"), true),
            ("PARTY", "status", text("on"), false),
            ("PARTY", "incoming", no_rules(), true),
            ("PARTY", "incoming", rule(), false),
            ("PARTY", "outgoing", no_rules(), true),
            ("PARTY", "outgoing", text(""), false),
            ("PARTY", "callers", no_rules(), false),
            ("PARTY", "blocked", no_rules(), false),
            ("PARTY", "groups", AttributeValue::Ss(vec!["sales".to_owned()]), false),
            ("PARTY", "note", text(""), false),
            ("PARTY", "team", text("x"), false),
            ("PARTY", "expires_at", number("1000000000"), true),
            // In the future, and not a valid time.
            ("PARTY", "expires_at", number("4000000000"), false),
            ("PARTY", "expires_at", number("20251231"), false),
            ("PARTY", "expires_at", text("1000000000"), false),
            ("CALLER#a", "status", text("active"), false),
            ("OTHER", "status", text("active"), false),
        ] {
            let item = item(sk, &[(name, value)]);
            assert_eq!(is_empty(&item, 2_000_000_000), expected, "{item:?}");
        }
        assert!(is_empty(&item("PARTY", &[]), 0));
        let both = [("incoming", no_rules()), ("status", text("active")), ("note", text("a guest"))];
        assert!(!is_empty(&item("PARTY", &both), 0));
    }
}
