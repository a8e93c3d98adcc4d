//! Selects logged calls.

use std::borrow::Cow;

use callgate_core::{AppKey, EpochSeconds, Pattern};

use super::{Decided, LoggedCall, MASKED};

/// The calls to read. What is not named is not compared.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// From this moment on.
    pub since: Option<EpochSeconds>,
    /// Before this moment.
    pub until: Option<EpochSeconds>,
    /// In this app.
    pub app: Option<AppKey>,
    /// From these callers.
    pub from: Option<Pattern>,
    /// To these callees.
    pub to: Option<Pattern>,
    /// From or to these parties.
    pub party: Option<Pattern>,
    /// With one of these decisions. Empty for all.
    pub decisions: Vec<Decided>,
    /// With one of these reasons. Empty for all.
    pub reasons: Vec<String>,
    /// Of this hook.
    pub hook: Option<String>,
    /// With this id of the call, or of the invocation.
    pub call_id: Option<String>,
}

impl CallFilter {
    /// Whether ids are compared, of which a masked log has only the end.
    #[must_use]
    pub fn compares_ids(&self) -> bool {
        [&self.from, &self.to, &self.party].into_iter().flatten().any(|pattern| *pattern != Pattern::Everyone)
    }

    /// Whether the calls of a time are to be read.
    pub(super) fn accepts_time(&self, timestamp: super::EpochMicroseconds) -> bool {
        let seconds = timestamp.div_euclid(1_000_000);
        self.since.is_none_or(|since| since <= seconds) && self.until.is_none_or(|until| seconds < until)
    }

    /// Whether a call is to be read. The ids of a masked log are compared with the end of an id.
    #[must_use]
    pub fn accepts(&self, call: &LoggedCall<'_>, is_masked: bool) -> bool {
        fn is<'a>(wanted: Option<&str>, text: impl IntoIterator<Item = &'a Option<Cow<'a, str>>>) -> bool {
            wanted.is_none_or(|wanted| text.into_iter().any(|text| text.as_deref() == Some(wanted)))
        }
        let is_masked = is_masked && call.may_be_masked();
        let party = |pattern: &Pattern, id: &Option<Cow<'_, str>>| {
            id.as_deref().is_some_and(|id| accepts_id(pattern, id, is_masked))
        };
        self.accepts_time(call.timestamp)
            && (self.decisions.is_empty() || self.decisions.contains(&call.decision))
            && (self.reasons.is_empty() || self.reasons.iter().any(|it| *it == call.reason))
            && is(self.app.as_ref().map(AppKey::as_str), [&call.app])
            && is(self.hook.as_deref(), [&call.hook])
            && is(self.call_id.as_deref(), [&call.call_id, &call.request_id])
            && self.from.as_ref().is_none_or(|pattern| party(pattern, &call.caller))
            && self.to.as_ref().is_none_or(|pattern| party(pattern, &call.callee))
            && self.party.as_ref().is_none_or(|pattern| party(pattern, &call.caller) || party(pattern, &call.callee))
    }
}

/// Whether a logged id matches a pattern.
fn accepts_id(pattern: &Pattern, id: &str, is_masked: bool) -> bool {
    match pattern {
        Pattern::Everyone => true,
        Pattern::Exact(wanted) if is_masked => masked(wanted) == id,
        Pattern::Exact(wanted) => wanted == id,
        // A prefix never matches a withheld number.
        Pattern::Prefix(prefix) => !is_masked && id.starts_with(prefix) && id != "anonymous",
        // The log does not name groups.
        Pattern::Group(_) => false,
    }
}

/// The end of an id, as a masked log has it.
fn masked(id: &str) -> &str {
    let start = id.char_indices().rev().nth(MASKED - 1).map_or(0, |(at, _)| at);
    id.get(start..).unwrap_or_default()
}
