//! The function and its peers, side by side in interleaved runs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use tokio_rustls::TlsAcceptor;

use crate::contender::{Contender, Size};
use crate::fixture;
use crate::process::Function;
use crate::quota::Quota;
use crate::stand_in::authority::Authority;
use crate::stand_in::dynamodb::DynamoDb;
use crate::statistics::Samples;

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) runs: u32,
    pub(crate) calls: u32,
    pub(crate) lone_root: bool,
}

/// What was measured of one program: milliseconds and microseconds as the fields say.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) contender: Contender,
    pub(crate) size: Size,
    pub(crate) samples: BTreeMap<Figure, Samples>,
}

/// A figure that is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// Start to first poll, milliseconds.
    StartWall,
    /// Start to first poll, the processor's milliseconds.
    StartCpu,
    /// The first call, milliseconds.
    FirstWall,
    /// The first call, the processor's milliseconds.
    FirstCpu,
    /// The first call on 7.2 % of a core, milliseconds.
    FirstThrottled,
    /// A later call, microseconds.
    WarmWall,
    /// A later call, the processor's microseconds; one sample a run.
    WarmCpu,
    /// Peak memory, megabytes.
    Memory,
}

/// Everything that was measured in one go.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) measured: Vec<Measured>,
    /// Why there are no figures under the quota.
    pub(crate) no_quota: Option<String>,
    /// How many roots the functions had to read before they trusted the stand-in's.
    pub(crate) roots: usize,
}

/// Runs every program in turn, again and again, so that whatever else the machine does hits all alike.
pub(crate) async fn compare(contenders: Vec<Contender>, plan: Plan) -> anyhow::Result<Comparison> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path(), plan.lone_root)?;
    let table = DynamoDb::new(fixture::items());
    let endpoint = table.serve(&TlsAcceptor::from(authority.server)).await?;
    let mut environment = fixture::environment(&endpoint);
    environment.push(("SSL_CERT_FILE", authority.bundle.to_str().context("the path is no UTF-8")?.to_owned()));

    let (quota, no_quota) = match Quota::new() {
        Ok(quota) => (Some(quota), None),
        Err(error) => (None, Some(format!("this machine lets nobody set a CPU quota: {error}"))),
    };
    let bench = Bench { environment, event: fixture::event()?, quota, calls: plan.calls };
    let mut measured = contenders.into_iter().map(Measured::new).collect::<anyhow::Result<Vec<_>>>()?;
    for run in 0..plan.runs {
        eprintln!("run {} of {}", run + 1, plan.runs);
        for program in &mut measured {
            bench.full_speed(program).await.with_context(|| program.contender.name.clone())?;
            bench.throttled(program).await.with_context(|| program.contender.name.clone())?;
        }
    }
    Ok(Comparison { measured, no_quota, roots: authority.roots })
}

struct Bench {
    environment: Vec<(&'static str, String)>,
    event: Bytes,
    quota: Option<Quota>,
    calls: u32,
}

impl Bench {
    async fn full_speed(&self, program: &mut Measured) -> anyhow::Result<()> {
        let (mut function, start) = Function::start(&program.contender.program, &self.environment).await?;
        program.push(Figure::StartWall, milliseconds(start.wall));
        program.push(Figure::StartCpu, milliseconds(start.cpu));
        let first = function.call(&self.event).await?;
        program.push(Figure::FirstWall, milliseconds(first.wall));
        program.push(Figure::FirstCpu, milliseconds(first.cpu));

        let mut walls = Vec::new();
        let before = function.cpu()?;
        for _ in 0..self.calls {
            walls.push(1e3 * milliseconds(function.call(&self.event).await?.wall));
        }
        let cpu = function.cpu()?.saturating_sub(before);
        program.push(Figure::WarmCpu, 1e3 * milliseconds(cpu) / f64::from(self.calls));
        program.samples.entry(Figure::WarmWall).or_default().extend(walls);
        program.push(Figure::Memory, megabytes(function.peak_memory()?));
        let lines = function.end().await?.len();
        // callgate is measured doing its whole job, or not at all.
        let whole = program.contender.name != "callgate" || lines == usize::try_from(self.calls)? + 1;
        anyhow::ensure!(whole, "{lines} log lines for {} calls", self.calls + 1);
        Ok(())
    }

    /// Lambda starts a function at full speed, and gives it its share from the first event on.
    async fn throttled(&self, program: &mut Measured) -> anyhow::Result<()> {
        let Some(quota) = &self.quota else { return Ok(()) };
        let (mut function, _) = Function::start(&program.contender.program, &self.environment).await?;
        quota.hold(function.id())?;
        program.push(Figure::FirstThrottled, milliseconds(function.call(&self.event).await?.wall));
        function.end().await?;
        Ok(())
    }
}

impl Measured {
    fn new(contender: Contender) -> anyhow::Result<Self> {
        Ok(Self { size: contender.size()?, contender, samples: BTreeMap::new() })
    }

    fn push(&mut self, figure: Figure, sample: f64) {
        self.samples.entry(figure).or_default().push(sample);
    }

    /// The median, or another percentile.
    pub(crate) fn percentile(&self, figure: Figure, percent: usize) -> Option<f64> {
        self.samples.get(&figure)?.percentile(percent)
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Of a million bytes.
#[expect(clippy::cast_precision_loss, reason = "nothing here is anywhere near 2^53 bytes")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
