//! Rules as text: CSV with a header row, and NDJSON, one object a line.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context as _, bail};
use callgate_core::{AppKey, DialPlan, Effect, Hours, Pattern, Rule};
use clap::ValueEnum;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::moment;
use crate::say::visible;
use crate::statement::{Row, RuleLocation, RuleTarget, parse_media};

/// The columns, in the order in which `export` writes them.
pub(crate) const COLUMNS: [&str; 8] = ["app", "from", "to", "effect", "media", "hours", "expires_at", "note"];

/// The columns without which no rule can be said.
const REQUIRED: [&str; 4] = ["app", "from", "to", "effect"];

/// A line longer than this is none of a file of rules: no item of the table can be half as long.
const MAX_LINE: u64 = 1 << 20;

/// How rules are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A header row, then one rule a row.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// What is wrong with a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    pub(crate) line: u64,
    pub(crate) column: String,
    pub(crate) value: String,
    pub(crate) reason: String,
}

impl Problem {
    fn of_line(line: u64, reason: impl Into<String>) -> Self {
        Self { line, column: String::new(), value: String::new(), reason: reason.into() }
    }
}

/// As it is shown to people.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, value, reason } = self;
        write!(f, "line {line}")?;
        if !column.is_empty() {
            write!(f, ", column `{}`", visible(column))?;
        }
        f.write_str(":")?;
        if !value.is_empty() {
            write!(f, " `{}`", visible(value))?;
        }
        write!(f, " {}", visible(reason))
    }
}

/// One line, read.
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) rule: Result<(RuleTarget, RuleLocation, Rule), Vec<Problem>>,
}

/// The rules of a file as `import` reads and `export` writes them, for whoever wants to know that both say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile(Vec<(RuleTarget, Rule)>);

impl RuleFile {
    /// Reads a file, in the format its first character suggests where none is given.
    ///
    /// # Errors
    /// When it cannot be read; the first line that is no rule is named.
    pub fn read(source: &[u8], format: Option<Format>) -> anyhow::Result<Self> {
        let mut rules = Vec::new();
        read(source, format, &DialPlan::default(), |Line { number, rule }| {
            let (target, _, rule) = rule.map_err(|problems| anyhow::anyhow!("line {number}: {problems:?}"))?;
            rules.push((target, rule));
            Ok(())
        })?;
        Ok(Self(rules))
    }

    /// The file that says these rules.
    ///
    /// # Errors
    /// When a row cannot be written.
    pub fn write(&self, format: Format) -> anyhow::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut writer = Writer::new(format, &mut text)?;
        for (target, rule) in &self.0 {
            writer.write(&Row::new(target, rule))?;
        }
        writer.finish()?;
        Ok(text)
    }
}

/// Goes through all lines; stops at the first error of `take`, or when the source cannot be read.
pub(crate) fn read(
    source: impl Read,
    format: Option<Format>,
    plan: &DialPlan,
    mut take: impl FnMut(Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut source = BufReader::with_capacity(1 << 16, source);
    if source.fill_buf().context("the file cannot be read")?.starts_with("\u{feff}".as_bytes()) {
        source.consume("\u{feff}".len());
    }
    let first = source.fill_buf()?.trim_ascii_start().first();
    let sniffed = if matches!(first, Some(b'{' | b'[')) { Format::Ndjson } else { Format::Csv };
    let lines = Lines { source, number: 0, line: Vec::new() };
    match format.unwrap_or(sniffed) {
        Format::Csv => read_csv(lines, plan, &mut take),
        Format::Ndjson => read_ndjson(lines, plan, &mut take),
    }
}

/// The lines of a file, counted.
struct Lines<R> {
    source: R,
    number: u64,
    /// The last one that was read, with its end.
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// `false` at the end of the file.
    fn advance(&mut self) -> anyhow::Result<bool> {
        self.line.clear();
        self.number += 1;
        let mut limited = self.source.by_ref().take(MAX_LINE);
        let length = limited.read_until(b'\n', &mut self.line).context("the file cannot be read")?;
        if length as u64 == MAX_LINE {
            bail!("line {} is longer than {MAX_LINE} bytes, which no rule is; nothing was written", self.number);
        }
        Ok(length > 0)
    }

    /// The line without its end, and its end.
    fn parts(&self) -> (&[u8], &[u8]) {
        let text = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        self.line.split_at(text.len())
    }

    /// The next record of a CSV file (RFC 4180) and the line it starts on. The reader of the `csv` crate takes the
    /// rest of the file into a field whose quotation mark is never closed, rules and all, and does not count blank lines.
    fn record(&mut self) -> anyhow::Result<Option<(u64, Result<Record, Misquoted>)>> {
        while self.advance()? {
            if self.parts().0.is_empty() {
                continue;
            }
            let number = self.number;
            let mut record = Record::default();
            loop {
                let (text, end) = self.parts();
                let ended = match record.add(text) {
                    Err(misquoted) => Err(misquoted),
                    Ok(()) if record.state != State::Quoted => Ok(record),
                    Ok(()) if record.field.len() as u64 > MAX_LINE => Err(record.misquoted(NEVER_CLOSED)),
                    Ok(()) => {
                        record.field.extend_from_slice(end);
                        if self.advance()? {
                            continue;
                        }
                        Err(record.misquoted(NEVER_CLOSED))
                    }
                };
                return Ok(Some((number, ended)));
            }
        }
        Ok(None)
    }
}

/// The fields of a record, as far as it has been read.
#[derive(Default)]
struct Record {
    fields: Vec<Vec<u8>>,
    /// The one that is being read, or the last.
    field: Vec<u8>,
    state: State,
}

/// Where in a field the reader is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    Plain,
    Quoted,
    /// After a quotation mark that may close the field, or be the first of two.
    Closed,
}

