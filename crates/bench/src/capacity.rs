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

const SECOND: u64 = 1_000_000;

/// A load: all calls are of one app, which is the worst there is for its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) calls_a_second: u32,
    pub(crate) app_cache_seconds: u64,
    pub(crate) seconds: u64,
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
    pub(crate) calls: u32,
}

struct Sandbox {
    app_read_at: Option<u64>,
}

/// Plays a load from a standing start, every sandbox cold. Events go to the sandbox that has been idle longest:
/// Lambda does not say how it chooses, and this choice keeps every sandbox in use, so that each goes on reading.
pub(crate) fn simulate(load: Load) -> Outcome {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut idle, mut busy) = (VecDeque::new(), BinaryHeap::new());
    let mut sandboxes: Vec<Sandbox> = Vec::new();
    let mut reads: Vec<u32> = vec![0; usize::try_from(load.seconds).unwrap_or_default() + 1];
    let (mut now, mut calls) = (0, 0);
    while now < load.seconds * SECOND {
        while let Some(Reverse((until, sandbox))) = busy.peek().copied() {
            if until > now {
                break;
            }
            busy.pop();
            idle.push_back(sandbox);
        }
        let (sandbox, mut took) = idle.pop_front().map_or((sandboxes.len(), COLD_START), |sandbox| (sandbox, 0));
        if sandbox == sandboxes.len() {
            sandboxes.push(Sandbox { app_read_at: None });
        }
        took += if random.below(100) == 0 { SLOW_CALL } else { CALL };
        let asked_at = now + took - CALL;
        if let Some(sandbox) = sandboxes.get_mut(sandbox) {
            let stale = |read_at| asked_at >= read_at + load.app_cache_seconds * SECOND;
            if sandbox.app_read_at.is_none_or(stale) {
                sandbox.app_read_at = Some(asked_at);
                let second = usize::try_from(asked_at / SECOND).unwrap_or_default();
                reads.get_mut(second).into_iter().for_each(|reads| *reads += 1);
            }
        }
        busy.push(Reverse((now + took, sandbox)));
        calls += 1;
        // Anywhere within its slot.
        now = calls_at(calls, load.calls_a_second) + random.below(SECOND / u64::from(load.calls_a_second.max(1)));
    }
    Outcome {
        sandboxes: sandboxes.len(),
        busiest_second: reads.iter().copied().max().unwrap_or_default(),
        app_reads: reads.iter().sum(),
        calls,
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
        "| calls a second | `APP_CACHE_SECONDS` | sandboxes | app reads a second, mean | in the busiest second \
                     | of the 3,000 |\n|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for calls_a_second in [10, 1_000, 100_000] {
        for app_cache_seconds in [0, 1, 5, 60] {
            let load = Load { calls_a_second, app_cache_seconds, seconds: 30 };
            let Outcome { sandboxes, busiest_second, app_reads, .. } = simulate(load);
            let mean = f64::from(app_reads) / 30.0;
            let share = 100.0 * f64::from(busiest_second) / f64::from(READS_OF_A_KEY);
            let _ = writeln!(
                table,
                "| {calls_a_second} | {app_cache_seconds} | {sandboxes} | {mean:.1} | {busiest_second} | {share:.0} % |"
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn busiest(calls_a_second: u32, app_cache_seconds: u64) -> u32 {
        simulate(Load { calls_a_second, app_cache_seconds, seconds: 10 }).busiest_second
    }

    #[test]
    fn without_the_cache_every_call_reads_the_app() {
        let outcome = simulate(Load { calls_a_second: 1_000, app_cache_seconds: 0, seconds: 10 });
        assert_eq!(outcome.app_reads, outcome.calls);
        assert!(busiest(10_000, 0) > READS_OF_A_KEY);
    }

    #[test]
    fn the_cache_keeps_an_app_below_what_one_key_can_be_read() {
        for calls_a_second in [10, 1_000, 100_000] {
            assert!(busiest(calls_a_second, 5) < READS_OF_A_KEY, "{calls_a_second}");
        }
    }
}
