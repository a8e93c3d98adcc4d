//! The permissions of apps and parties, as parsed from the table.

use std::collections::BTreeSet;

use crate::pattern::Kind;
use crate::{EpochSeconds, Hours, PartyId, Pattern};

/// The most that an error message quotes of a stored text, in bytes.
const MAX_EXCERPT: usize = 128;

/// The permissions that a call is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Permissions<'a> {
    /// The app's item.
    pub app: &'a ParsedItem<App>,
    /// The caller's item.
    pub caller: &'a ParsedItem<Party>,
    /// The callee's item. The caller's item when both are the same party.
    pub callee: &'a ParsedItem<Party>,
    /// The rule between exactly this caller and this callee.
    pub pair: &'a ParsedItem<Rule>,
}

/// A rule's effect on the calls it applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The door allows the call.
    Allow,
    /// The door denies the call, and no other door can change that.
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
    /// Audio.
    pub audio: bool,
    /// Video.
    pub video: bool,
}

impl MediaSet {
    /// The words that are stored and logged, in this order: `audio`, `video`.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match (self.audio, self.video) {
            (true, true) => &["audio", "video"],
            (true, false) => &["audio"],
            (false, true) => &["video"],
            (false, false) => &[],
        }
    }

    /// Whether every medium of this set is in the other.
    #[must_use]
    pub const fn is_subset_of(self, other: Self) -> bool {
        (!self.audio || other.audio) && (!self.video || other.video)
    }

    /// Whether the two sets have a medium in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        (self.audio && other.audio) || (self.video && other.video)
    }
}

/// `allow` or `deny`, and the conditions under which it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What the rule does when it applies.
    pub effect: Effect,
    /// The media the rule is limited to. `None` means any.
    pub media: Option<MediaSet>,
    /// The hours the rule is limited to. `None` means always.
    pub hours: Option<Hours>,
    /// The moment from which the rule no longer applies. `None` means never.
    pub expires_at: Option<EpochSeconds>,
    /// Whether the rule is switched off. It is as if it were absent.
    pub disabled: bool,
    /// The file or feed with which the rule came.
    pub list: Option<String>,
    /// A comment for people.
    pub note: Option<String>,
    /// When the rule was last written.
    pub updated_at: Option<EpochSeconds>,
    /// Who last wrote the rule.
    pub updated_by: Option<String>,
}

impl Rule {
    /// A rule without conditions.
    #[must_use]
    pub const fn new(effect: Effect) -> Self {
        Self {
            effect,
            media: None,
            hours: None,
            expires_at: None,
            disabled: false,
            list: None,
            note: None,
            updated_at: None,
            updated_by: None,
        }
    }
}

/// Why an item or a rule could not be parsed: the attribute, its value, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub String);

/// A stored text as error messages quote it: at most its first 128 bytes, which is as long as an id may be. A longer text
/// ends with `…`.
#[must_use]
pub fn excerpt(text: &str) -> String {
    match text.get(..text.floor_char_boundary(MAX_EXCERPT)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

/// An item that was looked up: absent, parsed, or invalid.
pub type ParsedItem<T> = Result<Option<T>, ParseError>;

/// A list of rules by pattern. Each rule is parsed separately, so the others can be used if one is invalid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<(Pattern, Result<Rule, ParseError>)>);

impl Rules {
    /// Every rule, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, Result<&Rule, &ParseError>)> {
        self.0.iter().map(|(pattern, rule)| (pattern, rule.as_ref()))
    }

    /// The rules whose pattern matches a party of these groups, in no particular order. Looks up each pattern that can match,
    /// so that a long list costs little more than a short one.
    pub fn matching<'a>(
        &'a self,
        id: &'a PartyId,
        groups: &'a Groups,
    ) -> impl Iterator<Item = (&'a Pattern, Result<&'a Rule, &'a ParseError>)> {
        let id = id.as_str();
        // A withheld number has no digits or letters to start with.
        let number = if id == PartyId::ANONYMOUS { "" } else { id };
        let prefixes = number.char_indices().filter_map(|(at, c)| number.get(..at + c.len_utf8()));
        let prefixes = prefixes.map(|prefix| (Kind::Prefix, prefix));
        let groups = groups.iter().map(|group| (Kind::Group, group.as_str()));
        let patterns = [(Kind::Everyone, ""), (Kind::Exact, id)].into_iter().chain(groups).chain(prefixes);
        patterns.filter_map(|(kind, text)| self.find(kind, text))
    }

    fn find(&self, kind: Kind, text: &str) -> Option<(&Pattern, Result<&Rule, &ParseError>)> {
        let index = self.0.binary_search_by(|(pattern, _)| pattern.sort_key().cmp(&(kind, text))).ok()?;
        self.0.get(index).map(|(pattern, rule)| (pattern, rule.as_ref()))
    }
}

/// Sorted, so that patterns can be found.
impl FromIterator<(Pattern, Result<Rule, ParseError>)> for Rules {
    fn from_iter<I: IntoIterator<Item = (Pattern, Result<Rule, ParseError>)>>(rules: I) -> Self {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_by(|(one, _), (other, _)| one.sort_key().cmp(&other.sort_key()));
        Self(rules)
    }
}

/// The groups that a party belongs to.
pub type Groups = BTreeSet<String>;

/// A party that may not call anyone, whatever the rules are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The moment from which the party may call again. `None` means never.
    pub expires_at: Option<EpochSeconds>,
    /// The file or feed with which the block came.
    pub list: Option<String>,
    /// A comment for people.
    pub note: Option<String>,
    /// When the block was last written.
    pub updated_at: Option<EpochSeconds>,
    /// Who last wrote the block.
    pub updated_by: Option<String>,
}

/// Whether an app or a party takes part in calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// Its rules decide.
    #[default]
    Active,
    /// All its calls are refused, whatever the rules.
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
    /// Whether the app takes part in calls.
    pub status: Status,
    /// The rules of door `app`, matched against the caller.
    pub callers: Rules,
    /// The rules of door `destination`, matched against the callee.
    pub destinations: Rules,
    /// A comment for people.
    pub note: Option<String>,
}

/// A party of an app: a caller or a callee.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// Whether the party takes part in calls.
    pub status: Status,
    /// The rules of door `callee` for the calls it receives, matched against the caller.
    pub incoming: Rules,
    /// The rules of door `caller` for the calls it makes, matched against the callee.
    pub outgoing: Rules,
    /// The groups it belongs to.
    pub groups: Groups,
    /// The block of its own calls, if it is blocked.
    pub blocked: Option<Block>,
    /// The moment from which the party counts as absent. `None` means never.
    pub expires_at: Option<EpochSeconds>,
    /// A comment for people.
    pub note: Option<String>,
}

/// Whether the moment has passed. `None` never passes. DynamoDB deletes expired items hours late, so readers must
/// check.
#[must_use]
pub fn has_expired(expires_at: Option<EpochSeconds>, now: EpochSeconds) -> bool {
    expires_at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_the_text_or_its_beginning() {
        for whole in ["", "+7495*", &"x".repeat(128), &"é".repeat(64)] {
            assert_eq!(excerpt(whole), whole);
        }
        assert_eq!(excerpt(&"x".repeat(129)), "x".repeat(128) + "…");
        assert_eq!(excerpt(&format!("x{}", "é".repeat(64))), format!("x{}…", "é".repeat(63)));
    }
}
