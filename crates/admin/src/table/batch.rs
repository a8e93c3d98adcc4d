//! Writes many items, or many entries of a list, with one request.

use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use callgate::handler::epoch_seconds;
use callgate::store::item::{Attributes, EXPIRES_AT, Key};
use callgate_core::{EpochSeconds, has_expired};

use super::Table;
use super::items::{Expression, Update};
use crate::error::{Error, Result};
use crate::item_edit::ItemEdit;
use crate::stored_rule::BLOCKED;

/// The most items that `BatchWriteItem` takes.
pub(crate) const MAX_ITEMS: usize = 25;

/// The most entries of a list in one request. DynamoDB takes expressions of up to 4 KB and 300 operators, and 100 items in a
/// transaction: that of the list, and a change item for each entry.
pub(crate) const MAX_ENTRIES: usize = 99;

/// How often a batch is sent again when nothing of it was processed, or the item changes at the same time.
pub(crate) const MAX_ATTEMPTS: u32 = 12;

/// A request to put an item. The attributes include its key.
pub(crate) fn put_request(item: Attributes) -> Result<WriteRequest> {
    Ok(WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build()?).build())
}

/// Requests of a batch that were not confirmed, and why.
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) requests: Vec<WriteRequest>,
    pub(crate) error: Error,
}

impl Table {
    /// Writes up to [`MAX_ITEMS`] items. Those that DynamoDB leaves unprocessed, because it is busy, are sent again.
    pub(crate) async fn write_items(&self, requests: Vec<WriteRequest>) -> Result<(), Unconfirmed> {
        const ACTION: &str = "cannot write to the table";
        let mut requests = requests;
        let mut attempt = 0;
        loop {
            let sent = requests.len();
            let output = self.client.batch_write_item().request_items(&self.name, requests.clone()).send().await;
            match output {
                Ok(output) => {
                    requests = output.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
                }
                Err(error) => return Err(Unconfirmed { requests, error: self.request_error(ACTION, &error) }),
            }
            if requests.is_empty() {
                return Ok(());
            }
            // After any progress, the count starts again.
            attempt = if requests.len() < sent { 0 } else { attempt + 1 };
            if attempt >= MAX_ATTEMPTS {
                let message = "DynamoDB keeps leaving writes unprocessed, as it does when the table is too busy";
                let error = Error::Request { action: ACTION.to_owned(), code: None, message: message.to_owned() };
                return Err(Unconfirmed { requests, error });
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt.min(7))).await;
        }
    }

    /// Adds up to [`MAX_ENTRIES`] entries to a list that other writers may be changing. Creates the list if it does not exist.
    /// The item of a party that has expired is replaced, so that none of its old rules applies again.
    pub(crate) async fn put_entries(&self, key: &Key, list: &str, entries: &[(String, Attributes)]) -> Result<()> {
        let entries: Vec<_> =
            entries.iter().map(|(entry, rule)| (entry.clone(), AttributeValue::M(rule.clone()))).collect();
        for _ in 0..MAX_ATTEMPTS {
            let now = unix_time();
            let mut expression = Expression::default();
            let name = expression.name(list);
            let each = entries
                .iter()
                .map(|(entry, rule)| format!("{name}.{} = {}", expression.name(entry), expression.value(rule.clone())));
            let update = format!("SET {}", each.collect::<Vec<_>>().join(", "));
            let condition = if_not_expired(format!("attribute_exists({name})"), key, now, &mut expression);
            if self.update(Update { key, action: update, condition: Some(condition), expression }).await? {
                return Ok(());
            }
            let mut expression = Expression::default();
            let name = expression.name(list);
            let whole = AttributeValue::M(entries.iter().cloned().collect());
            let update = format!("SET {name} = {}", expression.value(whole.clone()));
            let condition = if_not_expired(format!("attribute_not_exists({name})"), key, now, &mut expression);
            if self.update(Update { key, action: update, condition: Some(condition), expression }).await? {
                return Ok(());
            }
            if key.sk == "PARTY" && self.replace_expired(key, list, whole, now).await? {
                return Ok(());
            }
        }
        Err(Error::Conflict(format!("other writers keep changing `{}`", key.pk)))
    }

    /// Writes the block of a caller, and creates the item if it does not exist. The item of a party that has expired is replaced.
    pub(crate) async fn put_block(&self, key: &Key, block: Attributes) -> Result<()> {
        let block = AttributeValue::M(block);
        for _ in 0..MAX_ATTEMPTS {
            let now = unix_time();
            let mut expression = Expression::default();
            let action = format!("SET {} = {}", expression.name(BLOCKED), expression.value(block.clone()));
            let condition = Some(expression.not_expired(now));
            if self.update(Update { key, action, condition, expression }).await?
                || self.replace_expired(key, BLOCKED, block.clone(), now).await?
            {
                return Ok(());
            }
        }
        Err(Error::Conflict(format!("other writers keep changing `{}`", key.pk)))
    }

    /// Replaces what is in the item of a party that has expired by one attribute. `false` when it has not expired or was changed
    /// meanwhile.
    async fn replace_expired(&self, key: &Key, name: &str, value: AttributeValue, now: EpochSeconds) -> Result<bool> {
        let Some(item) = self.get(key).await? else { return Ok(false) };
        let expires_at = match item.get(EXPIRES_AT) {
            Some(AttributeValue::N(number)) => number.parse().ok(),
            Some(_) => None,
            None => return Ok(false),
        };
        let Some(expires_at) = expires_at else {
            return Err(Error::InvalidItem(format!(
                "`{EXPIRES_AT}` of item `{}` is not a number of seconds, so no rule can be added to it; see `callgatectl \
                 doctor`",
                key.pk
            )));
        };
        if !has_expired(Some(expires_at), now) {
            return Ok(false);
        }
        let edit = ItemEdit::replace_expired(key, Some(&item), [(name.to_owned(), value)].into());
        self.edit_unrecorded(edit).await
    }

    /// Deletes a pair item. `false` when it changed meanwhile; it is not deleted then.
    pub(crate) async fn delete_pair(&self, key: &Key, item: &Attributes) -> Result<bool> {
        let mut expression = Expression::default();
        let condition = expression.unchanged(Some(item));
        self.delete(key, condition, expression).await
    }
}

/// Adds the condition that a party has not expired. An app does not expire.
fn if_not_expired(condition: String, key: &Key, now: EpochSeconds, expression: &mut Expression) -> String {
    if key.sk == "PARTY" { format!("{condition} AND {}", expression.not_expired(now)) } else { condition }
}

/// Seconds since 1970.
pub(crate) fn unix_time() -> EpochSeconds {
    epoch_seconds(SystemTime::now())
}
