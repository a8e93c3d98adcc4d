//! The hooks of a session, one after the other, for a page with a SIP phone.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use callgate::authentication::Secret;
use serde_json::Value;
use ureq::Agent;

use super::answer::{HookConfig, HookOutcome, RestClientConfig};
use super::events::{self, Event};
use super::{CALL, ON_CALL_EVENT, STREAM_KEEP_ALIVE_EVENT};

/// Where the answer to `connect` comes from.
#[derive(Debug, Clone)]
pub(crate) enum ConnectSource {
    /// The hook itself.
    Hook,
    /// A file with the answer of another backend.
    File(PathBuf),
    /// WCS does not send `connect`, because it is not among the app's REST methods.
    Disabled,
}

/// A WCS with one app.
pub(crate) struct Wcs {
    app: String,
    /// The app's URL, without the hook.
    url: String,
    /// `rest_hook_secret_key`
    secret: Option<Secret>,
    /// `rest_client_request_retry_count`
    retries: u32,
    agent: Agent,
}

/// A call to play in both directions, and whether it must go through.
#[derive(Debug, Clone)]
pub(crate) struct PlannedCall {
    pub(crate) caller: String,
    pub(crate) callee: String,
    pub(crate) must_go_through: Option<bool>,
}

/// A session that `connect` started.
pub(crate) struct Session<'a> {
    wcs: &'a Wcs,
    /// Where the answer to `connect` came from.
    pub(crate) connect: String,
    /// How the answer to `connect` differs from what was sent.
    pub(crate) note: Option<String>,
    config: RestClientConfig,
}

/// A hook that was played, and what WCS does with the answer.
#[derive(Debug)]
pub(crate) struct PlayedHook {
    pub(crate) hook: &'static str,
    /// The caller and the callee of a call.
    pub(crate) parties: Option<(String, String)>,
    /// The status of the answer. `None` without an answer.
    pub(crate) status: Option<u16>,
    outcome: HookOutcome,
    /// The answer, and what WCS does with it.
    pub(crate) why: String,
    /// How the body of a 200 differs from what was sent.
    pub(crate) note: Option<String>,
    /// Whether it must not end like this.
    pub(crate) wrong: bool,
}

impl PlayedHook {
    /// The stable word for programs.
    pub(crate) fn outcome(&self) -> &'static str {
        self.outcome.as_str(self.hook)
    }

    /// Whether the hook failed, although the session may go on like this.
    pub(crate) const fn is_failure(&self) -> bool {
        matches!(self.outcome, HookOutcome::Failed | HookOutcome::Ignored)
    }
}

impl Wcs {
    /// A WCS that waits this long for an answer (`rest_request_timeout`).
    pub(crate) fn new(app: &str, url: &str, secret: Option<Secret>, retries: u32, timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // It is not documented whether WCS follows redirects, so the simulation must not rely on it.
            .max_redirects(0)
            .user_agent("Java/1.8.0_111")
            .build();
        Self { app: app.to_owned(), url: url.to_owned(), secret, retries, agent: config.new_agent() }
    }

