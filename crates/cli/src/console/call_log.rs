//! The last calls of the decision log, in memory.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use callgate_admin::decision_log::{CallFilter, EpochMicroseconds, LoggedCall, parse};

/// The most calls that are kept: about 60 MB.
pub(crate) const MAX_CALLS: usize = 100_000;

/// The most apps that are suggested. The calling side chooses their names.
const MAX_APPS: usize = 100;

/// The last calls, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct CallLog(RwLock<Content>);

/// What a log has, as a page reads it.
#[derive(Debug, Default)]
pub(crate) struct Content {
    calls: VecDeque<LoggedCall<'static>>,
    /// How many calls were read and are no longer kept.
    pub(crate) dropped: u64,
    /// The first apps of the calls.
    pub(crate) apps: BTreeSet<String>,
    /// Why the log cannot be read at present.
    pub(crate) error: Option<String>,
}

impl CallLog {
    /// Adds a call. One that is there already is not added again.
    pub(crate) fn push(&self, call: LoggedCall<'static>) {
        let mut content = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Content { calls, dropped, apps, error: _ } = &mut *content;
        // A log that is read again has all of them again.
        let position = calls.partition_point(|it| it.timestamp <= call.timestamp);
        let same = calls.range(..position).rev().take_while(|it| it.timestamp == call.timestamp);
        if same.into_iter().any(|it| key(it) == key(&call)) || (position == 0 && calls.len() == MAX_CALLS) {
            return;
        }
        if let Some(app) = call.app.as_deref().filter(|app| apps.len() < MAX_APPS && !apps.contains(*app)) {
            apps.insert(app.to_owned());
        }
        calls.insert(position, call);
        if calls.len() > MAX_CALLS {
            calls.pop_front();
            *dropped += 1;
        }
    }

    /// Adds the call of a line, if it is one.
    pub(crate) fn push_line(&self, line: &str) {
        if let Some(call) = parse(line.trim_end().as_bytes()) {
            self.push(call.into_owned());
        }
    }

    /// Keeps why the log cannot be read, or that it can be read again.
    pub(crate) fn set_error(&self, error: Option<String>) {
        // Most often nothing changes, and the pages need not wait.
        if self.read().error != error {
            self.0.write().unwrap_or_else(PoisonError::into_inner).error = error;
        }
    }

    /// The calls as they are now. New ones wait until this is dropped.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// The calls that a filter accepts, the newest first.
    pub(crate) fn newest<'a>(&'a self, filter: &'a CallFilter) -> impl Iterator<Item = &'a LoggedCall<'static>> {
        self.newest_before(filter, None)
    }

    /// The same calls, without the one with a key and those after it.
    pub(crate) fn newest_before<'a>(
        &'a self,
        filter: &'a CallFilter,
        before: Option<&str>,
    ) -> impl Iterator<Item = &'a LoggedCall<'static>> {
        // The call itself may no longer be kept.
        let at_time = |key| timestamp(key).map(|at| self.calls.partition_point(|call| call.timestamp < at));
        let end = before.and_then(|key| self.position(key).or_else(|| at_time(key))).unwrap_or(self.calls.len());
        self.calls.range(..end).rev().filter(|call| filter.accepts(call))
    }

    /// The call with a key.
    pub(crate) fn find(&self, key: &str) -> Option<&LoggedCall<'static>> {
        self.calls.get(self.position(key)?)
    }

    fn position(&self, key: &str) -> Option<usize> {
        let timestamp = timestamp(key)?;
        let start = self.calls.partition_point(|call| call.timestamp < timestamp);
        let same = self.calls.range(start..).take_while(|call| call.timestamp == timestamp);
        Some(start + same.into_iter().position(|call| self::key(call) == key)?)
    }

    /// The number of calls that are kept.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }
}

/// The time in a key.
fn timestamp(key: &str) -> Option<EpochMicroseconds> {
    key.split('-').next()?.parse().ok()
}

/// What identifies a call in addresses: its time, and Lambda's id of the invocation.
pub(crate) fn key(call: &LoggedCall<'_>) -> String {
    format!("{}-{}", call.timestamp, call.request_id.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u32, request: &str) -> String {
        format!(
            r#"{{"timestamp":"2026-11-26T12:00:{second:02}.000000Z","message":"decision","decision":"deny","reason":"no_rule","app":"a","caller":"b","callee":"c","request_id":"{request}"}}"#
        )
    }

    #[test]
    fn calls_are_kept_once_and_in_the_order_of_their_times() {
        let log = CallLog::default();
        for (second, request) in [(1, "a"), (3, "b"), (2, "c"), (3, "b"), (3, "d"), (2, "c")] {
            log.push_line(&line(second, request));
        }
        log.push_line("not a call");
        let content = log.read();
        let filter = CallFilter::default();
        let requests: Vec<_> = content.newest(&filter).map(|call| call.request_id.as_deref().unwrap()).collect();
        assert_eq!(requests, ["d", "b", "c", "a"]);
        for call in content.newest(&filter) {
            assert_eq!(content.find(&key(call)), Some(call));
        }
        let before = |key: &str| content.newest_before(&filter, Some(key)).count();
        let b = key(content.newest(&filter).nth(1).unwrap());
        assert_eq!((before(&b), before(&b.replace("-b", "-gone")), before("0-a")), (2, 2, 0));
        assert_eq!(content.find("0-a"), None);
        assert_eq!(content.find(""), None);
    }

    #[test]
    fn the_oldest_calls_are_dropped() {
        let log = CallLog::default();
        let call = parse(line(1, "a").as_bytes()).unwrap().into_owned();
        for number in 0..=i64::try_from(MAX_CALLS).unwrap() {
            log.push(LoggedCall { timestamp: number, ..call.clone() });
        }
        // One that is older than all that are kept is not added.
        log.push(LoggedCall { timestamp: 0, ..call });
        let content = log.read();
        assert_eq!((content.len(), content.dropped), (MAX_CALLS, 1));
        assert_eq!(content.newest(&CallFilter::default()).last().unwrap().timestamp, 1);
    }
}
