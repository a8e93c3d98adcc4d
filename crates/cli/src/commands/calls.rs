//! `calls`: lists the calls of the decision log, and why each was permitted or refused.

use std::borrow::Cow;
use std::collections::HashMap;

use anstyle::AnsiColor;
use callgate_admin::Table;
use callgate_admin::decision_log::wording::{Change, REASONS, because, decision_word};
use callgate_admin::decision_log::{
    CallFilter, CallGroup, CallGroups, CallStatistics, Decided, EpochMicroseconds, InOrder, Latency, LoggedCall,
    Spellings, Summary, utc,
};
use callgate_admin::rule_file::csv_row;
use callgate_admin::time::format_local_aligned;
use callgate_admin::wording::{count, escape};
use callgate_core::{AppKey, Call, MediaSet, Pattern, PhoneRegion};
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::args::print_understood;
use crate::connection::GlobalArgs;
use crate::exit::{Outcome, usage};
use crate::log_args::LogArgs;
use crate::output::{Line, LineOutput, Output, print_note};
use crate::time::now;

/// How many answers of the table are kept for calls that come again.
const MAX_CHANGES: usize = 10_000;

/// How many similar callers are named.
const MAX_SIMILAR: usize = 3;

/// List the calls of the decision log, the newest last, and why each was permitted or refused
///
/// The log is a file that `serve --log` writes, a file that was exported from CloudWatch Logs, or the function's log group. Lines
/// that are not decisions are skipped and counted. If the log has only the last four characters of ids (LOG_PARTIES=masked), ids
/// are compared with those.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[expect(clippy::doc_markdown, reason = "this comment is the help text")]
#[command(after_help = "\
Examples:
  callgatectl calls --log calls.log --refused --why
  callgatectl calls --log-group /aws/lambda/callgate --since 10m --from '8 (495) 123-45-67'
  callgatectl calls --function callgate --since 1d --refused --group
  callgatectl calls --log calls.log --party PPP005 --follow
  callgatectl calls --log - --stats < calls.log")]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArgs,
    /// Only calls of this app. Without it the calls of every app are listed, also if CALLGATE_APP is set
    #[arg(long, value_name = "APP", allow_hyphen_values = true)]
    app: Option<String>,
    /// Only calls from these callers: an id or number in any spelling, or a prefix such as '+7495*'
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only calls to these callees, in the same forms
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only calls from or to these parties, in the same forms
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    party: Option<String>,
    /// Only calls that were refused; can be combined with --permitted and --failed
    #[arg(long)]
    refused: bool,
    /// Only calls that were permitted
    #[arg(long)]
    permitted: bool,
    /// Only calls whose permissions could not be read
    #[arg(long)]
    failed: bool,
    /// Only calls with this reason; can be repeated
    #[arg(long, value_name = "REASON", value_delimiter = ',', value_parser = PossibleValuesParser::new(REASONS), hide_possible_values = true)]
    reason: Vec<String>,
    /// Only calls of this hook, such as OnCallEvent
    #[arg(long, value_name = "HOOK")]
    hook: Option<String>,
    /// Only calls with this id, which WCS gave the call or Lambda the request
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    call_id: Option<String>,
    /// Add the commands that would change each answer: by the table as it is now if one is named, or else by the reason alone
    #[arg(long)]
    why: bool,
    /// Count the calls of each pair and reason, the most frequent last, with the first and the last time, and with the other
    /// callers that may be the same number in another spelling
    #[arg(long, conflicts_with_all = ["stats", "follow", "why"])]
    group: bool,
    /// Count the calls by decision and reason, and print how long they took
    #[arg(long, conflicts_with_all = ["follow", "why", "csv"])]
    stats: bool,
    /// Go on with the calls that come, until the command is stopped
    #[arg(long)]
    follow: bool,
    /// Print CSV for a spreadsheet, with times in UTC
    #[arg(long, conflicts_with = "why")]
    csv: bool,
}

