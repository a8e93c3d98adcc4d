//! The columns of a file of rules, which are also the members of an NDJSON line.

use std::fmt;

use callgate_core::{AppKey, Effect, Hours, PartyId, Pattern, PhoneRegion, Rule};

use super::{Defaults, FileRule, Problem};
use crate::number_mistake::mistake;
use crate::rule_row::{BLOCK, RuleRow};
use crate::rule_target::{RuleLocation, RuleTarget};
use crate::time;
use crate::wording::{parse_effect, parse_media};

/// The columns that a CSV file must have.
pub(super) const REQUIRED: [&str; 4] = ["app", "from", "to", "effect"];

/// The values of a rule as text, one for each column.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) app: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) effect: String,
    pub(super) media: String,
    pub(super) hours: String,
    pub(super) expires_at: String,
    pub(super) disabled: String,
    pub(super) list: String,
    pub(super) note: String,
}

/// The number of columns.
pub(super) const COLUMNS: usize = 10;

impl Fields {
    /// Every column's name and value, in the order in which they are written.
    pub(super) fn columns(&mut self) -> [(&'static str, &mut String); COLUMNS] {
        let Self { app, from, to, effect, media, hours, expires_at, disabled, list, note } = self;
        [
            ("app", app),
            ("from", from),
            ("to", to),
            ("effect", effect),
            ("media", media),
            ("hours", hours),
            ("expires_at", expires_at),
            ("disabled", disabled),
            ("list", list),
            ("note", note),
        ]
    }

    /// The value of a column. `None` when there is no such column.
    pub(super) fn column(&mut self, name: &str) -> Option<&mut String> {
        self.columns().into_iter().find(|(column, _)| *column == name).map(|(_, value)| value)
    }

    /// Fills in the values that the line leaves out. A line with another one is refused.
    pub(super) fn with_defaults(mut self, line: u64, defaults: &Defaults) -> Result<Self, Vec<Problem>> {
        let Defaults { app, list } = defaults;
        let mut problems = Vec::new();
        for (column, value, default) in
            [("app", &mut self.app, app.as_ref().map(AppKey::as_str)), ("list", &mut self.list, list.as_deref())]
        {
            let Some(default) = default else { continue };
            if ["", default].contains(&value.trim()) {
                default.clone_into(value);
            } else if value != default {
                let reason = format!("is another {column} than `{default}`, which --{column} names");
                problems.push(Problem::new(line, column, value.clone(), reason));
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    /// Parses all values.
    pub(super) fn rule(&self, line: u64, region: Option<PhoneRegion>, exactly: bool) -> Result<FileRule, Vec<Problem>> {
        let Self { app, from, to, effect, media, hours, expires_at, disabled, list, note } = self;
        let mut values = Values { line, problems: Vec::new() };
        let app = values.required("app", app, AppKey::new);
        let from = values.required("from", from, |text| parse_pattern(text, region, exactly));
        let to_pattern = values.required("to", to, |text| parse_pattern(text, region, exactly));
        let effect = effect.trim().to_ascii_lowercase();
        let is_block = effect == BLOCK;
        let effect = values.required("effect", &effect, |text| match text {
            BLOCK => Ok(Effect::Deny),
            _ => parse_effect(text).map_err(|_| "must be `allow`, `deny` or `block`"),
        });
        let media_set = values.optional("media", media, parse_media);
        let windows = values.optional("hours", hours, Hours::parse);
        let expires_at = values.optional("expires_at", expires_at, time::parse_absolute);
        let is_disabled = values.optional("disabled", disabled, parse_flag).unwrap_or_default();
        let target = match (app, from, to_pattern) {
            (Some(app), Some(from), Some(to)) => Some(RuleTarget { app, from, to }),
            _ => None,
        };
        let location = if is_block {
            let disabled = if is_disabled { disabled.as_str() } else { "" };
            for (column, value) in [("media", media.as_str()), ("hours", hours), ("disabled", disabled)] {
                values
                    .optional(column, value, |_| Err::<(), _>("must be empty, because a block has no such condition"));
            }
            target.as_ref().and_then(|target| values.block_location(target))
        } else {
            target.as_ref().and_then(|target| values.required("to", to, |_| target.location()))
        };
        match (target, location, effect) {
            (Some(target), Some(location), Some(effect)) if values.problems.is_empty() => {
                let [list, note] = [list, note].map(|text| Some(text.clone()).filter(|text| !text.is_empty()));
                let (media, hours, disabled) = (media_set, windows, is_disabled);
                let rule = Rule { media, hours, expires_at, disabled, list, note, ..Rule::new(effect) };
                Ok(FileRule { target, location, rule })
            }
            _ => Err(values.problems),
        }
    }
}

/// The values of a rule as they are written to a file.
impl From<&RuleRow> for Fields {
    fn from(row: &RuleRow) -> Self {
        let RuleRow { app, from, to, effect, media, hours, expires_at, disabled, list, note } = row;
        Self {
            app: app.clone(),
            from: from.clone(),
            to: to.clone(),
            effect: effect.clone(),
            media: media.join(" "),
            hours: hours.join("; "),
            expires_at: expires_at.clone().unwrap_or_default(),
            disabled: if *disabled { "true".to_owned() } else { String::new() },
            list: list.clone().unwrap_or_default(),
            note: note.clone().unwrap_or_default(),
        }
    }
}

/// The names of the columns, in the order in which they are written.
pub(super) fn column_names() -> [&'static str; COLUMNS] {
    Fields::default().columns().map(|(name, _)| name)
}

/// Parses the values of a line and collects what is wrong with them.
struct Values {
    line: u64,
    problems: Vec<Problem>,
}

impl Values {
    fn required<T, E: fmt::Display>(
        &mut self,
        column: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = text.trim();
        parse(text).map_err(|error| self.problems.push(Problem::new(self.line, column, text, error.to_string()))).ok()
    }

    fn optional<T, E: fmt::Display>(
        &mut self,
        column: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if text.trim().is_empty() { None } else { self.required(column, text, parse) }
    }

    /// Where the block of a caller is stored. It is about one party, and all calls of that party.
    fn block_location(&mut self, RuleTarget { app, from, to }: &RuleTarget) -> Option<RuleLocation> {
        let caller = self.required("from", &from.to_string(), |text| match from {
            Pattern::Exact(_) => PartyId::new(text, None).map_err(|error| error.to_string()),
            _ => Err("is not one party; a block is about one party, so write a `deny` for a pattern".to_owned()),
        });
        let everyone = self.required("to", &to.to_string(), |_| match to {
            Pattern::Everyone => Ok(()),
            _ => Err("must be `*`, because a block is about all calls of its party; write a `deny` for some of them"),
        });
        everyone.and(caller).map(|caller| RuleLocation::block(app, &caller))
    }
}

/// Parses `true` or `false`, also as spreadsheets write them.
fn parse_flag(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err("must be `true` or `false`"),
    }
}

fn parse_pattern(text: &str, region: Option<PhoneRegion>, exactly: bool) -> Result<Pattern, String> {
    if text.is_empty() {
        return Err("is empty; write `*` for everyone and `anonymous` for withheld callers".to_owned());
    }
    match mistake(text, region) {
        Some(mistake) if !exactly => Err(mistake),
        _ => Pattern::new(text, region).map_err(|error| error.to_string()),
    }
}
