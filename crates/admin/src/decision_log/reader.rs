//! Reads the calls of a log.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::chunks::{Chunks, lines};
use super::filter::Needles;
use super::line::{OwnLine, utc_timestamp};
use super::{CallFilter, LoggedCall, parse};
use crate::error::{Error, Result};

/// How many threads read and parse lines.
const THREADS: usize = 2;

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
    /// The number of decisions whose ids are only the last four characters, as far as they were parsed.
    pub masked: u64,
}

impl Summary {
    /// The number of lines that are not a decision.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.lines.saturating_sub(self.decisions)
    }

    fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.decisions += other.decisions;
        self.accepted += other.accepted;
        self.masked += other.masked;
    }
}

/// What is computed from many calls, by several threads at once.
pub trait Aggregate: Send {
    /// Adds a call.
    ///
    /// # Errors
    /// When the temporary file cannot be used.
    fn add(&mut self, call: &LoggedCall<'_>) -> Result<()>;

    /// Adds what another thread has computed.
    ///
    /// # Errors
    /// When the temporary file cannot be used.
    fn merge(&mut self, other: Self) -> Result<()>;
}

impl<R: Read> DecisionLog<R> {
    /// A log that is read from a file, or from any other source of bytes.
    pub fn new(source: R) -> Self {
        Self { chunks: Chunks::new(source) }
    }

    /// A log that grows. At the end of the source, [`Self::read_next`] returns, and can be called again.
    pub fn growing(source: R) -> Self {
        Self { chunks: Chunks::growing(source) }
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
        while self.read_next(&mut scan, &mut buffer, &mut take)? {}
        scan.summary.lines += self.chunks.too_long();
        Ok(scan.summary)
    }

    /// Reads the next piece of the log into a buffer, which is used again, and calls `take` with its calls. `false` at the end.
    ///
    /// # Errors
    /// As for [`Self::for_each`].
    pub fn read_next<E: From<Error>>(
        &mut self,
        scan: &mut Scan<'_>,
        buffer: &mut Vec<u8>,
        take: impl FnMut(&LoggedCall<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let length = self.chunks.read(buffer).map_err(|error| unreadable(&error))?;
        scan.piece(buffer.get(..length).unwrap_or_default(), take)?;
        Ok(length > 0)
    }

    /// The source of the bytes.
    pub fn source(&mut self) -> &mut R {
        self.chunks.source()
    }

    /// Computes something from all calls that the filter accepts. Several threads read pieces in turns and parse them, so that each
    /// piece stays in the caches of one processor.
    ///
    /// # Errors
    /// Why the log cannot be read, or the temporary file be used.
    pub fn aggregate<A: Aggregate + Default>(self, filter: &CallFilter) -> Result<(A, Summary)>
    where
        R: Send,
    {
        let shared = Mutex::new(Shared { chunks: self.chunks, is_over: false });
        let worker = || {
            let (mut scan, mut aggregate, mut buffer) = (Scan::new(filter), A::default(), Vec::new());
            loop {
                let length = shared.lock().unwrap_or_else(PoisonError::into_inner).read(&mut buffer)?;
                if length == 0 {
                    return Ok::<_, Error>((aggregate, scan.summary));
                }
                scan.piece(buffer.get(..length).unwrap_or_default(), |call| aggregate.add(call))?;
            }
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(worker)).collect();
            let (mut all, mut summary) = worker()?;
            for other in others {
                let joined = other.join().map_err(|_| Error::Local("a thread that parses the log failed".to_owned()));
                let (aggregate, of_other) = joined??;
                all.merge(aggregate)?;
                summary.add(of_other);
            }
            summary.lines += shared.lock().unwrap_or_else(PoisonError::into_inner).chunks.too_long();
            Ok((all, summary))
        })
    }
}

/// A log that several threads read.
struct Shared<R> {
    chunks: Chunks<R>,
    is_over: bool,
}

impl<R: Read> Shared<R> {
    /// Reads the next piece. After an error, there is none.
    fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        self.is_over = true;
        let length = self.chunks.read(buffer).map_err(|error| unreadable(&error))?;
        self.is_over = length == 0;
        Ok(length)
    }
}

/// A filter, and what it was applied to so far.
#[derive(Debug)]
pub struct Scan<'a> {
    filter: &'a CallFilter,
    needles: Needles,
    /// What was read so far.
    pub summary: Summary,
}

impl<'a> Scan<'a> {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(filter: &'a CallFilter) -> Self {
        Self { filter, needles: filter.needles(), summary: Summary::default() }
    }

    pub(super) fn filter(&self) -> &'a CallFilter {
        self.filter
    }

    /// Calls `take` with every call of a piece of the log that the filter accepts. The piece consists of whole lines.
    ///
    /// # Errors
    /// The error of `take`.
    pub fn piece<E>(&mut self, piece: &[u8], mut take: impl FnMut(&LoggedCall<'_>) -> Result<(), E>) -> Result<(), E> {
        for line in lines(piece) {
            self.summary.lines += 1;
            if self.is_other_call(line) {
                self.summary.decisions += 1;
                continue;
            }
            let Some(call) = parse(line) else { continue };
            self.summary.decisions += 1;
            self.summary.masked += u64::from(call.is_masked);
            if self.filter.accepts(&call) {
                self.summary.accepted += 1;
                take(&call)?;
            }
        }
        Ok(())
    }

    /// Whether a line is a decision that the filter does not accept, as far as its bytes show without parsing them.
    fn is_other_call(&self, line: &[u8]) -> bool {
        if self.filter.since.is_none() && self.filter.until.is_none() && self.needles.is_empty() {
            return false;
        }
        OwnLine::new(line).is_some_and(|own| {
            utc_timestamp(own.timestamp)
                .is_some_and(|at| !self.filter.accepts_time(at) || !(self.needles.are_in(line) || own.may_be_masked()))
        })
    }
}

/// The error of a log that cannot be read.
fn unreadable(error: &io::Error) -> Error {
    Error::Local(format!("the log cannot be read: {error}"))
}
