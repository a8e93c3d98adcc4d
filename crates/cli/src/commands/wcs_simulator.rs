//! Plays what WCS does when a SIP call comes in, so that a set-up which fails open is seen before it costs somebody.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use callgate::authentication::Secret;
use callgate::config::is_http_url;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use ureq::Agent;

use crate::connection::Output;
use crate::outcome::usage;
use crate::say::print_line;

/// Play WCS against a hook, and show what the SIP side would get
///
/// Sends `connect`, obeys the restClientConfig of the answer, then sends an OnCallEvent for each call. Exits with 1
/// when a call got through that the backend did not permit, or when --permitted or --refused say otherwise.
///
/// This follows the published documentation of WCS 5.2. It was not compared with a live WCS.
#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these comments are what --help shows")]
#[command(after_help = "\
Examples:
  callgatectl wcs-simulator http://127.0.0.1:8080/rest/my_api
  callgatectl wcs-simulator URL --secret KEY --permitted PPP009 PPP005 --refused +881612 PPP005
  callgatectl wcs-simulator URL --connect-answer mine.json    # what your own backend answers")]
pub(crate) struct Options {
    /// The app url, as in `add app NAME APPKEY "URL"`
    url: String,
    /// The app's key
    #[arg(long, default_value = "defaultApp", value_name = "KEY")]
    app: String,
    /// A call to ask about; by default the one of WCS's documentation, and one that the samples refuse
    #[arg(long, num_args = 2, value_names = ["CALLER", "CALLEE"])]
    call: Vec<String>,
    /// A call that must ring
    #[arg(long, num_args = 2, value_names = ["CALLER", "CALLEE"])]
    permitted: Vec<String>,
    /// A call that must not ring
    #[arg(long, num_args = 2, value_names = ["CALLER", "CALLEE"])]
    refused: Vec<String>,
    /// The calls carry video too
    #[arg(long)]
    video: bool,
    /// The rest_hook_secret_key; of two separated by a comma the first signs
    #[arg(long, env = "WCS_HOOK_SECRET", hide_env_values = true, value_name = "KEY")]
    secret: Option<String>,
    /// What your own backend answers to `connect`; the URL is not asked for it
    #[arg(long, value_name = "FILE", conflicts_with = "no_connect")]
    connect_answer: Option<PathBuf>,
    /// `connect` is not among the app's REST methods, so that WCS uses its defaults
    #[arg(long)]
    no_connect: bool,
    /// WCS's rest_request_timeout
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    timeout: u64,
    /// WCS's rest_client_request_retry_count: how often a request that could not be sent is sent again
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    retries: u32,
}

/// What the answer to `connect` says about a method ("REST Hooks", `restClientConfig`).
#[derive(Debug, Deserialize)]
#[serde(default)]
struct MethodConfig {
    #[serde(rename = "restOnError")]
    on_error: String,
    #[serde(rename = "restPolicy")]
    policy: String,
    #[serde(rename = "restExclude")]
    exclude: String,
}

/// A method that is not described gets the defaults.
impl Default for MethodConfig {
    fn default() -> Self {
        Self { on_error: "LOG".to_owned(), policy: "NOTIFY".to_owned(), exclude: String::new() }
    }
}

/// What the SIP side gets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Rings,
    Forbidden,
    /// With `FAIL`, a backend that does not work refuses.
    ForbiddenByFailure(String),
    /// Without, it lets everybody in.
    RingsUnpermitted(String),
    /// Nobody was asked.
    RingsUnasked,
}

impl Outcome {
    /// The stable word for programs.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Forbidden => "forbidden",
            Self::ForbiddenByFailure(_) => "forbidden_by_failure",
            Self::RingsUnpermitted(_) => "rings_unpermitted",
            Self::RingsUnasked => "rings_unasked",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rings => f.write_str("rings"),
            Self::Forbidden => f.write_str("403 FORBIDDEN"),
            Self::ForbiddenByFailure(why) => write!(f, "403 FORBIDDEN (backend failed: {why})"),
            Self::RingsUnpermitted(why) => write!(f, "rings (backend failed, restOnError=LOG): {why}"),
            Self::RingsUnasked => f.write_str("rings (nobody was asked, restPolicy=DISABLE)"),
        }
    }
}

