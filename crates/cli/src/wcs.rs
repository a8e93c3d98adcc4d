//! A simulation of WCS: what it sends to a hook, and what it does with the answer.
//!
//! It follows the published documentation of WCS 5.2, "REST Hooks". It was not compared with a live WCS.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use callgate::authentication::Secret;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use ureq::Agent;

/// WCS's configuration for a method, from the answer to `connect` ("REST Hooks", `restClientConfig`).
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct MethodConfig {
    #[serde(rename = "restOnError")]
    pub(crate) on_error: String,
    #[serde(rename = "restPolicy")]
    policy: String,
    #[serde(rename = "restExclude")]
    exclude: String,
}

/// WCS's defaults, for a method that the answer does not name.
impl Default for MethodConfig {
    fn default() -> Self {
        Self { on_error: "LOG".to_owned(), policy: "NOTIFY".to_owned(), exclude: String::new() }
    }
}

/// What happens to a call on the SIP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    /// The hook permitted the call.
    Rings,
    /// The hook refused the call.
    Forbidden,
    /// The hook failed, and `restOnError=FAIL` refuses the call.
    ForbiddenByFailure(String),
    /// The hook refused or failed, and WCS lets the call through anyway.
    RingsUnpermitted(String),
    /// WCS did not call the hook.
    RingsUnasked,
}

impl CallOutcome {
    /// The stable word for programs.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Forbidden => "forbidden",
            Self::ForbiddenByFailure(_) => "forbidden_by_failure",
            Self::RingsUnpermitted(_) => "rings_unpermitted",
            Self::RingsUnasked => "rings_unasked",
        }
    }

    /// Whether the call rings although the hook did not permit it.
    pub(crate) const fn fails_open(&self) -> bool {
        matches!(self, Self::RingsUnpermitted(_) | Self::RingsUnasked)
    }
}

impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rings => f.write_str("rings"),
            Self::Forbidden => f.write_str("403 FORBIDDEN"),
            Self::ForbiddenByFailure(why) => write!(f, "403 FORBIDDEN (backend failed: {why})"),
            Self::RingsUnpermitted(why) => write!(f, "rings (backend failed, restOnError=LOG): {why}"),
            Self::RingsUnasked => f.write_str("rings (the hook was not called, restPolicy=DISABLE)"),
        }
    }
}

/// Where the answer to `connect` comes from.
#[derive(Debug, Clone)]
pub(crate) enum ConnectSource {
    /// The hook itself.
    Hook,
    /// A file with the answer of another backend.
    File(PathBuf),
    /// WCS does not call `connect`, because it is not among the app's REST methods.
    Disabled,
}

