//! Sorts any number of rules by key, in a temporary file and with constant memory.

use std::cmp::Ordering;

use callgate_core::EpochSeconds;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::{Error, Result};
use crate::rule_row::RuleRow;

/// How many kilobytes of the file are kept in memory.
const CACHE_KB: u32 = 16_384;

/// Sorted rules in a temporary database, which is deleted when this is dropped.
#[derive(Debug)]
pub(crate) struct SortedRules {
    database: Connection,
    len: u64,
    /// The app of the rule that was added last. Most files list the rules app by app.
    last_app: Option<String>,
}

/// The four texts by which rules are sorted. They are unique.
pub(crate) type SortKey<'a> = [&'a str; 4];

/// A rule with its key.
#[derive(Debug, Clone)]
pub(crate) struct SortedRule {
    pub(crate) key: [String; 4],
    /// The rule's line in its file, or the size in bytes of a stored rule.
    pub(crate) number: u64,
    pub(crate) row: RuleRow,
}

/// An item of the table, which holds some of the rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SortedItem {
    /// Its size.
    pub(crate) bytes: u64,
    /// The moment from which its rules no longer apply.
    pub(crate) expires_at: Option<EpochSeconds>,
}

/// The rules that [`merge`] goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    /// The entries of lists, and pairs that are so long that their size matters.
    Sizeable,
}

/// The result of adding a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insertion {
    /// The rule was added.
    New,
    /// The same rule was added before, on this line.
    Duplicate(u64),
    /// The rule on this line has the same key, but differs.
    Conflict(u64),
}

/// Creates a database with these tables in the directory for temporary files. It is deleted when it is dropped.
pub(crate) fn temporary_database(tables: &str) -> Result<Connection> {
    let new = || {
        // Without a name, SQLite uses a private file, which is deleted even if this process crashes.
        let database = Connection::open("")?;
        // The file is not needed after a crash, so it does not have to be durable.
        database.execute_batch(&format!(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA cache_size = -{CACHE_KB}; {tables} BEGIN"
        ))?;
        Ok(database)
    };
    new().map_err(|error| failed(&error))
}

impl SortedRules {
    /// Creates an empty database in the directory for temporary files.
    pub(crate) fn new() -> Result<Self> {
        let database = temporary_database(
            "CREATE TABLE rules (k1, k2, k3, k4, number, row, PRIMARY KEY (k1, k2, k3, k4)) WITHOUT ROWID;
             CREATE TABLE apps (app PRIMARY KEY) WITHOUT ROWID;
             CREATE TABLE items (k1, k2, bytes, expires_at, PRIMARY KEY (k1, k2)) WITHOUT ROWID;",
        )?;
        Ok(Self { database, len: 0, last_app: None })
    }

    /// The number of rules.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds a rule, unless there is one with the same key.
    pub(crate) fn insert(&mut self, key: SortKey<'_>, row: &RuleRow, number: u64) -> Result<Insertion> {
        let text = serde_json::to_string(row).map_err(|error| Error::Local(error.to_string()))?;
        let insertion = self.insert_text(key, &text, number).map_err(|error| failed(&error))?;
        if insertion == Insertion::New {
            self.len += 1;
            if self.last_app.as_ref() != Some(&row.app) {
                self.insert_app(&row.app)?;
                self.last_app = Some(row.app.clone());
            }
        }
        Ok(insertion)
    }

