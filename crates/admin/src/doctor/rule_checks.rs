//! Checks of a rule by itself: `invalid_record`, `unknown_attribute`. Also calls the checks of ids and times.

use callgate::store::item::{self, Attributes};
use callgate_core::{AppKey, Door, ParseError, Pattern};

use super::Inspector;
use super::commands::{revoke_stored_command, show_command};
use super::finding::{Finding, FindingKind, Location};
use super::id_checks::Unreachable;
use super::table_checks::CheckedRule;
use crate::error::Result;
use crate::item_kind::canonical_id;
use crate::rules::RULE_ATTRIBUTES;
use crate::stored_rule::StoredRule;

impl Inspector<'_> {
    /// Checks a rule of an item.
    pub(super) fn check_rule(&mut self, item: &Attributes, stored: &StoredRule) -> Result<()> {
        let StoredRule { app, from, to, list: _, entry, rule } = stored;
        let door = stored.door();
        let owner = if door == Some(Door::Caller) { from } else { to };
        self.contents.count_rule(app);
        let attributes = stored_attributes(item, stored);
        let rule = match rule {
            Ok(rule) => rule,
            Err(error) => {
                self.findings.push(self.invalid_rule(stored, attributes, error));
                return self.contents.add_unusable_pair(stored);
            }
        };
        if attributes.is_some_and(|attributes| self.check_rule_expiry(item, stored, attributes)) {
            return self.contents.add_unusable_pair(stored);
        }
        let region = self.table.phone_region();
        // The party that a list belongs to is checked with the item.
        let (mut can_match, sides) = match door {
            None => (true, [(true, Unreachable::check_id(from, region)), (false, Unreachable::check_id(to, region))]),
            Some(Door::App) => (true, [(true, Unreachable::check_entry(entry, region)), (false, None)]),
            Some(Door::Destination) => (true, [(true, None), (false, Unreachable::check_entry(entry, region))]),
            Some(door) => {
                let is_caller = door == Door::Callee;
                let can_match = canonical_id(owner, region).is_some();
                (can_match, [(is_caller, Unreachable::check_entry(entry, region)), (false, None)])
            }
        };
        for (is_caller, unreachable) in sides {
            let Some(unreachable) = unreachable else { continue };
            can_match &= !unreachable.is_never_matched;
            self.findings.push(unreachable.into_finding(self.table.name(), stored, rule, is_caller));
        }
        if let Some(finding) = self.never_opens(stored, rule) {
            self.findings.push(finding);
            return self.contents.add_unusable_pair(stored);
        }
        // A rule that is switched off has no effect on purpose.
        if rule.disabled {
            return self.contents.add_unusable_pair(stored);
        }
        if can_match && let Ok(app) = AppKey::new(app) {
            let (from, to) = stored.patterns();
            let is_pair = matches!((&from, &to), (Pattern::Exact(_), Pattern::Exact(_)));
            let entry = attributes.filter(|_| door.is_some() && is_pair);
            let entry = entry.map(|entry| self.contents.add_entry(entry));
            return self.contents.add_rule(&CheckedRule { app, from, to, door, rule: rule.clone(), entry });
        }
        self.contents.add_unusable_pair(stored)
    }

    /// A rule that cannot be parsed, so that every call that it matches is refused.
    fn invalid_rule(&self, stored: &StoredRule, attributes: Option<&Attributes>, error: &ParseError) -> Finding {
        let StoredRule { app, from, to, .. } = stored;
        let ParseError(what) = error;
        let kind = if attributes.is_some_and(is_valid_without_unknown_attributes) {
            FindingKind::UnknownAttribute
        } else {
            FindingKind::InvalidRecord
        };
        let why = "every call that matches it is refused with reason `invalid_record`";
        Finding::new(kind, &Location::stored(stored), what, why).with_advice(format!(
            "{}; {} revokes it, and then the other rules decide these calls",
            show_command(app, from, to, stored.door()),
            revoke_stored_command(self.table.name(), stored)
        ))
    }
}

/// The attributes of a rule as it is stored. For a pair these are the whole item.
fn stored_attributes<'a>(item: &'a Attributes, stored: &StoredRule) -> Option<&'a Attributes> {
    match stored.list {
        Some(list) => item.get(list)?.as_m().ok()?.get(&stored.entry)?.as_m().ok(),
        None => Some(item),
    }
}

fn is_valid_without_unknown_attributes(attributes: &Attributes) -> bool {
    let known = attributes.iter().filter(|(name, _)| RULE_ATTRIBUTES.contains(&name.as_str()));
    item::read_rule(known.map(|(name, value)| (name.clone(), value.clone())).collect()).is_ok()
}
