//! Reads calls from the function's log group in CloudWatch Logs.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::http::HttpResponse;
use aws_sdk_cloudwatchlogs::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_cloudwatchlogs::config::timeout::TimeoutConfig;
use aws_sdk_cloudwatchlogs::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use callgate_core::{AppKey, EpochSeconds, Pattern};

use super::filter::masked;
use super::{CallFilter, Decided, LoggedCall, Scan, Summary};
use crate::error::{Error, missing_credentials};

/// The most attempts at one request. CloudWatch Logs permits few requests per second ("CloudWatch Logs quotas").
const MAX_ATTEMPTS: u32 = 12;

/// The longest pause before the second attempt. It doubles from there, with jitter.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// The longest pause before another attempt.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// By how many milliseconds the time of an event may differ from that in its line.
const MARGIN: i64 = 10_000;

/// How many milliseconds an event may arrive after later ones.
const LATENESS: i64 = 60_000;

/// The longest filter pattern, in characters ("FilterLogEvents", Amazon CloudWatch Logs API Reference).
const MAX_PATTERN: usize = 1_024;

/// A log group.
#[derive(Debug, Clone)]
pub struct LogGroup {
    client: Client,
    name: String,
}

/// How far a log group was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The number of pages so far.
    pub pages: u64,
    /// The time of the latest event so far. Pages may have none.
    pub latest: Option<EpochSeconds>,
}

/// The position up to which a log group was read.
#[derive(Debug, Default)]
pub struct Position {
    /// The time from which events are read next, in milliseconds.
    start: Option<i64>,
    /// The ids of the events from there on that were read, with their times.
    read: HashMap<String, i64>,
}

/// Sets the patience of a client: few requests per second are permitted, and a person waits.
#[must_use]
pub fn patient(builder: Builder) -> Builder {
    builder
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(MAX_ATTEMPTS)
                .with_initial_backoff(FIRST_BACKOFF)
                .with_max_backoff(MAX_BACKOFF),
        )
        .retry_partition(RetryPartition::custom("callgate-logs").token_bucket(TokenBucket::unlimited()).build())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(REQUEST_TIMEOUT)
                .operation_attempt_timeout(REQUEST_TIMEOUT)
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

impl LogGroup {
    /// A log group by its name. Nothing is sent yet.
    #[must_use]
    pub fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.to_owned() }
    }

    /// The name of the log group.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls `take` with every call of the log group that the filter accepts, page by page, and `on_page` after each page. The
    /// events that were read up to the position are left out. Stops at the first error of `take`.
    ///
    /// # Errors
    /// Why the log group cannot be read, or the error of `take`.
    pub async fn read<E: From<Error>>(
        &self,
        scan: &mut Scan<'_>,
        position: &mut Position,
        mut take: impl FnMut(&LoggedCall<'_>) -> Result<(), E>,
        mut on_page: impl FnMut(Progress),
    ) -> Result<Summary, E> {
        let filter = scan.filter();
        let millis = |seconds: EpochSeconds| seconds.saturating_mul(1_000);
        let start = position.start.or(filter.since.map(|since| millis(since).saturating_sub(MARGIN)));
        let request = self
            .client
            .filter_log_events()
            .log_group_name(&self.name)
            .set_start_time(start.map(|start| start.max(0)))
            .set_end_time(filter.until.map(|until| millis(until).saturating_add(MARGIN)))
            .filter_pattern(pattern(filter));
        let mut progress = Progress { pages: 0, latest: None };
        let (mut token, mut piece) = (None, Vec::new());
        loop {
            let answer = request.clone().set_next_token(token).send().await;
            let page = answer.map_err(|error| E::from(self.error(&error)))?;
            piece.clear();
            for event in page.events.unwrap_or_default() {
                let time = event.timestamp.unwrap_or_default();
                progress.latest = progress.latest.max(Some(time.div_euclid(1_000)));
                let is_new = event.event_id.is_none_or(|id| position.read.insert(id, time).is_none());
                if is_new {
                    piece.extend_from_slice(event.message.unwrap_or_default().trim_end().as_bytes());
                    piece.push(b'\n');
                }
            }
            scan.piece(&piece, &mut take)?;
            progress.pages += 1;
            on_page(progress);
            position.forget_before(progress.latest.map(|latest| millis(latest).saturating_sub(LATENESS)));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(scan.summary);
            }
        }
    }

    fn error(&self, error: &SdkError<FilterLogEventsError, HttpResponse>) -> Error {
        if let Some(why) = missing_credentials(error) {
            return Error::NoCredentials(why);
        }
        let service = error.as_service_error();
        let code = service.and_then(|service| service.code()).map(str::to_owned);
        // A message about a wrong signature repeats what was signed, line by line.
        let text =
            service.and_then(|service| service.message()).and_then(|text| text.lines().next()).unwrap_or_default();
        let message = match code.as_deref() {
            Some("ResourceNotFoundException") => {
                "there is no such log group in this region; check --log-group, --function and --region. A function that was \
                 never called has none"
                    .to_owned()
            }
            Some("AccessDeniedException") => format!("AccessDeniedException: {text} (the right `logs:FilterLogEvents` is needed)"),
            Some(code) => format!("CloudWatch Logs answered {code}: {text}"),
            None => {
                let causes = std::iter::successors(Some(error as &dyn std::error::Error), |&error| error.source());
                let causes: Vec<_> = causes.map(ToString::to_string).collect();
                format!("the request to CloudWatch Logs failed: {}", causes.join(": "))
            }
        };
        Error::Request { action: format!("cannot read the log group `{}`", self.name), code, message }
    }
}

