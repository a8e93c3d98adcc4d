//! Writes many items, or many entries of a list, with one request.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use callgate::store::item::{Attributes, Key};

use super::Table;
use super::items::{Expression, Update};
use crate::error::{Error, Result};

/// The most items that `BatchWriteItem` takes.
pub(crate) const MAX_ITEMS: usize = 25;

/// The most entries of a list in one request: DynamoDB takes expressions of up to 4 KB.
pub(crate) const MAX_ENTRIES: usize = 100;

/// How often a batch is sent again when nothing of it was processed.
const MAX_ATTEMPTS: u32 = 12;

/// A request to put an item. The attributes include its key.
pub(crate) fn put_request(item: Attributes) -> Result<WriteRequest> {
    let request = PutRequest::builder().set_item(Some(item)).build();
    let request = request.map_err(|error| Error::InvalidItem(error.to_string()))?;
    Ok(WriteRequest::builder().put_request(request).build())
}

/// A request to delete an item.
pub(crate) fn delete_request(key: &Key) -> Result<WriteRequest> {
    let request = DeleteRequest::builder().set_key(Some(key.attributes())).build();
    let request = request.map_err(|error| Error::InvalidItem(error.to_string()))?;
    Ok(WriteRequest::builder().delete_request(request).build())
}

impl Table {
    /// Writes up to [`MAX_ITEMS`] items. Those that DynamoDB leaves unprocessed, because it is busy, are sent again.
    pub(crate) async fn write_items(&self, requests: Vec<WriteRequest>) -> Result<()> {
        const ACTION: &str = "cannot write to the table";
        let mut requests = requests;
        let mut attempt = 0;
        loop {
            let sent = requests.len();
            let output = self.client.batch_write_item().request_items(&self.name, requests).send().await;
            let output = output.map_err(|error| self.request_error(ACTION, &error))?;
            requests = output.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
            if requests.is_empty() {
                return Ok(());
            }
            // After any progress, the count starts again.
            attempt = if requests.len() < sent { 0 } else { attempt + 1 };
            if attempt >= MAX_ATTEMPTS {
                let message = "DynamoDB keeps leaving writes unprocessed, as it does when the table is too busy";
                return Err(Error::Request { action: ACTION.to_owned(), code: None, message: message.to_owned() });
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt.min(7))).await;
        }
    }

    /// Adds up to [`MAX_ENTRIES`] entries to a list that other writers may be changing. Creates the list if it does not exist.
    pub(crate) async fn put_entries(&self, key: &Key, list: &str, entries: Vec<(String, Attributes)>) -> Result<()> {
        let entries: Vec<_> = entries.into_iter().map(|(entry, rule)| (entry, AttributeValue::M(rule))).collect();
        for _ in 0..MAX_ATTEMPTS {
            let mut expression = Expression::default();
            let name = expression.name(list);
            let each = entries
                .iter()
                .map(|(entry, rule)| format!("{name}.{} = {}", expression.name(entry), expression.value(rule.clone())));
            let update = format!("SET {}", each.collect::<Vec<_>>().join(", "));
            let condition = Some(format!("attribute_exists({name})"));
            if self.update(Update { key, action: update, condition, expression }).await? {
                return Ok(());
            }
            let mut expression = Expression::default();
            let name = expression.name(list);
            let whole = expression.value(AttributeValue::M(entries.iter().cloned().collect()));
            let (update, condition) = (format!("SET {name} = {whole}"), Some(format!("attribute_not_exists({name})")));
            if self.update(Update { key, action: update, condition, expression }).await? {
                return Ok(());
            }
        }
        Err(Error::Conflict(format!("another writer keeps creating and removing `{list}` of `{}`", key.pk)))
    }

    /// Removes up to [`MAX_ENTRIES`] entries from a list.
    pub(crate) async fn remove_entries(&self, key: &Key, list: &str, entries: &[String]) -> Result<()> {
        let mut expression = Expression::default();
        let name = expression.name(list);
        let each = entries.iter().map(|entry| format!("{name}.{}", expression.name(entry))).collect::<Vec<_>>();
        let condition = Some(format!("attribute_exists({name})"));
        let update = format!("REMOVE {}", each.join(", "));
        // If the list is gone, so are its entries.
        self.update(Update { key, action: update, condition, expression }).await.map(|_| ())
    }
}
