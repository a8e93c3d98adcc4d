//! Rules as text: CSV with a header row, and NDJSON, one object a line.

use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context as _, bail};
use callgate_core::{AppKey, DialPlan, Effect, Hours, Pattern, Rule};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::moment;
use crate::statement::{About, Row, parse_media};

/// The columns, in the order in which `export` writes them.
pub(crate) const COLUMNS: [&str; 8] = ["app", "from", "to", "effect", "media", "hours", "expires_at", "note"];

/// The columns without which no rule can be said.
const REQUIRED: [&str; 4] = ["app", "from", "to", "effect"];

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

/// One line, read.
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) rule: Result<(About, Rule), Vec<Problem>>,
}

/// The rules of a file as `import` reads and `export` writes them, for whoever wants to know that both say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile(Vec<(About, Rule)>);

impl RuleFile {
    /// Reads a file, in the format its first character suggests where none is given.
    ///
    /// # Errors
    /// When it cannot be read; the first line that is no rule is named.
    pub fn read(source: &[u8], format: Option<Format>) -> anyhow::Result<Self> {
        let mut rules = Vec::new();
        read(source, format, &DialPlan::default(), |Line { number, rule }| {
            rules.push(rule.map_err(|problems| anyhow::anyhow!("line {number}: {problems:?}"))?);
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
        for (about, rule) in &self.0 {
            writer.write(&Row::new(about, rule))?;
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
    let starts_with_object = source.fill_buf()?.trim_ascii_start().first() == Some(&b'{');
    let sniffed = if starts_with_object { Format::Ndjson } else { Format::Csv };
    match format.unwrap_or(sniffed) {
        Format::Csv => read_csv(source, plan, &mut take),
        Format::Ndjson => read_ndjson(source, plan, &mut take),
    }
}

fn read_csv(
    source: impl Read,
    plan: &DialPlan,
    take: &mut impl FnMut(Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source);
    let header = reader.headers().context("the header row cannot be read")?.clone();
    let columns: Vec<_> = header.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    for name in &columns {
        if !COLUMNS.contains(&name.as_str()) {
            bail!("line 1: `{name}` is no column; the columns are {}", COLUMNS.join(","));
        }
        if columns.iter().filter(|other| *other == name).count() > 1 {
            bail!("line 1: the column `{name}` stands twice");
        }
    }
    if let Some(missing) = REQUIRED.iter().find(|name| !columns.iter().any(|column| column == *name)) {
        bail!("line 1: the column `{missing}` is missing; the first line names the columns: {}", COLUMNS.join(","));
    }
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).context("the file cannot be read")? {
        let number = record.position().map_or(0, csv::Position::line);
        let mut fields = Fields::default();
        let mut problems = Vec::new();
        if record.len() != columns.len() {
            let reason = format!("there are {} fields, and {} columns", record.len(), columns.len());
            problems.push(Problem { line: number, column: String::new(), value: String::new(), reason });
        }
        for (column, field) in columns.iter().zip(record.iter()) {
            match str::from_utf8(field) {
                Ok(text) => fields.set(column, text.to_owned()),
                Err(_) => problems.push(Problem {
                    line: number,
                    column: column.clone(),
                    value: String::from_utf8_lossy(field).into_owned(),
                    reason: "is not UTF-8".to_owned(),
                }),
            }
        }
        let rule = if problems.is_empty() { fields.rule(number, plan) } else { Err(problems) };
        take(Line { number, rule })?;
    }
    Ok(())
}

fn read_ndjson(
    source: impl BufRead,
    plan: &DialPlan,
    take: &mut impl FnMut(Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (number, line) in (1_u64..).zip(source.split(b'\n')) {
        let line = line.context("the file cannot be read")?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let rule = object(&line, number).and_then(|fields| fields.rule(number, plan));
        take(Line { number, rule })?;
    }
    Ok(())
}

/// The members of an object as the fields of a row.
fn object(line: &[u8], number: u64) -> Result<Fields, Vec<Problem>> {
    let problem = |column: &str, value: String, reason: &str| Problem {
        line: number,
        column: column.to_owned(),
        value,
        reason: reason.to_owned(),
    };
    let members: serde_json::Map<String, Value> = serde_json::from_slice(line).map_err(|error| {
        vec![problem("", String::from_utf8_lossy(line).into_owned(), &format!("is no JSON object: {error}"))]
    })?;
    let mut fields = Fields::default();
    let mut problems = Vec::new();
    for (name, value) in members {
        if !COLUMNS.contains(&name.as_str()) {
            problems.push(problem(&name, value.to_string(), "is no member of a rule"));
            continue;
        }
        match text(&name, &value) {
            Some(text) => fields.set(&name, text),
            None => problems.push(problem(&name, value.to_string(), "must be text")),
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

    fn rule(&self, line: u64, plan: &DialPlan) -> Result<(About, Rule), Vec<Problem>> {
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
        let about = match (app, from, to) {
            (Some(app), Some(from), Some(to)) => Some(About { app, from, to }),
            _ => None,
        };
        if let Some(Err(error)) = about.as_ref().map(About::home) {
            note("to", error.to_string());
        }
        match (about, effect) {
            (Some(about), Some(effect)) if problems.is_empty() => {
                Ok((about, Rule { media, hours, expires_at, note: text, ..Rule::new(effect) }))
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
