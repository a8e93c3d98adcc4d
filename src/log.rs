//! The decision log: one JSON line per call on stdout, with CloudWatch embedded metrics in the same line.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::Serialize;

/// How urgent a line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// An operator has to act.
    Error,
    /// An operator should look at it.
    Warn,
    /// A call was decided.
    #[default]
    Info,
    /// Details.
    Debug,
}

/// Which lines are logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Lines of a less urgent level are left out, and their metrics with them, except those that alarms count.
    pub level: Level,
    /// Numbers and ids are cut to their last four characters.
    pub mask_parties: bool,
    /// The function's name, a dimension of the metrics.
    pub function: String,
}

/// The facts of a call when it is answered, for its log line.
#[derive(Debug, Clone)]
pub struct DecisionRecord<'a> {
    /// When the handler received it.
    pub started: Instant,
    /// How urgent the line is.
    pub level: Level,
    /// `allow`, `deny` or `error`.
    pub decision: &'static str,
    /// The stable word for the reason.
    pub reason: &'static str,
    /// The door that decided.
    pub door: Option<&'static str>,
    /// The pattern of the rule that decided.
    pub rule: Option<String>,
    /// The app's key.
    pub app: Option<&'a str>,
    /// The caller's canonical id.
    pub caller: Option<&'a str>,
    /// The callee's canonical id.
    pub callee: Option<&'a str>,
    /// WCS's id of the call.
    pub call_id: Option<&'a str>,
    /// Lambda's id of the invocation.
    pub request_id: &'a str,
    /// Whether it is the sandbox's first call.
    pub cold_start: bool,
    /// How long the lookup took, if there was one.
    pub store: Option<Duration>,
    /// Read capacity units consumed.
    pub units: f64,
    /// The answer's HTTP status.
    pub status: u16,
    /// What went wrong, for the person who fixes it.
    pub error: Option<String>,
}

impl<'a> DecisionRecord<'a> {
    /// A record of a call that has just begun.
    #[must_use]
    pub const fn new(started: Instant, request_id: &'a str, cold_start: bool) -> Self {
        Self {
            started,
            level: Level::Info,
            decision: "error",
            reason: "store_unavailable",
            door: None,
            rule: None,
            app: None,
            caller: None,
            callee: None,
            call_id: None,
            request_id,
            cold_start,
            store: None,
            units: 0.0,
            status: 503,
            error: None,
        }
    }
}

/// The longest `call_id` that is logged, in bytes: the calling side chooses it.
const MAX_CALL_ID: usize = 256;

impl LogSettings {
    /// Writes the line of a call, with its metrics. Alarms count the lines of `warn` and `error`, so these are written at
    /// every level.
    pub fn decision(&self, record: &DecisionRecord<'_>) {
        if record.level > self.level.max(Level::Warn) {
            return;
        }
        let now = SystemTime::now();
        let store_ms = record.store.map(milliseconds);
        let total_ms = milliseconds(record.started.elapsed());
        let [caller, callee] = [record.caller, record.callee].map(|id| id.map(|id| self.party(id)));
        write_line(&DecisionLine {
            timestamp: timestamp(now),
            level: record.level,
            message: "decision",
            decision: record.decision,
            reason: record.reason,
            door: record.door,
            rule: record.rule.as_deref().map(|rule| self.party(rule)),
            app: record.app,
            caller,
            callee,
            call_id: record.call_id.and_then(|id| id.get(..id.floor_char_boundary(MAX_CALL_ID))),
            request_id: record.request_id,
            cold_start: record.cold_start,
            store_ms,
            total_ms,
            units: record.units,
            status: record.status,
            error: record.error.as_deref(),
            function: &self.function,
            metrics: Metrics::new(now, store_ms.is_some()),
            decisions: 1,
            store_latency: store_ms,
            total_latency: total_ms,
        });
    }

