//! Plain files of numbers: one number, or another id or pattern, on each line.

use std::io::BufRead;

use super::lines::{Lines, without_mark};
use super::template::Template;
use super::{NumberedFields, Problem};
use crate::error::Result;

/// Reads the lines of a plain file.
#[derive(Debug)]
pub(super) struct Reader<R> {
    pub(super) lines: Lines<R>,
    template: Template,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(lines: Lines<R>, template: Template) -> Self {
        Self { lines, template }
    }

    /// Reads the next number. Blank lines and comments are skipped.
    pub(super) fn next_fields(&mut self) -> Result<Option<NumberedFields>> {
        if !self.lines.advance_to_content()? {
            return Ok(None);
        }
        let number = self.lines.number();
        let fields = match unquoted(without_mark(self.lines.parts().0).trim_ascii()) {
            Ok(text) => Ok(self.template.fields(text)),
            Err((text, reason)) => Err(vec![Problem::new(number, "", text, reason)]),
        };
        Ok(Some(NumberedFields { number, fields }))
    }
}

impl<R> Reader<R> {
    /// The problems of a line, whose only column has no name.
    pub(super) fn located(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        for problem in problems.iter_mut().filter(|problem| problem.column == self.template.column()) {
            problem.column.clear();
        }
        problems
    }
}

/// The text on a line, without the quotation marks that a program may write around it.
fn unquoted(line: &[u8]) -> Result<&str, (String, &'static str)> {
    let invalid = |reason| Err((String::from_utf8_lossy(line).into_owned(), reason));
    let Ok(text) = std::str::from_utf8(line) else { return invalid("is not UTF-8; save the file as UTF-8") };
    match text.strip_prefix('"') {
        Some(rest) => match rest.strip_suffix('"') {
            Some(inner) if !inner.contains('"') => Ok(inner),
            _ => invalid("begins with a quotation mark; write the number alone"),
        },
        None if text.contains([',', ';', '\t']) => {
            invalid("is more than one value; write one number a line, or a CSV file with a header and without --as")
        }
        None => Ok(text),
    }
}
