//! Reads the lines of a file and counts them.

use std::io::{BufRead, Read as _};

use super::unreadable;
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
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, number: 0, line: Vec::new(), is_back: false }
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