/// The format of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Csv,
}

/// Lists, groups or counts the calls.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let format = match (args.csv, global.output) {
        (true, Output::Json) => return Err(usage("--csv and --output json are two formats; give one of them")),
        (true, Output::Text) => Format::Csv,
        (false, Output::Text) => Format::Text,
        (false, Output::Json) => Format::Json,
    };
    let region = global.phone_region()?;
    let filter = args.filter(region)?;
    let compares_ids = filter.compares_ids();
    let summary = if args.group {
        group(args, global, filter, format).await?
    } else if args.stats {
        statistics(args, global, filter).await?
    } else {
        list(args, global, filter, format).await?
    };
    args.log.print_summary(&summary, compares_ids);
    Ok(Outcome::Done)
}

impl Args {
    fn filter(&self, region: Option<PhoneRegion>) -> anyhow::Result<CallFilter> {
        let pattern = |text: &Option<String>| text.as_deref().map(|text| parse_pattern(text, region)).transpose();
        let app = |text: &str| AppKey::new(text).map_err(|error| usage(format!("the app `{}` {error}", escape(text))));
        let decisions =
            [(self.permitted, Decided::Allow), (self.refused, Decided::Deny), (self.failed, Decided::Error)];
        Ok(CallFilter {
            since: None,
            until: None,
            app: self.app.as_deref().map(app).transpose()?,
            from: pattern(&self.from)?,
            to: pattern(&self.to)?,
            party: pattern(&self.party)?,
            decisions: decisions.into_iter().filter_map(|(is_given, decision)| is_given.then_some(decision)).collect(),
            reasons: self.reason.clone(),
            hook: self.hook.clone(),
            call_id: self.call_id.clone(),
        })
    }
}

/// Parses a pattern of logged ids.
fn parse_pattern(text: &str, region: Option<PhoneRegion>) -> anyhow::Result<Pattern> {
    let pattern =
        Pattern::new(text, region).map_err(|error| usage(format!("the pattern `{}` {error}", escape(text))))?;
    if let Pattern::Group(_) = &pattern {
        return Err(usage(format!("the log does not name groups; give the parties of `{pattern}`, one at a time")));
    }
    print_understood(text, &pattern.to_string());
    Ok(pattern)
}

async fn list(args: &Args, global: &GlobalArgs, filter: CallFilter, format: Format) -> anyhow::Result<Summary> {
    let changes = if args.why { Some(Changes::new(global).await?) } else { None };
    let mut out = LineOutput::new();
    if format == Format::Csv {
        out.print(CALL_COLUMNS.join(","))?;
    }
    let mut printer = Printer { out, format, changes };
    let mut calls = InOrder::default();
    let summary = if args.follow {
        let take = |call: Option<&LoggedCall<'_>>| match call {
            Some(call) => calls.push(call.clone().into_owned(), |call| printer.print(&call)),
            None => {
                calls.flush(|call| printer.print(&call))?;
                Ok(printer.out.flush()?)
            }
        };
        args.log.follow(global, filter, take).await?
    } else {
        let take = |call: &LoggedCall<'_>| calls.push(call.clone().into_owned(), |call| printer.print(&call));
        args.log.for_each(global, filter, take).await?
    };
    calls.flush(|call| printer.print(&call))?;
    printer.out.flush()?;
    if calls.late() > 0 {
        let is = if calls.late() == 1 { "is" } else { "are" };
        print_note(format!(
            "{} {is} further down than newer ones, because the log is not in order",
            count(calls.late(), "call")
        ));
    }
    Ok(summary)
}

/// Prints calls.
struct Printer {
    out: LineOutput,
    format: Format,
    changes: Option<Changes>,
}

