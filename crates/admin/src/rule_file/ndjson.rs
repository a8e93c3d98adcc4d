//! Rules as NDJSON: one JSON object per line.

use std::fmt;
use std::io::{self, BufRead, Write};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::columns::Fields;
use super::lines::Lines;
use super::{NumberedFields, Problem};
use crate::error::Result;
use crate::rule_row::RuleRow;

/// Reads the objects of an NDJSON file.
#[derive(Debug)]
pub(super) struct Reader<R> {
    pub(super) lines: Lines<R>,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(lines: Lines<R>) -> Self {
        Self { lines }
    }

    /// Reads the next object. Blank lines and comments are skipped.
    pub(super) fn next_fields(&mut self) -> Result<Option<NumberedFields>> {
        if !self.lines.advance_to_content()? {
            return Ok(None);
        }
        let number = self.lines.number();
        Ok(Some(NumberedFields { number, fields: parse_object(self.lines.parts().0.trim_ascii(), number) }))
    }
}

/// Writes a rule as one line.
pub(super) fn write(out: &mut impl Write, row: &RuleRow) -> io::Result<()> {
    serde_json::to_writer(&mut *out, row)?;
    out.write_all(b"\n")
}

/// The members of an object in their order, including repeated ones.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one object a line")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Parses a line as an object of texts.
fn parse_object(text: &[u8], line: u64) -> Result<Fields, Vec<Problem>> {
    let Members(members) = serde_json::from_slice(text).map_err(|error| {
        // The parser reads only this line, so its line number is always 1.
        let why = error.to_string().replace("at line 1 column", "at character");
        vec![Problem::new(line, "", String::from_utf8_lossy(text), format!("is not a JSON object: {why}"))]
    })?;
    let mut fields = Fields::default();
    let mut problems = Vec::new();
    for (index, (name, value)) in members.iter().enumerate() {
        let mut problem = |reason: &str| problems.push(Problem::new(line, name, value.to_string(), reason));
        if members.iter().take(index).any(|(other, _)| other == name) {
            problem("appears twice in this object");
            continue;
        }
        match (fields.column(name), text_of(name, value)) {
            (None, _) => problem("is not a member of a rule"),
            (Some(_), None) => problem("must be text"),
            (Some(field), Some(text)) => *field = text,
        }
    }
    if problems.is_empty() { Ok(fields) } else { Err(problems) }
}

/// Converts a member's value to text, as in CSV: lists are joined, and `expires_at` may be a number.
fn text_of(name: &str, value: &Value) -> Option<String> {
    match (name, value) {
        (_, Value::Null) => Some(String::new()),
        (_, Value::String(text)) => Some(text.clone()),
        ("expires_at", Value::Number(number)) => Some(number.to_string()),
        ("disabled", Value::Bool(flag)) => Some(flag.to_string()),
        ("media" | "hours", Value::Array(list)) => {
            let words: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
            Some(words?.join("; "))
        }
        _ => None,
    }
}
