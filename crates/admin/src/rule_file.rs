//! Files of rules: CSV with a header row, NDJSON with one object per line, and plain files of numbers. A line that starts
//! with `#` is a comment.

use std::io::{self, BufRead, BufReader, Read, Write};

use callgate_core::{AppKey, PhoneRegion, Rule};
use encoding_rs_io::DecodeReaderBytes;

use crate::error::{Error, Result};
use crate::rule_row::{BLOCK, RuleRow};
use crate::rule_target::{RuleLocation, RuleTarget};

mod columns;
mod csv;
mod formula;
mod lines;
mod ndjson;
mod numbers;
mod problem;
mod template;

use columns::Fields;
pub use csv::csv_row;
use lines::Lines;
pub use problem::{Problem, ProblemKind, Problems};
pub use template::Template;

/// How rules are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header row, then one rule per row.
    Csv,
    /// One JSON object per line.
    Ndjson,
}

/// A line of a file, parsed.
#[derive(Debug, Clone)]
pub struct Line {
    /// The number of the line on which the rule starts, counted from 1.
    pub number: u64,
    /// The rule, or everything that is wrong with it.
    pub rule: Result<FileRule, Vec<Problem>>,
}

/// A rule of a file. The block of a caller is a rule that denies its calls, in the place for blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// The callers and callees of the rule.
    pub target: RuleTarget,
    /// Where the rule belongs in the table.
    pub location: RuleLocation,
    /// The rule, without an author, because a file does not contain one.
    pub rule: Rule,
}

impl FileRule {
    /// The rule as a row, in canonical form.
    #[must_use]
    pub fn row(&self) -> RuleRow {
        let row = RuleRow::new(&self.target, &self.rule);
        if self.location.is_block() { RuleRow { effect: BLOCK.to_owned(), ..row } } else { row }
    }
}

/// Reads a file of rules line by line.
///
/// ```
/// use callgate_admin::rule_file::Reader;
///
/// let file = "app,from,to,effect\nshop,PPP009,PPP005,allow\nshop,PPP009,PPP005,alow\n";
/// let mut reader = Reader::new(file.as_bytes(), None, None);
/// assert!(reader.next_line()?.is_some_and(|line| line.rule.is_ok()));
/// let problems = reader.next_line()?.and_then(|line| line.rule.err()).unwrap_or_default();
/// assert_eq!(problems[0].to_string(), "line 3, column `effect`: `alow` must be `allow`, `deny` or `block`");
/// # Ok::<_, callgate_admin::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    format: FormatReader<BufReader<DecodeReaderBytes<R, Vec<u8>>>>,
    region: Option<PhoneRegion>,
    defaults: Defaults,
    exactly: bool,
}

/// The values of the columns that a file may leave out. A line with another value is refused.
#[derive(Debug, Default)]
struct Defaults {
    app: Option<AppKey>,
    list: Option<String>,
}

#[derive(Debug)]
enum FormatReader<R> {
    /// Nothing has been read yet. Without a format, the first line determines it.
    Start(Option<Lines<R>>, Option<Format>),
    Csv(csv::Reader<R>),
    Ndjson(ndjson::Reader<R>),
    Numbers(Box<numbers::Reader<R>>),
}

impl<R: Read> Reader<R> {
    /// Reads a file of rules. Without a format, the first character of the first line that is not a comment determines it.
    pub fn new(source: R, format: Option<Format>, region: Option<PhoneRegion>) -> Self {
        Self::with(FormatReader::Start(Some(lines(source)), format), region)
    }

    /// Reads a file with a number or another id on each line, for each of which the template has a rule.
    pub fn of_numbers(source: R, template: Template, region: Option<PhoneRegion>) -> Self {
        Self::with(FormatReader::Numbers(Box::new(numbers::Reader::new(lines(source), template))), region)
    }

    fn with(format: FormatReader<BufReader<DecodeReaderBytes<R, Vec<u8>>>>, region: Option<PhoneRegion>) -> Self {
        Self { format, region, defaults: Defaults::default(), exactly: false }
    }

    /// Also accepts ids and prefixes that are hardly meant, such as `1.5E+10`.
    #[must_use]
    pub fn exactly(mut self, exactly: bool) -> Self {
        self.exactly = exactly;
        self
    }