impl Printer {
    fn print(&mut self, call: &LoggedCall<'_>) -> anyhow::Result<()> {
        let change = self.changes.as_mut().map(|changes| changes.find(call)).transpose()?.flatten();
        match self.format {
            Format::Text => {
                self.out.print(text(call))?;
                if let Some(change) = change {
                    self.out.print(format!("    {}", escape(&change_text(call.decision, &change))))?;
                }
            }
            Format::Json => self.out.print(as_json(call, change.as_ref()))?,
            Format::Csv => {
                let row = csv_row(CALL_COLUMNS.into_iter().zip(call_fields(call).iter().map(Cow::as_ref)));
                self.out.print(row)?;
            }
        }
        Ok(())
    }
}

/// The commands that would change answers.
struct Changes {
    /// The table as it is now, if one is named.
    table: Option<Table>,
    region: Option<PhoneRegion>,
    found: HashMap<(String, Decided), Change>,
}

impl Changes {
    async fn new(global: &GlobalArgs) -> anyhow::Result<Self> {
        let table = match global.table_name() {
            Some(_) => Some(global.open().await?.table),
            None => None,
        };
        Ok(Self { table, region: global.phone_region()?, found: HashMap::new() })
    }

    fn find(&mut self, call: &LoggedCall<'_>) -> anyhow::Result<Option<Change>> {
        let Some(table) = &self.table else {
            return Ok(call.plain_command().map(|command| Change::Commands(vec![command])));
        };
        let is_decided = call.decision != Decided::Error && call.plain_command().is_some();
        let Some(decided) = call.to_call(self.region).filter(|_| is_decided) else { return Ok(None) };
        let Call { app, caller, callee, media: MediaSet { audio, video } } = &decided;
        let key = (format!("{app}\0{caller}\0{callee}\0{audio}{video}"), call.decision);
        if let Some(change) = self.found.get(&key) {
            return Ok(Some(change.clone()));
        }
        let change = table.change(&decided, call.decision, now());
        let change = tokio::task::block_in_place(|| Handle::current().block_on(change))?;
        if self.found.len() >= MAX_CHANGES {
            self.found.clear();
        }
        self.found.insert(key, change.clone());
        Ok(Some(change))
    }
}

fn change_text(decision: Decided, change: &Change) -> String {
    let (aim, other) = match decision {
        Decided::Allow => ("refuse", "refused"),
        Decided::Deny | Decided::Error => ("permit", "permitted"),
    };
    match change {
        Change::Commands(commands) => format!("to {aim} it: {}", commands.join(" && ")),
        Change::Show(command) => format!("look at it: {command}"),
        Change::Changed => format!("by the rules as they are now, it is {other}"),
    }
}

fn colour(decision: Decided) -> AnsiColor {
    match decision {
        Decided::Allow => AnsiColor::Green,
        Decided::Deny => AnsiColor::Red,
        Decided::Error => AnsiColor::Yellow,
    }
}

fn seconds(timestamp: EpochMicroseconds) -> i64 {
    timestamp.div_euclid(1_000_000)
}

/// An id, or what is printed if the request was not parsed.
fn shown(text: Option<&str>) -> String {
    text.map_or_else(|| "?".to_owned(), escape)
}

fn parties_text(app: Option<&str>, caller: Option<&str>, callee: Option<&str>) -> String {
    match (app, caller, callee) {
        (None, None, None) => "a request that was not parsed".to_owned(),
        _ => format!("{} → {} in {}", shown(caller), shown(callee), shown(app)),
    }
}

fn text(call: &LoggedCall<'_>) -> Line {
    let time = format_local_aligned(seconds(call.timestamp));
    let parties = parties_text(call.app.as_deref(), call.caller.as_deref(), call.callee.as_deref());
    let video = if call.media.is_some_and(|media| media.video) { ", with video" } else { "" };
    let let_through = if (call.decision, call.status) == (Decided::Error, Some(200)) {
        "; the call was let through (ON_STORE_FAILURE=allow)"
    } else {
        ""
    };
    let id = match (&call.call_id, &call.request_id) {
        (Some(id), _) => format!(" (call {})", escape(id)),
        (None, Some(id)) => format!(" (request {})", escape(id)),
        (None, None) => String::new(),
    };
    let word = format!("{:<9}", decision_word(call.decision));
    Line::from(format!("{time}  "))
        .then(Line::styled(colour(call.decision).on_default(), word))
        .then(format!("  {parties}{video}: {}{let_through}{id}", escape(&call.because())))
}

