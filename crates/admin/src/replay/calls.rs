//! The calls of a log, in little memory: the texts of each app and each party are kept once.

use std::collections::HashMap;

use callgate_core::{AppKey, EpochSeconds, MediaSet, PartyId};

use crate::decision_log::{Decided, LoggedCall};
use crate::error::{Error, Result};
use crate::item_kind::canonical_id;

/// The most calls that are replayed at once. A call takes 16 bytes. Besides, each app, party and pair is kept once.
pub const MAX_CALLS: usize = 5_000_000;

/// How many logged answers are told apart. The log has a dozen reasons.
const MAX_ANSWERS: usize = 256;

/// The reason of answers beyond [`MAX_ANSWERS`].
const OTHER_REASON: &str = "other";

/// The calls of a log that can be decided again.
#[derive(Debug, Clone, Default)]
pub struct LoggedCalls {
    pub(super) calls: Vec<CompactCall>,
    /// The logged answers, which the calls have by number.
    pub(super) answers: Vec<(Decided, String)>,
    pub(super) apps: Vec<AppKey>,
    /// The parties, each with the number of its app.
    pub(super) parties: Vec<(u32, PartyId)>,
    /// The callers and callees, by their numbers.
    pub(super) pairs: Vec<(u32, u32)>,
    pub(super) not_replayed: NotReplayed,
    app_numbers: HashMap<String, u32>,
    /// For each app.
    party_numbers: Vec<HashMap<String, u32>>,
    pair_numbers: HashMap<(u32, u32), u32>,
}

/// The number of a logged answer.
pub(super) type LoggedAnswer = u16;

/// A logged call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CompactCall {
    /// When its rules were read.
    pub(super) at: EpochSeconds,
    pub(super) pair: u32,
    pub(super) answer: LoggedAnswer,
    pub(super) media: MediaSet,
}

/// How many logged decisions cannot be made again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotReplayed {
    /// Requests that are not from our WCS: `bad_signature`, `source_not_allowed`. Rules did not decide them.
    pub not_from_wcs: u64,
    /// Calls of which the log does not have the app, the caller, the callee or the media.
    pub incomplete: u64,
    /// Calls with a key of an app, or an id, that no call can have.
    pub invalid_ids: u64,
}

impl NotReplayed {
    /// The number of all of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        let Self { not_from_wcs, incomplete, invalid_ids } = self;
        not_from_wcs + incomplete + invalid_ids
    }
}

impl LoggedCalls {
    /// No calls yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of calls that can be decided again.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is no call that can be decided again.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a call, or counts why it cannot be decided again.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there are more than [`MAX_CALLS`].
    pub fn add(&mut self, call: &LoggedCall<'_>) -> Result<()> {
        if matches!(&*call.reason, "bad_signature" | "source_not_allowed") {
            self.not_replayed.not_from_wcs += 1;
            return Ok(());
        }
        let (Some(app), Some(caller), Some(callee), Some(media)) = (&call.app, &call.caller, &call.callee, call.media)
        else {
            self.not_replayed.incomplete += 1;
            return Ok(());
        };
        let Some(pair) = self.pair(app, caller, callee) else {
            self.not_replayed.invalid_ids += 1;
            return Ok(());
        };
        if self.calls.len() >= MAX_CALLS {
            return Err(Error::InvalidInput(format!(
                "the log has more than {MAX_CALLS} calls of this time; choose a shorter time with --since and --until"
            )));
        }
        let answer = self.answer_number(call.decision, &call.reason);
        self.calls.push(CompactCall { at: decided_at(call), pair, answer, media });
        Ok(())
    }

    /// The number of a caller and a callee. `None` if one of the texts is not valid.
    fn pair(&mut self, app: &str, caller: &str, callee: &str) -> Option<u32> {
        let app = self.app_number(app)?;
        let pair = (self.party_number(app, caller)?, self.party_number(app, callee)?);
        if let Some(&number) = self.pair_numbers.get(&pair) {
            return Some(number);
        }
        let number = u32::try_from(self.pairs.len()).ok()?;
        self.pairs.push(pair);
        self.pair_numbers.insert(pair, number);
        Some(number)
    }

    fn app_number(&mut self, text: &str) -> Option<u32> {
        if let Some(&number) = self.app_numbers.get(text) {
            return Some(number);
        }
        let app = AppKey::new(text).ok().filter(|app| app.as_str() == text)?;
        let number = u32::try_from(self.apps.len()).ok()?;
        self.apps.push(app);
        self.party_numbers.push(HashMap::new());
        self.app_numbers.insert(text.to_owned(), number);
        Some(number)
    }

