//! Counts calls by decision and reason, and measures how long they took.

use std::collections::BTreeMap;

use super::reader::Aggregate;
use super::{Decided, EpochMicroseconds, LoggedCall};
use crate::error::Result;

/// The most reasons that are counted. The function has fewer.
const MAX_REASONS: usize = 64;

/// The counts and latencies of a log.
#[derive(Debug, Clone, Default)]
pub struct CallStatistics {
    counts: BTreeMap<(Decided, String), u64>,
    /// Milliseconds spent reading.
    pub store: Latency,
    /// Milliseconds from the event to the answer.
    pub total: Latency,
    /// The times of the first and the last call.
    pub times: Option<(EpochMicroseconds, EpochMicroseconds)>,
}

impl CallStatistics {
    /// The number of calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The number of calls with each decision and reason.
    pub fn counts(&self) -> impl Iterator<Item = (Decided, &str, u64)> {
        self.counts.iter().map(|((decision, reason), count)| (*decision, reason.as_str(), *count))
    }
}

impl Aggregate for CallStatistics {
    fn add(&mut self, call: &LoggedCall<'_>) -> Result<()> {
        let is_full = self.counts.len() >= MAX_REASONS;
        let mut counts = self.counts.iter_mut();
        let found = counts.find(|((decision, reason), _)| *decision == call.decision && *reason == *call.reason);
        match found {
            Some((_, count)) => *count += 1,
            None => {
                let reason = if is_full { "other" } else { &*call.reason };
                *self.counts.entry((call.decision, reason.to_owned())).or_default() += 1;
            }
        }
        self.store.add(call.store_ms);
        self.total.add(call.total_ms);
        let at = call.timestamp;
        self.times = Some(self.times.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.store.merge(&other.store);
        self.total.merge(&other.total);
        self.times = match (self.times, other.times) {
            (Some((first, last)), Some((other_first, other_last))) => {
                Some((first.min(other_first), last.max(other_last)))
            }
            (times, other) => times.or(other),
        };
        Ok(())
    }
}

/// How many buckets each power of two has. A percentile is exact to 1/128.
const STEPS: u64 = 64;

/// How often each duration occurred, in buckets whose width grows with the duration.
#[derive(Debug, Clone, Default)]
pub struct Latency {
    buckets: Vec<u64>,
    count: u64,
}

impl Latency {
    fn add(&mut self, milliseconds: Option<f64>) {
        let Some(milliseconds) = milliseconds.filter(|it| it.is_finite() && *it >= 0.0) else { return };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is limited, and not negative")]
        let microseconds = (milliseconds * 1e3).round().min(1e12) as u64;
        let bucket = bucket_of(microseconds);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
            self.count += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(count, other)| *count += other);
        self.count += other.count;
    }

    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The milliseconds within which this percentage of the calls was done. `None` if there are none.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<f64> {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut sum = 0;
        let bucket = self.buckets.iter().position(|count| {
            sum += count;
            sum >= rank
        })?;
        #[expect(clippy::cast_precision_loss, reason = "it is limited")]
        Some(middle_of(bucket as u64) as f64 / 1e3)
    }
}

/// The bucket of a duration: one for each microsecond up to 2 * STEPS, and then STEPS for each power of two.
fn bucket_of(microseconds: u64) -> usize {
    let shift = microseconds.checked_ilog2().unwrap_or(0).saturating_sub(STEPS.ilog2());
    usize::try_from(u64::from(shift) * STEPS + (microseconds >> shift)).unwrap_or(usize::MAX)
}

/// The middle of a bucket's durations.
fn middle_of(bucket: u64) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    let start = (bucket - shift * STEPS) << shift;
    start + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_durations_that_hardly_differ() {
        let powers = (0..39).map(|exponent| 1_u64 << exponent);
        for microseconds in (0..5_000).chain(powers.flat_map(|it| [it - 1, it, it + 1, it + it / 3])) {
            let middle = middle_of(bucket_of(microseconds) as u64);
            assert!(middle.abs_diff(microseconds) * 128 <= microseconds, "{microseconds}: {middle}");
            let step = bucket_of(microseconds + 1) - bucket_of(microseconds);
            assert!(step <= 1, "{microseconds}");
        }
    }

    #[test]
    fn percentiles_are_those_of_all_durations() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentile(50), None);
        for microseconds in 1..=100 {
            latency.add(Some(f64::from(microseconds) / 1e3));
        }
        latency.add(None);
        latency.add(Some(f64::NAN));
        assert_eq!((latency.count(), latency.percentile(50), latency.percentile(99)), (100, Some(0.05), Some(0.099)));
        let mut other = Latency::default();
        other.add(Some(1e9));
        other.merge(&latency);
        assert_eq!((other.count(), other.percentile(50)), (101, Some(0.051)));
        assert!(other.percentile(100).unwrap() > 0.98e9);
    }
}
