//! Sorts calls that are slightly out of order, with constant memory.

use std::collections::BTreeMap;

use super::{EpochMicroseconds, LoggedCall};

/// How many calls are kept until the next ones show that none is earlier.
const KEPT: usize = 2_000;

/// Calls on their way into the order of their times.
#[derive(Debug, Default)]
pub struct InOrder {
    /// By their times, and by their positions in the log.
    calls: BTreeMap<(EpochMicroseconds, u64), LoggedCall<'static>>,
    read: u64,
    /// The time of the latest call that was passed on.
    last: Option<EpochMicroseconds>,
    late: u64,
}

impl InOrder {
    /// Adds a call. Passes on the earliest one when there are too many, or this one at once if it comes too late.
    ///
    /// # Errors
    /// The error of `take`.
    pub fn push<E>(
        &mut self,
        call: LoggedCall<'static>,
        take: impl FnMut(LoggedCall<'static>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.last.is_some_and(|last| call.timestamp < last) {
            self.late += 1;
        }
        self.read += 1;
        self.calls.insert((call.timestamp, self.read), call);
        self.pass_on(KEPT, take)
    }

    /// Passes on all calls.
    ///
    /// # Errors
    /// The error of `take`.
    pub fn flush<E>(&mut self, take: impl FnMut(LoggedCall<'static>) -> Result<(), E>) -> Result<(), E> {
        self.pass_on(0, take)
    }

    fn pass_on<E>(&mut self, kept: usize, mut take: impl FnMut(LoggedCall<'static>) -> Result<(), E>) -> Result<(), E> {
        while self.calls.len() > kept {
            let Some((_, call)) = self.calls.pop_first() else { break };
            self.last = Some(self.last.map_or(call.timestamp, |last| last.max(call.timestamp)));
            take(call)?;
        }
        Ok(())
    }

    /// The number of calls that came too late to be sorted.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }
}
