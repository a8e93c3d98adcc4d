//! Checks whether calls can have an id or match a pattern: `never_matches`.

use std::fmt::Display;

use callgate::store::item::Attributes;
use callgate_core::{IdError, PartyId, Pattern, PatternError, PhoneRegion, Rule};

use super::Inspector;
use super::commands::{delete_item_command, key_of, revoke_stored_command, show_command, write_command};
use super::finding::{Finding, FindingKind, Location};
use crate::item_kind::{ItemKind, canonical_id};
use crate::number_mistake::number_mistake;
use crate::prefix_warning::PrefixWarning;
use crate::stored_rule::StoredRule;

/// Why no call, or only some, can match a stored id or pattern.
pub(super) struct Unreachable {
    what: String,
    why: &'static str,
    /// The id or pattern with which to write the rule again. `None` when the stored text is not valid in any spelling.
    replacement: Option<String>,
    /// Whether certainly no call can match it.
    pub(super) is_never_matched: bool,
}

const NEVER: &str = "no call can match it, so it has no effect";

impl Unreachable {
    /// The stored text is another spelling of the canonical one, or what a spreadsheet made of a number.
    fn not_canonical(text: &str, canonical: &str) -> Self {
        if let Some(mistake) = number_mistake(text) {
            return Self::invalid(text, mistake);
        }
        let what = format!("`{text}` is not in canonical form: in this region it would be stored as `{canonical}`");
        Self { what, why: NEVER, replacement: Some(canonical.to_owned()), is_never_matched: true }
    }

    fn invalid(text: &str, error: impl Display) -> Self {
        Self { what: format!("`{text}` {error}"), why: NEVER, replacement: None, is_never_matched: true }
    }

    /// Checks the id of a party as it is stored. `None` when calls can have it.
    pub(super) fn check_id(id: &str, region: Option<PhoneRegion>) -> Option<Self> {
        if canonical_id(id, region).is_some() {
            return None;
        }
        Some(match PartyId::new(id, region) {
            Ok(canonical) => Self::not_canonical(id, canonical.as_str()),
            Err(error) => Self::invalid(id, error),
        })
    }

    /// Checks the entry of a list, which may be a pattern. `None` when calls can match it.
    pub(super) fn check_entry(text: &str, region: Option<PhoneRegion>) -> Option<Self> {
        let stored = Pattern::from_stored(text);
        match stored {
            Pattern::Exact(_) => return Self::check_id(text, region),
            Pattern::Group(_) => return None,
            Pattern::Prefix(_) | Pattern::Everyone => {}
        }
        match Pattern::new(text, region) {
            Ok(canonical) if canonical == stored => {}
            Ok(canonical) => {
                let unreachable = Self::not_canonical(text, &canonical.to_string());
                // Ids are trimmed. But `+7 495*` matches the id `+7 495x`, which is not a number.
                return Some(if text.starts_with(char::is_whitespace) {
                    unreachable
                } else {
                    Self { why: "no number can match it", is_never_matched: false, ..unreachable }
                });
            }
            // An id never contains these characters, and never starts with a scheme.
            Err(error @ (PatternError::Scheme | PatternError::Id(IdError::Forbidden(_) | IdError::TooLong(_)))) => {
                return Some(Self::invalid(text, error));
            }
            // The tool does not write such a pattern, but ids may match it, such as `*98*`.
            Err(_) => return None,
        }
        let warning = PrefixWarning::for_pattern(&stored, region)?;
        let PrefixWarning { prefix, replacement, .. } = &warning;
        Some(Self {
            what: format!("numbers that are dialled as {prefix}… start with {replacement}… in this region"),
            why: warning.consequence(),
            replacement: Some(format!("{replacement}*")),
            is_never_matched: false,
        })
    }

    /// The finding for a rule with such a caller or callee.
    pub(super) fn into_finding(self, table: &str, stored: &StoredRule, rule: &Rule, is_caller: bool) -> Finding {
        let Self { what, why, replacement, is_never_matched } = self;
        let StoredRule { app, from, to, list: _, entry: _, rule: _ } = stored;
        let revoke = revoke_stored_command(table, stored);
        let finding = Finding::new(FindingKind::NeverMatches, &Location::stored(stored), what, why);
        let write = match &replacement {
            Some(caller) if is_caller => write_command(rule, app, caller, to),
            Some(callee) => write_command(rule, app, from, callee),
            None if is_never_matched => return finding.with_command(revoke),
            None => return finding.with_advice(show_command(app, from, to, stored.door())),
        };
        let show = show_command(app, from, to, stored.door());
        finding.with_advice(format!("{show}; if calls should match it, write it again: {revoke} && {write}"))
    }
}

impl Inspector<'_> {
    /// Checks whether a call can have the id of a party's item. If not, the item is never read.
    pub(super) fn unreachable_party(&self, kind: &ItemKind, id: &str, item: &Attributes) -> Option<Finding> {
        let Unreachable { what, why, .. } = Unreachable::check_id(id, self.table.phone_region())?;
        let command = delete_item_command(self.table.name(), &key_of(item));
        Some(Finding::new(FindingKind::NeverMatches, &Location::item(kind), what, why).with_command(command))
    }
}
