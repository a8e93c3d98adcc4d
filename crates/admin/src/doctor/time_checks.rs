//! Checks of expiry and hours: `expired`, `milliseconds`, `never_opens`.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, EXPIRES_AT};
use callgate_core::{EpochSeconds, Rule, has_expired};

use super::Inspector;
use super::commands::{key_of, revoke_stored_command, show_command};
use super::finding::{Finding, FindingKind, Location};
use super::fix::{Action, Fix};
use crate::redundancy::{EIGHT_DAYS, time_conditions};
use crate::rule_target::RuleLocation;
use crate::stored_rule::StoredRule;
use crate::time;

/// DynamoDB keeps items that expired longer ago (Amazon DynamoDB Developer Guide, "Using time to live").
const FIVE_YEARS: EpochSeconds = 5 * 366 * 24 * 60 * 60;

impl Inspector<'_> {
    /// Checks the expiry of a rule, given its stored attributes. Returns whether the rule has expired.
    pub(super) fn check_rule_expiry(
        &mut self,
        item: &Attributes,
        stored: &StoredRule,
        attributes: &Attributes,
    ) -> bool {
        let StoredRule { app, from, to, list, entry, rule } = stored;
        // A rule also expires with its party, which is a finding of its own.
        let has_expired = rule.as_ref().is_ok_and(|rule| has_expired(rule.expires_at, self.now));
        let Some(expires_at) = attributes.get(EXPIRES_AT) else { return has_expired };
        let Some(at) = expires_at.as_n().ok().and_then(|number| number.parse::<EpochSeconds>().ok()) else {
            return has_expired;
        };
        let why = match list {
            Some(_) => "it has no effect, and DynamoDB never deletes an entry of a list",
            None if at < self.now.saturating_sub(FIVE_YEARS) => {
                "it has no effect; DynamoDB does not delete what expired more than five years ago"
            }
            None => "it has no effect; DynamoDB deletes it within a few days",
        };
        let show = show_command(app, from, to, stored.door());
        let finding = self.check_expiry(&Location::stored(stored), at, why, &show, || match list {
            Some(list) => {
                let location = RuleLocation { key: key_of(item), entry: Some((list, entry.clone())) };
                Action::Remove(location, AttributeValue::M(attributes.clone()))
            }
            None => Action::Delete(item.clone()),
        });
        self.findings.extend(finding);
        has_expired
    }

    /// Checks an expiry. `why_expired` explains the consequence if it is in the past, and `remove` removes what has expired.
    pub(super) fn check_expiry(
        &self,
        location: &Location,
        at: EpochSeconds,
        why_expired: &str,
        show: &str,
        remove: impl FnOnce() -> Action,
    ) -> Option<Finding> {
        let has_expired = has_expired(Some(at), self.now);
        match time::check(at) {
            Ok(_) if has_expired => {
                let what = format!("it expired at {}", time::describe(at));
                Some(Finding::new(FindingKind::Expired, location, what, why_expired).with_fix(Fix(remove())))
            }
            Ok(_) => None,
            // It may have been meant to expire at another time, so it is not removed.
            Err(mistake) => {
                let what = format!("`expires_at` is {at}, which {mistake}");
                let (kind, why) = if has_expired {
                    (FindingKind::Expired, why_expired)
                } else {
                    (FindingKind::Milliseconds, "it is read as seconds, so it does not expire")
                };
                let advice = format!("{show}; if another time was meant, write it again with that time");
                Some(Finding::new(kind, location, what, why).with_advice(advice))
            }
        }
    }

    /// A rule that expires before its hours begin.
    pub(super) fn never_opens(&self, stored: &StoredRule, rule: &Rule) -> Option<Finding> {
        let (hours, expires_at) = time_conditions(rule);
        let hours = hours?;
        let end = expires_at.filter(|&end| end < self.now.saturating_add(EIGHT_DAYS))?;
        let last = end.saturating_sub(1);
        let mut edges = hours.transitions(self.now, last).chain(hours.clock_changes(self.now, last));
        let opens = hours.contains(self.now) || edges.any(|edge| hours.contains(edge));
        (!opens).then(|| {
            Finding::new(
                FindingKind::NeverOpens,
                &Location::stored(stored),
                format!("its hours {hours} do not begin before it expires"),
                "it never applies, so it has no effect",
            )
            .with_command(revoke_stored_command(self.table.name(), stored))
        })
    }
}