    fn insert_text(&self, key: SortKey<'_>, text: &str, number: u64) -> rusqlite::Result<Insertion> {
        let [k1, k2, k3, k4] = key;
        let mut insert = self.database.prepare_cached("INSERT OR IGNORE INTO rules VALUES (?, ?, ?, ?, ?, ?)")?;
        if insert.execute(params![k1, k2, k3, k4, number, text])? > 0 {
            return Ok(Insertion::New);
        }
        let sql = "SELECT number, row = ? FROM rules WHERE k1 = ? AND k2 = ? AND k3 = ? AND k4 = ?";
        let mut other = self.database.prepare_cached(sql)?;
        let (line, is_same) = other.query_row([text, k1, k2, k3, k4], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(if is_same { Insertion::Duplicate(line) } else { Insertion::Conflict(line) })
    }

    /// Adds an app, which may have no rules.
    pub(crate) fn insert_app(&self, app: &str) -> Result<()> {
        let insert = || self.database.prepare_cached("INSERT OR IGNORE INTO apps VALUES (?)")?.execute([app]);
        insert().map(|_| ()).map_err(|error| failed(&error))
    }

    /// Whether this app was added, or a rule of it.
    pub(crate) fn contains_app(&self, app: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM apps WHERE app = ?";
        self.database.prepare_cached(sql).and_then(|mut query| query.exists([app])).map_err(|error| failed(&error))
    }

    /// The first apps, in order.
    pub(crate) fn apps(&self, limit: usize) -> Result<Vec<String>> {
        let apps = || {
            let mut query = self.database.prepare_cached("SELECT app FROM apps ORDER BY app LIMIT ?")?;
            let apps = query.query_map([limit], |row| row.get(0))?;
            apps.collect::<rusqlite::Result<Vec<_>>>()
        };
        apps().map_err(|error| failed(&error))
    }

    /// Whether no app was added.
    pub(crate) fn has_no_app(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM apps";
        let exists = self.database.prepare_cached(sql).and_then(|mut query| query.exists([]));
        exists.map(|exists| !exists).map_err(|error| failed(&error))
    }

    /// Adds what is known about an item.
    pub(crate) fn insert_item(&self, pk: &str, sk: &str, item: SortedItem) -> Result<()> {
        let SortedItem { bytes, expires_at } = item;
        let insert = || {
            let mut insert = self.database.prepare_cached("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)")?;
            insert.execute(params![pk, sk, bytes, expires_at])
        };
        insert().map(|_| ()).map_err(|error| failed(&error))
    }

    /// What is known about an item. `None` when it was not added.
    pub(crate) fn item(&self, pk: &str, sk: &str) -> Result<Option<SortedItem>> {
        let sql = "SELECT bytes, expires_at FROM items WHERE k1 = ? AND k2 = ?";
        let item = || {
            let mut query = self.database.prepare_cached(sql)?;
            let item = |row: &Row<'_>| Ok(SortedItem { bytes: row.get(0)?, expires_at: row.get(1)? });
            query.query_row([pk, sk], item).optional()
        };
        item().map_err(|error| failed(&error))
    }

    /// Whether there is a rule in this item.
    pub(crate) fn contains_item(&self, pk: &str, sk: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM rules WHERE k1 = ? AND k2 = ?";
        self.database.prepare_cached(sql).and_then(|mut query| query.exists([pk, sk])).map_err(|error| failed(&error))
    }

    /// The rules in an item, in order.
    pub(crate) fn rules_of_item(&self, pk: &str, sk: &str) -> Result<Vec<SortedRule>> {
        let rules = || {
            let sql = "SELECT k1, k2, k3, k4, number, row FROM rules WHERE k1 = ? AND k2 = ? ORDER BY k3, k4";
            let mut query = self.database.prepare_cached(sql)?;
            query.query_map([pk, sk], read_row)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        rules().map_err(|error| failed(&error))
    }

    /// The keys of the first items after a key, in order. For the first page, the key is two empty texts.
    pub(crate) fn item_keys(&self, after: &[String; 2], limit: usize) -> Result<Vec<[String; 2]>> {
        let [k1, k2] = after;
        let page = || {
            let sql = "SELECT DISTINCT k1, k2 FROM rules WHERE (k1, k2) > (?, ?) ORDER BY k1, k2 LIMIT ?";
            let mut query = self.database.prepare_cached(sql)?;
            let rows = query.query_map(params![k1, k2, limit], |row| Ok([row.get(0)?, row.get(1)?]))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        page().map_err(|error| failed(&error))
    }

    /// Calls `take` with every rule, in order. Stops at its first error.
    pub(crate) fn for_each<E: From<Error>>(&self, mut take: impl FnMut(SortedRule) -> Result<(), E>) -> Result<(), E> {
        let failed = |error| E::from(failed(&error));
        let mut query = self.database.prepare(&Selection::All.sql()).map_err(failed)?;
        for rule in query.query_map([], read_row).map_err(failed)? {
            take(rule.map_err(failed)?)?;
        }
        Ok(())
    }
}

impl Selection {
    fn sql(self) -> String {
        let condition = match self {
            Self::All => "",
            Self::Sizeable => "WHERE k3 <> '' OR length(row) > 100000",
        };
        format!("SELECT k1, k2, k3, k4, number, row FROM rules {condition} ORDER BY k1, k2, k3, k4")
    }
}

/// Calls `take` with every key of either side, in order, and with the rules that have it. Stops at its first error.
pub(crate) fn merge<E: From<Error>>(
    one: &SortedRules,
    other: &SortedRules,
    selection: Selection,
    mut take: impl FnMut(Option<SortedRule>, Option<SortedRule>) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |error| E::from(failed(&error));
    let sql = selection.sql();
    let mut one = one.database.prepare(&sql).map_err(failed)?;
    let mut one = one.query_map([], read_row).map_err(failed)?;
    let mut other = other.database.prepare(&sql).map_err(failed)?;
    let mut other = other.query_map([], read_row).map_err(failed)?;
    let mut left = one.next().transpose().map_err(failed)?;
    let mut right = other.next().transpose().map_err(failed)?;
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.key.cmp(&right.key),
        };
        let from_one =
            if order.is_le() { std::mem::replace(&mut left, one.next().transpose().map_err(failed)?) } else { None };
        let from_other =
            if order.is_ge() { std::mem::replace(&mut right, other.next().transpose().map_err(failed)?) } else { None };
        take(from_one, from_other)?;
    }
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<SortedRule> {
    let text = row.get_ref(5)?.as_str()?;
    let parsed = serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, Box::new(error)))?;
    let key = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
    Ok(SortedRule { key, number: row.get(4)?, row: parsed })
}

