//! Checks of expiry and hours: `expired`, `milliseconds`, `never_opens`.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, EXPIRES_AT};
use callgate_core::{EpochSeconds, Rule, has_expired};

use super::Inspector;
use super::commands::{APPLY_FIXES, key_of, revoke_exactly_command};
use super::finding::{Finding, FindingKind, Location};
use super::fix::{Action, Fix};
use crate::redundancy::{EIGHT_DAYS, time_conditions};
use crate::rule_target::RuleLocation;
use crate::stored_rule::StoredRule;
use crate::time::{self, MILLISECONDS_FROM};

impl Inspector<'_> {
    /// Checks the expiry of a rule, given its stored attributes. Returns whether the rule has expired.
    pub(super) fn check_rule_expiry(
        &mut self,
        item: &Attributes,
        stored: &StoredRule,
        attributes: &Attributes,
    ) -> bool {
        let StoredRule { app, from, to, list, entry, rule: _ } = stored;
        let Some(expires_at) = attributes.get(EXPIRES_AT) else { return false };
        let Some(at) = expires_at.as_n().ok().and_then(|number| number.parse::<EpochSeconds>().ok()) else {
            return false;
        };
        let has_expired = has_expired(Some(at), self.now);
        // An entry is only removed if the whole rule did not change since it was read.
        let expected = match list {
            Some(_) if has_expired => AttributeValue::M(attributes.clone()),
            _ => expires_at.clone(),
        };
        let why = match list {
            Some(_) => "it has no effect, and DynamoDB never deletes an entry of a list",
            None => "it has no effect; DynamoDB deletes it within a few days",
        };
        let location = RuleLocation { key: key_of(item), entry: list.map(|list| (list, entry.clone())) };
        let finding = self.check_expiry(&Location::rule(app, from, to), location, &expected, at, why);
        self.findings.extend(finding);
        has_expired
    }

    /// Checks an expiry. `why_expired` explains the consequence if it is in the past.
    pub(super) fn check_expiry(
        &self,
        location: &Location,
        stored_at: RuleLocation,
        expected: &AttributeValue,
        at: EpochSeconds,
        why_expired: &str,
    ) -> Option<Finding> {
        let (kind, what, why, action) = if at >= MILLISECONDS_FROM {
            let seconds = at / 1_000;
            let what = format!("`expires_at` is {at}, which is {} in milliseconds", time::format(seconds));
            let why = "it is read as seconds, so it never expires";
            (FindingKind::Milliseconds, what, why, Action::SetExpiry(seconds))
        } else if has_expired(Some(at), self.now) {
            (FindingKind::Expired, format!("it expired at {}", time::format(at)), why_expired, Action::Remove)
        } else {
            return None;
        };
        let fix = Fix { location: stored_at, expected: expected.clone(), action };
        Some(Finding { fix: Some(fix), ..Finding::new(kind, location, what, why, Some(APPLY_FIXES.to_owned())) })
    }

    /// A rule that expires before its hours begin.
    pub(super) fn never_opens(&self, stored: &StoredRule, rule: &Rule) -> Option<Finding> {
        let StoredRule { app, from, to, .. } = stored;
        let (hours, expires_at) = time_conditions(rule);
        let hours = hours?;
        let end = expires_at.filter(|&end| end < self.now.saturating_add(EIGHT_DAYS))?;
        let opens = hours.contains(self.now)
            || hours.transitions(self.now, end.saturating_sub(1)).any(|edge| hours.contains(edge));
        (!opens).then(|| {
            Finding::new(
                FindingKind::NeverOpens,
                &Location::rule(app, from, to),
                format!("its hours {hours} do not begin before it expires"),
                "it never applies, so it has no effect",
                Some(revoke_exactly_command(app, from, to)),
            )
        })
    }
}
