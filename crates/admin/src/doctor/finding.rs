//! Findings: the location, what is wrong, why it matters, and the command that fixes it.

use std::cmp::Ordering;

use callgate_core::Door;
use serde::{Serialize, Serializer};

use super::commands::APPLY_FIXES;
use super::fix::Fix;
use crate::item_kind::ItemKind;
use crate::stored_rule::{StoredRule, unusual_place};

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// An id or a prefix that no call has, for example because the phone region changed.
    NeverMatches,
    /// A rule that has no effect, because of the other rules.
    Shadowed,
    /// An `allow` that has no effect, because other rules decide its calls and deny some of them.
    Contradicted,
    /// A rule, a block or a party that has expired.
    Expired,
    /// An expiry that, read as seconds, is not in this century. It may be in milliseconds.
    Milliseconds,
    /// A rule whose hours do not begin before it expires.
    NeverOpens,
    /// An attribute that items or rules of this kind do not have.
    UnknownAttribute,
    /// An item or a rule that cannot be parsed, so that its calls are refused.
    InvalidRecord,
    /// A rule between two parties in a party's list, where only patterns belong.
    Misplaced,
    /// An item that is not one of callgate's.
    ForeignItem,
    /// An item that costs several read units.
    TooBig,
    /// A prefix that matches most of the known parties.
    ShortPrefix,
    /// A suspended app or party that has rules, and no note that explains it.
    Suspended,
    /// A rule for a group without parties.
    EmptyGroup,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::NeverMatches,
        Self::Shadowed,
        Self::Contradicted,
        Self::Expired,
        Self::Milliseconds,
        Self::NeverOpens,
        Self::UnknownAttribute,
        Self::InvalidRecord,
        Self::Misplaced,
        Self::ForeignItem,
        Self::TooBig,
        Self::ShortPrefix,
        Self::Suspended,
        Self::EmptyGroup,
    ];

    /// The stable word, used in JSON output and documented in the reference.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverMatches => "never_matches",
            Self::Shadowed => "shadowed",
            Self::Contradicted => "contradicted",
            Self::Expired => "expired",
            Self::Milliseconds => "milliseconds",
            Self::NeverOpens => "never_opens",
            Self::UnknownAttribute => "unknown_attribute",
            Self::InvalidRecord => "invalid_record",
            Self::Misplaced => "misplaced",
            Self::ForeignItem => "foreign_item",
            Self::TooBig => "too_big",
            Self::ShortPrefix => "short_prefix",
            Self::Suspended => "suspended",
            Self::EmptyGroup => "empty_group",
        }
    }

    /// The kind in words, for help texts and pages.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::NeverMatches => "no call has this id or prefix, perhaps because the phone region changed",
            Self::Shadowed => "the rule has no effect, because of the other rules",
            Self::Contradicted => "the rule allows calls, but other rules decide them, and deny some",
            Self::Expired => "the rule, the block or the party has expired",
            Self::Milliseconds => "the expiry is not in this century, as if it were in milliseconds",
            Self::NeverOpens => "the hours of the rule do not begin before it expires",
            Self::UnknownAttribute => "the item or the rule has an attribute that callgate does not use",
            Self::InvalidRecord => "the item or the rule cannot be parsed, so its calls are refused",
            Self::Misplaced => "a rule between two parties is stored in the list of one, where only patterns belong",
            Self::ForeignItem => "the item is not one of callgate's",
            Self::TooBig => "every call that reads the item costs several read units",
            Self::ShortPrefix => "the prefix matches most of the known parties",
            Self::Suspended => "the app or party is suspended without a note, and its rules have no effect",
            Self::EmptyGroup => "no party is in the group that the rule is for",
        }
    }
}

impl Serialize for FindingKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A mistake in the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The app's key. Empty for an item that is not one of callgate's.
    pub app: String,
    /// The item or the rule, in words.
    #[serde(rename = "where")]
    pub location: String,
    /// The kind.
    pub kind: FindingKind,
    /// What is wrong.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// The command that fixes it without changing the answer to any call. People run it themselves.
    pub command: Option<String>,
    /// Without a command: how to look at it, and what to consider, because a change may change answers.
    pub advice: Option<String>,
    /// The change that [`Table::fix`](crate::Table::fix) applies, if there is one. It does not change any answer either.
    #[serde(rename = "fixable", serialize_with = "serialize_is_some")]
    pub fix: Option<Fix>,
}

impl Finding {
    pub(super) fn new(kind: FindingKind, location: &Location, what: impl Into<String>, why: impl Into<String>) -> Self {
        let Location { app, text } = location.clone();
        let (what, why) = (what.into(), why.into());
        Self { app, location: text, kind, what, why, command: None, advice: None, fix: None }
    }

    pub(super) fn with_command(self, command: String) -> Self {
        // A shell ends a word at a NUL character, so the command would name something else.
        if command.contains("\\x00") {
            return self.with_advice("its name contains a NUL character, which no command line can contain".to_owned());
        }
        Self { command: Some(command), ..self }
    }

    pub(super) fn with_advice(self, advice: String) -> Self {
        Self { advice: Some(advice), ..self }
    }

    pub(super) fn with_fix(self, fix: Fix) -> Self {
        Self { fix: Some(fix), command: Some(APPLY_FIXES.to_owned()), ..self }
    }

    /// The kind and the location on one line.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}: {}", self.kind.as_str(), self.location)
    }

    /// The order in a report.
    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        fn key(finding: &Finding) -> impl Ord + '_ {
            let Finding { app, location, kind, what, why, command, advice, fix } = finding;
            (app, location, kind.as_str(), what, why, command, advice, fix.is_some())
        }
        key(self).cmp(&key(other))
    }
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn serialize_is_some<S: Serializer>(fix: &Option<Fix>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(fix.is_some())
}

/// An item or a rule, in words.
#[derive(Debug, Clone)]
pub(super) struct Location {
    app: String,
    text: String,
}

impl Location {
    pub(super) fn item(kind: &ItemKind) -> Self {
        match kind {
            ItemKind::App(app) => Self { app: app.clone(), text: format!("app `{app}`") },
            ItemKind::Party(app, id) => Self::party(app, id),
            ItemKind::Pair(app, callee, caller) => Self::rule(app, caller, callee, None),
        }
    }

    pub(super) fn party(app: &str, id: &str) -> Self {
        Self { app: app.to_owned(), text: format!("party `{id}` of app `{app}`") }
    }

    pub(super) fn block(app: &str, id: &str) -> Self {
        Self { app: app.to_owned(), text: format!("block of party `{id}` of app `{app}`") }
    }

    pub(super) fn rule(app: &str, from: &str, to: &str, door: Option<Door>) -> Self {
        let place = unusual_place(from, to, door);
        Self { app: app.to_owned(), text: format!("rule from `{from}` to `{to}` of app `{app}`{place}") }
    }

    pub(super) fn stored(stored: &StoredRule) -> Self {
        Self::rule(&stored.app, &stored.from, &stored.to, stored.door())
    }

    /// An item that does not belong to an app.
    pub(super) fn outside_apps(text: String) -> Self {
        Self { app: String::new(), text }
    }
}
