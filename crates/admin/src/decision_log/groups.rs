//! Counts the calls of each pair of parties, with constant memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

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

/// The calls between two parties of an app that had the same answer for the same reason.
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
    /// The door whose rule decided the last call.
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
    /// By the texts of the key, with a separator after each.
    groups: HashMap<String, Counted>,
    /// The groups that were moved out of memory.
    database: Option<Connection>,
    /// A key, whose memory is used again.
    key: String,
}

#[derive(Debug, Clone)]
struct Counted {
    count: u64,
    first: EpochMicroseconds,
    last: EpochMicroseconds,
    /// The door and the rule of the last call.
    rule: Option<(String, String)>,
}

impl Aggregate for CallGroups {
    fn add(&mut self, call: &LoggedCall<'_>) -> Result<()> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        // A missing text differs from an empty one.
        for text in [&call.app, &call.caller, &call.callee] {
            match text {
                Some(text) => key.extend(["=", text]),
                None => {}
            }
            key.push(SEPARATOR);
        }
        key.extend([call.decision.as_str(), "\0", &call.reason]);
        let rule = || Some((call.door.as_ref()?.to_string(), call.rule.as_ref()?.to_string()));
        if let Some(counted) = self.groups.get_mut(&key) {
            counted.count += 1;
            counted.first = counted.first.min(call.timestamp);
            if call.timestamp >= counted.last {
                counted.last = call.timestamp;
                let is_same = match (&counted.rule, &call.door, &call.rule) {
                    (Some((door, rule)), Some(new_door), Some(new_rule)) => door == new_door && rule == new_rule,
                    (None, None, _) => true,
                    _ => false,
                };
                if !is_same {
                    counted.rule = rule();
                }
            }
        } else {
            let counted = Counted { count: 1, first: call.timestamp, last: call.timestamp, rule: rule() };
            self.groups.insert(key.clone(), counted);
            if self.groups.len() >= IN_MEMORY {
                self.spill()?;
            }
        }
        self.key = key;
        Ok(())
    }

    fn merge(&mut self, mut other: Self) -> Result<()> {
        if other.database.is_some() {
            other.spill()?;
        }
        for (key, counted) in std::mem::take(&mut other.groups) {
            self.add_counted(key, counted)?;
        }
        let Some(database) = &other.database else { return Ok(()) };
        let mut query = database.prepare(&format!("SELECT {COLUMNS} FROM groups")).map_err(|error| failed(&error))?;
        for row in query.query_map([], counted).map_err(|error| failed(&error))? {
            let (key, counted) = row.map_err(|error| failed(&error))?;
            self.add_counted(key, counted)?;
        }
        Ok(())
    }
}

const COLUMNS: &str = "key, count, first, last, door, rule";

fn counted(row: &Row<'_>) -> rusqlite::Result<(String, Counted)> {
    let (door, rule): (Option<String>, Option<String>) = (row.get(4)?, row.get(5)?);
    let (count, first, last) = (row.get(1)?, row.get(2)?, row.get(3)?);
    Ok((row.get(0)?, Counted { count, first, last, rule: door.zip(rule) }))
}

impl CallGroups {
    fn add_counted(&mut self, key: String, counted: Counted) -> Result<()> {
        match self.groups.entry(key) {
            Entry::Occupied(mut entry) => {
                let Counted { count, first, last, rule } = entry.get_mut();
                *count += counted.count;
                *first = (*first).min(counted.first);
                if counted.last >= *last {
                    (*last, *rule) = (counted.last, counted.rule);
                }
            }
            Entry::Vacant(entry) => {
                entry.insert(counted);
            }
        }
        if self.groups.len() >= IN_MEMORY { self.spill() } else { Ok(()) }
    }

    /// Moves all groups to the temporary file.
    fn spill(&mut self) -> Result<()> {
        if self.database.is_none() {
            self.database = Some(temporary_database(
                "CREATE TABLE groups (key PRIMARY KEY, count, first, last, door, rule) WITHOUT ROWID;",
            )?);
        }
        let Some(database) = &self.database else { return Ok(()) };
        let write = |groups: &mut HashMap<String, Counted>| {
            let mut upsert = database.prepare_cached(
                "INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
                 count = count + excluded.count, first = min(first, excluded.first), last = max(last, excluded.last),
                 door = iif(excluded.last >= last, excluded.door, door),
                 rule = iif(excluded.last >= last, excluded.rule, rule)",
            )?;
            // In the order of the keys, pages of the file are read and written once.
            let mut groups: Vec<_> = groups.drain().collect();
            groups.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            for (key, Counted { count, first, last, rule }) in groups {
                let (door, rule) = rule.unzip();
                upsert.execute(params![key, count, first, last, door, rule])?;
            }
            Ok(())
        };
        write(&mut self.groups).map_err(|error| failed(&error))
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
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_unstable_by(|(one_key, one), (key, other)| {
            (one.count, one.last, one_key).cmp(&(other.count, other.last, key))
        });
        groups.iter().for_each(|(key, _)| spellings.insert_key(key));
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
    let mut id = || texts.next().and_then(|text| text.strip_prefix('=')).map(str::to_owned);
    let (app, caller, callee) = (id(), id(), id());
    let decision = texts.next().and_then(Decided::from_word).unwrap_or(Decided::Error);
    let reason = texts.next().unwrap_or_default().to_owned();
    let Counted { count, first, last, rule } = counted;
    let (door, rule) = rule.unzip();
    let similar = match (&app, &caller) {
        (Some(app), Some(caller)) => spellings.similar(app, caller),
        _ => Vec::new(),
    };
    take(CallGroup { app, caller, callee, decision, reason, door, rule, count, first, last }, similar)
}