    /// Starts a session.
    pub(crate) fn connect(&self, source: &ConnectSource) -> anyhow::Result<Session<'_>> {
        let (connect, answer, note) = match source {
            ConnectSource::Disabled => {
                let (connect, config) = ("not among the REST methods".to_owned(), RestClientConfig::default());
                return Ok(Session { wcs: self, connect, note: None, config });
            }
            ConnectSource::File(file) => {
                let name = file.display();
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{name}`"))?;
                (format!("answered by `{name}`"), text, None)
            }
            ConnectSource::Hook => {
                let mut event = events::connect(&self.app);
                match self.post("connect", &event) {
                    Ok((200, text)) => {
                        let note = connect_note(&mut event, &text);
                        ("200".to_owned(), text, note)
                    }
                    Ok((status, _)) => {
                        let hint =
                            if status == 403 { " (check --secret, and whether this address is allowed)" } else { "" };
                        bail!("connect: {status}, so WCS declines the session{hint}")
                    }
                    Err(error) => bail!("connect: {error}, so WCS declines the session"),
                }
            }
        };
        let config = RestClientConfig::parse(&answer).context("connect")?;
        Ok(Session { wcs: self, connect, note, config })
    }

    /// Sends a hook, and again if it could not be sent. Returns the status and the body of the answer.
    fn post(&self, hook: &str, event: &Event) -> Result<(u16, String), ureq::Error> {
        let body = serde_json::to_vec_pretty(event).map_err(|error| ureq::Error::Io(error.into()))?;
        let mut attempt = 0;
        loop {
            let mut request = self
                .agent
                .post(format!("{}/{hook}", self.url))
                .header("Accept", "application/json")
                .header("Content-Type", "application/json;charset=UTF-8");
            if let Some(secret) = &self.secret {
                request = request.header("Authorization", secret.authorization(&body));
            }
            let answer = request.send(&body).and_then(|mut answer| {
                // The status counts, even if the body is not text.
                let body = answer.body_mut().read_to_vec()?;
                Ok((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            });
            match answer {
                Err(_) if attempt < self.retries => attempt += 1,
                answer => return answer,
            }
        }
    }
}

/// How the answer to `connect` differs from what was sent, apart from `restClientConfig`.
fn connect_note(event: &mut Event, answer: &str) -> Option<String> {
    let sent = event.clone();
    match serde_json::from_str(answer) {
        Ok(Value::Object(mut answer)) => {
            answer.remove("restClientConfig");
            HookConfig::default().overwrite(event, &sent, &Value::Object(answer).to_string())
        }
        _ => None, // the configuration cannot be read either, which is an error
    }
}

impl Session<'_> {
    /// The hooks with which the backend decides calls.
    pub(crate) fn gated_hooks(&self) -> impl Iterator<Item = (&'static str, HookConfig)> {
        let hooks = [ON_CALL_EVENT, CALL].into_iter().filter(|hook| self.config.is_gated(hook));
        hooks.map(|hook| (hook, self.config.hook(hook)))
    }

    /// Sends the hooks that follow `connect`, and hands over each when it is answered.
    pub(crate) fn play(
        &self,
        calls: &[PlannedCall],
        video: bool,
        mut played: impl FnMut(PlayedHook) -> io::Result<()>,
    ) -> io::Result<()> {
        let app = &self.wcs.app;
        played(self.send("ConnectionStatusEvent", &mut events::status(app, "ESTABLISHED"), None))?;
        played(self.send("RegistrationStatusEvent", &mut events::status(app, "REGISTERED"), None))?;
        for (number, PlannedCall { caller, callee, must_go_through }) in (1..).zip(calls) {
            let call_id = |direction| format!("callgatectl-wcs-simulator-{number}-{direction}");
            let outgoing = events::call(app, &call_id("out"), caller, callee, video);
            let incoming = events::on_call_event(app, &call_id("in"), caller, callee, video);
            for (hook, mut event) in [(CALL, outgoing), (ON_CALL_EVENT, incoming)] {
                let call = self.send(hook, &mut event, *must_go_through);
                let goes_through = call.outcome.goes_through();
                played(call)?;
                if goes_through {
                    played(self.send("CallStatusEvent", &mut events::call_status(event), None))?;
                }
            }
        }
        played(self.send(STREAM_KEEP_ALIVE_EVENT, &mut events::stream_keep_alive(app), None))
    }

    /// Sends a hook as its configuration has it, and obeys the answer.
    fn send(&self, hook: &'static str, event: &mut Event, must_go_through: Option<bool>) -> PlayedHook {
        let config = self.config.hook(hook);
        let is_gated = self.config.is_gated(hook);
        let party = |event: &Event, name| event.get(name)?.as_str().map(str::to_owned);
        let parties = party(event, "caller").zip(party(event, "callee"));
        let (answer, status, outcome, note) = if config.is_disabled() {
            ("not sent (restPolicy=DISABLE)".to_owned(), None, HookOutcome::NotSent, None)
        } else {
            let sent = config.sent(event);
            match self.wcs.post(hook, &sent) {
                Ok((status, body)) => {
                    let note = if status == 200 { config.overwrite(event, &sent, &body) } else { None };
                    (status.to_string(), Some(status), config.outcome(hook, Some(status)), note)
                }
                Err(error) => (format!("no answer ({error})"), None, config.outcome(hook, None), None),
            }
        };
        let mut why = format!("{answer}, {}", outcome.text(hook, &config, is_gated, status));
        let wrong = match (hook, outcome) {
            (CALL, HookOutcome::Ignored) if !is_gated => status == Some(403),
            (CALL | ON_CALL_EVENT, HookOutcome::Ignored | HookOutcome::NotSent) => true,
            (CALL | ON_CALL_EVENT, _) => {
                let unexpected = must_go_through.filter(|must| is_gated && *must != outcome.goes_through());
                why += match (unexpected, hook) {
                    (None, _) => "",
                    (Some(false), _) => ", and must not",
                    (Some(true), CALL) => ", and must go out",
                    (Some(true), _) => ", and must ring",
                };
                unexpected.is_some()
            }
            (_, outcome) => matches!(outcome, HookOutcome::Refused | HookOutcome::Failed),
        };
        PlayedHook { hook, parties, status, outcome, why, note, wrong }
    }
}
