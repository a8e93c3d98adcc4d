//! Suspends and resumes apps and parties.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, Key};
use callgate_core::{AppKey, EpochSeconds, PartyId, Status, has_expired};

use crate::error::Result;
use crate::history::Place;
use crate::item_edit::ItemEdit;
use crate::rules::Author;
use crate::table::Table;

/// A status to write, compared with the one that is stored now. [`Table::write_status`] writes it.
#[derive(Debug, Clone)]
pub struct StatusChange {
    /// The status to write.
    pub status: Status,
    /// Whether this status is stored already.
    pub is_unchanged: bool,
    /// The moment at which the party expires, and its status with it.
    pub expires_at: Option<EpochSeconds>,
    /// The moment at which the party expired, if it has. It counts as absent then.
    pub expired_at: Option<EpochSeconds>,
    /// The note that stays although the suspension, which it may explain, ends.
    pub remaining_note: Option<String>,
    /// The note to write. An empty one removes what is stored.
    note: Option<String>,
    planned_at: EpochSeconds,
    is_party: bool,
    key: Key,
    item: Option<Attributes>,
}

impl Table {
    /// Compares the status of a party, or of the app itself, with what is stored now. The note stays unless
    /// another one is given; an empty one removes it. Writes nothing.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn plan_status(
        &self,
        app: &AppKey,
        party: Option<&PartyId>,
        status: Status,
        note: Option<&str>,
        now: EpochSeconds,
    ) -> Result<StatusChange> {
        let key = party.map_or_else(|| Key::app(app), |id| Key::party(app, id));
        let item = self.get(&key).await?;
        let expires_at = item
            .clone()
            .filter(|_| party.is_some())
            .and_then(|item| item::read_party(item).ok())
            .and_then(|party| party.expires_at);
        let expired_at = expires_at.filter(|_| has_expired(expires_at, now));
        let is_same_status = match item.as_ref().filter(|_| expired_at.is_none()).and_then(|item| item.get("status")) {
            None => status == Status::Active,
            Some(value) => value.as_s().is_ok_and(|word| word == status.as_str()),
        };
        let stored_note = item.as_ref().and_then(|item| item.get("note")).and_then(|note| note.as_s().ok()).cloned();
        let is_same_note = note.is_none_or(|note| note == stored_note.as_deref().unwrap_or_default());
        let is_resumed = status == Status::Active && !is_same_status && expired_at.is_none();
        Ok(StatusChange {
            status,
            is_unchanged: is_same_status && is_same_note,
            expires_at,
            expired_at,
            remaining_note: stored_note.filter(|_| is_resumed && note.is_none()),
            note: note.map(str::to_owned),
            planned_at: now,
            is_party: party.is_some(),
            key,
            item,
        })
    }

    /// Writes a status and its note, and creates the item if it does not exist. Nothing else in the item changes, unless the
    /// party has expired: then nothing else but the note remains. An item in which nothing is left is deleted. `false` when an
    /// expired party changed meanwhile, or expired; nothing is written then, so plan it again.
    ///
    /// # Errors
    /// Why the table cannot be written to.
    pub async fn write_status(&self, change: &StatusChange, author: &Author) -> Result<bool> {
        let StatusChange { status, expired_at, note, planned_at, is_party, key, item, .. } = change;
        let item = item.as_ref();
        let word = AttributeValue::S(status.as_str().to_owned());
        let note = note.as_ref().map(|note| (!note.is_empty()).then(|| AttributeValue::S(note.clone())));
        let edit = if expired_at.is_some() {
            let note = note.map(|note| ("note".to_owned(), note.unwrap_or(AttributeValue::S(String::new()))));
            ItemEdit::replace_expired(key, item, [("status".to_owned(), word)].into_iter().chain(note).collect())
        } else {
            let status = (Place::Attribute("status".to_owned()), Some(word));
            let note = note.map(|note| (Place::Attribute("note".to_owned()), note));
            let values = [status].into_iter().chain(note).collect();
            ItemEdit { key, item, values, not_expired_at: is_party.then_some(*planned_at), unchanged: None }
        };
        self.edit(edit, author).await
    }
}