/// The error of a temporary file.
pub(crate) fn failed(error: &rusqlite::Error) -> Error {
    Error::Local(format!(
        "the temporary file of the rules cannot be used: {error}; if the disk is full, set TMPDIR to a directory on \
         another disk"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(app: &str, note: &str) -> RuleRow {
        RuleRow { note: Some(note.to_owned()), ..RuleRow::invalid(app, "a", "b") }
    }

    #[test]
    fn rules_come_back_in_the_order_of_their_keys() {
        let mut rules = SortedRules::new().unwrap();
        for (number, key) in ["b", "c", "a", "d"].into_iter().enumerate() {
            let insertion = rules.insert([key, "", "", ""], &row("shop", key), number as u64).unwrap();
            assert_eq!(insertion, Insertion::New);
        }
        let mut all = Vec::new();
        rules
            .for_each(|rule| {
                all.push(rule.row.note.unwrap());
                Ok::<_, Error>(())
            })
            .unwrap();
        assert_eq!(all, ["a", "b", "c", "d"]);
        let keys = rules.item_keys(&["a", ""].map(str::to_owned), 2).unwrap();
        assert_eq!(keys, [["b", ""], ["c", ""]]);
        assert!(rules.contains_item("d", "").unwrap() && !rules.contains_item("d", "x").unwrap());
    }

    #[test]
    fn two_sides_are_merged_by_key() {
        let (mut one, mut other) = (SortedRules::new().unwrap(), SortedRules::new().unwrap());
        for (rules, keys) in [(&mut one, ["a", "b", "d"]), (&mut other, ["b", "c", "d"])] {
            for key in keys {
                rules.insert([key, "", "list", ""], &row("shop", key), 1).unwrap();
            }
        }
        one.insert(["pair", "", "", ""], &row("shop", "pair"), 1).unwrap();
        let merged = |selection| {
            let mut merged = String::new();
            let take = |one: Option<SortedRule>, other: Option<SortedRule>| {
                for rule in [one, other] {
                    merged += rule.map_or("-".to_owned(), |rule| rule.row.note.unwrap()).as_str();
                }
                merged.push(' ');
                Ok::<_, Error>(())
            };
            merge(&one, &other, selection, take).unwrap();
            merged
        };
        assert_eq!(merged(Selection::All), "a- bb -c dd pair- ");
        assert_eq!(merged(Selection::Sizeable), "a- bb -c dd ");
    }

    #[test]
    fn a_second_rule_with_the_same_key_is_not_added() {
        let mut rules = SortedRules::new().unwrap();
        let key = ["a", "b", "", "c"];
        assert_eq!(rules.insert(key, &row("shop", "x"), 7).unwrap(), Insertion::New);
        assert_eq!(rules.insert(key, &row("shop", "x"), 8).unwrap(), Insertion::Duplicate(7));
        assert_eq!(rules.insert(key, &row("shop", "y"), 9).unwrap(), Insertion::Conflict(7));
        assert_eq!(rules.len(), 1);
        assert!(rules.contains_app("shop").unwrap() && !rules.contains_app("other").unwrap());
    }
}
