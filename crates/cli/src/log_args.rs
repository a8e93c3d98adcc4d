//! The options that choose a log, and the reading of its calls.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use callgate_admin::decision_log::{CallFilter, DecisionLog, LoggedCall, Summary};
use clap::Args;

use crate::connection::GlobalArgs;
use crate::exit::usage;
use crate::time::{parse_at, parse_since};

/// The log to read, and how far back.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log options")]
pub(crate) struct LogSourceArgs {
    /// Read the calls from a file that `serve --log` writes, or that was exported from CloudWatch; '-' is standard input
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    log: Option<PathBuf>,
    /// Read the calls from this log group of CloudWatch Logs; the stack's output LogGroup names it
    #[arg(long, value_name = "NAME", env = "CALLGATE_LOG_GROUP", hide_env_values = true, allow_hyphen_values = true)]
    log_group: Option<String>,
    /// Read the calls from the log group of this Lambda function
    #[arg(long, value_name = "NAME", env = "CALLGATE_FUNCTION", hide_env_values = true, allow_hyphen_values = true)]
    function: Option<String>,
    /// Only calls from this time on: '1h' or '30m' ago, '15:00' (the last), '2026-12-31 18:00' in your time zone, or with a zone;
    /// without it, the last hour of CloudWatch Logs, and the whole file
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
}

/// The log to read, and the time of the calls.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log options")]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) source: LogSourceArgs,
    /// Only calls before this time, in the same forms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
}

impl LogArgs {
    /// Calls `take` with every call of the log that the filter accepts, in the order of the log. The times of the filter are
    /// those of the options.
    pub(crate) async fn for_each(
        &self,
        global: &GlobalArgs,
        filter: CallFilter,
        take: impl FnMut(&LoggedCall<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Summary> {
        let until = self.until.as_deref().map(parse_at).transpose()?;
        self.source.for_each(global, CallFilter { until, ..filter }, take).await
    }
}

impl LogSourceArgs {
    /// Whether the log is standard input.
    pub(crate) fn is_standard_input(&self) -> bool {
        self.log.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// Calls `take` with every call of the log that the filter accepts, in the order of the log.
    #[expect(clippy::unused_async, reason = "CloudWatch Logs is read asynchronously")]
    pub(crate) async fn for_each(
        &self,
        _global: &GlobalArgs,
        filter: CallFilter,
        take: impl FnMut(&LoggedCall<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Summary> {
        let since = self.since.as_deref().map(parse_since).transpose()?;
        let filter = CallFilter { since, ..filter };
        let Some(path) = &self.log else {
            return Err(usage(
                "no log is given; name a file with --log, or a log group with --log-group or --function",
            ));
        };
        let file = open(path)?;
        tokio::task::block_in_place(|| DecisionLog::new(file).for_each(&filter, take))
    }
}

/// Opens a file, or standard input for `-`.
fn open(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("the log `{}` cannot be opened", path.display()))?;
    Ok(Box::new(file))
}
