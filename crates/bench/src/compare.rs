//! Measures the function and its peers in interleaved runs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;

use crate::cpu_quota::CpuQuota;
use crate::fixture;
use crate::function::Function;
use crate::program::{Program, Size};
use crate::stand_ins::Table;
use crate::statistics::Samples;

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How often each program is started.
    pub(crate) runs: u32,
    /// Warm calls in each run.
    pub(crate) calls: u32,
    /// Whether the functions trust only the stand-ins' root certificate.
    pub(crate) only_own_root: bool,
}

/// The results of one program. [`Metric`] has the units.
#[derive(Debug, Clone)]
pub(crate) struct Measurements {
    pub(crate) program: Program,
    pub(crate) size: Size,
    pub(crate) samples: BTreeMap<Metric, Samples>,
}

/// A metric that is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Time from the start to the first poll, in milliseconds.
    StartWall,
    /// CPU time from the start to the first poll, in milliseconds.
    StartCpu,
    /// Time of the first call, in milliseconds.
    FirstWall,
    /// CPU time of the first call, in milliseconds.
    FirstCpu,
    /// Time of the first call on 7.2 % of a core, in milliseconds.
    FirstThrottled,
    /// Time of a warm call, in microseconds.
    WarmWall,
    /// CPU time of a warm call, in microseconds. Each sample is the mean of a run.
    WarmCpu,
    /// Peak memory, in megabytes.
    Memory,
}

/// The results of all programs.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) results: Vec<Measurements>,
    /// Why the CPU quota could not be set, if so. [`Metric::FirstThrottled`] then has no samples.
    pub(crate) cpu_quota_error: Option<String>,
    /// The number of root certificates in the bundle that the functions read.
    pub(crate) roots: usize,
}

/// Measures all programs in turns, so that other load on the machine affects them equally.
pub(crate) async fn compare(programs: Vec<Program>, settings: Settings) -> anyhow::Result<Comparison> {
    let table = Table::start(settings.only_own_root).await?;
    let (cpu_quota, cpu_quota_error) = match CpuQuota::new() {
        Ok(cpu_quota) => (Some(cpu_quota), None),
        Err(error) => (None, Some(format!("cannot set a CPU quota on this machine: {error}"))),
    };
    let bench =
        Bench { environment: table.environment.clone(), event: fixture::event()?, cpu_quota, calls: settings.calls };
    let mut results = programs.into_iter().map(Measurements::new).collect::<anyhow::Result<Vec<_>>>()?;
    for run in 0..settings.runs {
        eprintln!("run {} of {}", run + 1, settings.runs);
        for result in &mut results {
            bench.measure_full_speed(result).await.with_context(|| result.program.name.clone())?;
            bench.measure_throttled(result).await.with_context(|| result.program.name.clone())?;
        }
    }
    Ok(Comparison { results, cpu_quota_error, roots: table.roots })
}

struct Bench {
    environment: Vec<(&'static str, String)>,
    event: Bytes,
    cpu_quota: Option<CpuQuota>,
    calls: u32,
}

impl Bench {
    async fn measure_full_speed(&self, result: &mut Measurements) -> anyhow::Result<()> {
        let (mut function, start) = Function::start(&result.program.path, &self.environment).await?;
        result.push(Metric::StartWall, milliseconds(start.wall));
        result.push(Metric::StartCpu, milliseconds(start.cpu));
        let first = function.call(&self.event).await?;
        result.push(Metric::FirstWall, milliseconds(first.wall));
        result.push(Metric::FirstCpu, milliseconds(first.cpu));

        let mut walls = Vec::new();
        let cpu_before = function.cpu()?;
        for _ in 0..self.calls {
            walls.push(1e3 * milliseconds(function.call(&self.event).await?.wall));
        }
        let cpu = function.cpu()?.saturating_sub(cpu_before);
        result.push(Metric::WarmCpu, 1e3 * milliseconds(cpu) / f64::from(self.calls));
        result.samples.entry(Metric::WarmWall).or_default().extend(walls);
        result.push(Metric::Memory, megabytes(function.peak_memory()?));
        let lines = function.stop().await?.len();
        // Make sure that callgate did its whole job, which includes one log line per call.
        let is_complete = result.program.name != "callgate" || lines == usize::try_from(self.calls)? + 1;
        anyhow::ensure!(is_complete, "expected {} log lines, one per call, but found {lines}", self.calls + 1);
        Ok(())
    }

    /// Measures the first call under the CPU quota. As on Lambda, the start runs at full speed.
    async fn measure_throttled(&self, result: &mut Measurements) -> anyhow::Result<()> {
        let Some(cpu_quota) = &self.cpu_quota else { return Ok(()) };
        let (mut function, _) = Function::start(&result.program.path, &self.environment).await?;
        cpu_quota.add_process(function.id())?;
        result.push(Metric::FirstThrottled, milliseconds(function.call(&self.event).await?.wall));
        function.stop().await?;
        Ok(())
    }
}

impl Measurements {
    fn new(program: Program) -> anyhow::Result<Self> {
        Ok(Self { size: program.size()?, program, samples: BTreeMap::new() })
    }

    fn push(&mut self, metric: Metric, sample: f64) {
        self.samples.entry(metric).or_default().push(sample);
    }

    /// A percentile of a metric. `None` if it was not measured.
    pub(crate) fn percentile(&self, metric: Metric, percent: usize) -> Option<f64> {
        self.samples.get(&metric)?.percentile(percent)
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Converts bytes to megabytes of 1,000,000 bytes.
#[expect(clippy::cast_precision_loss, reason = "all sizes are far below 2^53 bytes")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
