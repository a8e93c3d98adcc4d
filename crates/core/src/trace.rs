//! Why a decision came about: every rule of every door, and why it did or did not apply.

use std::cmp::Reverse;

use crate::decide::{Decision, Door, Doors, Matched, Records, Standing, decide};
use crate::record::{Fault, Rule};
use crate::{Call, EpochSeconds};

/// A decision with everything that was considered for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<'a> {
    /// What [`decide`] says.
    pub decision: Decision<'a>,
    /// The rules of each door, longest first; no doors when an item could not be understood.
    pub doors: Vec<(Door, Vec<Considered<'a>>)>,
}

/// A rule and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Considered<'a> {
    /// Whom it is about.
    pub matched: Matched<'a>,
    /// What it says, where it could be understood.
    pub rule: Result<&'a Rule, &'a Fault>,
    /// Why it did or did not apply.
    pub standing: Standing<'a>,
    /// It is the one whose word the door takes; another that applies is shorter, or weaker at the same length.
    pub decides: bool,
}

/// Decides, and says of every rule of every door why it did or did not apply.
#[must_use]
pub fn trace<'a>(call: &'a Call, records: Records<'a>, now: EpochSeconds) -> Trace<'a> {
    let decision = decide(call, records, now);
    let doors = match Doors::find(call, records, now) {
        Ok(doors) => Door::ALL.into_iter().map(|door| (door, consider(&doors, door, now))).collect(),
        Err(_) => Vec::new(),
    };
    Trace { decision, doors }
}

fn consider<'a>(doors: &Doors<'a>, door: Door, now: EpochSeconds) -> Vec<Considered<'a>> {
    let word = doors.ask(door, now).ok().flatten().map(|(matched, _)| matched);
    let mut rules: Vec<_> = doors
        .entries(door)
        .map(|(matched, rule)| Considered {
            matched,
            rule,
            standing: doors.standing(door, matched, rule, now),
            decides: word == Some(matched),
        })
        .collect();
    // The text last, so that equal tables give equal traces.
    rules.sort_by_cached_key(|rule| (Reverse(rule.matched.length()), Reverse(rule.decides), rule.matched.to_string()));
    rules
}
