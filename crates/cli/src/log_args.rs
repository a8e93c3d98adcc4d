//! The options that choose a log, and the reading of its calls.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use callgate_admin::decision_log::cloudwatch::{LogGroup, Position};
use callgate_admin::decision_log::wording::decision_word;
use callgate_admin::decision_log::{Aggregate, CallFilter, DecisionLog, FollowedFile, LoggedCall, Scan, Summary};
use callgate_admin::time::format_local_aligned;
use callgate_admin::wording::{count, escape};
use callgate_core::{AppKey, Call, PartyId, Pattern, PhoneRegion};
use clap::Args;
use indicatif::ProgressBar;

use crate::connection::GlobalArgs;
use crate::exit::usage;
use crate::output::print_note;
use crate::progress::progress_bar;
use crate::time::{now, parse_at, parse_since};

/// How far back CloudWatch Logs is read without `--since`, in seconds. It costs time and money.
const LAST_HOUR: i64 = 60 * 60;

/// How often a file that is followed is checked for more.
const FILE_POLL: Duration = Duration::from_millis(200);

/// How often CloudWatch Logs is asked for more. It permits few requests per second.
const GROUP_POLL: Duration = Duration::from_secs(2);

/// The heading of the options that read the log.
pub(crate) const HEADING: &str = "Log options";
const LOG_GROUP: &str = "CALLGATE_LOG_GROUP";
const FUNCTION: &str = "CALLGATE_FUNCTION";

/// The log to read, and how far back.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogSourceArgs {
    /// Read the calls from a file that `serve --log` writes, or that was exported from CloudWatch; '-' is standard input
    #[arg(long, help_heading = HEADING, value_name = "FILE", allow_hyphen_values = true)]
    log: Option<PathBuf>,
    /// Read the calls from this log group of CloudWatch Logs; the stack's outputs name it
    #[arg(long, help_heading = HEADING, value_name = "NAME", env = LOG_GROUP, hide_env_values = true, allow_hyphen_values = true)]
    log_group: Option<String>,
    /// Read the calls from the log group of this Lambda function, /aws/lambda/NAME
    #[arg(long, help_heading = HEADING, value_name = "NAME", env = FUNCTION, hide_env_values = true, allow_hyphen_values = true)]
    function: Option<String>,
    /// Only calls from this time on: '1h' or '30m' ago, '15:00' (the last), '2026-12-31 18:00' in your time zone, or with a zone;
    /// without it, the last hour of CloudWatch Logs, and the whole file
    #[arg(long, help_heading = HEADING, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
}

/// The log to read, and the time of the calls.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    source: LogSourceArgs,
    /// Only calls before this time, in the same forms
    #[arg(long, help_heading = HEADING, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
}

/// A log.
enum Source {
    File(PathBuf),
    Group(LogGroup),
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
        self.source.for_each(global, self.filter(filter)?, take).await
    }

    /// Computes something from all calls of the log that the filter accepts.
    pub(crate) async fn aggregate<A: Aggregate + Default>(
        &self,
        global: &GlobalArgs,
        filter: CallFilter,
    ) -> anyhow::Result<(A, Summary)> {
        let filter = self.filter(filter)?;
        match self.source.open(global, &filter).await? {
            (Source::File(path), filter) => {
                let file = open(&path)?;
                Ok(tokio::task::block_in_place(|| DecisionLog::new(file).aggregate(&filter))?)
            }
            (Source::Group(group), filter) => {
                let mut aggregate = A::default();
                let summary = read(&group, global, &filter, |call| Ok(aggregate.add(call)?)).await?;
                Ok((aggregate, summary))
            }
        }
    }

    /// Calls `take` with every call of the log that the filter accepts, and with `None` when there is no more for now. Only ends
    /// with standard input, or at an error.
    pub(crate) async fn follow(
        &self,
        global: &GlobalArgs,
        filter: CallFilter,
        take: impl FnMut(Option<&LoggedCall<'_>>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Summary> {
        if self.until.is_some() {
            return Err(usage("--follow waits for calls to come; leave out --until"));
        }
        self.source.follow(global, filter, take).await
    }

    /// Whether the log is standard input.
    pub(crate) fn is_standard_input(&self) -> bool {
        self.source.log.as_deref().is_some_and(is_stdin)
    }

    /// Prints what is to be noticed about a log that was read.
    pub(crate) fn print_summary(&self, summary: &Summary, compares_ids: bool) {
        self.source.print_summary(summary, compares_ids);
    }

    fn filter(&self, filter: CallFilter) -> anyhow::Result<CallFilter> {
        Ok(CallFilter { until: self.until.as_deref().map(parse_at).transpose()?, ..filter })
    }
}