    /// Only accepts rules of this app, whose name the file may leave out.
    #[must_use]
    pub fn of_app(mut self, app: Option<AppKey>) -> Self {
        self.defaults.app = app;
        self
    }

    /// Only accepts rules of this list, whose name the file may leave out.
    #[must_use]
    pub fn of_list(mut self, list: Option<String>) -> Self {
        self.defaults.list = list;
        self
    }

    /// Reads the next rule. `None` at the end of the file, and after a header row that is not valid.
    ///
    /// # Errors
    /// [`Error::Local`] when the file cannot be read, or a line is too long.
    pub fn next_line(&mut self) -> Result<Option<Line>> {
        if let FormatReader::Start(lines, format) = &mut self.format
            && let Some(lines) = lines.take()
        {
            self.format = start(lines, *format, self.defaults.app.is_some())?;
        }
        let fields = match &mut self.format {
            FormatReader::Start(..) => None,
            FormatReader::Csv(reader) => reader.next_fields()?,
            FormatReader::Ndjson(reader) => reader.next_fields()?,
            FormatReader::Numbers(reader) => reader.next_fields()?,
        };
        Ok(fields.map(|NumberedFields { number, fields }| {
            let fields = fields.and_then(|fields| fields.with_defaults(number, &self.defaults));
            let rule = fields.and_then(|fields| fields.rule(number, self.region, self.exactly));
            let rule = match &self.format {
                FormatReader::Numbers(reader) => rule.map_err(|problems| reader.located(problems)),
                _ => rule,
            };
            Line { number, rule }
        }))
    }

    /// What may be wrong with the comments that were skipped since the last call.
    pub(crate) fn take_comments(&mut self) -> Vec<Problem> {
        match &mut self.format {
            FormatReader::Start(..) => Vec::new(),
            FormatReader::Csv(reader) => reader.lines.take_comments(),
            FormatReader::Ndjson(reader) => reader.lines.take_comments(),
            FormatReader::Numbers(reader) => reader.lines.take_comments(),
        }
    }

    /// The only app whose rules the file may have, if it was named.
    pub(crate) fn app(&self) -> Option<&AppKey> {
        self.defaults.app.as_ref()
    }

    /// The only list whose rules the file may have, if it was named.
    pub(crate) fn list(&self) -> Option<&str> {
        self.defaults.list.as_deref()
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.exactly
    }
}

/// Spreadsheets write UTF-16 with a byte order mark, which the decoder removes.
fn lines<R: Read>(source: R) -> Lines<BufReader<DecodeReaderBytes<R, Vec<u8>>>> {
    Lines::new(BufReader::with_capacity(1 << 16, DecodeReaderBytes::new(source)))
}

/// Chooses the format by the first line, if none is given.
fn start<R: BufRead>(mut lines: Lines<R>, format: Option<Format>, has_app: bool) -> Result<FormatReader<R>> {
    let detected = if let Some(format) = format {
        format
    } else {
        let has_line = lines.advance_to_content()?;
        lines.back();
        match lines::without_mark(lines.parts().0).trim_ascii_start().first() {
            Some(b'{' | b'[') if has_line => Format::Ndjson,
            _ => Format::Csv,
        }
    };
    Ok(match detected {
        Format::Csv => FormatReader::Csv(csv::Reader::new(lines, has_app)),
        Format::Ndjson => FormatReader::Ndjson(ndjson::Reader::new(lines)),
    })
}

/// Reads a rule as a file in this format would contain it.
///
/// # Errors
/// Why a reader of the file refuses the rule.
pub(crate) fn read_back(format: Format, row: &RuleRow, region: Option<PhoneRegion>) -> Result<FileRule, String> {
    // Only the formats of unusual texts can differ: those that are quoted or escaped, or longer than a line may be.
    let is_plain = |(column, text): (&str, &str)| {
        text.len() < 1_000
            && !text.starts_with('#')
            && !text.contains(|c: char| c.is_control() || "\",\\'".contains(c))
            && !formula::is_escaped(column, text)
    };
    let [note, list] = [&row.note, &row.list].map(|text| text.as_deref().unwrap_or_default());
    let texts = [("app", row.app.as_str()), ("from", &row.from), ("to", &row.to), ("list", list), ("note", note)];
    let NumberedFields { number, fields } = if texts.into_iter().all(is_plain) {
        NumberedFields { number: 1, fields: Ok(Fields::from(row)) }
    } else {
        let mut file = Vec::new();
        let written = Writer::new(format, &mut file).and_then(|mut writer| {
            writer.write(row)?;
            writer.finish()
        });
        written.map_err(|error| error.to_string())?;
        let lines = Lines::new(file.as_slice());
        let fields = match format {
            Format::Csv => csv::Reader::new(lines, false).next_fields(),
            Format::Ndjson => ndjson::Reader::new(lines).next_fields(),
        };
        fields.map_err(|error| error.to_string())?.ok_or("the file has no such line")?
    };
    fields.and_then(|fields| fields.rule(number, region, true)).map_err(|problems| {
        let problem =
            |Problem { column, value, reason, .. }: &Problem| format!("column `{column}`: `{value}` {reason}");
        problems.iter().map(problem).collect::<Vec<_>>().join("; ")
    })
}