/// A field with quotation marks that make no sense: its place among the fields, its beginning and why.
struct Misquoted(usize, String, &'static str);

const NEVER_CLOSED: &str =
    "begins with a quotation mark that is never closed, so that what follows would be part of it";
const STRAY_QUOTE: &str =
    "holds a quotation mark but is not in quotation marks; write \"…\", and each one inside twice";
const AFTER_QUOTE: &str = "goes on after its closing quotation mark; one inside quotation marks is written twice";

impl Record {
    /// A line, without its end.
    fn add(&mut self, line: &[u8]) -> Result<(), Misquoted> {
        for &byte in line {
            self.state = match (self.state, byte) {
                (State::Quoted, b'"') => State::Closed,
                (State::Start, b'"') => State::Quoted,
                (State::Plain, b'"') => return Err(self.misquoted(STRAY_QUOTE)),
                (State::Start | State::Plain | State::Closed, b',') => {
                    self.fields.push(std::mem::take(&mut self.field));
                    State::Start
                }
                (State::Closed, byte) if byte != b'"' => return Err(self.misquoted(AFTER_QUOTE)),
                (state, byte) => {
                    self.field.push(byte);
                    if state == State::Start || state == State::Plain { State::Plain } else { State::Quoted }
                }
            };
        }
        Ok(())
    }

    fn misquoted(&self, reason: &'static str) -> Misquoted {
        let beginning = String::from_utf8_lossy(&self.field).chars().take(40).collect();
        Misquoted(self.fields.len(), beginning, reason)
    }

    fn fields(self) -> Vec<Vec<u8>> {
        let Self { mut fields, field, .. } = self;
        fields.push(field);
        fields
    }
}

fn read_csv(
    mut lines: Lines<impl BufRead>,
    plan: &DialPlan,
    take: &mut impl FnMut(Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let columns = match lines.record()? {
        None => Err(vec![Problem::of_line(1, "the file is empty; the first line names the columns")]),
        Some((number, Ok(header))) => header_of(number, header.fields()),
        Some((number, Err(misquoted))) => Err(vec![misquoted.problem(number, &[])]),
    };
    let columns = match columns {
        Ok(columns) => columns,
        Err(problems) => return take(Line { number: 1, rule: Err(problems) }),
    };
    while let Some((number, record)) = lines.record()? {
        let fields = match record {
            Ok(record) => row(number, &columns, record.fields()),
            Err(misquoted) => Err(vec![misquoted.problem(number, &columns)]),
        };
        take(Line { number, rule: fields.and_then(|fields| fields.rule(number, plan)) })?;
    }
    Ok(())
}

impl Misquoted {
    fn problem(self, line: u64, columns: &[String]) -> Problem {
        let Self(index, value, reason) = self;
        Problem { line, column: columns.get(index).cloned().unwrap_or_default(), value, reason: reason.to_owned() }
    }
}

/// The columns that the first line names.
fn header_of(line: u64, names: Vec<Vec<u8>>) -> Result<Vec<String>, Vec<Problem>> {
    let all = COLUMNS.join(",");
    let mut problems = Vec::new();
    let mut columns: Vec<String> = Vec::new();
    for name in names {
        let (name, reason) = match String::from_utf8(name) {
            Err(error) => {
                let name = String::from_utf8_lossy(error.as_bytes()).into_owned();
                (name, Some("is not UTF-8; save the file as UTF-8".to_owned()))
            }
            Ok(name) => {
                let name = name.trim().to_ascii_lowercase();
                let reason = if columns.contains(&name) {
                    Some("stands twice".to_owned())
                } else if COLUMNS.contains(&name.as_str()) {
                    None
                } else {
                    Some(format!("is no column; the columns are {all}, with commas between them"))
                };
                (name, reason)
            }
        };
        problems.extend(reason.map(|reason| Problem { line, column: String::new(), value: name.clone(), reason }));
        columns.push(name);
    }
    if problems.is_empty() {
        let missing = REQUIRED.iter().filter(|name| !columns.iter().any(|column| column == *name));
        let reason = format!("is missing; the first line names the columns: {all}");
        problems.extend(missing.map(|name| Problem {
            line,
            column: (*name).to_owned(),
            value: String::new(),
            reason: reason.clone(),
        }));
    }
    if problems.is_empty() { Ok(columns) } else { Err(problems) }
}

fn row(line: u64, columns: &[String], values: Vec<Vec<u8>>) -> Result<Fields, Vec<Problem>> {
    let mut fields = Fields::default();
    let mut problems = Vec::new();
    if values.len() != columns.len() {
        problems
            .push(Problem::of_line(line, format!("there are {} fields, and {} columns", values.len(), columns.len())));
    }
    for (column, value) in columns.iter().zip(values) {
        match String::from_utf8(value) {
            Ok(text) => fields.set(column, text),
            Err(error) => problems.push(Problem {
                line,
                column: column.clone(),
                value: String::from_utf8_lossy(error.as_bytes()).into_owned(),
                reason: "is not UTF-8".to_owned(),
            }),
        }
    }
    if problems.is_empty() { Ok(fields) } else { Err(problems) }
}

fn read_ndjson(
    mut lines: Lines<impl BufRead>,
    plan: &DialPlan,
    take: &mut impl FnMut(Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    while lines.advance()? {
        let (line, number) = (lines.line.trim_ascii(), lines.number);
        if line.is_empty() {
            continue;
        }
        take(Line { number, rule: object(line, number).and_then(|fields| fields.rule(number, plan)) })?;
    }
    Ok(())
}

/// The members of an object in their order, a name that stands twice included.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
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

        deserializer.deserialize_map(Reader)
    }
}

/// The members of an object as the fields of a row.
fn object(text: &[u8], line: u64) -> Result<Fields, Vec<Problem>> {
    let problem = |column: &str, value: String, reason: &str| Problem {
        line,
        column: column.to_owned(),
        value,
        reason: reason.to_owned(),
    };
    let Members(members) = serde_json::from_slice(text).map_err(|error| {
        // The parser knows of this line only, and calls it the first.
        let why = error.to_string().replace("at line 1 column", "at character");
        vec![problem("", String::from_utf8_lossy(text).into_owned(), &format!("is no JSON object: {why}"))]
    })?;
    let mut fields = Fields::default();
    let mut problems = Vec::new();
    for (index, (name, value)) in members.iter().enumerate() {
        if members.iter().take(index).any(|(other, _)| other == name) {
            problems.push(problem(name, value.to_string(), "stands twice in this object"));
        } else if !COLUMNS.contains(&name.as_str()) {
            problems.push(problem(name, value.to_string(), "is no member of a rule"));
        } else if let Some(text) = self::text(name, value) {
            fields.set(name, text);
        } else {
            problems.push(problem(name, value.to_string(), "must be text"));
        }
    }
    if problems.is_empty() { Ok(fields) } else { Err(problems) }
}

/// Lists become what they are in CSV; a moment may be a number.
fn text(name: &str, value: &Value) -> Option<String> {
    match (name, value) {
        (_, Value::Null) => Some(String::new()),
        (_, Value::String(text)) => Some(text.clone()),
        ("expires_at", Value::Number(number)) => Some(number.to_string()),
        ("media" | "hours", Value::Array(list)) => {
            let words: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
            Some(words?.join("; "))
        }
        _ => None,
    }
}

/// The fields of a line, as they were written.
#[derive(Debug, Default)]
struct Fields([String; 8]);

impl Fields {
    fn set(&mut self, column: &str, value: String) {
        let place = COLUMNS.iter().position(|name| *name == column).and_then(|index| self.0.get_mut(index));
        if let Some(place) = place {
            *place = value;
        }
    }

    fn get(&self, column: &str) -> &str {
        let index = COLUMNS.iter().position(|name| *name == column);
        index.and_then(|index| self.0.get(index)).map_or("", |text| text.trim())
    }

    fn rule(&self, line: u64, plan: &DialPlan) -> Result<(RuleTarget, RuleLocation, Rule), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut note = |column: &str, reason: String| {
            let value = self.get(column).to_owned();
            problems.push(Problem { line, column: column.to_owned(), value, reason });
        };
        let app = AppKey::new(self.get("app")).map_err(|error| note("app", error.to_string())).ok();
        let mut pattern = |column| {
            if self.get(column).is_empty() {
                note(column, "is empty; write `*` for everyone, `anonymous` for withheld callers".to_owned());
                return None;
            }
            Pattern::new(self.get(column), plan).map_err(|error| note(column, error.to_string())).ok()
        };
        let (from, to) = (pattern("from"), pattern("to"));
        let effect = match self.get("effect") {
            "allow" => Some(Effect::Allow),
            "deny" => Some(Effect::Deny),
            _ => {
                note("effect", "must be `allow` or `deny`".to_owned());
                None
            }
        };
        let media = Some(self.get("media")).filter(|text| !text.is_empty()).map(parse_media).transpose();
        let media = media.map_err(|error| note("media", error.to_string())).unwrap_or_default();
        let hours = Some(self.get("hours")).filter(|text| !text.is_empty()).map(Hours::parse).transpose();
        let hours = hours.map_err(|error| note("hours", error.to_string())).unwrap_or_default();
        let expires_at = match self.get("expires_at") {
            "" => None,
            text => {
                let moment = moment::absolute(text);
                if moment.is_none() {
                    note(
                        "expires_at",
                        "is no moment; expected such as `2026-12-31T18:00:00Z`, or seconds since 1970".to_owned(),
                    );
                }
                moment
            }
        };
        let text = Some(self.get("note").to_owned()).filter(|text| !text.is_empty());
        let target = match (app, from, to) {
            (Some(app), Some(from), Some(to)) => Some(RuleTarget { app, from, to }),
            _ => None,
        };
        let location =
            target.as_ref().and_then(|target| target.location().map_err(|error| note("to", error.to_string())).ok());
        match (target, location, effect) {
            (Some(target), Some(location), Some(effect)) if problems.is_empty() => {
                Ok((target, location, Rule { media, hours, expires_at, note: text, ..Rule::new(effect) }))
            }
            _ => Err(problems),
        }
    }
}

/// Writes rows in one of the formats.
pub(crate) enum Writer<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Ndjson(W),
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(format: Format, out: W) -> anyhow::Result<Self> {
        Ok(match format {
            Format::Ndjson => Self::Ndjson(out),
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(COLUMNS)?;
                Self::Csv(Box::new(writer))
            }
        })
    }

    pub(crate) fn write(&mut self, row: &Row) -> anyhow::Result<()> {
        match self {
            Self::Ndjson(out) => {
                serde_json::to_writer(&mut *out, row)?;
                out.write_all(b"\n")?;
            }
            Self::Csv(out) => {
                let (media, hours) = (row.media.join(" "), row.hours.join("; "));
                let optional = |text: &Option<String>| text.clone().unwrap_or_default();
                let fields = [
                    &row.app,
                    &row.from,
                    &row.to,
                    &row.effect,
                    &media,
                    &hours,
                    &optional(&row.expires_at),
                    &optional(&row.note),
                ];
                out.write_record(fields)?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Ndjson(mut out) => out.flush()?,
            Self::Csv(mut out) => out.flush()?,
        }
        Ok(())
    }
}
