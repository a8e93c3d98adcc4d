//! Suspends and resumes apps and parties.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Key};
use callgate_core::{AppKey, EpochSeconds, PartyId, Status, has_expired};

use crate::error::Result;
use crate::table::Table;
use crate::table::items::{Expression, Update};

/// A status to write, compared with the one that is stored now. [`Table::write_status`] writes it.
#[derive(Debug, Clone)]
pub struct StatusChange {
    /// The status to write.
    pub status: Status,
    /// Whether this status is stored already.
    pub is_unchanged: bool,
    /// The moment at which the party expired, if it has. It counts as absent then, even if it is active.
    pub expired_at: Option<EpochSeconds>,
    key: Key,
}

impl Table {
    /// Compares the status of a party, or of the app itself, with what is stored now. Writes nothing.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn plan_status(
        &self,
        app: &AppKey,
        party: Option<&PartyId>,
        status: Status,
        now: EpochSeconds,
    ) -> Result<StatusChange> {
        let key = party.map_or_else(|| Key::app(app), |id| Key::party(app, id));
        let item = self.get(&key).await?;
        let is_unchanged = match item.as_ref().and_then(|item| item.get("status")) {
            None => status == Status::Active,
            Some(value) => value.as_s().is_ok_and(|word| word == status.as_str()),
        };
        let expires_at = item
            .filter(|_| party.is_some())
            .and_then(|item| item::read_party(item).ok())
            .and_then(|party| party.expires_at);
        let expired_at = expires_at.filter(|_| has_expired(expires_at, now));
        Ok(StatusChange { status, is_unchanged, expired_at, key })
    }

    /// Writes a status, and creates the item if it does not exist. Nothing else in the item changes.
    ///
    /// # Errors
    /// Why the table cannot be written to.
    pub async fn write_status(&self, change: &StatusChange) -> Result<()> {
        let mut expression = Expression::default();
        let name = expression.name("status");
        let word = expression.value(AttributeValue::S(change.status.as_str().to_owned()));
        let update = format!("SET {name} = {word}");
        self.update(Update { key: &change.key, action: update, condition: None, expression }).await?;
        Ok(())
    }
}
