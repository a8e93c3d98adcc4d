//! Prefixes beside the dial plan: numbers do not start as they were dialled.

use callgate_core::{DialPlan, PartyId, Pattern};

use crate::statement::RuleTarget;

/// No number of E.164 is longer.
const LONGEST: usize = 15;

/// What numbers start with that were dialled with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialPlanWarning {
    /// The prefix as it was written.
    pub(crate) prefix: String,
    /// What they start with instead.
    pub(crate) instead: String,
}

impl DialPlanWarning {
    /// `None` where numbers keep the prefix they are dialled with.
    pub(crate) fn of(pattern: &Pattern, plan: &DialPlan) -> Option<Self> {
        let Pattern::Prefix(prefix) = pattern else { return None };
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) || prefix.len() >= LONGEST {
            return None;
        }
        let rest = "0".repeat(LONGEST - prefix.len());
        let id = PartyId::new(&format!("{prefix}{rest}"), plan).ok()?;
        let instead = id.as_str().strip_suffix(rest.as_str()).filter(|instead| instead != prefix)?;
        Some(Self { prefix: prefix.clone(), instead: instead.to_owned() })
    }

    /// No number at all starts so; otherwise extensions and service numbers do.
    pub(crate) fn is_never(&self) -> bool {
        self.prefix.len() >= DialPlan::MIN_DIGITS
    }

    /// Which ids still match the prefix.
    pub(crate) fn consequence(&self) -> &'static str {
        if self.is_never() {
            "no call can match it, so it has no effect"
        } else {
            "only numbers of fewer than 8 digits can match it"
        }
    }

    /// What to tell whoever writes a rule, and of which side.
    pub(crate) fn for_target(target: &RuleTarget, plan: &DialPlan) -> Option<(&'static str, String)> {
        let side = |name, pattern| Some((name, Self::of(pattern, plan)?));
        let (side, dialled) = side("from", &target.from).or_else(|| side("to", &target.to))?;
        let Self { prefix, instead } = &dialled;
        let consequence = dialled.consequence();
        let note = format!(
            "under this dial plan numbers dialled as {prefix}… start with {instead}…: {consequence}; for those numbers \
             say `{instead}*`"
        );
        Some((side, note))
    }
}
