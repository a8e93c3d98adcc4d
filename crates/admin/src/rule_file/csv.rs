//! Rules as CSV (RFC 4180).

use std::borrow::Cow;
use std::io::{self, BufRead, Write};

use super::columns::{Fields, REQUIRED, column_names};
use super::formula;
use super::lines::{Lines, MAX_LINE, without_mark};
use super::{NumberedFields, Problem};
use crate::error::Result;
use crate::rule_row::RuleRow;

const NEVER_CLOSED: &str =
    "begins with a quotation mark that is never closed, so it would include the rest of the file";
const STRAY_QUOTE: &str =
    "contains a quotation mark but does not begin with one; write \"…\", and double each quotation mark inside";
const AFTER_QUOTE: &str = "continues after its closing quotation mark; double each quotation mark inside";

/// Reads the rows of a CSV file.
///
/// The reader of the `csv` crate is not used, because it does not count blank lines, and after a quotation mark that is never
/// closed it reads the rest of the file into one field.
#[derive(Debug)]
pub(super) struct Reader<R> {
    pub(super) lines: Lines<R>,
    header: Header,
    separator: u8,
    /// Whether every row is of one app, so that there may be no column for it.
    has_app: bool,
}

#[derive(Debug)]
enum Header {
    NotRead,
    Columns(Vec<&'static str>),
    Invalid,
}

impl<R: BufRead> Reader<R> {
    /// With `has_app`, the app is known without its column.
    pub(super) fn new(lines: Lines<R>, has_app: bool) -> Self {
        Self { lines, header: Header::NotRead, separator: b',', has_app }
    }

    /// Reads the next row, after the header row. A header row that is not valid is returned as the only row.
    pub(super) fn next_fields(&mut self) -> Result<Option<NumberedFields>> {
        if matches!(self.header, Header::NotRead) {
            self.find_separator()?;
            let (number, columns) = match self.next_record()? {
                None => (1, Err(vec![Problem::of_line(1, "the file is empty; the first line names the columns")])),
                Some((number, Ok(header))) => (number, parse_header(number, header.into_fields(), self.has_app)),
                Some((number, Err(misquoted))) => (number, Err(vec![misquoted.problem(number, &[])])),
            };
            match columns {
                Ok(columns) => self.header = Header::Columns(columns),
                Err(problems) => {
                    self.header = Header::Invalid;
                    return Ok(Some(NumberedFields { number, fields: Err(problems) }));
                }
            }
        }
        let record = if matches!(self.header, Header::Columns(_)) { self.next_record()? } else { None };
        let (Some((number, record)), Header::Columns(columns)) = (record, &self.header) else { return Ok(None) };
        let fields = match record {
            Ok(record) => parse_row(number, columns, record.into_fields()),
            Err(misquoted) => Err(vec![misquoted.problem(number, columns)]),
        };
        Ok(Some(NumberedFields { number, fields }))
    }

    /// Finds the separator in the first line that is neither blank nor a comment: the one of comma, semicolon and tab that occurs most often.
    /// Spreadsheets write the one of their country, and some name it in a line of its own, `sep=;`.
    fn find_separator(&mut self) -> Result<()> {
        if self.lines.advance_to_content()? {
            let line = without_mark(self.lines.parts().0);
            if let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator] = *line {
                self.separator = separator;
                return Ok(());
            }
            let count = |separator: &u8| line.split(|byte| byte == separator).count();
            // Of several with the same count, the last of these.
            self.separator = [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',');
        }
        self.lines.back();
        Ok(())
    }

    /// Reads the next record and the number of the line on which it starts. Blank lines, lines of separators only,
    /// and comments are skipped.
    fn next_record(&mut self) -> Result<Option<(u64, Result<Record, Misquoted>)>> {
        let (lines, separator) = (&mut self.lines, self.separator);
        while lines.advance_to_content()? {
            if without_mark(lines.parts().0).iter().all(|byte| *byte == separator || byte.is_ascii_whitespace()) {
                continue;
            }
            let number = lines.number();
            let mut record = Record::default();
            loop {
                let (text, end) = lines.parts();
                let text = if record.is_empty() { without_mark(text) } else { text };
                let result = match record.add(text, separator) {
                    Err(misquoted) => Err(misquoted),
                    Ok(()) if record.state != State::Quoted => Ok(record),
                    Ok(()) if record.field.len() as u64 > MAX_LINE => Err(record.misquoted(NEVER_CLOSED)),
                    Ok(()) => {
                        record.field.extend_from_slice(end);
                        if lines.advance()? {
                            continue;
                        }
                        Err(record.misquoted(NEVER_CLOSED))
                    }
                };
                return Ok(Some((number, result)));
            }
        }
        Ok(None)
    }
}

/// The fields of a record, as far as it has been read.
#[derive(Default)]
struct Record {
    fields: Vec<Vec<u8>>,
    /// The field that is being read, or the last one.
    field: Vec<u8>,
    state: State,
}

/// The reader's position in a field.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    Plain,
    Quoted,
    /// After a quotation mark that may close the field, or be the first of two.
    Closed,
}

