//! Simulates how many sandboxes a rate of calls needs, and how often they read the app's item.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write as _;

/// The most strongly consistent reads per second of one key that DynamoDB allows, each of up to 4 KB ("Best practices
/// for designing and using partition keys effectively", Amazon DynamoDB Developer Guide).
pub(crate) const MAX_READS_PER_KEY: u32 = 3_000;

/// One second. All times here are in microseconds.
const SECOND: u64 = 1_000_000;

/// Duration of a warm call on 128 MB, including the few milliseconds of DynamoDB.
const WARM_CALL: u64 = 6_000;
/// Duration of one call in a hundred.
const SLOW_CALL: u64 = 60_000;
/// Duration of the start of a sandbox, before its first call.
const COLD_START: u64 = 100_000;

/// The shortest time between two calls of a sandbox: Lambda allows at most ten per second ("Lambda quotas", AWS Lambda
/// Developer Guide).
const MIN_CALL_INTERVAL: u64 = SECOND / 10;
/// The most sandboxes that Lambda adds in ten seconds ("Lambda scaling behavior", AWS Lambda Developer Guide).
const MAX_NEW_SANDBOXES: usize = 1_000;

/// A load in which all calls belong to one app. This is the worst case for the app's key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) calls_per_second: u32,
    pub(crate) app_cache_seconds: u64,
    /// The length of the simulation.
    pub(crate) seconds: u64,
    /// Whether each sandbox shortens the cache time by a random part of up to a quarter, as callgate does.
    pub(crate) spread: bool,
}

/// The result of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The number of sandboxes at the end, which is also Lambda's highest concurrency.
    pub(crate) sandboxes: usize,
    /// Reads of the app's item in the second with the most reads.
    pub(crate) busiest_second: u32,
    /// All reads of the app's item.
    pub(crate) app_reads: u32,
    /// Calls that a sandbox answered.
    pub(crate) answered: u32,
    /// Calls that Lambda refused because it could not add sandboxes fast enough.
    pub(crate) refused: u32,
}

struct Sandbox {
    /// When the cached app expires. `None` before the first read.
    app_expires_at: Option<u64>,
}

/// Simulates a load that starts without any sandboxes. Each call goes to the sandbox that has been idle longest. Lambda
/// does not document how it chooses, and this choice is the worst case: it keeps all sandboxes in use, so all of them read
/// the app again and again.
pub(crate) fn simulate(load: Load) -> Outcome {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut idle, mut busy) = (VecDeque::new(), BinaryHeap::new());
    let mut sandboxes: Vec<Sandbox> = Vec::new();
    let mut reads: Vec<u32> = vec![0; usize::try_from(load.seconds).unwrap_or_default() + 1];
    let (mut now, mut calls, mut answered) = (0, 0, 0);
    while now < load.seconds * SECOND {
        while let Some(Reverse((until, sandbox))) = busy.peek().copied() {
            if until > now {
                break;
            }
            busy.pop();
            idle.push_back(sandbox);
        }
        calls += 1;
        let may_grow =
            sandboxes.len() < MAX_NEW_SANDBOXES * usize::try_from(now / (10 * SECOND) + 1).unwrap_or_default();
        let sandbox = idle.pop_front().map(|sandbox| (sandbox, 0)).or_else(|| {
            may_grow.then(|| {
                sandboxes.push(Sandbox { app_expires_at: None });
                (sandboxes.len() - 1, COLD_START)
            })
        });
        if let Some((sandbox, start)) = sandbox {
            answered += 1;
            let duration = start + if random.below(100) == 0 { SLOW_CALL } else { WARM_CALL };
            let read_at = now + duration - WARM_CALL;
            if let Some(sandbox) = sandboxes.get_mut(sandbox)
                && sandbox.app_expires_at.is_none_or(|expires_at| read_at >= expires_at)
            {
                let cache = load.app_cache_seconds * SECOND;
                let reduction = if load.spread { random.below(cache / 4 + 1) } else { 0 };
                sandbox.app_expires_at = Some(read_at + cache - reduction);
                let second = usize::try_from(read_at / SECOND).unwrap_or_default();
                reads.get_mut(second).into_iter().for_each(|reads| *reads += 1);
            }
            busy.push(Reverse((now + duration.max(MIN_CALL_INTERVAL), sandbox)));
        }
        // A random time within the interval of the call.
        now =
            time_of_call(calls, load.calls_per_second) + random.below(SECOND / u64::from(load.calls_per_second.max(1)));
    }
    Outcome {
        sandboxes: sandboxes.len(),
        busiest_second: reads.iter().copied().max().unwrap_or_default(),
        app_reads: reads.iter().sum(),
        answered,
        refused: calls - answered,
    }
}

/// The start of the interval in which this call comes.
fn time_of_call(calls: u32, calls_per_second: u32) -> u64 {
    u64::from(calls) * SECOND / u64::from(calls_per_second.max(1))
}

/// Marsaglia's xorshift generator with a fixed seed, so that every simulation gives the same result.
struct Random(u64);

impl Random {
    /// Returns a number from 0 to `bound`, exclusive.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

/// Simulates several rates and cache times, and formats the results as a Markdown table.
pub(crate) fn table() -> String {
    let mut table =
        "| calls a second | `APP_CACHE_SECONDS` | sandboxes | app reads in the busiest second | of the 3,000 \
                     | without the spread | refused while growing |\n|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for (calls_per_second, seconds) in [(10, 120), (1_000, 120), (100_000, 200)] {
        for app_cache_seconds in [0, 1, 5, 60] {
            let load = Load { calls_per_second, app_cache_seconds, seconds, spread: true };
            let Outcome { sandboxes, busiest_second, answered, refused, .. } = simulate(load);
            let without_spread = simulate(Load { spread: false, ..load }).busiest_second;
            let [share, without_spread] =
                [busiest_second, without_spread].map(|reads| 100.0 * f64::from(reads) / f64::from(MAX_READS_PER_KEY));
            let refused = 100.0 * f64::from(refused) / f64::from(answered + refused);
            let _ = writeln!(
                table,
                "| {calls_per_second} | {app_cache_seconds} | {sandboxes} | {busiest_second} | {share:.0} % \
                 | {without_spread:.0} % | {refused:.0} % |"
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulate_load(calls_per_second: u32, app_cache_seconds: u64, seconds: u64) -> Outcome {
        simulate(Load { calls_per_second, app_cache_seconds, seconds, spread: true })
    }

    #[test]
    fn without_a_cache_every_call_reads_the_app() {
        let outcome = simulate_load(1_000, 0, 10);
        assert_eq!((outcome.app_reads, outcome.refused), (outcome.answered, 0));
        assert!(simulate_load(10_000, 0, 10).busiest_second > MAX_READS_PER_KEY);
    }

    #[test]
    fn with_the_cache_reads_stay_below_the_limit_of_one_key() {
        for (calls_per_second, seconds) in [(10, 60), (1_000, 60), (100_000, 120)] {
            let busiest_second = simulate_load(calls_per_second, 5, seconds).busiest_second;
            assert!(busiest_second < MAX_READS_PER_KEY, "{busiest_second} reads at {calls_per_second} calls a second");
        }
    }
}
