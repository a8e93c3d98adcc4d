//! A function as a process of its own: started, fed, measured, ended.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::stand_in::lambda::RuntimeApi;

/// A span by the clock on the wall and by the processor's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// A running function.
pub(crate) struct Function {
    runtime_api: RuntimeApi,
    child: Child,
    id: u32,
    cpu_clock: ClockId,
    log: JoinHandle<Vec<Value>>,
}

impl Function {
    /// Starts a program as Lambda does, and waits for its first poll.
    pub(crate) async fn start(program: &Path, environment: &[(&str, String)]) -> anyhow::Result<(Self, Cost)> {
        let runtime_api = RuntimeApi::start().await?;
        let started = Instant::now();
        let mut child = Command::new(program)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", &runtime_api.address)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let id = child.id().context("the function ended at once")?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let log = tokio::spawn(async move {
            let mut logged = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                logged.push(serde_json::from_str(&line).unwrap_or_default());
            }
            logged
        });
        let cpu_clock = clock_getcpuclockid(Pid::from_raw(id.try_into()?))?;
        let mut function = Self { runtime_api, child, id, cpu_clock, log };
        let polled = function.runtime_api.polled().await?;
        let cost = Cost { wall: polled - started, cpu: function.cpu()? };
        Ok((function, cost))
    }

    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// One call: from the event's hand-out to the answer, and the processor's time to the next poll.
    pub(crate) async fn call(&mut self, event: &Bytes) -> anyhow::Result<Cost> {
        let cpu = self.cpu()?;
        let handed_out = self.runtime_api.hand_out(event)?;
        let (answered, answer) = self.runtime_api.answered().await?;
        self.runtime_api.polled().await?;
        let cpu = self.cpu()?.saturating_sub(cpu);
        let answer = String::from_utf8_lossy(&answer);
        anyhow::ensure!(answer.contains("\"statusCode\":200"), "the function answered {answer}");
        Ok(Cost { wall: answered - handed_out, cpu })
    }

    /// The processor's time of all its threads, the ended ones included, so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(clock_gettime(self.cpu_clock)?.into())
    }

    /// The most memory it held at once, in bytes (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(peak.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Ends it as Lambda does, which gives a profiler the time to write its profile; the lines it logged.
    pub(crate) async fn end(mut self) -> anyhow::Result<Vec<Value>> {
        kill(Pid::from_raw(self.id.try_into()?), Signal::SIGTERM)?;
        self.child.wait().await?;
        Ok(self.log.await?)
    }
}