pub(crate) fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    if !is_http_url(&options.url) {
        return Err(usage(format!("`{}` is no URL, such as `http://127.0.0.1:8080/rest/my_api`", options.url)));
    }
    let wcs = Wcs::new(options);
    let (whose, config) = wcs.connect(options)?;
    if output == Output::Text {
        print_line(format!("connect: {whose}, OnCallEvent restOnError={}", config.on_error))?;
    }
    let mut said = Vec::new();
    let default_calls = ["PPP009", "PPP005", "PPP009", "PPP006"].map(str::to_owned);
    let is_default = options.call.is_empty() && options.permitted.is_empty() && options.refused.is_empty();
    let calls = if is_default { &default_calls[..] } else { &options.call };
    let mut exit = ExitCode::SUCCESS;
    for (calls, must_ring) in [(calls, None), (&options.permitted, Some(true)), (&options.refused, Some(false))] {
        for pair in calls.chunks_exact(2) {
            let [caller, callee] = pair else { continue };
            let outcome = wcs.call(options, &config, caller, callee);
            let fails_open = matches!(outcome, Outcome::RingsUnpermitted(_) | Outcome::RingsUnasked);
            let is_wrong = fails_open || must_ring.is_some_and(|must| must != (outcome == Outcome::Rings));
            let style = if is_wrong { AnsiColor::Red.on_default().bold() } else { Style::new() };
            let note = match must_ring {
                _ if fails_open || !is_wrong => "",
                Some(true) => ", and must ring",
                _ => ", and must not",
            };
            match output {
                Output::Text => print_line(format!("{caller} to {callee}: {style}{outcome}{note}{style:#}"))?,
                Output::Json => said.push(json!({
                    "caller": caller, "callee": callee, "outcome": outcome.as_str(), "why": outcome.to_string(),
                    "wrong": is_wrong,
                })),
            }
            if is_wrong {
                exit = ExitCode::FAILURE;
            }
        }
    }
    if output == Output::Json {
        print_line(json!({"connect": whose, "rest_on_error": config.on_error, "calls": said}))?;
    }
    Ok(exit)
}

/// The HTTP side of WCS.
struct Wcs {
    agent: Agent,
    url: String,
    secret: Option<Secret>,
    retries: u32,
}

impl Wcs {
    fn new(options: &Options) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(options.timeout)))
            .http_status_as_error(false)
            // What WCS does with a redirect is not documented; one that is followed here might not be there.
            .max_redirects(0)
            .user_agent("Java/1.8.0_111")
            .build();
        let secret = options.secret.as_deref().and_then(|keys| keys.split(',').next()).map(str::trim);
        Self {
            agent: config.new_agent(),
            url: options.url.trim_end_matches('/').to_owned(),
            secret: secret.filter(|key| !key.is_empty()).map(Secret::new),
            retries: options.retries,
        }
    }

    /// Sends a hook, again where it could not be sent; the status and the body of the answer.
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

    /// Who answered `connect`, and what the answer says about `OnCallEvent`.
    fn connect(&self, options: &Options) -> anyhow::Result<(String, MethodConfig)> {
        let (whose, answer) = if options.no_connect {
            return Ok(("not among the REST methods".to_owned(), MethodConfig::default()));
        } else if let Some(file) = &options.connect_answer {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
            (format!("answered by `{}`", file.display()), text)
        } else {
            match self.post("connect", &connect_event(&options.app)) {
                Ok((200, text)) => ("200".to_owned(), text),
                Ok((status, _)) => {
                    let hint = if status == 403 { " (is it the right --secret? may this address ask?)" } else { "" };
                    anyhow::bail!("connect: {status}, so WCS declines the session{hint}")
                }
                Err(error) => anyhow::bail!("connect: {error}, so WCS declines the session"),
            }
        };
        let answer: Value = serde_json::from_str(&answer).context("connect: the answer is not JSON")?;
        let config = answer.pointer("/restClientConfig/OnCallEvent").cloned();
        let config: MethodConfig = config
            .map_or_else(|| Ok(MethodConfig::default()), serde_json::from_value)
            .context("connect: restClientConfig.OnCallEvent is not as documented")?;
        Ok((whose, config))
    }

    fn call(&self, options: &Options, config: &MethodConfig, caller: &str, callee: &str) -> Outcome {
        if config.policy == "DISABLE" {
            return Outcome::RingsUnasked;
        }
        let mut event = on_call_event(&options.app, caller, callee, options.video);
        for field in config.exclude.split(',').map(str::trim) {
            event.remove(field);
        }
        let refused_or_failed = match self.post("OnCallEvent", &Value::Object(event)) {
            Ok((200, _)) => return Outcome::Rings,
            Ok((403, _)) if config.on_error == "FAIL" => return Outcome::Forbidden,
            Ok((status, _)) => format!("it answered {status}"),
            Err(error) => error.to_string(),
        };
        match config.on_error.as_str() {
            "FAIL" => Outcome::ForbiddenByFailure(refused_or_failed),
            _ => Outcome::RingsUnpermitted(refused_or_failed),
        }
    }
}

/// A `connect` as WCS's documentation shows it.
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

/// An `OnCallEvent` as WCS's documentation shows it.
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