fn as_json(call: &LoggedCall<'_>, change: Option<&Change>) -> Value {
    let (command, advice) = match change {
        Some(Change::Commands(commands)) => (Some(commands.join(" && ")), None),
        Some(Change::Show(command)) => (None, Some(command.clone())),
        Some(Change::Changed) => (None, change.map(|change| change_text(call.decision, change))),
        None => (None, None),
    };
    json!({
        "timestamp": utc(call.timestamp), "decision": call.decision.as_str(), "reason": call.reason,
        "because": call.because(), "hook": call.hook, "door": call.door, "rule": call.rule, "app": call.app,
        "caller": call.caller, "callee": call.callee, "media": call.media.map(MediaSet::words),
        "call_id": call.call_id, "request_id": call.request_id, "status": call.status, "store_ms": call.store_ms,
        "total_ms": call.total_ms, "error": call.error, "command": command, "advice": advice,
    })
}

/// The columns of a call.
const CALL_COLUMNS: [&str; 16] = [
    "timestamp",
    "decision",
    "reason",
    "door",
    "rule",
    "app",
    "from",
    "to",
    "media",
    "hook",
    "call_id",
    "request_id",
    "status",
    "store_ms",
    "total_ms",
    "error",
];

fn call_fields<'a>(call: &'a LoggedCall<'_>) -> [Cow<'a, str>; 16] {
    let text = |text: &'a Option<Cow<'_, str>>| Cow::Borrowed(text.as_deref().unwrap_or_default());
    let number = |number: Option<f64>| Cow::Owned(number.map(|it| it.to_string()).unwrap_or_default());
    [
        Cow::Owned(utc(call.timestamp)),
        Cow::Borrowed(call.decision.as_str()),
        Cow::Borrowed(call.reason.as_ref()),
        text(&call.door),
        text(&call.rule),
        text(&call.app),
        text(&call.caller),
        text(&call.callee),
        Cow::Owned(call.media.map(|media| media.words().join(" ")).unwrap_or_default()),
        text(&call.hook),
        text(&call.call_id),
        text(&call.request_id),
        Cow::Owned(call.status.map(|status| status.to_string()).unwrap_or_default()),
        number(call.store_ms),
        number(call.total_ms),
        text(&call.error),
    ]
}

/// The columns of a group of calls.
const GROUP_COLUMNS: [&str; 11] =
    ["app", "from", "to", "decision", "reason", "door", "rule", "count", "first", "last", "similar"];

async fn group(args: &Args, global: &GlobalArgs, filter: CallFilter, format: Format) -> anyhow::Result<Summary> {
    let (groups, summary) = args.log.aggregate::<CallGroups>(global, filter).await?;
    let mut out = LineOutput::new();
    if format == Format::Csv {
        out.print(GROUP_COLUMNS.join(","))?;
    }
    let mut spellings = Spellings::new(global.phone_region()?);
    groups.for_each(&mut spellings, |group, similar| {
        match format {
            Format::Text => out.print(group_text(&group, &similar))?,
            Format::Json => out.print(group_json(&group, &similar))?,
            Format::Csv => {
                let fields = group_fields(&group, &similar);
                out.print(csv_row(GROUP_COLUMNS.into_iter().zip(fields.iter().map(String::as_str))))?;
            }
        }
        anyhow::Ok(())
    })?;
    out.flush()?;
    Ok(summary)
}

fn group_because(group: &CallGroup) -> String {
    because(group.decision, &group.reason, group.door.as_deref(), group.rule.as_deref())
}