/// A WCS with one app.
pub(crate) struct Wcs {
    pub(crate) app: String,
    /// The app's URL, without the method.
    pub(crate) url: String,
    /// `rest_hook_secret_key`
    pub(crate) secret: Option<Secret>,
    /// `rest_client_request_retry_count`
    pub(crate) retries: u32,
    agent: Agent,
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
        let url = url.trim_end_matches('/').to_owned();
        Self { app: app.to_owned(), url, secret, retries, agent: config.new_agent() }
    }

    /// Starts a session. Returns where the answer came from, and its configuration of `OnCallEvent`.
    pub(crate) fn connect(&self, source: &ConnectSource) -> anyhow::Result<(String, MethodConfig)> {
        let (origin, answer) = match source {
            ConnectSource::Disabled => {
                return Ok(("not among the REST methods".to_owned(), MethodConfig::default()));
            }
            ConnectSource::File(file) => {
                let name = file.display();
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{name}`"))?;
                (format!("answered by `{name}`"), text)
            }
            ConnectSource::Hook => match self.post("connect", &connect_event(&self.app)) {
                Ok((200, text)) => ("200".to_owned(), text),
                Ok((status, _)) => {
                    let hint =
                        if status == 403 { " (check --secret, and whether this address is allowed)" } else { "" };
                    anyhow::bail!("connect: {status}, so WCS declines the session{hint}")
                }
                Err(error) => anyhow::bail!("connect: {error}, so WCS declines the session"),
            },
        };
        let answer: Value = serde_json::from_str(&answer).context("connect: the answer is not JSON")?;
        let config = answer.pointer("/restClientConfig/OnCallEvent").cloned();
        let config: MethodConfig = config
            .map_or_else(|| Ok(MethodConfig::default()), serde_json::from_value)
            .context("connect: restClientConfig.OnCallEvent is not as documented")?;
        Ok((origin, config))
    }

    /// Plays an incoming SIP call.
    pub(crate) fn call(&self, config: &MethodConfig, caller: &str, callee: &str, video: bool) -> CallOutcome {
        if config.policy == "DISABLE" {
            return CallOutcome::RingsUnasked;
        }
        let mut event = on_call_event(&self.app, caller, callee, video);
        for field in config.exclude.split(',').map(str::trim) {
            event.remove(field);
        }
        let error = match self.post("OnCallEvent", &Value::Object(event)) {
            Ok((200, _)) => return CallOutcome::Rings,
            Ok((403, _)) if config.on_error == "FAIL" => return CallOutcome::Forbidden,
            Ok((status, _)) => format!("it answered {status}"),
            Err(error) => error.to_string(),
        };
        match config.on_error.as_str() {
            "FAIL" => CallOutcome::ForbiddenByFailure(error),
            _ => CallOutcome::RingsUnpermitted(error),
        }
    }

    /// Sends a hook, and again if it could not be sent. Returns the status and the body of the answer.
    fn post(&self, method: &str, body: &Value) -> Result<(u16, String), ureq::Error> {
        let body = serde_json::to_vec_pretty(body).map_err(|error| ureq::Error::Io(error.into()))?;
        let mut attempt = 0;
        loop {
            let mut request = self
                .agent
                .post(format!("{}/{method}", self.url))
                .header("Accept", "application/json")
                .header("Content-Type", "application/json;charset=UTF-8");
            if let Some(secret) = &self.secret {
                request = request.header("Authorization", secret.authorization(&body));
            }
            let answer = request.send(&body).and_then(|mut answer| {
                let text = answer.body_mut().read_to_string()?;
                Ok((answer.status().as_u16(), text))
            });
            match answer {
                Err(_) if attempt < self.retries => attempt += 1,
                answer => return answer,
            }
        }
    }
}

/// A `connect` event, as WCS's documentation shows it.
fn connect_event(app: &str) -> Value {
    json!({
        "nodeId": "ah20GKYnbYKxjJmdh1zDs6c1lWkn0Q0t@46.101.108.90",
        "appKey": app,
        "sessionId": "/8.8.8.8:56046/46.101.108.90:8443",
        "useWsTunnel": false,
        "useWsTunnelPacketization2": false,
        "useBase64BinaryEncoding": false,
        "mediaProviders": ["WebRTC"],
        "clientVersion": "2.0",
        "clientOSVersion": "5.0",
        "clientBrowserVersion": "callgatectl wcs-simulator",
        "keepAlive": false,
        "origin": "https://wcs.example.com",
    })
}

/// An `OnCallEvent`, as WCS's documentation shows it.
fn on_call_event(app: &str, caller: &str, callee: &str, video: bool) -> Map<String, Value> {
    let event = json!({
        "nodeId": "ah20GKYnbYKxjJmdh1zDs6c1lWkn0Q0t@46.101.108.90",
        "appKey": app,
        "sessionId": "/8.8.8.8:56046/46.101.108.90:8443",
        "callId": "callgatectl-wcs-simulator",
        "incoming": true,
        "status": "PENDING",
        "caller": caller,
        "callee": callee,
        "hasAudio": true,
        "hasVideo": video,
        "mediaProvider": "WebRTC",
        "isMsrp": false,
        "holdForTransfer": false,
    });
    match event {
        Value::Object(event) => event,
        _ => Map::new(),
    }
}
