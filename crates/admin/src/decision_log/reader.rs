//! Reads the calls of a log.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::chunks::{Chunks, lines};
use super::filter::Needles;
use super::line::{OwnLine, utc_timestamp};
use super::{CallFilter, LoggedCall, parse};
use crate::error::{Error, Result};

/// How many threads parse lines. A third one reads the file.
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
    /// Whether the log has only the last four characters of ids. `None` if it has no call.
    pub is_masked: Option<bool>,
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

    /// Computes something from all calls that the filter accepts. Several threads parse the lines.
    ///
    /// # Errors
    /// Why the log cannot be read, or the temporary file be used.
    pub fn aggregate<A: Aggregate + Default>(mut self, filter: &CallFilter) -> Result<(A, Summary)> {
        let (pieces, received) = sync_channel::<Piece>(THREADS);
        let (used, unused) = sync_channel::<Vec<u8>>(2 * THREADS + 1);
        let received = Mutex::new(received);
        thread::scope(|scope| {
            let worker = || {
                let (mut scan, mut aggregate) = (Scan::new(filter), A::default());
                while let Some(Piece { buffer, length, is_masked }) = next_piece(&received) {
                    scan.summary.is_masked = is_masked;
                    scan.piece(buffer.get(..length).unwrap_or_default(), |call| aggregate.add(call))?;
                    // The buffer is only freed if all are in use.
                    let _ = used.try_send(buffer);
                }
                Ok((aggregate, scan.summary))
            };
            let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
            let (mut summary, mut failure) = (Summary::default(), None);
            loop {
                let mut buffer = unused.try_recv().unwrap_or_default();
                match self.chunks.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => {
                        if summary.is_masked.is_none() {
                            summary.is_masked = is_masked(buffer.get(..length).unwrap_or_default());
                        }
                        // Only fails if the workers have failed, which is reported below.
                        if pieces.send(Piece { buffer, length, is_masked: summary.is_masked }).is_err() {
                            break;
                        }
                    }
                    Err(error) => {
                        failure = Some(unreadable(&error));
                        break;
                    }
                }
            }
            drop(pieces);
            summary.lines = self.chunks.too_long();
            let mut all = A::default();
            for worker in workers {
                let joined = worker.join().map_err(|_| Error::Local("a thread that parses the log failed".to_owned()));
                let (aggregate, of_worker) = joined??;
                all.merge(aggregate)?;
                summary.add(of_worker);
            }
            failure.map_or(Ok((all, summary)), Err)
        })
    }
}

/// A piece of the log for another thread.
struct Piece {
    buffer: Vec<u8>,
    length: usize,
    is_masked: Option<bool>,
}

/// Waits for a piece. `None` after the last one.
fn next_piece(received: &Mutex<Receiver<Piece>>) -> Option<Piece> {
    received.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
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
        if self.summary.is_masked.is_none() {
            self.summary.is_masked = is_masked(piece);
        }
        let is_masked = self.summary.is_masked == Some(true);
        for line in lines(piece) {
            self.summary.lines += 1;
            if !is_masked && self.is_other_call(line) {
                self.summary.decisions += 1;
                continue;
            }
            let Some(call) = parse(line) else { continue };
            self.summary.decisions += 1;
            if self.filter.accepts(&call, is_masked) {
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
            utc_timestamp(own.timestamp).is_some_and(|at| !self.filter.accepts_time(at) || !self.needles.are_in(line))
        })
    }
}

/// Whether the calls of a piece of the log have ids that are cut: no id is longer. `None` if there is no call.
fn is_masked(piece: &[u8]) -> Option<bool> {
    let mut calls = lines(piece).filter_map(parse).filter(|call| call.caller.is_some() && call.callee.is_some());
    let first = calls.next()?;
    Some(first.may_be_masked() && calls.all(|call| call.may_be_masked()))
}

/// The error of a log that cannot be read.
fn unreadable(error: &io::Error) -> Error {
    Error::Local(format!("the log cannot be read: {error}"))
}
