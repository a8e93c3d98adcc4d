//! Checks of a rule by itself: `invalid_record`, `unknown_attribute`, `misplaced`. Also calls the checks of ids and times.

use callgate::store::item::{self, Attributes};
use callgate_core::{AppKey, ParseError, Pattern, Rule};

use super::Inspector;
use super::commands::{revoke_exactly_command, write_command};
use super::finding::{Finding, FindingKind, Location};
use super::id_checks::Unreachable;
use super::table_checks::CheckedRule;
use crate::item_kind::canonical_id;
use crate::rule_target::RuleTarget;
use crate::rules::RULE_ATTRIBUTES;
use crate::stored_rule::StoredRule;

impl Inspector<'_> {
    /// Checks a rule of an item.
    pub(super) fn check_rule(&mut self, item: &Attributes, stored: &StoredRule) {
        let StoredRule { app, from, to, list, entry: _, rule } = stored;
        let is_outgoing = *list == Some("outgoing");
        let owner = if is_outgoing { from } else { to };
        self.contents.count_rule(app, owner);
        let attributes = stored_attributes(item, stored);
        let rule = match rule {
            Ok(rule) => rule,
            Err(error) => return self.findings.push(invalid_rule(stored, attributes, error)),
        };
        if attributes.is_some_and(|attributes| self.check_rule_expiry(item, stored, attributes)) {
            return;
        }
        // The party that the item belongs to is checked with the item.
        let is_in_party = matches!(list, Some("incoming" | "outgoing"));
        let mut can_match = !is_in_party || canonical_id(owner, self.table.dial_plan()).is_some();
        for (side, is_caller) in [(from, true), (to, false)] {
            if is_in_party && is_caller == is_outgoing {
                continue;
            }
            if let Some(unreachable) = Unreachable::check(side, self.table.dial_plan()) {
                can_match &= !unreachable.is_never_matched;
                self.findings.push(unreachable.into_finding(stored, rule, is_caller));
            }
        }
        if let Some(finding) = self.never_opens(stored, rule) {
            return self.findings.push(finding);
        }
        self.findings.extend(misplaced(stored, rule));
        if can_match && let Ok(key) = AppKey::new(app) {
            let target = RuleTarget { app: key, from: Pattern::from_stored(from), to: Pattern::from_stored(to) };
            self.contents.add_rule(CheckedRule { target, rule: rule.clone(), is_listed: list.is_some() });
        }
    }
}

/// The attributes of a rule as it is stored. For a pair these are the whole item.
fn stored_attributes<'a>(item: &'a Attributes, stored: &StoredRule) -> Option<&'a Attributes> {
    match stored.list {
        Some(list) => item.get(list)?.as_m().ok()?.get(&stored.entry)?.as_m().ok(),
        None => Some(item),
    }
}

/// A rule that cannot be parsed, so that every call that it matches is refused.
fn invalid_rule(stored: &StoredRule, attributes: Option<&Attributes>, error: &ParseError) -> Finding {
    let StoredRule { app, from, to, .. } = stored;
    let ParseError(what) = error;
    let kind = if attributes.is_some_and(is_valid_without_unknown_attributes) {
        FindingKind::UnknownAttribute
    } else {
        FindingKind::InvalidRecord
    };
    Finding::new(
        kind,
        &Location::rule(app, from, to),
        what,
        "every call that matches it is refused with reason `invalid_record`",
        Some(format!("{}, then write it again", revoke_exactly_command(app, from, to))),
    )
}

fn is_valid_without_unknown_attributes(attributes: &Attributes) -> bool {
    let known = attributes.iter().filter(|(name, _)| RULE_ATTRIBUTES.contains(&name.as_str()));
    item::read_rule(known.map(|(name, value)| (name.clone(), value.clone())).collect()).is_ok()
}

/// A rule between two parties that is stored in a party's list.
fn misplaced(stored: &StoredRule, rule: &Rule) -> Option<Finding> {
    let StoredRule { app, from, to, list, entry, rule: _ } = stored;
    let list = list.filter(|list| *list != "callers" && !entry.ends_with('*'))?;
    Some(Finding::new(
        FindingKind::Misplaced,
        &Location::rule(app, from, to),
        format!("it is stored in a list (`{list}`), where only patterns belong"),
        "it is checked at one door only, and every call of the party reads it",
        Some(format!("{} && {}", revoke_exactly_command(app, from, to), write_command(rule, app, from, to))),
    ))
}
