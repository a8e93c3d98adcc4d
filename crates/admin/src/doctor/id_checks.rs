//! Checks whether calls can have an id or match a pattern: `never_matches`.

use callgate::store::item::Attributes;
use callgate_core::{DialPlan, PartyId, Pattern};

use super::Inspector;
use super::commands::{delete_item_command, revoke_exactly_command, write_command};
use super::finding::{Finding, FindingKind, Location};
use crate::dial_plan_warning::DialPlanWarning;
use crate::item_kind::{ItemKind, canonical_id};
use crate::stored_rule::StoredRule;

/// Why no call, or hardly any, matches a stored id or pattern.
pub(super) struct Unreachable {
    what: String,
    why: &'static str,
    /// The pattern to write instead, if there is exactly one.
    replacement: Option<String>,
    /// Whether not even a short number can match.
    pub(super) is_never_matched: bool,
}

impl Unreachable {
    fn never(what: String) -> Self {
        Self { what, why: "no call can match it, so it has no effect", replacement: None, is_never_matched: true }
    }

    /// Checks an id or a pattern as it is stored. `None` when calls can match it.
    pub(super) fn check(text: &str, dial_plan: &DialPlan) -> Option<Self> {
        if text.ends_with('*') { Self::check_pattern(text, dial_plan) } else { Self::check_id(text, dial_plan) }
    }

    fn check_id(id: &str, dial_plan: &DialPlan) -> Option<Self> {
        if canonical_id(id, dial_plan).is_some() {
            return None;
        }
        Some(Self::never(match PartyId::new(id, dial_plan) {
            Ok(canonical) => not_canonical(id, canonical.as_str()),
            Err(error) => format!("`{id}` {error}"),
        }))
    }

    fn check_pattern(text: &str, dial_plan: &DialPlan) -> Option<Self> {
        let stored = Pattern::from_stored(text);
        match Pattern::new(text, dial_plan) {
            Ok(canonical) if canonical == stored => {}
            Ok(canonical) => return Some(Self::never(not_canonical(text, &canonical.to_string()))),
            Err(error) => return Some(Self::never(format!("`{text}` {error}"))),
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

    /// The finding for a rule with such a caller or callee, fixed by writing the rule again.
    pub(super) fn into_finding(self, stored: &StoredRule, is_caller: bool) -> Finding {
        let Self { what, why, replacement, is_never_matched: _ } = self;
        let StoredRule { app, from, to, list: _, entry: _, rule } = stored;
        let (new_from, new_to) = match (&replacement, is_caller) {
            (Some(caller), true) => (caller, to),
            (Some(callee), false) => (from, callee),
            (None, _) => (from, to),
        };
        let revoke = revoke_exactly_command(app, from, to);
        let command = match rule {
            Ok(rule) => format!("{revoke} && {}", write_command(rule, app, new_from, new_to)),
            Err(_) => revoke,
        };
        Finding::new(FindingKind::NeverMatches, &Location::rule(app, from, to), what, why, Some(command))
    }
}

fn not_canonical(text: &str, canonical: &str) -> String {
    format!("`{text}` is not in canonical form: under this dial plan it would be stored as `{canonical}`")
}

impl Inspector<'_> {
    /// A party's item that is never read, because no call has its id.
    pub(super) fn unreachable_party(&self, kind: &ItemKind, id: &str, item: &Attributes) -> Option<Finding> {
        let Unreachable { what, why, .. } = Unreachable::check_id(id, self.table.dial_plan())?;
        let command = delete_item_command(self.table.name(), item);
        Some(Finding::new(FindingKind::NeverMatches, &Location::item(kind), what, why, Some(command)))
    }
}
