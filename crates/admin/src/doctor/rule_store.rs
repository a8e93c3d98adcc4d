//! The rules that the checks across items go through, sorted, in a temporary file: there may be millions of them.

use callgate_core::{AppKey, Door, Effect, Hours, MediaSet, Pattern, Rule};
use rusqlite::{Connection, Row, params};

use super::table_checks::{CheckedRule, PairKey};
use crate::error::Result;
use crate::redundancy::literal;
use crate::sorted_rules::{failed, temporary_database};

/// The rules, in a temporary database.
#[derive(Debug)]
pub(super) struct RuleStore {
    database: Connection,
}

/// The column `is_usable` is 0 for a pair item whose rule is invalid or never applies. Its other columns are empty.
const SCHEMA: &str = "CREATE TABLE rules (
    app, door, from_text, from_kind, to_text, to_kind, is_usable, is_allow, audio, video, hours, expires_at, list, note, entry);";

const COLUMNS: &str =
    "app, door, from_text, from_kind, to_text, to_kind, is_allow, audio, video, hours, expires_at, list, note, entry";

/// Where two rules are redundant because of each other, the first is offered for removal: rather one in a list.
const ORDER: &str =
    "app, door IS NULL, to_text, to_kind = 'exact', from_text, from_kind = 'exact', door, to_kind, from_kind";

impl RuleStore {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { database: temporary_database(SCHEMA)? })
    }

    /// Adds a valid rule that a call can match.
    pub(super) fn add(&self, checked: &CheckedRule) -> Result<()> {
        let CheckedRule { app, from, to, door, rule, entry } = checked;
        // What is switched off is not checked, and who wrote a rule does not matter.
        let Rule { effect, media, hours, expires_at, disabled: _, list, note, updated_at: _, updated_by: _ } = rule;
        let insert = || {
            let sql = "INSERT INTO rules VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?)";
            self.database.prepare_cached(sql)?.execute(params![
                app.as_str(),
                door.map(Door::as_str),
                literal(from),
                kind(from),
                literal(to),
                kind(to),
                *effect == Effect::Allow,
                media.map(|it| it.audio),
                media.map(|it| it.video),
                hours.as_ref().map(ToString::to_string),
                expires_at,
                list,
                note,
                entry.and_then(|entry| i64::try_from(entry).ok()),
            ])
        };
        insert().map(|_| ()).map_err(|error| failed(&error))
    }

    /// Adds a pair item whose rule is invalid or never applies.
    pub(super) fn add_unusable_pair(&self, (app, from, to): (&str, &str, &str)) -> Result<()> {
        let insert = || {
            let sql = "INSERT INTO rules (app, from_text, from_kind, to_text, to_kind, is_usable)
                VALUES (?, ?, 'exact', ?, 'exact', 0)";
            self.database.prepare_cached(sql)?.execute([app, from, to])
        };
        insert().map(|_| ()).map_err(|error| failed(&error))
    }

    /// Calls `take` with every valid rule, in order.
    pub(super) fn for_each(&self, mut take: impl FnMut(CheckedRule)) -> Result<()> {
        let mut each = || {
            let sql = format!("SELECT {COLUMNS} FROM rules WHERE is_usable ORDER BY {ORDER}");
            let mut query = self.database.prepare(&sql)?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                if let Some(checked) = read(row)? {
                    take(checked);
                }
            }
            Ok(())
        };
        each().map_err(|error| failed(&error))
    }

    /// Calls `take` with the parties of every rule between two that is stored in the list of one.
    pub(super) fn for_each_misplaced(&self, mut take: impl FnMut(PairKey)) -> Result<()> {
        let mut each = || {
            let mut query =
                self.database.prepare("SELECT app, from_text, to_text FROM rules WHERE entry IS NOT NULL")?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                take((row.get(0)?, row.get(1)?, row.get(2)?));
            }
            Ok(())
        };
        each().map_err(|error| failed(&error))
    }

    /// Calls `take` with the key of every pair item, and its rule. `None` for a rule that is invalid or never applies.
    pub(super) fn for_each_pair(&self, mut take: impl FnMut(PairKey, Option<Rule>)) -> Result<()> {
        let mut each = || {
            let sql = format!("SELECT {COLUMNS}, is_usable FROM rules WHERE door IS NULL");
            let mut query = self.database.prepare(&sql)?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let rule = if row.get("is_usable")? { read(row)?.map(|checked| checked.rule) } else { None };
                take((row.get("app")?, row.get("from_text")?, row.get("to_text")?), rule);
            }
            Ok(())
        };
        each().map_err(|error| failed(&error))
    }
}

fn kind(pattern: &Pattern) -> &'static str {
    match pattern {
        Pattern::Exact(_) => "exact",
        Pattern::Group(_) => "group",
        Pattern::Prefix(_) => "prefix",
        Pattern::Everyone => "everyone",
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<CheckedRule>> {
    let pattern = |text: &str, kind: &str| {
        let text: String = row.get(text)?;
        Ok::<_, rusqlite::Error>(match row.get_ref(kind)?.as_str()? {
            "exact" => Pattern::Exact(text),
            "group" => Pattern::Group(text),
            "prefix" => Pattern::Prefix(text),
            _ => Pattern::Everyone,
        })
    };
    let door: Option<String> = row.get("door")?;
    let hours: Option<String> = row.get("hours")?;
    let hours = hours.map(|text| Hours::parse(&text)).transpose();
    let entry: Option<i64> = row.get("entry")?;
    let media = match (row.get("audio")?, row.get("video")?) {
        (Some(audio), Some(video)) => Some(MediaSet { audio, video }),
        _ => None,
    };
    let Ok(hours) = hours else { return Ok(None) };
    let rule = Rule {
        media,
        hours,
        expires_at: row.get("expires_at")?,
        list: row.get("list")?,
        note: row.get("note")?,
        ..Rule::new(if row.get("is_allow")? { Effect::Allow } else { Effect::Deny })
    };
    let Ok(app) = AppKey::new(row.get_ref("app")?.as_str()?) else { return Ok(None) };
    Ok(Some(CheckedRule {
        app,
        from: pattern("from_text", "from_kind")?,
        to: pattern("to_text", "to_kind")?,
        door: door.and_then(|word| Door::ALL.into_iter().find(|door| door.as_str() == word)),
        rule,
        entry: entry.and_then(|entry| usize::try_from(entry).ok()),
    }))
}
