//! The decision log: one JSON line per call on stdout, with CloudWatch embedded metrics in the same line.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use callgate_core::MediaSet;
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

/// Which lines are logged, how and where.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Lines of a less urgent level are left out, and their metrics with them, except those that alarms count.
    pub level: Level,
    /// Numbers and ids are cut to their last four characters.
    pub mask_parties: bool,
    /// The function's name, a dimension of the metrics.
    pub function: String,
    /// What gets the lines instead of stdout. Only the operator's tool has one.
    pub output: Option<LineOutput>,
}

/// A function that gets each line of the log, with its end.
#[derive(Clone)]
pub struct LineOutput(Arc<dyn Fn(&str) + Send + Sync>);

impl LineOutput {
    /// Wraps the function, which is called before the answer is sent.
    pub fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }
}

impl fmt::Debug for LineOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineOutput")
    }
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
    /// The hook, unless the path does not name one. At most 64 letters and digits.
    pub hook: Option<&'a str>,
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
    /// The media of the call.
    pub media: Option<MediaSet>,
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
            hook: None,
            door: None,
            rule: None,
            app: None,
            caller: None,
            callee: None,
            media: None,
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

/// The longest id, pattern or name in a line, in bytes. Ids and app keys are shorter; the calling side chooses `call_id`.
const MAX_NAME: usize = 256;

/// The longest `error` or `message` in a line, in bytes.
const MAX_ERROR: usize = 4_096;

/// The beginning of a text that comes from outside, at most this many bytes of it. Every such text in a line is cut,
/// because Lambda cuts a line that is too long, and half a line is not a metric. In JSON, a byte takes six at most.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

impl LogSettings {
    /// Writes the line of a call, with its metrics. Alarms count the lines of `warn` and `error`, so these are written at
    /// every level.
    pub fn decision(&self, record: &DecisionRecord<'_>) {
        if record.level <= self.level.max(Level::Warn) {
            self.write(&self.decision_line(record, SystemTime::now()));
        }
    }

    fn decision_line<'a>(&'a self, record: &'a DecisionRecord<'_>, now: SystemTime) -> DecisionLine<'a> {
        let name = |text: Option<&'a str>| text.map(|text| cut(text, MAX_NAME));
        let party = |text: Option<&'a str>| name(text.map(|text| self.party(text)));
        let store_ms = record.store.map(milliseconds);
        let total_ms = milliseconds(record.started.elapsed());
        DecisionLine {
            timestamp: timestamp(now),
            level: record.level,
            message: "decision",
            hook: record.hook,
            decision: record.decision,
            reason: record.reason,
            door: record.door,
            rule: party(record.rule.as_deref()),
            app: name(record.app),
            caller: party(record.caller),
            callee: party(record.callee),
            media: record.media.map(MediaSet::words),
            call_id: name(record.call_id),
            request_id: cut(record.request_id, MAX_NAME),
            cold_start: record.cold_start,
            store_ms,
            total_ms,
            units: record.units,
            status: record.status,
            error: record.error.as_deref().map(|error| cut(error, MAX_ERROR)),
            masked: self.mask_parties,
            function: cut(&self.function, MAX_NAME),
            metrics: Metrics::new(now, store_ms.is_some()),
            decisions: 1,
            store_latency: store_ms,
            total_latency: total_ms,
        }
    }

    /// Writes the line of a hook that was answered without a decision.
    pub fn answered(&self, hook: &str, request_id: &str) {
        if self.level >= Level::Debug {
            self.write(&AnsweredLine::new(hook, request_id));
        }
    }

    /// Writes the line of a request that is not a valid call of a hook.
    pub fn rejected(&self, status: u16, error: &str, request_id: &str) {
        if self.level >= Level::Warn {
            self.write(&RejectedLine::new(status, error, request_id));
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
            self.write(&MessageLine::new(level, text));
        }
    }

    fn write(&self, line: &impl Serialize) {
        write_line(line, self.output.as_ref());
    }
}

/// Writes a line about the function itself to stdout, whatever level is configured.
pub fn message(level: Level, text: &str) {
    write_line(&MessageLine::new(level, text), None);
}

#[derive(Serialize)]
struct MessageLine<'a> {
    timestamp: String,
    level: Level,
    message: &'a str,
}

impl<'a> MessageLine<'a> {
    fn new(level: Level, text: &'a str) -> Self {
        Self { timestamp: timestamp(SystemTime::now()), level, message: cut(text, MAX_ERROR) }
    }
}

#[derive(Serialize)]
struct AnsweredLine<'a> {
    timestamp: String,
    level: Level,
    message: &'static str,
    hook: &'a str,
    status: u16,
    request_id: &'a str,
}

impl<'a> AnsweredLine<'a> {
    fn new(hook: &'a str, request_id: &'a str) -> Self {
        Self {
            timestamp: timestamp(SystemTime::now()),
            level: Level::Debug,
            message: "answered",
            hook,
            status: 200,
            request_id: cut(request_id, MAX_NAME),
        }
    }
}

#[derive(Serialize)]
struct RejectedLine<'a> {
    timestamp: String,
    level: Level,
    message: &'static str,
    status: u16,
    error: &'a str,
    request_id: &'a str,
}

impl<'a> RejectedLine<'a> {
    fn new(status: u16, error: &'a str, request_id: &'a str) -> Self {
        Self {
            timestamp: timestamp(SystemTime::now()),
            level: Level::Warn,
            message: "rejected",
            status,
            error: cut(error, MAX_ERROR),
            request_id: cut(request_id, MAX_NAME),
        }
    }
}

