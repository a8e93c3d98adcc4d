//! Reads the decision log back: the calls that the function has logged.
//!
//! The lines may come from a file, or from CloudWatch Logs. Lines that are not a decision are counted and skipped.

use std::borrow::Cow;

use callgate_core::MediaSet;
use jiff::Timestamp;

mod chunks;
pub mod cloudwatch;
mod filter;
mod followed;
mod groups;
mod line;
mod order;
mod reader;
mod spellings;
mod statistics;
pub mod wording;

pub use filter::CallFilter;
pub use followed::FollowedFile;
pub use groups::{CallGroup, CallGroups};
pub use line::parse;
pub use order::InOrder;
pub use reader::{Aggregate, DecisionLog, Scan, Summary};
pub use spellings::Spellings;
pub use statistics::{CallStatistics, Latency};

/// Microseconds since 1970-01-01T00:00:00Z.
pub type EpochMicroseconds = i64;

/// Formats a moment in UTC, to the microsecond, as the log has it.
#[must_use]
pub fn utc(timestamp: EpochMicroseconds) -> String {
    Timestamp::from_microsecond(timestamp).map_or_else(|_| timestamp.to_string(), |it| format!("{it:.6}"))
}

/// A logged decision. Its texts are borrowed from the line, unless they had to be unescaped.
///
/// The members are those of the line (`docs/src/reference/log.md`).
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedCall<'a> {
    /// When the line was written.
    pub timestamp: EpochMicroseconds,
    /// The hook.
    pub hook: Option<Cow<'a, str>>,
    /// What was decided.
    pub decision: Decided,
    /// The stable word for the reason.
    pub reason: Cow<'a, str>,
    /// The door whose rule decided.
    pub door: Option<Cow<'a, str>>,
    /// The pattern of that rule; for a pair, the other party.
    pub rule: Option<Cow<'a, str>>,
    /// The app's key. `None` if the request was not parsed.
    pub app: Option<Cow<'a, str>>,
    /// The caller in canonical form, or its last four characters if the log is masked.
    pub caller: Option<Cow<'a, str>>,
    /// The callee in canonical form, or its last four characters if the log is masked.
    pub callee: Option<Cow<'a, str>>,
    /// The media of the call. `None` if the request was not parsed.
    pub media: Option<MediaSet>,
    /// WCS's id of the call.
    pub call_id: Option<Cow<'a, str>>,
    /// Lambda's id of the invocation.
    pub request_id: Option<Cow<'a, str>>,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// Milliseconds spent reading. `None` if nothing was read.
    pub store_ms: Option<f64>,
    /// Milliseconds from the event to the answer.
    pub total_ms: Option<f64>,
    /// What went wrong.
    pub error: Option<Cow<'a, str>>,
}

/// The decision of a logged call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decided {
    /// The call was permitted.
    Allow,
    /// The call was refused.
    Deny,
    /// Permissions could not be read.
    Error,
}

impl Decided {
    /// All decisions.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Error];

    /// The stable word that the log uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }

    /// The decision with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

impl LoggedCall<'_> {
    /// The same call with its own texts.
    #[must_use]
    pub fn into_owned(self) -> LoggedCall<'static> {
        fn owned(text: Option<Cow<'_, str>>) -> Option<Cow<'static, str>> {
            text.map(|text| Cow::Owned(text.into_owned()))
        }
        LoggedCall {
            timestamp: self.timestamp,
            hook: owned(self.hook),
            decision: self.decision,
            reason: Cow::Owned(self.reason.into_owned()),
            door: owned(self.door),
            rule: owned(self.rule),
            app: owned(self.app),
            caller: owned(self.caller),
            callee: owned(self.callee),
            media: self.media,
            call_id: owned(self.call_id),
            request_id: owned(self.request_id),
            status: self.status,
            store_ms: self.store_ms,
            total_ms: self.total_ms,
            error: owned(self.error),
        }
    }

    /// Whether both parties have at most four characters, as in a log that is masked.
    #[must_use]
    pub fn may_be_masked(&self) -> bool {
        let is_short = |id: &Option<Cow<'_, str>>| id.as_deref().is_some_and(|id| id.chars().nth(MASKED).is_none());
        is_short(&self.caller) && is_short(&self.callee)
    }
}

/// How many characters of an id are logged with `LOG_PARTIES=masked`.
pub const MASKED: usize = 4;
