//! Counts the calls of each pair of parties, with constant memory.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher as _;

use rusqlite::{Connection, Row, params};

use super::reader::Aggregate;
use super::spellings::Spellings;
use super::{Decided, EpochMicroseconds, LoggedCall};
use crate::error::{Error, Result};
use crate::sorted_rules::{failed, temporary_database};

/// How many groups are kept in memory. More are kept in a temporary file.
const IN_MEMORY: usize = 1 << 16;

/// How many callers are compared to find those that may be the same number.
const COMPARED: usize = 1 << 16;

/// Between the texts of a key. No id or app's key has control characters.
const SEPARATOR: char = '\0';

/// The calls between two parties of an app that had the same answer for the same reason, by the same rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallGroup {
    /// The app's key.
    pub app: Option<String>,
    /// The caller.
    pub caller: Option<String>,
    /// The callee.
    pub callee: Option<String>,
    /// What was decided.
    pub decision: Decided,
    /// The stable word for the reason.
    pub reason: String,
    /// The door whose rule decided.
    pub door: Option<String>,
    /// The pattern of that rule.
    pub rule: Option<String>,
    /// The number of calls.
    pub count: u64,
    /// The time of the first call.
    pub first: EpochMicroseconds,
    /// The time of the last call.
    pub last: EpochMicroseconds,
}

/// The calls of a log by pair and reason.
#[derive(Debug, Default)]
pub struct CallGroups {
    /// By the hashes of their keys: a table without texts fits into the processor's caches. The hashes have a random secret, so
    /// that no calling side can choose two ids with the same one.
    groups: HashMap<u64, Counted>,
    /// The keys of the groups: their texts, with a separator between them.
    keys: Vec<String>,
    hashes: RandomState,
    /// The groups that were moved out of memory.
    database: Option<Connection>,
    /// A key, whose memory is used again.
    key: String,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    /// The position of its key.
    key: usize,
    count: u64,
    first: EpochMicroseconds,
    last: EpochMicroseconds,
}

impl Counted {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl Aggregate for CallGroups {
    fn add(&mut self, call: &LoggedCall<'_>) -> Result<()> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        // A missing text differs from an empty one.
        for text in [&call.app, &call.caller, &call.callee, &call.door, &call.rule] {
            if let Some(text) = text {
                key.push('=');
                key.push_str(text);
            }
            key.push(SEPARATOR);
        }
        key.push_str(call.decision.as_str());
        key.push(SEPARATOR);
        key.push_str(&call.reason);
        let one = Counted { key: 0, count: 1, first: call.timestamp, last: call.timestamp };
        let added = self.add_counted(&key, one);
        self.key = key;
        added
    }

    fn merge(&mut self, mut other: Self) -> Result<()> {
        if other.database.is_some() {
            other.spill()?;
        }
        for counted in other.groups.values() {
            self.add_counted(other.keys.get(counted.key).map_or("", String::as_str), *counted)?;
        }
        let Some(database) = &other.database else { return Ok(()) };
        let mut query = database.prepare(&format!("SELECT {COLUMNS} FROM groups")).map_err(|error| failed(&error))?;
        for row in query.query_map([], counted).map_err(|error| failed(&error))? {
            let (key, counted) = row.map_err(|error| failed(&error))?;
            self.add_counted(&key, counted)?;
        }
        Ok(())
    }
}

const COLUMNS: &str = "key, count, first, last";

fn counted(row: &Row<'_>) -> rusqlite::Result<(String, Counted)> {
    Ok((row.get(0)?, Counted { key: 0, count: row.get(1)?, first: row.get(2)?, last: row.get(3)? }))
}

impl CallGroups {
    fn add_counted(&mut self, key: &str, counted: Counted) -> Result<()> {
        match self.groups.entry(self.hashes.hash_one(key)) {
            Entry::Occupied(mut entry) => entry.get_mut().add(counted),
            Entry::Vacant(entry) => {
                entry.insert(Counted { key: self.keys.len(), ..counted });
                self.keys.push(key.to_owned());
            }
        }
        if self.groups.len() >= IN_MEMORY { self.spill() } else { Ok(()) }
    }