fn group_text(group: &CallGroup, similar: &[String]) -> Line {
    let CallGroup { app, caller, callee, decision, count, first, last, .. } = group;
    let [first, last] = [first, last].map(|at| format_local_aligned(seconds(*at)));
    let times = if *count == 1 { format!("at {last}") } else { format!("from {first} to {last}") };
    let parties = parties_text(app.as_deref(), caller.as_deref(), callee.as_deref());
    let word = format!("{:<9}", decision_word(*decision));
    let mut named: Vec<_> = similar.iter().take(MAX_SIMILAR).map(|it| escape(it)).collect();
    if let Some(others @ 1..) = similar.len().checked_sub(MAX_SIMILAR) {
        named.push(format!("{others} more"));
    }
    let similar =
        if named.is_empty() { String::new() } else { format!("; maybe the same caller as {}", named.join(", ")) };
    Line::from(format!("{count:>7}  "))
        .then(Line::styled(colour(*decision).on_default(), word))
        .then(format!("  {parties}: {}, {times}{similar}", escape(&group_because(group))))
}

fn group_json(group: &CallGroup, similar: &[String]) -> Value {
    json!({
        "app": group.app, "caller": group.caller, "callee": group.callee, "decision": group.decision.as_str(),
        "reason": group.reason, "because": group_because(group), "door": group.door, "rule": group.rule,
        "count": group.count, "first": utc(group.first), "last": utc(group.last), "similar": similar,
    })
}

fn group_fields(group: &CallGroup, similar: &[String]) -> [String; 11] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        text(&group.app),
        text(&group.caller),
        text(&group.callee),
        group.decision.as_str().to_owned(),
        group.reason.clone(),
        text(&group.door),
        text(&group.rule),
        group.count.to_string(),
        utc(group.first),
        utc(group.last),
        similar.join(" "),
    ]
}

async fn statistics(args: &Args, global: &GlobalArgs, filter: CallFilter) -> anyhow::Result<Summary> {
    let (statistics, summary) = args.log.aggregate::<CallStatistics>(global, filter).await?;
    let mut out = LineOutput::new();
    if global.output == Output::Json {
        out.print(statistics_json(&statistics))?;
        out.flush()?;
        return Ok(summary);
    }
    let calls = statistics.calls();
    let times = statistics.times.map(|(first, last)| {
        let [first, last] = [first, last].map(|at| format_local_aligned(seconds(at)));
        format!(", from {first} to {last}")
    });
    out.print(format!("{}{}", count(calls, "call"), times.unwrap_or_default()))?;
    for (decision, reason, number) in statistics.counts() {
        let line = Line::from(format!("{number:>9}  {:>5}  ", percent(number, calls)));
        let word = Line::styled(colour(decision).on_default(), format!("{:<9}", decision_word(decision)));
        out.print(line.then(word).then(format!("  {}", escape(reason))))?;
    }
    for (name, latency) in [("reading", &statistics.store), ("in all", &statistics.total)] {
        if let (Some(p50), Some(p99)) = (latency.percentile(50), latency.percentile(99)) {
            out.print(format!("{name}: p50 {p50:.1} ms, p99 {p99:.1} ms, of {}", count(latency.count(), "call")))?;
        }
    }
    out.flush()?;
    Ok(summary)
}

fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 1_000 + whole / 2) / whole.max(1);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

fn statistics_json(statistics: &CallStatistics) -> Value {
    let latency = |latency: &Latency| json!({"count": latency.count(), "p50": latency.percentile(50), "p99": latency.percentile(99)});
    let counts = statistics.counts();
    let counts: Vec<_> = counts
        .map(|(decision, reason, count)| json!({"decision": decision.as_str(), "reason": reason, "count": count}))
        .collect();
    let (first, last) = statistics.times.map(|(first, last)| (utc(first), utc(last))).unzip();
    json!({
        "calls": statistics.calls(), "first": first, "last": last, "decisions": counts,
        "store_ms": latency(&statistics.store), "total_ms": latency(&statistics.total),
    })
}
