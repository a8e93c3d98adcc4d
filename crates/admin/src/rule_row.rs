//! A rule as a row of a file, which is also its JSON form.

use callgate_core::{Block, Effect, EpochSeconds, Hours, MediaSet, Rule, Window};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rule_target::RuleTarget;
use crate::time;
use crate::wording::{conditions_text, escape, parse_effect, parse_media};

/// A rule, or the block of a caller, as `import`, `export` and `--output json` represent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRow {
    /// The app's key.
    pub app: String,
    /// The callers' pattern.
    pub from: String,
    /// The callees' pattern.
    pub to: String,
    /// `allow` or `deny`. `block` for a caller that is blocked, whose `to` is `*`.
    pub effect: String,
    /// `audio`, `video` or both. Empty means any.
    pub media: Vec<String>,
    /// Windows, `DAYS HH:MM-HH:MM ZONE`. Empty means always.
    pub hours: Vec<String>,
    /// The time at which the rule expires, as RFC 3339 in UTC. A stored number that is not a moment stays a number.
    pub expires_at: Option<String>,
    /// Whether the rule is switched off.
    pub disabled: bool,
    /// The file or feed with which the rule came.
    pub list: Option<String>,
    /// A comment for people.
    pub note: Option<String>,
}

/// The effect of a row whose rule could not be parsed.
const INVALID: &str = "(invalid)";

/// The effect of a row for a blocked caller.
pub(crate) const BLOCK: &str = "block";

impl RuleRow {
    /// The row of a rule.
    #[must_use]
    pub fn new(target: &RuleTarget, rule: &Rule) -> Self {
        Self::of(target.app.as_str(), &target.from.to_string(), &target.to.to_string(), rule)
    }

    /// The row of a rule between parties as they are stored.
    #[must_use]
    pub fn of(app: &str, from: &str, to: &str, rule: &Rule) -> Self {
        let Rule { effect, media, hours, expires_at, disabled, list, note, updated_at: _, updated_by: _ } = rule;
        Self {
            app: app.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            effect: effect.as_str().to_owned(),
            media: media.map(MediaSet::words).unwrap_or_default().iter().map(|&word| word.to_owned()).collect(),
            hours: hours.iter().flat_map(Hours::windows).map(ToString::to_string).collect(),
            expires_at: expires_at.map(time::format_for_file),
            disabled: *disabled,
            // An empty text is none, as in a file.
            list: list.clone().filter(|list| !list.is_empty()),
            note: note.clone().filter(|note| !note.is_empty()),
        }
    }

    /// The row of a blocked caller.
    #[must_use]
    pub fn of_block(app: &str, caller: &str, block: &Block) -> Self {
        Self { effect: BLOCK.to_owned(), ..Self::of(app, caller, "*", &deny_all(block)) }
    }

    /// Whether the row blocks a caller.
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.effect == BLOCK
    }

    /// The row of a rule that could not be parsed.
    #[must_use]
    pub fn invalid(app: &str, from: &str, to: &str) -> Self {
        Self {
            app: app.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            effect: INVALID.to_owned(),
            media: Vec::new(),
            hours: Vec::new(),
            expires_at: None,
            disabled: false,
            list: None,
            note: None,
        }
    }

    /// The rule of this row. A block is a rule that denies every call of its caller.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a value is not valid.
    pub fn rule(&self) -> Result<Rule> {
        let Self { app: _, from: _, to: _, effect, media, hours, expires_at, disabled, list, note } = self;
        let windows = hours.iter().map(|text| text.parse::<Window>()).collect::<std::result::Result<Vec<_>, _>>();
        let windows = windows.map_err(|error| Error::InvalidInput(error.to_string()))?;
        Ok(Rule {
            effect: if self.is_block() { Effect::Deny } else { parse_effect(effect)? },
            media: if media.is_empty() { None } else { Some(parse_media(&media.join(" "))?) },
            hours: Hours::new(windows),
            expires_at: expires_at.as_deref().map(parse_time).transpose()?,
            disabled: *disabled,
            list: list.clone(),
            note: note.clone(),
            updated_at: None,
            updated_by: None,
        })
    }

    fn stored_expiry(&self) -> Option<EpochSeconds> {
        let text = self.expires_at.as_deref()?;
        parse_time(text).ok().or_else(|| text.parse().ok())
    }

    /// The rule on one line, with its app.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} in app {}", self.short_text(), escape(&self.app))
    }

    /// The rule on one line, without its app.
    #[must_use]
    pub fn short_text(&self) -> String {
        let [from, to] = [&self.from, &self.to].map(|text| escape(text));
        // A stored number that is not a moment is shown too.
        let rule = Self { expires_at: None, ..self.clone() }
            .rule()
            .map(|rule| Rule { expires_at: self.stored_expiry(), ..rule });
        let conditions = rule.map(|rule| conditions_text(&rule)).unwrap_or_default();
        let to = if self.is_block() { String::new() } else { format!(" to {to}") };
        format!("{} {from}{to}{conditions}", self.effect)
    }
}

/// A block as a rule that denies every call of its caller.
#[must_use]
pub fn deny_all(block: &Block) -> Rule {
    let Block { expires_at, list, note, updated_at, updated_by } = block.clone();
    Rule { expires_at, list, note, updated_at, updated_by, ..Rule::new(Effect::Deny) }
}

/// The block that denies the same calls as a rule of [`deny_all`].
#[must_use]
pub fn block_of_rule(rule: &Rule) -> Block {
    let Rule { effect: _, media: _, hours: _, expires_at, disabled: _, list, note, updated_at, updated_by } =
        rule.clone();
    Block { expires_at, list, note, updated_at, updated_by }
}

fn parse_time(text: &str) -> Result<EpochSeconds> {
    time::parse_absolute(text).map_err(|error| Error::InvalidInput(format!("`{text}` {error}")))
}