    fn party_number(&mut self, app: u32, text: &str) -> Option<u32> {
        let numbers = self.party_numbers.get_mut(usize::try_from(app).ok()?)?;
        if let Some(&number) = numbers.get(text) {
            return Some(number);
        }
        // A canonical id stays as it is without a phone region, whatever the function's is.
        let id = canonical_id(text, None)?;
        let number = u32::try_from(self.parties.len()).ok()?;
        self.parties.push((app, id));
        numbers.insert(text.to_owned(), number);
        Some(number)
    }

    fn answer_number(&mut self, decision: Decided, reason: &str) -> LoggedAnswer {
        let position = |answers: &[(Decided, String)], reason: &str| {
            answers.iter().position(|(decided, word)| (*decided, word.as_str()) == (decision, reason))
        };
        let reason = if self.answers.len() < MAX_ANSWERS { reason } else { OTHER_REASON };
        let at = position(&self.answers, reason).unwrap_or_else(|| {
            self.answers.push((decision, reason.to_owned()));
            self.answers.len() - 1
        });
        LoggedAnswer::try_from(at).unwrap_or(LoggedAnswer::MAX)
    }
}

/// When the rules of a call were read. The line is written when the answer is ready, which may be a second later.
fn decided_at(call: &LoggedCall<'_>) -> EpochSeconds {
    #[expect(clippy::cast_possible_truncation, reason = "a call takes seconds at most; a float is saturated")]
    let took = call.total_ms.map_or(0, |total_ms| (total_ms.clamp(0.0, 60_000.0) * 1_000.0) as i64);
    call.timestamp.saturating_sub(took).div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn call(app: &'static str, caller: &'static str, callee: &'static str) -> LoggedCall<'static> {
        let text = |text| Some(Cow::Borrowed(text));
        LoggedCall {
            timestamp: 1_795_500_000_400_000,
            hook: text("OnCallEvent"),
            decision: Decided::Deny,
            reason: Cow::Borrowed("no_rule"),
            door: None,
            rule: None,
            app: text(app),
            caller: text(caller),
            callee: text(callee),
            media: Some(MediaSet { audio: true, video: false }),
            call_id: None,
            request_id: None,
            status: Some(403),
            store_ms: None,
            total_ms: Some(600.0),
            error: None,
            is_masked: false,
        }
    }

    #[test]
    fn each_app_party_and_pair_is_kept_once() {
        let mut calls = LoggedCalls::new();
        for (app, caller, callee) in [
            ("a", "x", "y"),
            ("a", "x", "y"),
            ("a", "y", "x"),
            ("a", "x", "x"),
            ("b", "x", "y"),
            ("a", "anonymous", "y"),
        ] {
            calls.add(&call(app, caller, callee)).unwrap();
        }
        assert_eq!((calls.apps.len(), calls.parties.len(), calls.pairs.len(), calls.len()), (2, 5, 5, 6));
        assert_eq!(size_of::<CompactCall>(), 16);
        // The line was written in the second after the one in which the rules were read.
        assert!(calls.calls.iter().all(|it| it.at == 1_795_499_999));
    }

    #[test]
    fn what_cannot_be_decided_again_is_counted() {
        let mut calls = LoggedCalls::new();
        for wrong in [call("", "x", "y"), call("a", "x y@z", "y"), call("a", "x", ""), call("a", " x", "y")] {
            calls.add(&wrong).unwrap();
        }
        calls.add(&LoggedCall { reason: Cow::Borrowed("bad_signature"), app: None, ..call("a", "x", "y") }).unwrap();
        calls.add(&LoggedCall { reason: Cow::Borrowed("source_not_allowed"), ..call("a", "x", "y") }).unwrap();
        calls.add(&LoggedCall { media: None, ..call("a", "x", "y") }).unwrap();
        assert!(calls.is_empty());
        assert_eq!(calls.not_replayed, NotReplayed { not_from_wcs: 2, incomplete: 1, invalid_ids: 4 });
        assert_eq!(calls.not_replayed.count(), 7);
    }

    #[test]
    fn a_log_with_many_reasons_does_not_take_more_memory() {
        let mut calls = LoggedCalls::new();
        for number in 0..1_000 {
            let reason = Cow::Owned(format!("reason {number}"));
            calls.add(&LoggedCall { reason, ..call("a", "x", "y") }).unwrap();
        }
        assert_eq!(calls.answers.len(), MAX_ANSWERS + 1);
        assert!(calls.calls.iter().all(|it| usize::from(it.answer) < calls.answers.len()));
    }
}
