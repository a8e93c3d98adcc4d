//! The exceptions to a rule that denies: more specific rules at the same door that allow some of its calls.

use std::cmp::Reverse;

use callgate::store::item::Attributes;
use callgate_core::{Effect, EpochSeconds, Pattern, Rule, has_expired};

use crate::error::Result;
use crate::item_kind::ItemKind;
use crate::redundancy::{id_of, overlap};
use crate::rule_target::{RuleLocation, RuleTarget};
use crate::stored_rule::{StoredRule, own_rules_of};
use crate::table::Table;

/// The exceptions to a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// The rules, the most specific first. Whether they let calls through also depends on the other doors.
    pub rules: Vec<StoredRule>,
    /// Why the rules between two parties could not be read.
    pub unread: Option<String>,
}

impl Table {
    /// Finds the exceptions to a rule at a location, given the location's item. None for a rule that allows or is disabled.
    pub(crate) async fn exceptions(
        &self,
        location: &RuleLocation,
        target: &RuleTarget,
        rule: &Rule,
        item: Option<&Attributes>,
        now: EpochSeconds,
    ) -> Exceptions {
        let Some((list, entry)) = location.entry.as_ref().filter(|_| rule.effect == Effect::Deny && !rule.disabled)
        else {
            return Exceptions::default();
        };
        let pattern = Pattern::from_stored(entry);
        let mut rules = item.and_then(own_rules_of).unwrap_or_default();
        rules.retain(|stored| stored.list == Some(*list));
        let pairs = match *list {
            "incoming" => self.query(&location.key).await,
            "outgoing" => self.pair_items(target, &pattern).await,
            _ => Ok(Vec::new()),
        };
        let unread = pairs.as_ref().err().map(ToString::to_string);
        let pairs = pairs.unwrap_or_default();
        let is_pair = |item: &&Attributes| matches!(ItemKind::of(item), Some(ItemKind::Pair(..)));
        rules.extend(pairs.iter().filter(is_pair).filter_map(own_rules_of).flatten());
        rules.retain(|stored| {
            let other = other_side(stored, list);
            let is_allowed =
                |rule: &Rule| rule.effect == Effect::Allow && !rule.disabled && !has_expired(rule.expires_at, now);
            other.specificity() > pattern.specificity()
                && overlap(&other, &pattern)
                && stored.rule.as_ref().is_ok_and(is_allowed)
        });
        rules.sort_by_cached_key(|stored| {
            let other = other_side(stored, list);
            (Reverse(other.specificity()), stored.list, other.to_string())
        });
        Exceptions { rules, unread }
    }

    /// The rules of one caller to single parties that match a pattern.
    async fn pair_items(&self, target: &RuleTarget, pattern: &Pattern) -> Result<Vec<Attributes>> {
        let Some(caller) = id_of(&target.from.to_string()) else { return Ok(Vec::new()) };
        let mut keys = self.pairs_of_caller(&target.app, &caller).await?;
        keys.retain(|key| match ItemKind::of(&key.attributes()) {
            Some(ItemKind::Pair(_, callee, _)) => overlap(&Pattern::Exact(callee), pattern),
            _ => false,
        });
        self.get_many(&keys).await
    }
}

/// The side of a rule that the patterns of a list are matched against.
fn other_side(stored: &StoredRule, list: &str) -> Pattern {
    let (from, to) = stored.patterns();
    if matches!(list, "outgoing" | "destinations") { to } else { from }
}
