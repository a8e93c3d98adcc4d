//! The items of a backup and those of the table, sorted by key, in a temporary file.

use callgate::store::item::Attributes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use crate::backup::item_json::{from_json, to_json};
use crate::error::{Error, Result};
use crate::sorted_rules::{failed, temporary_database};

/// Items in a temporary database, which is deleted when this is dropped.
#[derive(Debug)]
pub(super) struct SortedItems(Connection);

/// An item that differs between the backup and the table.
pub(super) struct DifferentItem {
    pub(super) key: [String; 2],
    /// As it is in the backup. `None` if it is not there.
    pub(super) new: Option<Attributes>,
    /// As it is in the table. `None` if it is not there.
    pub(super) old: Option<Attributes>,
}

/// What the table has instead of an item that is as in the backup.
const SAME: &str = "";

impl SortedItems {
    pub(super) fn new() -> Result<Self> {
        temporary_database("CREATE TABLE items (k1, k2, new, old, PRIMARY KEY (k1, k2)) WITHOUT ROWID;").map(Self)
    }

    /// Adds an item of the backup. `false` when it has one with this key.
    pub(super) fn insert(&self, [pk, sk]: [&str; 2], item: &Attributes) -> Result<bool> {
        let text = text(item)?;
        let insert = || {
            let mut insert = self.0.prepare_cached("INSERT OR IGNORE INTO items VALUES (?, ?, ?, NULL)")?;
            insert.execute(params![pk, sk, text])
        };
        insert().map(|inserted| inserted > 0).map_err(|error| failed(&error))
    }

    /// Forgets the items of the table.
    pub(super) fn forget_stored(&self) -> Result<()> {
        let sql = "DELETE FROM items WHERE new IS NULL; UPDATE items SET old = NULL WHERE old IS NOT NULL";
        self.0.execute_batch(sql).map_err(|error| failed(&error))
    }

    /// Adds an item of the table. Returns whether the backup has it, and whether it is the same there.
    pub(super) fn add_stored(&self, [pk, sk]: [&str; 2], item: &Attributes, is_replaced: bool) -> Result<Option<bool>> {
        let stored = to_json(item).map_err(Error::InvalidItem)?;
        let new = || {
            let mut query = self.0.prepare_cached("SELECT new FROM items WHERE k1 = ? AND k2 = ?")?;
            query.query_row([pk, sk], |row| row.get::<_, String>(0)).optional()
        };
        let new = new().map_err(|error| failed(&error))?;
        let is_same = new.as_ref().map(|new| serde_json::from_str::<Value>(new).is_ok_and(|new| new == stored));
        let old = if is_same == Some(true) { SAME.to_owned() } else { stored.to_string() };
        let write = || match is_same {
            Some(_) => {
                let mut update = self.0.prepare_cached("UPDATE items SET old = ? WHERE k1 = ? AND k2 = ?")?;
                update.execute(params![old, pk, sk])
            }
            None if is_replaced => {
                let mut insert = self.0.prepare_cached("INSERT INTO items VALUES (?, ?, NULL, ?)")?;
                insert.execute(params![pk, sk, old])
            }
            None => Ok(0),
        };
        write().map_err(|error| failed(&error))?;
        Ok(is_same)
    }

    /// The keys of the first items after a key. For the first page, the key is two empty texts.
    pub(super) fn keys(&self, after: &[String; 2], limit: usize) -> Result<Vec<[String; 2]>> {
        let sql = "SELECT k1, k2 FROM items WHERE (k1, k2) > (?, ?) ORDER BY k1, k2 LIMIT ?";
        self.page(sql, after, limit, |row| Ok([row.get(0)?, row.get(1)?]))
    }

    /// The first items after a key that differ.
    pub(super) fn differences(&self, after: &[String; 2], limit: usize) -> Result<Vec<DifferentItem>> {
        let sql = "SELECT k1, k2, new, old FROM items WHERE (k1, k2) > (?, ?) AND (old IS NULL OR old <> '') \
                   ORDER BY k1, k2 LIMIT ?";
        let rows = self.page(sql, after, limit, |row| {
            Ok(([row.get(0)?, row.get(1)?], row.get::<_, Option<String>>(2)?, row.get::<_, Option<String>>(3)?))
        })?;
        let parsed = |text: String| {
            let value = serde_json::from_str::<Value>(&text).map_err(|error| error.to_string());
            value.and_then(|value| from_json(&value)).map_err(Error::Local)
        };
        let item = |(key, new, old): ([String; 2], Option<String>, Option<String>)| {
            Ok(DifferentItem { key, new: new.map(parsed).transpose()?, old: old.map(parsed).transpose()? })
        };
        rows.into_iter().map(item).collect()
    }

    fn page<T>(
        &self,
        sql: &str,
        [pk, sk]: &[String; 2],
        limit: usize,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let page = || {
            let mut query = self.0.prepare_cached(sql)?;
            query.query_map(params![pk, sk, limit], read)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        page().map_err(|error| failed(&error))
    }
}

fn text(item: &Attributes) -> Result<String> {
    to_json(item).map(|json| json.to_string()).map_err(Error::Local)
}