impl LogSourceArgs {
    async fn for_each(
        &self,
        global: &GlobalArgs,
        filter: CallFilter,
        take: impl FnMut(&LoggedCall<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Summary> {
        match self.open(global, &filter).await? {
            (Source::File(path), filter) => {
                let file = open(&path)?;
                tokio::task::block_in_place(|| DecisionLog::new(file).for_each(&filter, take))
            }
            (Source::Group(group), filter) => read(&group, global, &filter, take).await,
        }
    }

    /// Calls `take` with every call of the log that the filter accepts, and with `None` when there is no more for now. Only ends
    /// with standard input, or at an error.
    pub(crate) async fn follow(
        &self,
        global: &GlobalArgs,
        filter: CallFilter,
        mut take: impl FnMut(Option<&LoggedCall<'_>>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Summary> {
        match self.open(global, &filter).await? {
            (Source::File(path), filter) if is_stdin(&path) => {
                let mut log = DecisionLog::new(io::stdin());
                let (mut scan, mut buffer) = (Scan::new(&filter), Vec::new());
                while tokio::task::block_in_place(|| log.read_next(&mut scan, &mut buffer, |call| take(Some(call))))? {
                    take(None)?;
                }
                Ok(scan.summary)
            }
            (Source::File(path), filter) => follow_file(&path, &filter, take).await,
            (Source::Group(group), filter) => {
                let (mut scan, mut position) = (Scan::new(&filter), Position::default());
                loop {
                    group.read(&mut scan, &mut position, now(), |call| take(Some(call)), |_| ()).await?;
                    take(None)?;
                    tokio::time::sleep(GROUP_POLL).await;
                }
            }
        }
    }

    /// Whether a log is named.
    pub(crate) fn is_given(&self) -> bool {
        let is_named = |option: &Option<String>| option.as_deref().is_some_and(|name| !name.trim().is_empty());
        self.log.is_some() || is_named(&self.log_group) || is_named(&self.function)
    }

    /// Checks the options of a log that is followed, before anything is read.
    pub(crate) async fn check(&self, global: &GlobalArgs) -> anyhow::Result<()> {
        match self.open(global, &CallFilter::default()).await? {
            (Source::File(path), _) if is_stdin(&path) => {
                Err(usage("the console cannot read standard input; name a file with --log"))
            }
            (Source::File(path), _) => File::open(&path).map(drop).with_context(|| cannot_open(&path)),
            (Source::Group(_), _) => Ok(()),
        }
    }

    /// Chooses the log, and from when it is read.
    async fn open(&self, global: &GlobalArgs, filter: &CallFilter) -> anyhow::Result<(Source, CallFilter)> {
        let since = self.since.as_deref().map(parse_since).transpose()?;
        if let (Some(since), Some(until)) = (since, filter.until)
            && since >= until
        {
            return Err(usage("--until is not after --since"));
        }
        if let Some(path) = &self.log {
            return Ok((Source::File(path.clone()), CallFilter { since, ..filter.clone() }));
        }
        let of_function = |name: &str| format!("/aws/lambda/{name}");
        let options = [
            given(self.log_group.as_deref(), LOG_GROUP).map(|(name, is_typed)| (name.to_owned(), is_typed)),
            given(self.function.as_deref(), FUNCTION).map(|(name, is_typed)| (of_function(name), is_typed)),
        ];
        let options = || options.iter().flatten();
        // What is typed comes before what the environment has.
        let typed = options().find(|(_, is_typed)| *is_typed);
        if global.is_local()? && typed.is_none() {
            return Err(usage(
                "the endpoint is on this machine, where no calls are in CloudWatch Logs; start `callgatectl serve` with \
                 `--log calls.log`, and read that file with `--log calls.log`",
            ));
        }
        let Some((name, _)) = typed.or_else(|| options().next()) else {
            return Err(usage(
                "no log is given; name the log group with --log-group or CALLGATE_LOG_GROUP, as in the stack's output LogGroup, \
                 the function with --function or CALLGATE_FUNCTION, or a file with --log",
            ));
        };
        let group = LogGroup::new(global.logs_client().await?, name);
        let since = since.or(Some(filter.until.unwrap_or_else(now).saturating_sub(LAST_HOUR)));
        Ok((Source::Group(group), CallFilter { since, ..filter.clone() }))
    }

    /// Prints what is to be noticed about a log that was read.
    fn print_summary(&self, summary: &Summary, compares_ids: bool) {
        if summary.masked > 0 {
            let comparison = if compares_ids {
                ", with which ids are compared here; a prefix cannot be compared, so no call matches it"
            } else {
                ""
            };
            print_note(format!("the log has only the last four characters of ids (LOG_PARTIES=masked){comparison}"));
        }
        // CloudWatch Logs returns only what the filter selects.
        if summary.skipped() > 0 && self.log.is_some() {
            let is = if summary.skipped() == 1 { "is not a decision, and was" } else { "are not decisions, and were" };
            print_note(format!("{} {is} skipped", count(summary.skipped(), "line")));
        }
        if summary.accepted == 0 {
            let searched = if self.log.is_some() || self.since.is_some() {
                ""
            } else {
                " in the last hour; --since reads further back"
            };
            print_note(format!("no calls found{searched}"));
        }
    }

    /// The call in the log with this id of the call, or of its request.
    async fn find_call(&self, global: &GlobalArgs, id: &str) -> anyhow::Result<LoggedCall<'static>> {
        let filter = CallFilter { call_id: Some(id.to_owned()), ..CallFilter::default() };
        let mut found: Option<LoggedCall<'static>> = None;
        let mut other = None;
        self.for_each(global, filter, |call| {
            let parties = |call: &LoggedCall<'_>| {
                [&call.app, &call.caller, &call.callee].map(|it| it.as_deref().unwrap_or_default().to_owned())
            };
            let is_other = found.as_ref().is_some_and(|found| parties(found) != parties(call));
            let place = if is_other { &mut other } else { &mut found };
            *place = Some(call.clone().into_owned());
            Ok(())
        })
        .await?;
        let shown = escape(id);
        match (found, other) {
            (None, _) => Err(anyhow!("no call with the id `{shown}` {}", self.not_found())),
            (Some(one), Some(other)) => Err(anyhow!(
                "several calls have the id `{shown}`, such as {} and {}; give the request's id, or the parties",
                call_text(&one),
                call_text(&other)
            )),
            (Some(call), None) => unmasked(call),
        }
    }

    /// Finds the last call in the log that went to a party of an app, and prints it.
    pub(crate) async fn find_last_call(
        &self,
        global: &GlobalArgs,
        app: &AppKey,
        callee: &PartyId,
    ) -> anyhow::Result<Call> {
        let to = Some(Pattern::Exact(callee.as_str().to_owned()));
        let filter = CallFilter { app: Some(app.clone()), to, ..CallFilter::default() };
        let mut last: Option<LoggedCall<'static>> = None;
        self.for_each(global, filter, |call| {
            if last.as_ref().is_none_or(|last| last.timestamp <= call.timestamp) {
                last = Some(call.clone().into_owned());
            }
            Ok(())
        })
        .await?;
        match last {
            None => Err(anyhow!("no call to `{callee}` in app `{app}` {}", self.not_found())),
            Some(call) => {
                let logged = unmasked(call)?;
                let call = parties(&logged, global.phone_region()?)?;
                print_note(call_text(&logged));
                Ok(call)
            }
        }
    }

    fn not_found(&self) -> &'static str {
        match (&self.log, &self.since) {
            (None, None) => "is in the last hour of the log; --since reads further back",
            _ => "is in the log",
        }
    }
}