/// A field whose quotation marks are not valid: its index, its beginning, and the reason.
struct Misquoted(usize, String, &'static str);

impl Misquoted {
    fn problem(self, line: u64, columns: &[&str]) -> Problem {
        let Self(index, value, reason) = self;
        Problem::new(line, columns.get(index).copied().unwrap_or_default(), value, reason)
    }
}

impl Record {
    fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.field.is_empty() && self.state == State::Start
    }

    /// Adds a line, without its end.
    fn add(&mut self, line: &[u8], separator: u8) -> Result<(), Misquoted> {
        for &byte in line {
            self.state = match (self.state, byte) {
                (State::Quoted, b'"') => State::Closed,
                (State::Start, b'"') => State::Quoted,
                (State::Plain, b'"') => return Err(self.misquoted(STRAY_QUOTE)),
                (State::Start | State::Plain | State::Closed, byte) if byte == separator => {
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

    fn into_fields(self) -> Vec<Vec<u8>> {
        let Self { mut fields, field, state: _ } = self;
        fields.push(field);
        fields
    }
}

/// Parses the names in the header row.
fn parse_header(line: u64, names: Vec<Vec<u8>>, has_app: bool) -> Result<Vec<&'static str>, Vec<Problem>> {
    let all = column_names();
    let unreadable = [
        (b'\r', "its lines end with a carriage return alone; save the file as CSV in UTF-8"),
        (b'\0', "it is in UTF-16 without a byte order mark; save the file as CSV in UTF-8"),
    ];
    for (byte, reason) in unreadable {
        if names.iter().any(|name| name.contains(&byte)) {
            return Err(vec![Problem::of_line(line, format!("the file cannot be read: {reason}"))]);
        }
    }
    let mut problems = Vec::new();
    let mut columns = Vec::new();
    let names = without_empty_end(names, 0);
    let is_alone = names.len() == 1;
    for name in names {
        let Ok(name) = std::str::from_utf8(&name) else {
            let name = String::from_utf8_lossy(&name).into_owned();
            problems.push(Problem::new(line, "", name, "is not UTF-8; save the file as UTF-8"));
            continue;
        };
        let name = name.trim().to_ascii_lowercase();
        match all.into_iter().find(|column| *column == name) {
            Some(column) if columns.contains(&column) => {
                problems.push(Problem::new(line, "", name, "appears twice"));
            }
            Some(column) => columns.push(column),
            None => {
                let numbers = if is_alone { "; for a file of numbers, one a line, add --as 'block {}'" } else { "" };
                let reason = format!(
                    "is not a column; the columns are {}, separated by commas, semicolons or tabs{numbers}",
                    all.join(",")
                );
                problems.push(Problem::new(line, "", name, reason));
            }
        }
    }
    if problems.is_empty() {
        let reason = format!("is missing; the first line names the columns: {}", all.join(","));
        let missing = REQUIRED.iter().filter(|name| !(columns.contains(name) || (has_app && **name == "app")));
        problems.extend(missing.map(|name| Problem::new(line, name, "", reason.clone())));
    }
    if problems.is_empty() { Ok(columns) } else { Err(problems) }
}

/// The fields without the empty ones after so many, which a separator at the end of a line makes.
fn without_empty_end(mut fields: Vec<Vec<u8>>, count: usize) -> Vec<Vec<u8>> {
    while fields.len() > count && fields.last().is_some_and(|field| field.trim_ascii().is_empty()) {
        fields.pop();
    }
    fields
}

fn parse_row(line: u64, columns: &[&str], values: Vec<Vec<u8>>) -> Result<Fields, Vec<Problem>> {
    let mut fields = Fields::default();
    let mut problems = Vec::new();
    let values = without_empty_end(values, columns.len());
    if values.len() != columns.len() {
        problems
            .push(Problem::of_line(line, format!("there are {} fields, and {} columns", values.len(), columns.len())));
    }
    for (column, value) in columns.iter().zip(values) {
        match String::from_utf8(value) {
            Ok(text) => {
                if let Some(field) = fields.column(column) {
                    *field = formula::unescape(column, text);
                }
            }
            Err(error) => {
                let value = String::from_utf8_lossy(error.as_bytes()).into_owned();
                problems.push(Problem::new(line, column, value, "is not UTF-8"));
            }
        }
    }
    if problems.is_empty() { Ok(fields) } else { Err(problems) }
}

/// Writes a CSV file.
#[derive(Debug)]
pub(super) struct Writer<W: Write>(W);

impl<W: Write> Writer<W> {
    /// Starts a file with the header row.
    pub(super) fn new(out: W) -> io::Result<Self> {
        let mut writer = Self(out);
        writeln!(writer.0, "{}", column_names().join(","))?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, row: &RuleRow) -> io::Result<()> {
        let mut fields = Fields::from(row);
        let fields = fields.columns().map(|(column, value)| quote(formula::escape(column, value)));
        // Without quotation marks, a row that starts with `#` would be a comment.
        let is_comment = fields.first().is_some_and(|app| app.starts_with('#'));
        let fields = fields.join(",");
        if is_comment {
            let (app, rest) = fields.split_once(',').unwrap_or((&fields, ""));
            return writeln!(self.0, "\"{app}\",{rest}");
        }
        writeln!(self.0, "{fields}")
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A row of a CSV file that is not of rules: each value with the name of its column. A value with which a spreadsheet would begin
/// a formula has an apostrophe before it; numbers and patterns in the columns `from` and `to` stay as they are.
pub fn csv_row<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let fields = fields.into_iter().map(|(column, value)| quote(formula::escape(column, value)));
    fields.collect::<Vec<_>>().join(",")
}

/// A field in quotation marks, if it needs them.
fn quote(field: Cow<'_, str>) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into_owned()
    }
}
