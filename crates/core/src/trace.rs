//! The explanation of a decision: every rule of every door, and why it did or did not apply.

use std::cmp::Reverse;

use crate::decide::{Applicability, CallRules, Decision, Door, RuleKey, decide};
use crate::permissions::{ParseError, Permissions, Rule};
use crate::{Call, EpochSeconds};

/// A decision with every rule that was evaluated for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<'a> {
    /// The result of [`decide`].
    pub decision: Decision<'a>,
    /// The rules of each door, most specific first. Empty when an item could not be parsed.
    pub doors: Vec<(Door, Vec<EvaluatedRule<'a>>)>,
}

/// A rule, and why it did or did not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvaluatedRule<'a> {
    /// Which rule of the door it is.
    pub key: RuleKey<'a>,
    /// The rule, if it could be parsed.
    pub rule: Result<&'a Rule, &'a ParseError>,
    /// Whether it applies.
    pub applicability: Applicability<'a>,
    /// Whether it decides at its door. Another rule that applies is less specific, or loses to a `deny`.
    pub decides: bool,
}

/// Decides a call and explains the decision rule by rule.
#[must_use]
pub fn trace<'a>(call: &'a Call, permissions: Permissions<'a>, now: EpochSeconds) -> Trace<'a> {
    let decision = decide(call, permissions, now);
    let doors = match CallRules::new(call, permissions, now) {
        Ok(rules) => Door::ALL.into_iter().map(|door| (door, evaluate(&rules, door, now))).collect(),
        Err(_) => Vec::new(),
    };
    Trace { decision, doors }
}

fn evaluate<'a>(rules: &CallRules<'a>, door: Door, now: EpochSeconds) -> Vec<EvaluatedRule<'a>> {
    let deciding = rules.deciding(door, now).ok().flatten().map(|(key, _)| key);
    let mut evaluated: Vec<_> = rules
        .at(door)
        .map(|(key, rule)| EvaluatedRule {
            key,
            rule,
            applicability: rules.applicability(door, key, rule, now),
            decides: deciding == Some(key),
        })
        .collect();
    // The text comes last in the sort key, so that equal tables give equal traces.
    evaluated.sort_by_cached_key(|it| (Reverse(it.key.specificity()), Reverse(it.decides), it.key.to_string()));
    evaluated
}
