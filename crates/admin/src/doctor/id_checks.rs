//! Checks whether calls can have an id or match a pattern: `never_matches`.

use std::fmt::Display;

use callgate::store::item::Attributes;
use callgate_core::{DialPlan, PartyId, Pattern, Rule};

use super::Inspector;
use super::commands::{delete_item_command, revoke_exactly_command, write_command};
use super::finding::{Finding, FindingKind, Location};
use crate::dial_plan_warning::DialPlanWarning;
use crate::item_kind::{ItemKind, canonical_id};
use crate::stored_rule::StoredRule;

/// Why no call, or only short numbers, can match a stored id or pattern.
pub(super) struct Unreachable {
    what: String,
    why: &'static str,
    /// The id or pattern with which to write the rule again. `None` when the stored text is not valid in any spelling.
    replacement: Option<String>,
    /// Whether not even a short number can match.
    pub(super) is_never_matched: bool,
}

impl Unreachable {
    fn never(what: String, replacement: Option<String>) -> Self {
        Self { what, why: "no call can match it, so it has no effect", replacement, is_never_matched: true }
    }

    /// The stored text is another spelling of the canonical one. Written again, it is stored in canonical form.
    fn not_canonical(text: &str, canonical: &str) -> Self {
        let what =
            format!("`{text}` is not in canonical form: under this dial plan it would be stored as `{canonical}`");
        Self::never(what, Some(text.to_owned()))
    }

    fn invalid(text: &str, error: impl Display) -> Self {
        Self::never(format!("`{text}` {error}"), None)
    }

    /// Checks an id or a pattern as it is stored. `None` when calls can match it.
    pub(super) fn check(text: &str, dial_plan: &DialPlan) -> Option<Self> {
        if text.ends_with('*') { Self::check_pattern(text, dial_plan) } else { Self::check_id(text, dial_plan) }
    }

    fn check_id(id: &str, dial_plan: &DialPlan) -> Option<Self> {
        if canonical_id(id, dial_plan).is_some() {
            return None;
        }
        Some(match PartyId::new(id, dial_plan) {
            Ok(canonical) => Self::not_canonical(id, canonical.as_str()),
            Err(error) => Self::invalid(id, error),
        })
    }

    fn check_pattern(text: &str, dial_plan: &DialPlan) -> Option<Self> {
        let stored = Pattern::from_stored(text);
        match Pattern::new(text, dial_plan) {
            Ok(canonical) if canonical == stored => {}
            Ok(canonical) => return Some(Self::not_canonical(text, &canonical.to_string())),
            Err(error) => return Some(Self::invalid(text, error)),
        }
        let warning = DialPlanWarning::for_pattern(&stored, dial_plan)?;
        let DialPlanWarning { prefix, replacement } = &warning;
        Some(Self {
            what: format!("under this dial plan numbers dialled as {prefix}… start with {replacement}…"),
            why: warning.consequence(),
            replacement: Some(format!("{replacement}*")),
            is_never_matched: warning.never_matches(),
        })
    }

    /// The finding for a rule with such a caller or callee.
    pub(super) fn into_finding(self, stored: &StoredRule, rule: &Rule, is_caller: bool) -> Finding {
        let Self { what, why, replacement, is_never_matched: _ } = self;
        let StoredRule { app, from, to, list: _, entry: _, rule: _ } = stored;
        let revoke = revoke_exactly_command(app, from, to);
        let command = match &replacement {
            Some(caller) if is_caller => format!("{revoke} && {}", write_command(rule, app, caller, to)),
            Some(callee) => format!("{revoke} && {}", write_command(rule, app, from, callee)),
            None => {
                format!("{revoke}, then write it again with a valid {}", if is_caller { "caller" } else { "callee" })
            }
        };
        Finding::new(FindingKind::NeverMatches, &Location::rule(app, from, to), what, why, Some(command))
    }
}

impl Inspector<'_> {
    /// Checks whether a call can have the id of a party's item. If not, the item is never read.
    pub(super) fn unreachable_party(&self, kind: &ItemKind, id: &str, item: &Attributes) -> Option<Finding> {
        let Unreachable { what, why, .. } = Unreachable::check_id(id, self.table.dial_plan())?;
        let command = delete_item_command(self.table.name(), item);
        Some(Finding::new(FindingKind::NeverMatches, &Location::item(kind), what, why, Some(command)))
    }
}
