//! Sorts any number of rules by key, in a temporary file and with constant memory.

use rusqlite::{Connection, params};

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
    pub(crate) row: RuleRow,
}

/// The result of adding a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insertion {
    /// The rule was added.
    New,
    /// The same rule was added before.
    Duplicate,
    /// The rule on this line has the same key, but differs.
    Conflict(u64),
}

impl SortedRules {
    /// Creates an empty database in the directory for temporary files.
    pub(crate) fn new() -> Result<Self> {
        let new = || {
            // Without a name, SQLite uses a private file, which is deleted even if this process crashes.
            let database = Connection::open("")?;
            // The file is not needed after a crash, so it does not have to be durable.
            database.execute_batch(&format!(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
                 PRAGMA cache_size = -{CACHE_KB};
                 CREATE TABLE rules (k1, k2, k3, k4, line, row, PRIMARY KEY (k1, k2, k3, k4)) WITHOUT ROWID;
                 CREATE TABLE apps (app PRIMARY KEY) WITHOUT ROWID;
                 BEGIN"
            ))?;
            Ok(database)
        };
        Ok(Self { database: new().map_err(|error| failed(&error))?, len: 0, last_app: None })
    }

    /// The number of rules.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds a rule, unless there is one with the same key.
    pub(crate) fn insert(&mut self, key: SortKey<'_>, row: &RuleRow, line: u64) -> Result<Insertion> {
        let text = serde_json::to_string(row).map_err(|error| Error::Local(error.to_string()))?;
        let insertion = self.insert_text(key, &text, line).map_err(|error| failed(&error))?;
        if insertion == Insertion::New {
            self.len += 1;
            if self.last_app.as_ref() != Some(&row.app) {
                self.insert_app(&row.app).map_err(|error| failed(&error))?;
                self.last_app = Some(row.app.clone());
            }
        }
        Ok(insertion)
    }

    fn insert_text(&self, key: SortKey<'_>, text: &str, line: u64) -> rusqlite::Result<Insertion> {
        let [k1, k2, k3, k4] = key;
        let mut insert = self.database.prepare_cached("INSERT OR IGNORE INTO rules VALUES (?, ?, ?, ?, ?, ?)")?;
        if insert.execute(params![k1, k2, k3, k4, line, text])? > 0 {
            return Ok(Insertion::New);
        }
        let sql = "SELECT line, row = ? FROM rules WHERE k1 = ? AND k2 = ? AND k3 = ? AND k4 = ?";
        let mut other = self.database.prepare_cached(sql)?;
        let (line, is_same) = other.query_row([text, k1, k2, k3, k4], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(if is_same { Insertion::Duplicate } else { Insertion::Conflict(line) })
    }

    fn insert_app(&self, app: &str) -> rusqlite::Result<usize> {
        self.database.prepare_cached("INSERT OR IGNORE INTO apps VALUES (?)")?.execute([app])
    }

    /// Whether there is a rule with this key.
    pub(crate) fn contains(&self, key: SortKey<'_>) -> Result<bool> {
        let sql = "SELECT 1 FROM rules WHERE k1 = ? AND k2 = ? AND k3 = ? AND k4 = ?";
        self.database.prepare_cached(sql).and_then(|mut query| query.exists(key)).map_err(|error| failed(&error))
    }

    /// Whether there is a rule of this app.
    pub(crate) fn contains_app(&self, app: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM apps WHERE app = ?";
        self.database.prepare_cached(sql).and_then(|mut query| query.exists([app])).map_err(|error| failed(&error))
    }

    /// Calls `take` with every rule, in order. Stops at its first error.
    pub(crate) fn for_each<E: From<Error>>(&self, mut take: impl FnMut(SortedRule) -> Result<(), E>) -> Result<(), E> {
        let failed = |error| E::from(failed(&error));
        let sql = "SELECT k1, k2, k3, k4, row FROM rules ORDER BY k1, k2, k3, k4";
        let mut query = self.database.prepare(sql).map_err(failed)?;
        let mut rows = query.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            take(read_row(row).map_err(failed)?)?;
        }
        Ok(())
    }

    /// The first rules after a key, in order. For the first page, the key is four empty texts.
    pub(crate) fn page(&self, after: &[String; 4], limit: usize) -> Result<Vec<SortedRule>> {
        let [k1, k2, k3, k4] = after;
        let page = || {
            let sql = "SELECT k1, k2, k3, k4, row FROM rules WHERE (k1, k2, k3, k4) > (?, ?, ?, ?)
                       ORDER BY k1, k2, k3, k4 LIMIT ?";
            let mut query = self.database.prepare_cached(sql)?;
            let rows = query.query_map(params![k1, k2, k3, k4, limit], read_row)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        page().map_err(|error| failed(&error))
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<SortedRule> {
    let text = row.get_ref(4)?.as_str()?;
    let parsed = serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(SortedRule { key: [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?], row: parsed })
}

fn failed(error: &rusqlite::Error) -> Error {
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
        let mut pages = Vec::new();
        let mut last = Default::default();
        loop {
            let page = rules.page(&last, 3).unwrap();
            let Some(rule) = page.last() else { break };
            last = rule.key.clone();
            pages.push(page.into_iter().map(|rule| rule.row.note.unwrap()).collect::<Vec<_>>());
        }
        assert_eq!(pages, [vec!["a", "b", "c"], vec!["d"]]);
    }

    #[test]
    fn a_second_rule_with_the_same_key_is_not_added() {
        let mut rules = SortedRules::new().unwrap();
        let key = ["a", "b", "", "c"];
        assert_eq!(rules.insert(key, &row("shop", "x"), 7).unwrap(), Insertion::New);
        assert_eq!(rules.insert(key, &row("shop", "x"), 8).unwrap(), Insertion::Duplicate);
        assert_eq!(rules.insert(key, &row("shop", "y"), 9).unwrap(), Insertion::Conflict(7));
        assert_eq!(rules.len(), 1);
        assert!(rules.contains(key).unwrap() && !rules.contains(["a", "b", "c", ""]).unwrap());
        assert!(rules.contains_app("shop").unwrap() && !rules.contains_app("other").unwrap());
    }
}
