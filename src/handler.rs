//! The hook on one screen: authenticate, parse, look up, decide, log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use callgate_core::{Call, Decision, Door, Effect, EpochSeconds, InvalidRecord, RecordLocation, decide};
use lambda_http::http::request::Parts;
use lambda_http::{Body, Request, RequestExt as _, Response};

use crate::authentication::{is_allowed_source, is_signed};
use crate::config::Config;
use crate::event::{CallEvent, EventError, check_object, with_rest_client_config};
use crate::hook::Hook;
use crate::log::{DecisionRecord, Level};
use crate::request::{Received, Rejection, authorization, decode_body, into_text, source_address};
use crate::response::Answer;
use crate::store::{Lookup, Store};

/// Answers the requests of WCS. There is one for the whole life of the process, for any number of requests at once.
#[derive(Debug)]
pub struct HookHandler {
    config: Config,
    store: Store,
    is_cold: AtomicBool,
}

impl HookHandler {
    /// Puts configuration and store together. Logs a warning if no secret is set.
    #[must_use]
    pub fn new(config: Config, store: Store) -> Self {
        if config.secrets.is_empty() {
            config.log.message(
                Level::Warn,
                "hooks are not authenticated: anyone who knows the URL can call them; set WCS_HOOK_SECRET to the \
                 rest_hook_secret_key of WCS",
            );
        }
        Self { config, store, is_cold: AtomicBool::new(true) }
    }

    /// Opens the connection to DynamoDB during the start, so that the first call does not wait for it: Lambda gives a
    /// start a whole core, and a call the share that its memory size buys.
    pub async fn prepare(&self) {
        if let Err(error) = self.store.open_connection().await {
            self.config.log.message(Level::Debug, &format!("the connection was not opened during the start: {error}"));
        }
    }

    /// Logs an event that never became a request.
    pub(crate) fn log_error(&self, error: &impl std::fmt::Display) {
        self.config.log.message(Level::Error, &error.to_string());
    }