#[derive(Serialize)]
struct DecisionLine<'a> {
    timestamp: String,
    level: Level,
    message: &'static str,
    hook: Option<&'a str>,
    decision: &'static str,
    reason: &'static str,
    door: Option<&'static str>,
    rule: Option<&'a str>,
    app: Option<&'a str>,
    caller: Option<&'a str>,
    callee: Option<&'a str>,
    media: Option<&'static [&'static str]>,
    call_id: Option<&'a str>,
    request_id: &'a str,
    cold_start: bool,
    store_ms: Option<f64>,
    total_ms: f64,
    units: f64,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// Without it, a short id could be the end of a longer one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    masked: bool,
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

/// Writes a whole line, to stdout under one lock, so that lines of concurrent calls do not mix. An output that cannot be written to
/// cannot be reported.
fn write_line(line: &impl Serialize, output: Option<&LineOutput>) {
    let Some(text) = text_of(line) else { return };
    match output {
        None => _ = std::io::stdout().lock().write_all(text.as_bytes()),
        Some(LineOutput(write)) => write(&text),
    }
}

/// The line as it is written, with its end.
fn text_of(line: &impl Serialize) -> Option<String> {
    serde_json::to_string(line).ok().map(|json| escaped(json) + "\n")
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The longest line, in bytes, for any text in any field (`docs/src/reference/log.md`).
    const MAX_LINE: usize = 40_000;

    /// The longest name of a hook.
    const HOOK: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ab";

    /// Texts up to the size of an item in the table, of characters that JSON or the log escapes in all their ways.
    fn any_text() -> impl Strategy<Value = String> {
        let length = prop_oneof![0..300_usize, 4_000..4_200_usize, Just(400_000)];
        let piece = prop_oneof![
            Just("\0"),
            Just("\""),
            Just("\\"),
            Just("\n"),
            Just("\u{7f}"),
            Just("\u{9b}"),
            Just("\u{2028}"),
            Just("a"),
            Just("\u{e9}"),
            Just("\u{1f600}"),
            Just("a\u{202e}\0\u{1f600}\u{9b}"),
        ];
        (piece, length, "\\PC{0,4}").prop_map(|(piece, length, end)| piece.repeat(length / piece.len()) + &end)
    }

    /// Checks the text of a line: whole, short enough, and each of these fields begins as it was given.
    #[track_caller]
    fn check(line: &impl Serialize, fields: &[(&str, &str)]) {
        let text = text_of(line).unwrap();
        assert!(text.len() <= MAX_LINE, "{} bytes", text.len());
        let parsed: Value = serde_json::from_str(&text).unwrap();
        for (name, given) in fields {
            let logged = parsed[name].as_str().unwrap();
            assert!(given.starts_with(logged), "{name}");
            // Only what is long is cut, and not inside a character.
            assert!(logged.len() == given.len() || logged.len() > MAX_NAME - 4, "{name}: {} bytes", logged.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_line_is_whole_and_has_a_limited_length_whatever_is_in_it(
            texts in proptest::collection::vec(any_text(), 8),
            mask_parties: bool,
            numbers: (u64, f64),
        ) {
            let [rule, app, caller, callee, call_id, request_id, error, function] = texts.as_slice() else { panic!() };
            let settings = LogSettings { level: Level::Debug, mask_parties, function: function.clone(), output: None };
            let record = DecisionRecord {
                reason: "source_not_allowed",
                hook: Some(HOOK),
                door: Some("callee"),
                rule: Some(rule.clone()),
                app: Some(app),
                caller: Some(caller),
                callee: Some(callee),
                media: Some(MediaSet { audio: true, video: true }),
                call_id: Some(call_id),
                store: Some(Duration::from_millis(numbers.0)),
                units: numbers.1,
                error: Some(error.clone()),
                ..DecisionRecord::new(Instant::now(), request_id, false)
            };
            let mut fields = vec![
                ("hook", HOOK), ("app", app.as_str()), ("call_id", call_id), ("request_id", request_id), ("error", error),
                ("function", function),
            ];
            if !mask_parties {
                fields.extend([("rule", rule.as_str()), ("caller", caller), ("callee", callee)]);
            }
            check(&settings.decision_line(&record, SystemTime::now()), &fields);
            check(&AnsweredLine::new(HOOK, request_id), &[("hook", HOOK), ("request_id", request_id)]);
            check(&RejectedLine::new(405, error, request_id), &[("error", error), ("request_id", request_id)]);
            check(&MessageLine::new(Level::Error, error), &[("message", error)]);
        }
    }

    #[test]
    fn the_longest_line_is_nearly_as_long_as_documented() {
        let longest = "\0".repeat(400_000);
        let settings =
            LogSettings { level: Level::Debug, mask_parties: false, function: longest.clone(), output: None };
        let record = DecisionRecord {
            hook: Some(HOOK),
            rule: Some(longest.clone()),
            app: Some(&longest),
            caller: Some(&longest),
            callee: Some(&longest),
            media: Some(MediaSet { audio: true, video: true }),
            call_id: Some(&longest),
            error: Some(longest.clone()),
            ..DecisionRecord::new(Instant::now(), &longest, false)
        };
        let text = text_of(&settings.decision_line(&record, SystemTime::now())).unwrap();
        assert!((MAX_LINE * 9 / 10..=MAX_LINE).contains(&text.len()), "{} bytes", text.len());
    }
}
