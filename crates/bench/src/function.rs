//! Runs a function as a process: starts it, sends events, measures and stops it.

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

use crate::stand_ins::runtime_api::RuntimeApi;

/// How long something took, and how much CPU time it used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
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
    pub(crate) async fn start(program: &Path, environment: &[(&str, String)]) -> anyhow::Result<(Self, Timing)> {
        let runtime_api = RuntimeApi::start().await?;
        let started_at = Instant::now();
        let mut child = Command::new(program)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", &runtime_api.address)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let id = child.id().context("the function ended immediately")?;
        let mut lines = BufReader::new(child.stdout.take().context("the function has no standard output")?).lines();
        let log = tokio::spawn(async move {
            let mut log = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                log.push(serde_json::from_str(&line).unwrap_or_default());
            }
            log
        });
        let cpu_clock = clock_getcpuclockid(Pid::from_raw(id.try_into()?))?;
        let mut function = Self { runtime_api, child, id, cpu_clock, log };
        let polled_at = function.runtime_api.wait_for_poll().await?;
        let timing = Timing { wall: polled_at - started_at, cpu: function.cpu()? };
        Ok((function, timing))
    }

    /// The process id.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// Sends an event. Measures the time until the response, and the CPU time until the next poll.
    pub(crate) async fn call(&mut self, event: &Bytes) -> anyhow::Result<Timing> {
        let cpu_before = self.cpu()?;
        let sent_at = self.runtime_api.send_event(event)?;
        let (responded_at, response) = self.runtime_api.wait_for_response().await?;
        self.runtime_api.wait_for_poll().await?;
        let cpu = self.cpu()?.saturating_sub(cpu_before);
        let response = String::from_utf8_lossy(&response);
        anyhow::ensure!(response.contains("\"statusCode\":200"), "expected status code 200, not `{response}`");
        Ok(Timing { wall: responded_at - sent_at, cpu })
    }

    /// The CPU time used so far by all threads, including those that have ended.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(clock_gettime(self.cpu_clock)?.into())
    }

    /// The peak memory in bytes (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no `VmHWM` in `/proc`")?;
        Ok(peak.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Stops the function as Lambda does, with a signal that gives a profiler time to write its profile. Returns the lines
    /// of the log.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Vec<Value>> {
        kill(Pid::from_raw(self.id.try_into()?), Signal::SIGTERM)?;
        self.child.wait().await?;
        Ok(self.log.await?)
    }
}
