//! How many sandboxes a rate of calls takes, and how often they read the app's item: a simulation.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write as _;

/// Strongly consistent reads of one key a second, of up to 4 KB each, that DynamoDB answers ("Best practices for
/// designing and using partition keys effectively", Amazon DynamoDB Developer Guide).
pub(crate) const READS_OF_A_KEY: u32 = 3_000;

/// Microseconds: what a warm call takes on 128 MB, with DynamoDB's few milliseconds in it,
const CALL: u64 = 6_000;
/// what one call in a hundred takes,
const SLOW_CALL: u64 = 60_000;
/// and what a sandbox takes to come up before its first.
const COLD_START: u64 = 100_000;

/// Lambda lets a sandbox take ten calls a second at most ("Lambda quotas", AWS Lambda Developer Guide),
const PACE: u64 = SECOND / 10;
/// and a function grow by so many sandboxes in ten seconds ("Lambda scaling behavior", ibid.).
const GROWTH: usize = 1_000;

const SECOND: u64 = 1_000_000;

/// A load: all calls are of one app, which is the worst there is for its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) calls_a_second: u32,
    pub(crate) app_cache_seconds: u64,
    pub(crate) seconds: u64,
    /// Whether sandboxes read the app up to a quarter of the time early, each at its own moment, as callgate does.
    pub(crate) spread: bool,
}

/// What a load comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The most sandboxes there were: Lambda's concurrency.
    pub(crate) sandboxes: usize,
    /// Reads of the app's item in the second with the most of them.
    pub(crate) busiest_second: u32,
    /// Reads of the app's item in all.
    pub(crate) app_reads: u32,
    /// Calls for which there was a sandbox.
    pub(crate) answered: u32,
    /// Calls that Lambda refused while it was still growing.
    pub(crate) refused: u32,
}

struct Sandbox {
    app_stale_at: Option<u64>,
}

/// Plays a load from a standing start, every sandbox cold. Events go to the sandbox that has been idle longest:
/// Lambda does not say how it chooses, and this choice keeps every sandbox in use, so that each goes on reading.
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
        let may_grow = sandboxes.len() < GROWTH * usize::try_from(now / (10 * SECOND) + 1).unwrap_or_default();
        let found = idle.pop_front().map(|sandbox| (sandbox, 0)).or_else(|| {
            may_grow.then(|| {
                sandboxes.push(Sandbox { app_stale_at: None });
                (sandboxes.len() - 1, COLD_START)
            })
        });
        if let Some((sandbox, started)) = found {
            answered += 1;
            let took = started + if random.below(100) == 0 { SLOW_CALL } else { CALL };
            let asked_at = now + took - CALL;
            if let Some(sandbox) = sandboxes.get_mut(sandbox)
                && sandbox.app_stale_at.is_none_or(|stale_at| asked_at >= stale_at)
            {
                let cache = load.app_cache_seconds * SECOND;
                let earlier = if load.spread { random.below(cache / 4 + 1) } else { 0 };
                sandbox.app_stale_at = Some(asked_at + cache - earlier);
                let second = usize::try_from(asked_at / SECOND).unwrap_or_default();
                reads.get_mut(second).into_iter().for_each(|reads| *reads += 1);
            }
            busy.push(Reverse((now + took.max(PACE), sandbox)));
        }
        // Anywhere within its slot.
        now = calls_at(calls, load.calls_a_second) + random.below(SECOND / u64::from(load.calls_a_second.max(1)));
    }
    Outcome {
        sandboxes: sandboxes.len(),
        busiest_second: reads.iter().copied().max().unwrap_or_default(),
        app_reads: reads.iter().sum(),
        answered,
        refused: calls - answered,
    }
}

/// When so many calls have come, by the rate.
fn calls_at(calls: u32, calls_a_second: u32) -> u64 {
    u64::from(calls) * SECOND / u64::from(calls_a_second.max(1))
}

/// Marsaglia's xorshift: the same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

/// Rates and cache times as Markdown.
pub(crate) fn table() -> String {
    let mut table =
        "| calls a second | `APP_CACHE_SECONDS` | sandboxes | app reads in the busiest second | of the 3,000 \
                     | without the spread | refused while growing |\n|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for (calls_a_second, seconds) in [(10, 120), (1_000, 120), (100_000, 200)] {
        for app_cache_seconds in [0, 1, 5, 60] {
            let load = Load { calls_a_second, app_cache_seconds, seconds, spread: true };
            let Outcome { sandboxes, busiest_second, answered, refused, .. } = simulate(load);
            let together = simulate(Load { spread: false, ..load }).busiest_second;
            let [share, together] =
                [busiest_second, together].map(|reads| 100.0 * f64::from(reads) / f64::from(READS_OF_A_KEY));
            let refused = 100.0 * f64::from(refused) / f64::from(answered + refused);
            let _ = writeln!(
                table,
                "| {calls_a_second} | {app_cache_seconds} | {sandboxes} | {busiest_second} | {share:.0} % \
                 | {together:.0} % | {refused:.0} % |"
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(calls_a_second: u32, app_cache_seconds: u64, seconds: u64) -> Outcome {
        simulate(Load { calls_a_second, app_cache_seconds, seconds, spread: true })
    }

    #[test]
    fn without_the_cache_every_call_reads_the_app() {
        let outcome = load(1_000, 0, 10);
        assert_eq!((outcome.app_reads, outcome.refused), (outcome.answered, 0));
        assert!(load(10_000, 0, 10).busiest_second > READS_OF_A_KEY);
    }

    #[test]
    fn the_cache_keeps_an_app_below_what_one_key_can_be_read() {
        for (calls_a_second, seconds) in [(10, 60), (1_000, 60), (100_000, 120)] {
            let busiest = load(calls_a_second, 5, seconds).busiest_second;
            assert!(busiest < READS_OF_A_KEY, "{busiest} reads at {calls_a_second} calls a second");
        }
    }
}
