//! Reads the calls of a log.

use std::io::Read;

use super::chunks::{Chunks, lines};
use super::{CallFilter, LoggedCall, parse};
use crate::error::Error;

/// A log whose calls are read one after the other, with constant memory.
#[derive(Debug)]
pub struct DecisionLog<R> {
    chunks: Chunks<R>,
}

/// What was read of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of lines.
    pub lines: u64,
    /// The number of lines that are a decision.
    pub decisions: u64,
    /// The number of decisions that the filter accepted.
    pub accepted: u64,
    /// Whether the log has only the last four characters of ids. `None` if it has no call.
    pub is_masked: Option<bool>,
}

impl Summary {
    /// The number of lines that are not a decision.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.lines.saturating_sub(self.decisions)
    }
}

impl<R: Read> DecisionLog<R> {
    /// A log that is read from a file, or from any other source of bytes.
    pub fn new(source: R) -> Self {
        Self { chunks: Chunks::new(source) }
    }

    /// Calls `take` with every call that the filter accepts, in the order of the log. Stops at its first error.
    ///
    /// # Errors
    /// Why the log cannot be read, or the error of `take`.
    pub fn for_each<E: From<Error>>(
        mut self,
        filter: &CallFilter,
        mut take: impl FnMut(&LoggedCall<'_>) -> Result<(), E>,
    ) -> Result<Summary, E> {
        let mut scan = Scan::new(filter);
        let mut buffer = Vec::new();
        loop {
            let length = self.chunks.read(&mut buffer).map_err(|error| unreadable(&error))?;
            if length == 0 {
                scan.summary.lines += self.chunks.too_long();
                return Ok(scan.summary);
            }
            scan.piece(buffer.get(..length).unwrap_or_default(), &mut take)?;
        }
    }
}

/// A filter, and what it was applied to so far.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    filter: &'a CallFilter,
    pub(super) summary: Summary,
}

impl<'a> Scan<'a> {
    pub(super) fn new(filter: &'a CallFilter) -> Self {
        Self { filter, summary: Summary::default() }
    }

    /// Calls `take` with every call of a piece of the log that the filter accepts.
    pub(super) fn piece<E>(
        &mut self,
        piece: &[u8],
        mut take: impl FnMut(&LoggedCall<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.summary.is_masked.is_none() {
            self.summary.is_masked = is_masked(piece);
        }
        let is_masked = self.summary.is_masked == Some(true);
        for line in lines(piece) {
            self.summary.lines += 1;
            let Some(call) = parse(line) else { continue };
            self.summary.decisions += 1;
            if self.filter.accepts(&call, is_masked) {
                self.summary.accepted += 1;
                take(&call)?;
            }
        }
        Ok(())
    }
}

/// Whether the calls of a piece of the log have ids that are cut: no id is longer. `None` if there is no call.
fn is_masked(piece: &[u8]) -> Option<bool> {
    let mut calls = lines(piece).filter_map(parse).filter(|call| call.caller.is_some() && call.callee.is_some());
    let first = calls.next()?;
    Some(first.may_be_masked() && calls.all(|call| call.may_be_masked()))
}

/// The error of a log that cannot be read.
pub(super) fn unreadable(error: &std::io::Error) -> Error {
    Error::Local(format!("the log cannot be read: {error}"))
}