impl Position {
    /// Forgets the events before a time, which are not read again.
    fn forget_before(&mut self, time: Option<i64>) {
        let Some(time) = time.filter(|time| self.start.is_none_or(|start| start < *time)) else { return };
        self.start = Some(time);
        self.read.retain(|_, read| *read >= time);
    }
}

/// The filter pattern for CloudWatch Logs ("Filter pattern syntax for metric filters, subscription filters, and filter log
/// events", Amazon CloudWatch Logs User Guide). It selects all calls that the filter accepts, and perhaps others.
fn pattern(filter: &CallFilter) -> String {
    const DECISION: &str = "$.message = \"decision\"";
    // A value with any other character could be a wildcard, or end the text.
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-_.:".contains(&byte));
    let any = |names: &[&str], values: &[&str]| -> Option<String> {
        let terms = names.iter().flat_map(|name| values.iter().map(move |value| format!("$.{name} = \"{value}\"")));
        let are_plain = values.iter().all(|value| is_plain(value.strip_suffix('*').unwrap_or(value)));
        (are_plain && !values.is_empty()).then(|| format!("({})", terms.collect::<Vec<_>>().join(" || ")))
    };
    let party = |names: &[&str], pattern: &Option<Pattern>| match pattern.as_ref()? {
        // A masked log has only the end.
        Pattern::Exact(id) if id.ends_with('*') => None,
        Pattern::Exact(id) => any(names, &[id, masked(id)]),
        Pattern::Prefix(prefix) => any(names, &[&format!("{prefix}*")]),
        Pattern::Everyone | Pattern::Group(_) => None,
    };
    let decisions: Vec<_> = filter.decisions.iter().map(|it| Decided::as_str(*it)).collect();
    let reasons: Vec<_> = filter.reasons.iter().map(String::as_str).collect();
    let is_exact = |text: &&str| !text.ends_with('*');
    let exact = |text: Option<&str>, names: &[&str]| text.filter(is_exact).and_then(|text| any(names, &[text]));
    let terms = [
        exact(filter.app.as_ref().map(AppKey::as_str), &["app"]),
        exact(filter.hook.as_deref(), &["hook"]),
        exact(filter.call_id.as_deref(), &["call_id", "request_id"]),
        any(&["decision"], &decisions),
        any(&["reason"], &reasons),
        party(&["caller"], &filter.from),
        party(&["callee"], &filter.to),
        party(&["caller", "callee"], &filter.party),
    ];
    let all: String = terms.into_iter().flatten().map(|term| format!(" && {term}")).collect();
    let pattern = format!("{{ {DECISION}{all} }}");
    if pattern.len() <= MAX_PATTERN { pattern } else { format!("{{ {DECISION} }}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: CallFilter, terms: &str) {
        assert_eq!(pattern(&filter), format!("{{ $.message = \"decision\"{terms} }}"));
    }

    #[test]
    fn the_filter_is_pushed_down_as_far_as_it_can_be_written() {
        let exact = |id: &str| Some(Pattern::Exact(id.to_owned()));
        check(CallFilter::default(), "");
        check(
            CallFilter { from: exact("+74951234567"), app: AppKey::new("shop").ok(), ..CallFilter::default() },
            r#" && ($.app = "shop") && ($.caller = "+74951234567" || $.caller = "4567")"#,
        );
        check(
            CallFilter { party: Some(Pattern::Prefix("+7495".to_owned())), ..CallFilter::default() },
            r#" && ($.caller = "+7495*" || $.callee = "+7495*")"#,
        );
        check(
            CallFilter {
                decisions: vec![Decided::Deny, Decided::Error],
                reasons: vec!["no_rule".to_owned()],
                call_id: Some("a-1".to_owned()),
                ..CallFilter::default()
            },
            r#" && ($.call_id = "a-1" || $.request_id = "a-1") && ($.decision = "deny" || $.decision = "error") && ($.reason = "no_rule")"#,
        );
        // None of these can be a wildcard, or end the text.
        for id in ["*98", "*98*", "a\"b", "a\\b", "a b", "é", "a%b"] {
            check(CallFilter { to: exact(id), call_id: Some(id.to_owned()), ..CallFilter::default() }, "");
        }
        check(CallFilter { call_id: Some("x".repeat(1_000)), ..CallFilter::default() }, "");
    }
}
