//! Reads the lines of a file and counts them.

use std::io::{BufRead, Read as _};

use super::{Problem, unreadable};
use crate::error::{Error, Result};

/// The longest line, in bytes. An item of the table is at most 400 KB.
pub(super) const MAX_LINE: u64 = 1 << 20;

/// Reads lines and counts them.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    /// The line that was read last, with its end.
    line: Vec<u8>,
    /// Whether the current line is read again.
    is_back: bool,
    /// What may be wrong with the comments that were skipped.
    comments: Vec<Problem>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, number: 0, line: Vec::new(), is_back: false, comments: Vec::new() }
    }

    /// Reads the next line. `false` at the end of the file.
    pub(super) fn advance(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.is_back) {
            return Ok(!self.line.is_empty());
        }
        self.line.clear();
        self.number += 1;
        let mut limited = self.source.by_ref().take(MAX_LINE);
        let length = limited.read_until(b'\n', &mut self.line).map_err(|error| unreadable(&error))?;
        if length as u64 == MAX_LINE {
            return Err(Error::Local(format!(
                "line {} is longer than {MAX_LINE} bytes, the most that a rule can have; nothing was written",
                self.number
            )));
        }
        Ok(length > 0)
    }

    /// Reads the next line that is neither blank nor a comment. `false` at the end of the file.
    pub(super) fn advance_to_content(&mut self) -> Result<bool> {
        while self.advance()? {
            if self.is_comment() {
                self.comments.extend(mistaken_comment(self.number, self.parts().0));
            } else if !without_mark(self.parts().0).trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the current line is a comment. The lines inside a quoted field are not.
    fn is_comment(&self) -> bool {
        without_mark(self.parts().0).starts_with(b"#")
    }

    /// Returns what may be wrong with the comments that were skipped since the last call.
    pub(super) fn take_comments(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.comments)
    }

    /// Lets the next [`Self::advance`] return the current line again.
    pub(super) fn back(&mut self) {
        self.is_back = true;
    }

    /// The number of the current line, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The current line without its end, and its end.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        let text = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        self.line.split_at(text.len())
    }
}

/// A line without the byte order mark that some programs write in front of it, also when they append to a file.
pub(super) fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line)
}

/// What may be wrong with a comment: it looks like a feature code (`#21#`), or like what a spreadsheet shows in place of a
/// value (`#N/A`).
fn mistaken_comment(number: u64, line: &[u8]) -> Option<Problem> {
    let first = without_mark(line).split(|byte| b",;\t".contains(byte)).next().unwrap_or_default().trim_ascii();
    let rest = first.strip_prefix(b"#")?;
    let is_code =
        rest.iter().any(u8::is_ascii_digit) && rest.iter().all(|it| it.is_ascii_digit() || b"*#".contains(it));
    let is_error = matches!(rest.last(), Some(b'!' | b'?' | b'A'))
        && rest.iter().all(|it| b'A' <= *it && *it <= b'Z' || b"/0!?".contains(it));
    let text = String::from_utf8_lossy(first).into_owned();
    (is_code || is_error).then(|| {
        Problem::new(
            number,
            "",
            text,
            "starts a comment, as every line does that starts with `#`; if it is a value, write it in quotation marks",
        )
    })
}
