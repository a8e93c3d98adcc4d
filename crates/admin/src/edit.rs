//! Changes to a stored rule or block: what is not named stays as it is.

use callgate_core::{Block, Effect, EpochSeconds, Hours, MediaSet, Rule, has_expired};

/// A change to one value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Edit<T> {
    /// The value stays as it is.
    #[default]
    Keep,
    /// The value is removed.
    Clear,
    /// The value is replaced.
    Set(T),
}

impl<T: Clone> Edit<T> {
    fn apply(&self, previous: Option<T>) -> Option<T> {
        match self {
            Self::Keep => previous,
            Self::Clear => None,
            Self::Set(value) => Some(value.clone()),
        }
    }
}

/// A change to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleEdit {
    /// The effect.
    pub effect: Effect,
    /// The media.
    pub media: Edit<MediaSet>,
    /// The hours.
    pub hours: Edit<Hours>,
    /// Whether the rule is switched off. Otherwise it stays switched on or off.
    pub is_disabled: bool,
    /// What rules and blocks have in common.
    pub common: BlockEdit,
}

/// A change to a block, or to what rules have in common with blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockEdit {
    /// The expiry.
    pub expires_at: Edit<EpochSeconds>,
    /// The name of the list.
    pub list: Edit<String>,
    /// The note.
    pub note: Edit<String>,
}

impl RuleEdit {
    /// The rule after the change. A rule that has expired counts as absent: DynamoDB may delete it at any moment.
    #[must_use]
    pub fn apply(&self, previous: Option<&Rule>, now: EpochSeconds) -> Rule {
        let Self { effect, media, hours, is_disabled, common: BlockEdit { expires_at, list, note } } = self;
        let previous = previous.filter(|rule| !has_expired(rule.expires_at, now)).cloned();
        let previous = previous.unwrap_or_else(|| Rule::new(*effect));
        Rule {
            effect: *effect,
            media: media.apply(previous.media),
            hours: hours.apply(previous.hours),
            expires_at: expires_at.apply(previous.expires_at),
            disabled: *is_disabled || previous.disabled,
            list: list.apply(previous.list),
            note: note.apply(previous.note),
            updated_at: None,
            updated_by: None,
        }
    }
}

impl BlockEdit {
    /// The block after the change. A block that has expired counts as absent.
    #[must_use]
    pub fn apply(&self, previous: Option<&Block>, now: EpochSeconds) -> Block {
        let Self { expires_at, list, note } = self;
        let previous = previous.filter(|block| !has_expired(block.expires_at, now)).cloned().unwrap_or_default();
        Block {
            expires_at: expires_at.apply(previous.expires_at),
            list: list.apply(previous.list),
            note: note.apply(previous.note),
            updated_at: None,
            updated_by: None,
        }
    }
}
