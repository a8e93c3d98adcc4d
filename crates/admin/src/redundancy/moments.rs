//! The moments at which rules may start or stop applying.

use std::collections::{BTreeSet, HashSet};

use callgate_core::{EpochSeconds, Hours, Rule};

/// Every weekly window opens within this time, with a day to spare, unless dates begin or end.
pub(crate) const EIGHT_DAYS: EpochSeconds = 8 * 24 * 60 * 60;

/// Every clock change within this time is taken into account. Longer than a year.
const ONE_YEAR: EpochSeconds = 400 * 24 * 60 * 60;

/// A clock change within this time is taken into account if the zones never had the same offsets before.
const THIRTY_YEARS: EpochSeconds = 30 * 366 * 24 * 60 * 60;

/// Now, and every later moment at which one of the rules may start or stop applying, or a party expires.
pub(super) fn moments(
    rules: &[&Rule],
    party_expiries: impl Iterator<Item = EpochSeconds>,
    now: EpochSeconds,
) -> Vec<EpochSeconds> {
    let expiries = rules.iter().filter_map(|rule| time_conditions(rule).1);
    let hours: Vec<_> = rules.iter().filter_map(|rule| time_conditions(rule).0).collect();
    let dates = hours.iter().flat_map(|hours| hours.date_changes());
    let steps: BTreeSet<_> = expiries.chain(party_expiries).chain(dates).filter(|&at| at > now).chain([now]).collect();
    if hours.is_empty() {
        return steps.into_iter().collect();
    }
    let transitions = weeks(&steps, &hours).into_iter().flat_map(|(start, end)| {
        let edges = hours.iter().flat_map(move |hours| hours.transitions(start, end));
        edges.chain([start])
    });
    transitions.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The weeks that represent all times from the first of the steps on. Each starts at a step: an expiry, or the beginning or
/// end of dates. Or it starts at a clock change after which windows of several zones may no longer coincide.
fn weeks(steps: &BTreeSet<EpochSeconds>, hours: &[&Hours]) -> Vec<(EpochSeconds, EpochSeconds)> {
    let offsets = |moment| hours.iter().flat_map(|hours| hours.offsets(moment)).collect::<Vec<_>>();
    let is_one_zone = hours.iter().flat_map(|hours| hours.windows()).collect::<Vec<_>>();
    let is_one_zone = is_one_zone.windows(2).all(|pair| matches!(pair, [one, other] if one.zone() == other.zone()));
    let mut weeks = Vec::new();
    let mut ends = steps.iter().copied().skip(1).chain([EpochSeconds::MAX]);
    for &step in steps {
        let horizon = step.saturating_add(if is_one_zone { ONE_YEAR } else { THIRTY_YEARS });
        let end = ends.next().unwrap_or(EpochSeconds::MAX).min(horizon);
        let changes: BTreeSet<_> = hours.iter().flat_map(|hours| hours.clock_changes(step, end)).collect();
        let starts: Vec<_> = [step].into_iter().chain(changes).collect();
        let nexts = starts.iter().copied().skip(1).chain([EpochSeconds::MAX]);
        let mut seen = HashSet::new();
        for (&start, next) in starts.iter().zip(nexts) {
            let end = start.saturating_add(EIGHT_DAYS);
            // After a shorter time, not every window has opened.
            let is_new = seen.insert((offsets(start), next < end));
            if is_new || start <= step.saturating_add(ONE_YEAR) {
                weeks.push((start, end.min(next)));
            }
        }
    }
    weeks
}

/// The conditions of a rule that depend on the time. For conditions that depend on the call, see `MEDIA`.
pub(crate) fn time_conditions(rule: &Rule) -> (Option<&Hours>, Option<EpochSeconds>) {
    let Rule { effect: _, media: _, hours, expires_at, disabled: _, list: _, note: _, updated_at: _, updated_by: _ } =
        rule;
    (hours.as_ref(), *expires_at)
}