    /// Takes all groups that are in memory, with their keys.
    fn take(&mut self) -> Vec<(String, Counted)> {
        let mut keys = std::mem::take(&mut self.keys);
        let groups = self.groups.drain();
        groups
            .map(|(_, counted)| (keys.get_mut(counted.key).map(std::mem::take).unwrap_or_default(), counted))
            .collect()
    }

    /// Moves all groups to the temporary file.
    fn spill(&mut self) -> Result<()> {
        if self.database.is_none() {
            self.database =
                Some(temporary_database("CREATE TABLE groups (key PRIMARY KEY, count, first, last) WITHOUT ROWID;")?);
        }
        let groups = self.take();
        let Some(database) = &self.database else { return Ok(()) };
        let write = |mut groups: Vec<(String, Counted)>| {
            let mut upsert = database.prepare_cached(
                "INSERT INTO groups VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
                 count = count + excluded.count, first = min(first, excluded.first), last = max(last, excluded.last)",
            )?;
            // In the order of the keys, pages of the file are read and written once.
            groups.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            for (key, Counted { key: _, count, first, last }) in groups {
                upsert.execute(params![key, count, first, last])?;
            }
            Ok(())
        };
        write(groups).map_err(|error| failed(&error))
    }

    /// Calls `take` with every group, the most frequent one last, and with the other callers of the app that may be the same
    /// number. Stops at its first error.
    ///
    /// # Errors
    /// When the temporary file cannot be used, or the error of `take`.
    pub fn for_each<E: From<Error>>(
        mut self,
        spellings: &mut Spellings,
        mut take: impl FnMut(CallGroup, Vec<String>) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |error: rusqlite::Error| E::from(failed(&error));
        if self.database.is_some() {
            self.spill()?;
        }
        if let Some(database) = &self.database {
            let order = "count, last, key";
            let most = format!("SELECT {COLUMNS} FROM groups ORDER BY count DESC LIMIT {COMPARED}");
            for row in database.prepare(&most).map_err(failed)?.query_map([], counted).map_err(failed)? {
                let (key, _) = row.map_err(failed)?;
                spellings.insert_key(&key);
            }
            let all = format!("SELECT {COLUMNS} FROM groups ORDER BY {order}");
            for row in database.prepare(&all).map_err(failed)?.query_map([], counted).map_err(failed)? {
                let (key, counted) = row.map_err(failed)?;
                take_group(&key, counted, spellings, &mut take)?;
            }
            return Ok(());
        }
        let mut groups = self.take();
        groups.sort_unstable_by(|(one_key, one), (key, other)| {
            (one.count, one.last, one_key).cmp(&(other.count, other.last, key))
        });
        for (key, _) in &groups {
            spellings.insert_key(key);
        }
        groups.into_iter().try_for_each(|(key, counted)| take_group(&key, counted, spellings, &mut take))
    }
}

impl Spellings {
    fn insert_key(&mut self, key: &str) {
        let mut texts = key.split(SEPARATOR).map(|text| text.strip_prefix('='));
        if let (Some(Some(app)), Some(Some(caller))) = (texts.next(), texts.next()) {
            self.insert(app, caller);
        }
    }
}

fn take_group<E>(
    key: &str,
    counted: Counted,
    spellings: &Spellings,
    take: &mut impl FnMut(CallGroup, Vec<String>) -> Result<(), E>,
) -> Result<(), E> {
    let mut texts = key.split(SEPARATOR);
    let mut text = || texts.next().and_then(|text| text.strip_prefix('=')).map(str::to_owned);
    let (app, caller, callee, door, rule) = (text(), text(), text(), text(), text());
    let decision = texts.next().and_then(Decided::from_word).unwrap_or(Decided::Error);
    let reason = texts.next().unwrap_or_default().to_owned();
    let Counted { key: _, count, first, last } = counted;
    let similar = match (&app, &caller) {
        (Some(app), Some(caller)) => spellings.similar(app, caller),
        _ => Vec::new(),
    };
    take(CallGroup { app, caller, callee, decision, reason, door, rule, count, first, last }, similar)
}
