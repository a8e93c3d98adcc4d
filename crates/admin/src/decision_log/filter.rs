//! Selects logged calls.

use std::borrow::Cow;

use callgate_core::{AppKey, EpochSeconds, Pattern};
use memchr::memchr;
use memchr::memmem::Finder;

use super::{Decided, EpochMicroseconds, LoggedCall, MASKED};

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

    /// The texts that every line of an accepted call contains, if it is written in the usual form.
    pub(super) fn needles(&self) -> Needles {
        let exact = |name: &str, value: &str| is_plain(value).then(|| format!("{name}:\"{value}\""));
        let party = |name: &str, pattern: &Option<Pattern>| match pattern {
            Some(Pattern::Exact(id)) => exact(name, id),
            Some(Pattern::Prefix(prefix)) => is_plain(prefix).then(|| format!("{name}:\"{prefix}")),
            _ => None,
        };
        let app = self.app.as_ref().and_then(|app| exact("\"app\"", app.as_str()));
        let decision = match self.decisions.as_slice() {
            [decision] => exact("\"decision\"", decision.as_str()),
            _ => None,
        };
        let reason = match self.reasons.as_slice() {
            [reason] => exact("\"reason\"", reason),
            _ => None,
        };
        let hook = self.hook.as_deref().and_then(|hook| exact("\"hook\"", hook));
        let call_id = self.call_id.as_deref().and_then(|id| exact("", id));
        let from = party("\"caller\"", &self.from);
        let to = party("\"callee\"", &self.to);
        let texts = [call_id, from, to, party("", &self.party), reason, decision, app, hook];
        Needles(texts.into_iter().flatten().map(|text| Finder::new(text.as_bytes()).into_owned()).collect())
    }

    /// Whether the calls of a time are to be read.
    pub(super) fn accepts_time(&self, timestamp: EpochMicroseconds) -> bool {
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
pub(super) fn masked(id: &str) -> &str {
    let start = id.char_indices().rev().nth(MASKED - 1).map_or(0, |(at, _)| at);
    id.get(start..).unwrap_or_default()
}

/// Whether no program escapes a character of a text when it writes JSON.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-_.,:*#@ ".contains(&byte))
}

/// Texts that are searched for in a line before it is parsed.
#[derive(Debug)]
pub(super) struct Needles(Vec<Finder<'static>>);

impl Needles {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a line contains all texts, or may contain one of them in an escaped form.
    pub(super) fn are_in(&self, line: &[u8]) -> bool {
        self.0.iter().all(|finder| finder.find(line).is_some()) || memchr(b'\\', line).is_some()
    }
}
