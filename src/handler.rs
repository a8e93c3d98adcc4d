//! The hook on one screen: authenticate, parse, look up, decide, log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use callgate_core::{Call, Decision, Door, Effect, EpochSeconds, InvalidRecord, RecordLocation, decide};
use lambda_runtime::Diagnostic;
use serde_json::value::RawValue;

use crate::authentication::{is_allowed_source, is_signed};
use crate::config::Config;
use crate::event::{EventError, OnCallEvent, with_rest_client_config};
use crate::http::{Answer, Hook, Rejection, Reply, Request};
use crate::log::{DecisionRecord, Level};
use crate::store::{Lookup, Store};

/// The hook: one for as long as the process lives.
#[derive(Debug)]
pub struct Gate {
    config: Config,
    store: Store,
    is_cold: AtomicBool,
}

/// The event was sent by something else than API Gateway. Says where it stops to look like one, and repeats nothing of it.
#[derive(Debug, thiserror::Error)]
#[error("the event is no request of API Gateway: {0}")]
pub struct NotFromApiGateway(String);

impl From<serde_json::Error> for NotFromApiGateway {
    fn from(error: serde_json::Error) -> Self {
        // What lies at a place of the event is told with what was found there.
        Self(match error.line() {
            0 => error.to_string(),
            line => format!("it cannot be read at line {line}, column {}", error.column()),
        })
    }
}

impl From<NotFromApiGateway> for Diagnostic {
    fn from(error: NotFromApiGateway) -> Self {
        Self { error_type: "NotFromApiGateway".to_owned(), error_message: error.to_string() }
    }
}

impl Gate {
    /// Puts configuration and store together, and says so once when nobody has to sign.
    #[must_use]
    pub fn new(config: Config, store: Store) -> Self {
        if config.secrets.is_empty() {
            config.log.say(
                Level::Warn,
                "hooks are not authenticated: anybody who knows the URL may ask; set WCS_HOOK_SECRET to the \
                 rest_hook_secret_key of WCS",
            );
        }
        Self { config, store, is_cold: AtomicBool::new(true) }
    }

    /// Does during the start what the first call would wait for: Lambda lends a start a whole core, and gives a call
    /// the share that its memory buys.
    pub async fn prepare(&self) {
        if let Err(error) = self.store.open_connection().await {
            self.config.log.say(Level::Debug, &format!("the connection was not opened during the start: {error}"));
        }
    }

    /// Answers an event of API Gateway.
    ///
    /// # Errors
    /// When the event comes from something else.
    pub async fn answer(&self, event: &RawValue, request_id: &str) -> Result<Reply, NotFromApiGateway> {
        let started = Instant::now();
        let request = Request::from_event(event)
            .map_err(NotFromApiGateway::from)
            .inspect_err(|error| self.config.log.say(Level::Error, &error.to_string()))?;
        let cold_start = self.is_cold.swap(false, Ordering::Relaxed);
        let record = DecisionRecord::new(started, request_id, cold_start);
        let answer = self.hook(&request, record).await.unwrap_or_else(|rejection| {
            let error = rejection.to_string();
            let answer = Answer::Rejected(rejection);
            self.config.log.rejected(answer.status().as_u16(), &error, request_id);
            answer
        });
        Ok(request.reply(answer))
    }

    async fn hook(&self, request: &Request<'_>, record: DecisionRecord<'_>) -> Result<Answer, Rejection> {
        if !is_allowed_source(self.config.allowed_sources.as_deref(), request.source) {
            return Ok(self.not_ours("source_not_allowed", record));
        }
        let hook = request.hook()?;
        // Who does not even claim to have signed is told nothing about the body either.
        if !self.config.secrets.is_empty() && request.authorization().is_none() {
            return Ok(self.not_ours("bad_signature", record));
        }
        let body = request.body()?;
        if !is_signed(&self.config.secrets, request.authorization(), &body) {
            return Ok(self.not_ours("bad_signature", record));
        }
        let bad = |error: EventError| Rejection::BadRequest(error.to_string());
        let body = String::from_utf8(body).map_err(|_| Rejection::BadRequest("the body is not UTF-8".to_owned()))?;
        match hook {
            Hook::Connect => with_rest_client_config(&body).map(Answer::Echo).map_err(bad),
            Hook::OnCallEvent => {
                let event = OnCallEvent::parse(&body, &self.config.dial_plan).map_err(bad)?;
                Ok(self.on_call(&event, body, record).await)
            }
        }
    }

    /// The request is not from our WCS. Nothing is looked up, and the answer tells no more than a refusal.
    fn not_ours(&self, reason: &'static str, record: DecisionRecord<'_>) -> Answer {
        self.log(DecisionRecord { level: Level::Warn, decision: "deny", reason, ..record }, Answer::Refused)
    }

    async fn on_call(&self, event: &OnCallEvent, body: String, record: DecisionRecord<'_>) -> Answer {
        let OnCallEvent { call, call_id } = event;
        let now = SystemTime::now();
        let read_from = Instant::now();
        let lookup = self.store.look_up(call, now).await;
        let record = DecisionRecord {
            app: Some(call.app.as_str()),
            caller: Some(call.caller.as_str()),
            callee: Some(call.callee.as_str()),
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
            Decision::Suspended(_) | Decision::NoRule => {}
        }
        match decision.effect() {
            Effect::Allow => self.log(record, Answer::Echo(body)),
            Effect::Deny => self.log(record, Answer::Refused),
        }
    }

    /// Names the item and the rule that could not be understood.
    fn describe(&self, invalid: &InvalidRecord<'_>, call: &Call) -> String {
        let Call { app, caller, callee, .. } = call;
        let [caller, callee] = [caller, callee].map(|id| self.config.log.party(id.as_str()));
        let item = |door| match door {
            Door::App => format!("app `{app}`"),
            Door::Caller => format!("party `{caller}` of app `{app}`"),
            Door::Callee => format!("party `{callee}` of app `{app}`"),
        };
        let place = match invalid.location {
            RecordLocation::Item(door) => item(door),
            RecordLocation::Entry(door, pattern) => {
                let list = match door {
                    Door::App => "callers",
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

/// Whole seconds since 1970, as decisions count time; what lies before is its beginning.
#[must_use]
pub fn epoch_seconds(now: SystemTime) -> EpochSeconds {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs);
    EpochSeconds::try_from(since).unwrap_or(EpochSeconds::MAX)
}