    /// Answers a request and logs the decision.
    ///
    /// Reads its method, its headers and its body, and with [`lambda_http::RequestExt`] the raw path, the source
    /// address in the request context and the request id in the Lambda context. The URI is not read.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let started = parts.extensions.get::<Received>().map_or_else(Instant::now, |received| received.0);
        let request_id = parts.extensions.lambda_context_ref().map_or("", |context| context.request_id.as_str());
        let cold_start = self.is_cold.swap(false, Ordering::Relaxed);
        let record = DecisionRecord::new(started, request_id, cold_start);
        let answer = self.answer(&parts, body, record).await.unwrap_or_else(|rejection| {
            let error = rejection.to_string();
            let answer = Answer::Rejected(rejection);
            self.config.log.rejected(answer.status().as_u16(), &error, request_id);
            answer
        });
        answer.into_response()
    }

    async fn answer(&self, parts: &Parts, body: Body, record: DecisionRecord<'_>) -> Result<Answer, Rejection> {
        let Config { gated_hooks, other_hooks, .. } = self.config;
        let hook = Hook::of(parts, gated_hooks, other_hooks);
        let record = DecisionRecord { hook: hook.as_ref().ok().map(|hook| hook.name()), ..record };
        if !is_allowed_source(self.config.allowed_sources.as_deref(), source_address(parts)) {
            return Ok(self.not_authentic("source_not_allowed", record));
        }
        let hook = hook?;
        let authorization = authorization(parts);
        // A request without a signature gets no error about its body either.
        if !self.config.secrets.is_empty() && authorization.is_none() {
            return Ok(self.not_authentic("bad_signature", record));
        }
        let body = decode_body(parts, body)?;
        if !is_signed(&self.config.secrets, authorization, &body) {
            return Ok(self.not_authentic("bad_signature", record));
        }
        let bad = |error: EventError| Rejection::BadRequest(error.to_string());
        let body = into_text(body)?;
        let echo = match hook {
            Hook::Gated(_) => {
                let event = CallEvent::parse(&body, self.config.phone_region).map_err(bad)?;
                return Ok(self.on_call(&event, body, record).await);
            }
            Hook::Connect => with_rest_client_config(&body, gated_hooks).map_err(bad)?,
            Hook::Other(_) => {
                check_object(&body).map_err(bad)?;
                body
            }
        };
        self.config.log.answered(hook.name(), record.request_id);
        Ok(Answer::Echo(echo))
    }

    /// The request is not from our WCS. Nothing is looked up, and the answer is the same as a refusal.
    fn not_authentic(&self, reason: &'static str, record: DecisionRecord<'_>) -> Answer {
        self.log(DecisionRecord { level: Level::Warn, decision: "deny", reason, ..record }, Answer::Refused)
    }

    async fn on_call(&self, event: &CallEvent, body: String, record: DecisionRecord<'_>) -> Answer {
        let CallEvent { call, call_id } = event;
        let now = SystemTime::now();
        let read_from = Instant::now();
        let lookup = self.store.look_up(call, now).await;
        let record = DecisionRecord {
            app: Some(call.app.as_str()),
            caller: Some(call.caller.as_str()),
            callee: Some(call.callee.as_str()),
            media: Some(call.media),
            call_id: call_id.as_deref(),
            store: Some(read_from.elapsed()),
            ..record
        };
        match lookup {
            Ok(lookup) => self.decide(call, &lookup, epoch_seconds(now), body, record),
            Err(error) => {
                let record = DecisionRecord {
                    level: Level::Error,
                    decision: "error",
                    reason: "store_unavailable",
                    error: Some(error.to_string()),
                    ..record
                };
                let allow = self.config.allow_on_store_failure;
                self.log(record, if allow { Answer::Echo(body) } else { Answer::Unavailable })
            }
        }
    }

    fn decide(
        &self,
        call: &Call,
        lookup: &Lookup,
        now: EpochSeconds,
        body: String,
        mut record: DecisionRecord<'_>,
    ) -> Answer {
        let decision = decide(call, lookup.permissions(), now);
        (record.decision, record.reason) = (decision.effect().as_str(), decision.reason());
        record.units = lookup.units;
        match &decision {
            Decision::Rule { door, key, .. } => {
                (record.door, record.rule) = (Some(door.as_str()), Some(key.to_string()));
            }
            Decision::InvalidRecord(invalid) => {
                (record.level, record.error) = (Level::Error, Some(self.describe(invalid, call)));
            }
            Decision::Suspended(_) | Decision::Blocked(_) | Decision::NoRule => {}
        }
        match decision.effect() {
            Effect::Allow => self.log(record, Answer::Echo(body)),
            Effect::Deny => self.log(record, Answer::Refused),
        }
    }

    /// Names the item and the rule that could not be parsed.
    fn describe(&self, invalid: &InvalidRecord<'_>, call: &Call) -> String {
        let Call { app, caller, callee, .. } = call;
        let [caller, callee] = [caller, callee].map(|id| self.config.log.party(id.as_str()));
        let item = |door| match door {
            Door::App | Door::Destination => format!("app `{app}`"),
            Door::Caller => format!("party `{caller}` of app `{app}`"),
            Door::Callee => format!("party `{callee}` of app `{app}`"),
        };
        let place = match invalid.location {
            RecordLocation::Item(door) => item(door),
            RecordLocation::Entry(door, pattern) => {
                let list = match door {
                    Door::App => "callers",
                    Door::Destination => "destinations",
                    Door::Caller => "outgoing",
                    Door::Callee => "incoming",
                };
                format!("{}, rule `{}` of `{list}`", item(door), self.config.log.party(&pattern.to_string()))
            }
            RecordLocation::Pair => format!("rule from `{caller}` to `{callee}` of app `{app}`"),
        };
        format!("{place}: {}", invalid.error)
    }

    fn log(&self, mut record: DecisionRecord<'_>, answer: Answer) -> Answer {
        record.status = answer.status().as_u16();
        self.config.log.decision(&record);
        answer
    }
}

/// Whole seconds since 1970, as decisions count time. An earlier time is 0.
#[must_use]
pub fn epoch_seconds(now: SystemTime) -> EpochSeconds {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs);
    EpochSeconds::try_from(since).unwrap_or(EpochSeconds::MAX)
}