fn unreadable(error: &io::Error) -> Error {
    Error::Local(format!("the file cannot be read: {error}"))
}

/// The values on a line, or what is wrong with it.
struct NumberedFields {
    number: u64,
    fields: Result<Fields, Vec<Problem>>,
}

/// Writes a file of rules, as [`Reader`] reads it.
#[derive(Debug)]
pub struct Writer<W: Write>(FormatWriter<W>);

#[derive(Debug)]
enum FormatWriter<W: Write> {
    Csv(csv::Writer<W>),
    Ndjson(W),
}

impl<W: Write> Writer<W> {
    /// Starts a file. A CSV file gets its header row.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn new(format: Format, out: W) -> io::Result<Self> {
        Ok(Self(match format {
            Format::Csv => FormatWriter::Csv(csv::Writer::new(out)?),
            Format::Ndjson => FormatWriter::Ndjson(out),
        }))
    }

    /// Writes a rule.
    ///
    /// # Errors
    /// When the file cannot be written to.
    pub fn write(&mut self, row: &RuleRow) -> io::Result<()> {
        match &mut self.0 {
            FormatWriter::Csv(writer) => writer.write(row),
            FormatWriter::Ndjson(out) => ndjson::write(out, row),
        }
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// When the file cannot be written to.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            FormatWriter::Csv(writer) => writer.finish(),
            FormatWriter::Ndjson(mut out) => out.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use callgate_core::{AppKey, Effect, Hours, MediaSet, Pattern};

    use super::columns::{REQUIRED, column_names};
    use super::*;

    /// A rule with every condition.
    fn full() -> FileRule {
        let target = RuleTarget {
            app: AppKey::new("way#2").unwrap(),
            from: Pattern::new("+7495*", None).unwrap(),
            to: Pattern::new("PPP005", None).unwrap(),
        };
        let rule = Rule {
            effect: Effect::Allow,
            media: Some(MediaSet { audio: true, video: true }),
            hours: Some(Hours::parse("Mon-Fri 09:00-18:00 Europe/Moscow; Sat 10:00-14:00 UTC").unwrap()),
            expires_at: Some(4_102_358_400),
            disabled: true,
            list: Some("spam".to_owned()),
            note: Some("two\nlines, and a \"quote\"".to_owned()),
            updated_at: None,
            updated_by: None,
        };
        FileRule { location: target.location().unwrap(), target, rule }
    }

    #[test]
    fn every_condition_survives_both_formats() {
        let full = full();
        for format in [Format::Csv, Format::Ndjson] {
            let mut text = Vec::new();
            let mut writer = Writer::new(format, &mut text).unwrap();
            writer.write(&RuleRow::new(&full.target, &full.rule)).unwrap();
            writer.finish().unwrap();
            let mut reader = Reader::new(text.as_slice(), None, None);
            assert_eq!(reader.next_line().unwrap().unwrap().rule, Ok(full.clone()), "{format:?}");
            assert!(reader.next_line().unwrap().is_none());
        }
    }

    /// CSV and NDJSON have the same names.
    #[test]
    fn columns_are_the_members_of_a_row() {
        let row = serde_json::to_value(RuleRow::new(&full().target, &full().rule)).unwrap();
        let mut members: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
        let mut columns = column_names().to_vec();
        members.sort();
        columns.sort_unstable();
        assert_eq!(members, columns);
        assert!(REQUIRED.iter().all(|name| columns.contains(name)));
    }
}
