//! Takes a change back: puts what was there before, if what is stored is still what the change made it.

use std::collections::HashMap;

use callgate::store::item::{Attributes, Key};

use crate::error::{Error, Result};
use crate::history::{Change, ChangedValue, LISTS, Place};
use crate::item_edit::ItemEdit;
use crate::item_kind::key_of;
use crate::rules::Author;
use crate::table::Table;
use crate::table::items::is_same;

/// A change to take back, compared with what is stored. [`Table::undo`] takes it back.
#[derive(Debug, Clone)]
pub struct Undo {
    id: String,
    /// What is written, from what is stored now to what was there before the change.
    pub values: Vec<ChangedValue>,
    /// The values that were changed again since: from what the change made them to what is stored now.
    pub conflicts: Vec<ChangedValue>,
    items: HashMap<Key, Attributes>,
}

impl Undo {
    /// Whether the values before the change are stored already.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether the same values were stored when the other one was planned.
    #[must_use]
    pub fn has_same_previous(&self, other: &Self) -> bool {
        let before = |undo: &Self| {
            undo.values.iter().map(|it| (it.key.clone(), it.place.clone(), it.before.clone())).collect::<Vec<_>>()
        };
        before(self) == before(other)
    }
}

impl Table {
    /// Compares a change with what is stored. Writes nothing.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a change that does not have the values before it, or why the table cannot be read.
    pub async fn plan_undo(&self, change: &Change) -> Result<Undo> {
        if change.counts.is_some() {
            return Err(Error::InvalidInput(format!(
                "`{}` is the summary of a command that changed many items; undo the changes of single rules, or restore a backup",
                change.id
            )));
        }
        if change.is_cut {
            return Err(Error::InvalidInput(format!(
                "the values of `{}` are too large for the history, so it cannot be taken back",
                change.id
            )));
        }
        let mut keys: Vec<_> = change.values.iter().map(|value| value.key.clone()).collect();
        keys.dedup();
        let items = self.get_many(&keys).await?;
        let items: HashMap<_, _> = items.into_iter().filter_map(|item| Some((key_of(&item)?, item))).collect();
        let mut undo = Undo { id: change.id.clone(), values: Vec::new(), conflicts: Vec::new(), items };
        let values: Vec<_> = change.values.iter().flat_map(|value| undo.as_stored(value)).collect();
        for value in values {
            let ChangedValue { key, place, before, after } = value;
            let stored = place.value_in(undo.items.get(&key));
            if is_same(stored.as_ref(), before.as_ref()) {
                continue;
            }
            if !is_same(stored.as_ref(), after.as_ref()) {
                let (key, place, after) = (key.clone(), place.clone(), after.clone());
                undo.conflicts.push(ChangedValue { key, place, before: after, after: stored.clone() });
            }
            undo.values.push(ChangedValue { key, place, before: stored, after: before });
        }
        Ok(undo)
    }

    /// Takes the change back, whatever is stored now. `false` when that changed since it was read; nothing is written then, so plan
    /// it again.
    ///
    /// # Errors
    /// Why the table cannot be written to.
    pub async fn undo(&self, undo: &Undo, author: &Author) -> Result<bool> {
        let mut edits: Vec<ItemEdit<'_>> = Vec::new();
        for ChangedValue { key, place, before: _, after } in &undo.values {
            let value = (place.clone(), after.clone());
            match edits.iter_mut().find(|edit| edit.key == key) {
                Some(edit) => edit.values.push(value),
                None => edits.push(ItemEdit {
                    key,
                    item: undo.items.get(key),
                    values: vec![value],
                    not_expired_at: None,
                    unchanged: None,
                }),
            }
        }
        self.edit_all(edits, Vec::new(), |changes| author.records_of(changes, Some(&undo.id))).await
    }
}

impl Undo {
    /// A change of a list entry by entry, as other rules in it do not matter. Only a list that was created and has no other
    /// entries is removed as a whole.
    fn as_stored(&self, value: &ChangedValue) -> Vec<ChangedValue> {
        let is_list = matches!(&value.place, Place::Attribute(list) if LISTS.contains(&list.as_str()));
        let stored = value.place.value_in(self.items.get(&value.key));
        if !is_list || is_same(stored.as_ref(), value.after.as_ref()) || is_same(stored.as_ref(), value.before.as_ref())
        {
            return vec![value.clone()];
        }
        value.parts()
    }
}
