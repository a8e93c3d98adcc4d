//! Rules on their way between a file and the table, in order and on disk: any number of them in constant memory.

use anyhow::Context as _;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::statement::{Row, RuleLocation};

/// A temporary database of rules, gone when it is dropped.
pub(crate) struct Spool {
    database: Connection,
}

/// A rule and where it belongs.
#[derive(Debug, Clone)]
pub(crate) struct Spooled {
    pub(crate) pk: String,
    pub(crate) sk: String,
    /// Empty for a pair's item.
    pub(crate) list: String,
    pub(crate) entry: String,
    pub(crate) row: Row,
}

/// What became of a rule that was added.
pub(crate) enum Added {
    New,
    /// It says what this line says already.
    Again,
    /// This line says something else about the same parties.
    Contradicts(u64),
}

/// Which of the two sets of rules.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Set {
    /// What the file says.
    Wanted,
    /// What the table says and the file does not.
    Gone,
}

impl Set {
    const fn table(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Gone => "gone",
        }
    }
}

impl Spool {
    /// An empty one in the directory for temporary files.
    pub(crate) fn new() -> anyhow::Result<Self> {
        // Without a name it is a file that nobody else sees, gone however this process ends.
        let database = Connection::open("")?;
        // Nobody needs it after a crash, so nothing of it has to be safe.
        database.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA cache_size = -16384;
             CREATE TABLE wanted (pk, sk, list, entry, line, row, PRIMARY KEY (pk, sk, list, entry)) WITHOUT ROWID;
             CREATE TABLE gone (pk, sk, list, entry, line, row, PRIMARY KEY (pk, sk, list, entry)) WITHOUT ROWID;
             CREATE TABLE apps (app PRIMARY KEY) WITHOUT ROWID;
             BEGIN",
        )?;
        Ok(Self { database })
    }

    pub(crate) fn add(&self, set: Set, location: &RuleLocation, row: &Row, line: u64) -> anyhow::Result<Added> {
        let (list, entry) = location.entry.as_ref().map_or(("", ""), |(list, entry)| (*list, entry.as_str()));
        self.insert(set, [&location.key.pk, &location.key.sk, list, entry], row, line)
    }

    pub(crate) fn insert(&self, set: Set, at: [&str; 4], row: &Row, line: u64) -> anyhow::Result<Added> {
        let text = serde_json::to_string(row)?;
        let sql = format!("INSERT OR IGNORE INTO {} VALUES (?, ?, ?, ?, ?, ?)", set.table());
        let [pk, sk, list, entry] = at;
        let line = i64::try_from(line)?;
        let added = self.database.prepare_cached(&sql)?.execute(params![pk, sk, list, entry, line, text]);
        if added.context("there is no room for temporary files; set TMPDIR to a directory with some")? > 0 {
            return Ok(Added::New);
        }
        let sql = format!("SELECT line, row FROM {} WHERE pk = ? AND sk = ? AND list = ? AND entry = ?", set.table());
        let found = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let (line, other) = self.database.prepare_cached(&sql)?.query_row(at, found)?;
        if other == text { Ok(Added::Again) } else { Ok(Added::Contradicts(u64::try_from(line)?)) }
    }

    pub(crate) fn add_app(&self, app: &str) -> anyhow::Result<()> {
        self.database.prepare_cached("INSERT OR IGNORE INTO apps VALUES (?)")?.execute([app])?;
        Ok(())
    }

    pub(crate) fn has_app(&self, app: &str) -> anyhow::Result<bool> {
        Ok(self.database.prepare_cached("SELECT 1 FROM apps WHERE app = ?")?.exists([app])?)
    }

    pub(crate) fn wants(&self, at: [&str; 4]) -> anyhow::Result<bool> {
        let sql = "SELECT 1 FROM wanted WHERE pk = ? AND sk = ? AND list = ? AND entry = ?";
        Ok(self.database.prepare_cached(sql)?.query_row(at, |_| Ok(())).optional()?.is_some())
    }

    pub(crate) fn count(&self, set: Set) -> anyhow::Result<u64> {
        let count: i64 =
            self.database.query_row(&format!("SELECT count(*) FROM {}", set.table()), [], |row| row.get(0))?;
        Ok(u64::try_from(count)?)
    }

    /// All of them by item, list and entry; stops at the first error of `take`.
    pub(crate) fn each(&self, set: Set, mut take: impl FnMut(Spooled) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let sql = format!("SELECT pk, sk, list, entry, row FROM {} ORDER BY pk, sk, list, entry", set.table());
        let mut query = self.database.prepare(&sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            take(Spooled {
                pk: row.get(0)?,
                sk: row.get(1)?,
                list: row.get(2)?,
                entry: row.get(3)?,
                row: serde_json::from_str(row.get_ref(4)?.as_str()?)?,
            })?;
        }
        Ok(())
    }
}
