//! Blocks callers: a blocked party may not call anyone, whatever the rules are.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, Key};
use callgate_core::{AppKey, Block, EpochSeconds, ParseError, PartyId, has_expired};

use crate::edit::BlockEdit;
use crate::error::Result;
use crate::history::Place;
use crate::item_edit::ItemEdit;
use crate::rules::Author;
use crate::stored_rule::{BLOCKED, block_of, expiry_of};
use crate::table::Table;
use crate::table::size::check_size;

/// The block of a caller to write, with the one that is stored now. [`Table::write_block`] writes it.
#[derive(Debug, Clone)]
pub struct BlockChange {
    /// The block to write.
    pub block: Block,
    /// When the party expires, if it does.
    pub party_expires_at: Option<EpochSeconds>,
    /// Whether the party has expired. It counts as absent then, so the block replaces everything in its item but the note.
    pub is_party_expired: bool,
    planned_at: EpochSeconds,
    stored: StoredBlock,
}

/// A block to end. [`Table::delete_block`] deletes it.
#[derive(Debug, Clone)]
pub struct Unblocking(StoredBlock);

/// The item of a party, and the block in it.
#[derive(Debug, Clone)]
struct StoredBlock {
    key: Key,
    item: Option<Attributes>,
    block: Option<Result<Block, ParseError>>,
}

impl BlockChange {
    /// The block that is stored now, or why it could not be parsed. `None` when there is none.
    #[must_use]
    pub fn previous(&self) -> Option<Result<&Block, &ParseError>> {
        self.stored.block()
    }

    /// Whether the same block is stored already.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let unsigned = |block: &Block| Block { updated_at: None, updated_by: None, ..block.clone() };
        matches!(self.previous(), Some(Ok(previous)) if unsigned(previous) == self.block)
    }

    /// Whether this very change is stored already, which is so when the answer to a write was lost.
    #[must_use]
    pub fn is_written_by(&self, author: &Author) -> bool {
        self.is_unchanged() && matches!(self.previous(), Some(Ok(previous)) if *previous == self.signed(author))
    }

    /// Whether the same block was stored when the other change was planned.
    #[must_use]
    pub fn has_same_previous(&self, other: &Self) -> bool {
        self.stored.is_same(&other.stored)
    }

    fn signed(&self, author: &Author) -> Block {
        Block { updated_at: Some(author.at), updated_by: Some(author.name.clone()), ..self.block.clone() }
    }
}

impl Unblocking {
    /// The key of the item that holds the block.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.0.key
    }

    /// The stored block, or why it could not be parsed. It can be ended all the same.
    #[must_use]
    pub fn previous(&self) -> Option<Result<&Block, &ParseError>> {
        self.0.block()
    }

    /// Whether the same block was stored when the other was planned.
    #[must_use]
    pub fn has_same_previous(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }
}

impl StoredBlock {
    fn block(&self) -> Option<Result<&Block, &ParseError>> {
        self.block.as_ref().map(Result::as_ref)
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.block, &other.block) {
            (Some(Ok(one)), Some(Ok(other))) => one == other,
            _ => self.attribute() == other.attribute(),
        }
    }

    fn attribute(&self) -> Option<&AttributeValue> {
        self.item.as_ref()?.get(BLOCKED)
    }
}

impl Table {
    /// Applies an edit to the block of a caller that is stored now, or to a new one. Writes nothing.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn plan_block(
        &self,
        app: &AppKey,
        caller: &PartyId,
        edit: &BlockEdit,
        now: EpochSeconds,
    ) -> Result<BlockChange> {
        let mut stored = self.stored_block(app, caller).await?;
        let party_expires_at = stored.item.as_ref().and_then(expiry_of);
        let is_party_expired = has_expired(party_expires_at, now);
        stored.block = stored.block.filter(|_| !is_party_expired);
        let block = edit.apply(stored.block().and_then(Result::ok), now);
        Ok(BlockChange { block, party_expires_at, is_party_expired, planned_at: now, stored })
    }

    /// Writes a planned block, and creates the item if it does not exist. `false` when the block changed meanwhile; nothing is
    /// written then, so plan it again.
    ///
    /// # Errors
    /// [`Error::InvalidItem`](crate::Error::InvalidItem) when the item would be too big, or why the table cannot be written to.
    pub async fn write_block(&self, change: &BlockChange, author: &Author) -> Result<bool> {
        let BlockChange { is_party_expired, planned_at, stored: StoredBlock { key, item, .. }, .. } = change;
        let block = AttributeValue::M(item::write_block(&change.signed(author)));
        let mut attributes = item.clone().filter(|_| !is_party_expired).unwrap_or_default();
        attributes.insert(BLOCKED.to_owned(), block.clone());
        check_size(key, &attributes, "this block")?;
        let edit = if *is_party_expired {
            ItemEdit::replace_expired(key, item.as_ref(), [(BLOCKED.to_owned(), block)].into())
        } else {
            let values = vec![(Place::Attribute(BLOCKED.to_owned()), Some(block))];
            ItemEdit { key, item: item.as_ref(), values, not_expired_at: Some(*planned_at), unchanged: None }
        };
        self.edit(edit, author).await
    }

    /// Reads the block of a caller, to end it. `None` when there is none.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn plan_unblocking(&self, app: &AppKey, caller: &PartyId) -> Result<Option<Unblocking>> {
        let stored = self.stored_block(app, caller).await?;
        Ok(stored.block.is_some().then_some(Unblocking(stored)))
    }

    /// Deletes a block, and its item if nothing else is in it. `false` when the block changed meanwhile; nothing is deleted
    /// then, so plan it again.
    ///
    /// # Errors
    /// Why the table cannot be written to.
    pub async fn delete_block(&self, unblocking: &Unblocking, author: &Author) -> Result<bool> {
        let Unblocking(StoredBlock { key, item, .. }) = unblocking;
        let place = Place::Attribute(BLOCKED.to_owned());
        self.edit(ItemEdit::remove(key, item.as_ref(), [place]), author).await
    }

    async fn stored_block(&self, app: &AppKey, caller: &PartyId) -> Result<StoredBlock> {
        let key = Key::party(app, caller);
        let item = self.get(&key).await?;
        let block = item.as_ref().and_then(block_of);
        Ok(StoredBlock { key, item, block })
    }
}