/// Returns a call, unless its ids are cut.
fn unmasked(call: LoggedCall<'static>) -> anyhow::Result<LoggedCall<'static>> {
    if call.is_masked {
        bail!(
            "the log has only the last four characters of ids (LOG_PARTIES=masked), so the parties of {} are not known; give \
             them instead",
            call_text(&call)
        );
    }
    Ok(call)
}

/// A logged call as it is named in messages.
fn call_text(call: &LoggedCall<'_>) -> String {
    let text = |text: &Option<_>| text.as_deref().map_or_else(|| "?".to_owned(), escape);
    format!(
        "the call at {} from {} to {} in app {}, {}: {}",
        format_local_aligned(call.timestamp.div_euclid(1_000_000)),
        text(&call.caller),
        text(&call.callee),
        text(&call.app),
        decision_word(call.decision),
        escape(&call.because())
    )
}

/// The parties of a logged call, for a rule about exactly them. An id that would be another pattern is refused: the calling side
/// chooses it.
fn parties(call: &LoggedCall<'_>, region: Option<PhoneRegion>) -> anyhow::Result<Call> {
    let parsed = call
        .to_call(region)
        .ok_or_else(|| anyhow!("{} has an id that is not one with this --phone-region, or none", call_text(call)))?;
    for id in [&parsed.caller, &parsed.callee] {
        let is_exact = Pattern::new(id.as_str(), region).is_ok_and(|it| it == Pattern::Exact(id.as_str().to_owned()));
        if !is_exact {
            bail!("the id `{}` in {} looks like a pattern; no rule was written", escape(id.as_str()), call_text(call));
        }
    }
    Ok(parsed)
}

/// The value of an option, and whether it was typed. An empty value counts as not given.
fn given<'a>(option: Option<&'a str>, variable: &str) -> Option<(&'a str, bool)> {
    let value = option?;
    let is_typed = std::env::var(variable).as_deref() != Ok(value);
    Some((value.trim(), is_typed)).filter(|(value, _)| !value.is_empty())
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Opens a file, or standard input for `-`.
fn open(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    if is_stdin(path) {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path).with_context(|| cannot_open(path))?))
}