    /// Writes the line of a request that is not a valid call of a hook.
    pub fn rejected(&self, status: u16, error: &str, request_id: &str) {
        #[derive(Serialize)]
        struct Line<'a> {
            timestamp: String,
            level: Level,
            message: &'static str,
            status: u16,
            error: &'a str,
            request_id: &'a str,
        }
        if self.level >= Level::Warn {
            let timestamp = timestamp(SystemTime::now());
            write_line(&Line { timestamp, level: Level::Warn, message: "rejected", status, error, request_id });
        }
    }

    /// An id or a pattern as it may be logged: only its last four characters if `LOG_PARTIES=masked`.
    #[must_use]
    pub fn party<'a>(&self, id: &'a str) -> &'a str {
        if !self.mask_parties {
            return id;
        }
        // The star of a prefix is not a part of the number.
        let literal = id.strip_suffix('*').unwrap_or(id);
        let start = literal.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
        id.get(start..).unwrap_or_default()
    }

    /// Writes a line about the function itself, if its level is logged.
    pub fn message(&self, level: Level, text: &str) {
        if level <= self.level {
            message(level, text);
        }
    }
}

/// Writes a line about the function itself, whatever level is configured.
pub fn message(level: Level, text: &str) {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: String,
        level: Level,
        message: &'a str,
    }
    write_line(&Line { timestamp: timestamp(SystemTime::now()), level, message: text });
}

#[derive(Serialize)]
struct DecisionLine<'a> {
    timestamp: String,
    level: Level,
    message: &'static str,
    decision: &'static str,
    reason: &'static str,
    door: Option<&'static str>,
    rule: Option<&'a str>,
    app: Option<&'a str>,
    caller: Option<&'a str>,
    callee: Option<&'a str>,
    call_id: Option<&'a str>,
    request_id: &'a str,
    cold_start: bool,
    store_ms: Option<f64>,
    total_ms: f64,
    units: f64,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    function: &'a str,
    #[serde(rename = "_aws")]
    metrics: Metrics,
    #[serde(rename = "Decisions")]
    decisions: u8,
    #[serde(rename = "StoreLatency", skip_serializing_if = "Option::is_none")]
    store_latency: Option<f64>,
    #[serde(rename = "TotalLatency")]
    total_latency: f64,
}

/// How CloudWatch reads metrics from the line ("Specification: Embedded metric format", Amazon CloudWatch User Guide).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metrics {
    timestamp: u64,
    cloud_watch_metrics: Vec<Directive>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: &'static [&'static [&'static str]],
    metrics: &'static [Metric],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

impl Metrics {
    fn new(now: SystemTime, with_store: bool) -> Self {
        const DECISIONS: Metric = Metric { name: "Decisions", unit: "Count" };
        const STORE: Metric = Metric { name: "StoreLatency", unit: "Milliseconds" };
        const TOTAL: Metric = Metric { name: "TotalLatency", unit: "Milliseconds" };
        const BY_FUNCTION: &[&str] = &["function"];

        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let directive = |dimensions, metrics| Directive { namespace: "callgate", dimensions, metrics };
        Self {
            timestamp: u64::try_from(since_epoch.as_millis()).unwrap_or_default(),
            cloud_watch_metrics: vec![
                directive(&[&["decision", "reason"], &["function", "decision", "reason"], BY_FUNCTION], &[DECISIONS]),
                directive(&[BY_FUNCTION], if with_store { &[TOTAL, STORE] } else { &[TOTAL] }),
            ],
        }
    }
}

/// Writes a whole line under one lock, so that lines of concurrent calls do not mix. A broken stdout cannot be reported.
fn write_line(line: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(line) {
        let line = escaped(text) + "\n";
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}

/// Escapes characters that JSON leaves as they are and a terminal obeys: the calling side chooses `call_id`, and lines are
/// read on terminals too.
fn escaped(json: String) -> String {
    let is_control = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !json.contains(is_control) {
        return json;
    }
    json.chars().fold(String::with_capacity(json.len() + 16), |mut text, c| {
        if is_control(c) {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
        text
    })
}

/// RFC 3339 in UTC, always to the microsecond, so that lines sort as text.
fn timestamp(now: SystemTime) -> String {
    Timestamp::try_from(now).map(|now| format!("{now:.6}")).unwrap_or_default()
}

/// Milliseconds, rounded to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
