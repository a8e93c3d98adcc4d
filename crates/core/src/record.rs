//! What the table holds about apps and parties, as far as it could be understood.

use crate::{EpochSeconds, Hours, Pattern};

/// What a rule, when it applies, says about the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The call may go through here.
    Allow,
    /// The call may not go through, whatever another door says.
    Deny,
}

impl Effect {
    /// The word that is stored and logged.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// A set of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaSet {
    /// Sound.
    pub audio: bool,
    /// Pictures.
    pub video: bool,
}

impl MediaSet {
    /// Every medium of this set is in the other.
    #[must_use]
    pub const fn within(self, other: Self) -> bool {
        (!self.audio || other.audio) && (!self.video || other.video)
    }

    /// Some medium is in both.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        (self.audio && other.audio) || (self.video && other.video)
    }
}

/// `allow` or `deny`, the conditions under which it applies, and who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it says.
    pub effect: Effect,
    /// The media it is about; without, every call.
    pub media: Option<MediaSet>,
    /// The times of the week it is about; without, every moment.
    pub hours: Option<Hours>,
    /// The moment from which it no longer applies.
    pub expires_at: Option<EpochSeconds>,
    /// A word to whoever reads it later.
    pub note: Option<String>,
    /// When it was written.
    pub updated_at: Option<EpochSeconds>,
    /// Who wrote it.
    pub updated_by: Option<String>,
}

impl Rule {
    /// A rule without conditions.
    #[must_use]
    pub const fn new(effect: Effect) -> Self {
        Self { effect, media: None, hours: None, expires_at: None, note: None, updated_at: None, updated_by: None }
    }
}

/// What could not be understood, in words for the log: the attribute, its value, what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// An item that was looked for: not there, there, or there and not understood.
pub type Found<T> = Result<Option<T>, Fault>;

/// A door's list of rules, each with whom it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<(Pattern, Result<Rule, Fault>)>);

impl Rules {
    /// Every rule, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, Result<&Rule, &Fault>)> {
        self.0.iter().map(|(pattern, rule)| (pattern, rule.as_ref()))
    }
}

impl FromIterator<(Pattern, Result<Rule, Fault>)> for Rules {
    fn from_iter<I: IntoIterator<Item = (Pattern, Result<Rule, Fault>)>>(rules: I) -> Self {
        Self(rules.into_iter().collect())
    }
}

/// Whether an app or a party takes part in calls at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// The doors decide.
    #[default]
    Active,
    /// Refused, whatever the rules say.
    Suspended,
}

impl Status {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// An app: one WCS application with its own parties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct App {
    /// Whether any call in it goes through.
    pub status: Status,
    /// Door 1, matched against the caller.
    pub callers: Rules,
    /// A word to whoever reads it later.
    pub note: Option<String>,
}

/// A party of an app: somebody who calls and is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// Whether it may call and be called.
    pub status: Status,
    /// Door 3 of the calls it receives, matched against the caller.
    pub incoming: Rules,
    /// Door 2 of the calls it makes, matched against the callee.
    pub outgoing: Rules,
    /// The moment from which the party counts as absent.
    pub expires_at: Option<EpochSeconds>,
    /// A word to whoever reads it later.
    pub note: Option<String>,
}

/// Is this moment, where there is one, over? DynamoDB deletes expired items hours late, so the reader checks.
#[must_use]
pub fn has_expired(expires_at: Option<EpochSeconds>, now: EpochSeconds) -> bool {
    expires_at.is_some_and(|at| at <= now)
}
