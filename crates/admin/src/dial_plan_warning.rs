//! Warnings about prefixes that the dial plan rewrites, so that they no longer match the numbers they were meant for.

use callgate_core::{DialPlan, PartyId, Pattern};

use crate::rule_target::RuleTarget;

/// The most digits of an E.164 number.
const MAX_DIGITS: usize = 15;

/// A prefix of numbers as they are dialled, which the dial plan stores in another form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialPlanWarning {
    /// The prefix as it was written.
    pub prefix: String,
    /// The prefix of those numbers as they are stored.
    pub replacement: String,
}

impl DialPlanWarning {
    /// Checks a pattern. `None` when the dial plan keeps its prefix.
    #[must_use]
    pub fn for_pattern(pattern: &Pattern, dial_plan: &DialPlan) -> Option<Self> {
        let Pattern::Prefix(prefix) = pattern else { return None };
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) || prefix.len() >= MAX_DIGITS {
            return None;
        }
        let rest = "0".repeat(MAX_DIGITS - prefix.len());
        let id = PartyId::new(&format!("{prefix}{rest}"), dial_plan).ok()?;
        let replacement = id.as_str().strip_suffix(rest.as_str()).filter(|replacement| replacement != prefix)?;
        Some(Self { prefix: prefix.clone(), replacement: replacement.to_owned() })
    }

    /// Checks both patterns of a rule. Returns the side (`from` or `to`) and the warning in words.
    #[must_use]
    pub fn for_target(target: &RuleTarget, dial_plan: &DialPlan) -> Option<(&'static str, String)> {
        let side = |name, pattern| Some((name, Self::for_pattern(pattern, dial_plan)?));
        let (side, warning) = side("from", &target.from).or_else(|| side("to", &target.to))?;
        let Self { prefix, replacement } = &warning;
        let consequence = warning.consequence();
        let text = format!(
            "under this dial plan numbers dialled as {prefix}… start with {replacement}…: {consequence}; write \
             `{replacement}*` for those numbers"
        );
        Some((side, text))
    }

    /// Whether no number at all can match the prefix. Otherwise extensions and service numbers still can.
    #[must_use]
    pub fn never_matches(&self) -> bool {
        self.prefix.len() >= DialPlan::MIN_DIGITS
    }

    /// The numbers that can still match the prefix, in words.
    #[must_use]
    pub fn consequence(&self) -> &'static str {
        if self.never_matches() {
            "no call can match it, so it has no effect"
        } else {
            "only numbers of fewer than 8 digits can match it"
        }
    }
}