fn cannot_open(path: &Path) -> String {
    format!("the log `{}` cannot be opened", escape(&path.to_string_lossy()))
}

/// Reads a log group. On a terminal, shows how far it has come.
async fn read(
    group: &LogGroup,
    global: &GlobalArgs,
    filter: &CallFilter,
    mut take: impl FnMut(&LoggedCall<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let since = filter.since.unwrap_or_default();
    let seconds = filter.until.unwrap_or_else(now).saturating_sub(since);
    let is_long = seconds > LAST_HOUR;
    let bar = if is_long {
        progress_bar(u64::try_from(seconds).unwrap_or_default(), "seconds of the log", global.output)?
    } else {
        ProgressBar::hidden()
    };
    let mut scan = Scan::new(filter);
    let shown = bar.clone();
    let summary = group
        .read(
            &mut scan,
            &mut Position::default(),
            now(),
            |call| bar.suspend(|| take(call)),
            |progress| {
                let done = progress.latest.map(|latest| latest.saturating_sub(since));
                shown.set_position(done.and_then(|done| u64::try_from(done).ok()).unwrap_or_default());
            },
        )
        .await?;
    bar.finish_and_clear();
    Ok(summary)
}

async fn follow_file(
    path: &Path,
    filter: &CallFilter,
    mut take: impl FnMut(Option<&LoggedCall<'_>>) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let mut log = DecisionLog::growing(FollowedFile::open(path).with_context(|| cannot_open(path))?);
    let (mut scan, mut buffer) = (Scan::new(filter), Vec::new());
    loop {
        let has_read = tokio::task::block_in_place(|| log.read_next(&mut scan, &mut buffer, |call| take(Some(call))))?;
        if has_read || log.source().reopen().with_context(|| cannot_open(path))? {
            continue;
        }
        take(None)?;
        tokio::time::sleep(FILE_POLL).await;
    }
}

/// A call of the log, in place of an app and parties.
#[derive(Debug, Clone, Args)]
pub(crate) struct FromCallArgs {
    /// Take the app and the parties from this call of the log: the id that WCS gave the call, or Lambda the request
    #[arg(long, help_heading = HEADING, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) from_call: Option<String>,
    #[command(flatten)]
    pub(crate) log: LogSourceArgs,
}

impl FromCallArgs {
    /// Finds the call, and prints it. `None` if none is named. If an app is given too, it must be that of the call.
    pub(crate) async fn find(&self, global: &GlobalArgs, app: Option<&str>) -> anyhow::Result<Option<Call>> {
        let Some(id) = &self.from_call else { return Ok(None) };
        let logged = self.log.find_call(global, id).await?;
        let call = parties(&logged, global.phone_region()?)?;
        if let Some(app) = app.map(str::trim).filter(|app| *app != call.app.as_str()) {
            let app = escape(app);
            return Err(usage(format!("{} is not in app `{app}` of --app or CALLGATE_APP", call_text(&logged))));
        }
        print_note(call_text(&logged));
        Ok(Some(call))
    }
}
