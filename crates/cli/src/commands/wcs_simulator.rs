//! `wcs-simulator`: plays WCS against a hook.

use std::path::PathBuf;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use callgate::authentication::Secret;
use callgate::config::is_http_url;
use callgate_admin::wording::escape;
use serde_json::json;

use crate::connection::GlobalArgs;
use crate::exit::{Outcome, usage};
use crate::output::{Line, Output, print_line};
use crate::wcs::{CallOutcome, ConnectSource, Wcs};

/// Play WCS against a hook, and show what the SIP side would get
///
/// Sends connect, obeys the restClientConfig of the answer, then sends an OnCallEvent for each call. Exits with 1 if a call
/// rings that the hook did not permit, or if a call does not end as --permitted or --refused expects.
///
/// This follows the published documentation of WCS 5.2. It was not compared with a live WCS.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these comments are what --help prints")]
#[command(after_help = "\
Examples:
  callgatectl wcs-simulator http://127.0.0.1:8080/rest/my_api
  callgatectl wcs-simulator URL --secret KEY --permitted PPP009 PPP005 --refused +881612 PPP005
  callgatectl wcs-simulator URL --connect-answer mine.json    # the answer of your own backend")]
pub(crate) struct Args {
    /// The app URL, as in `add app NAME APPKEY "URL"`
    url: String,
    /// The app's key
    #[arg(long, default_value = "defaultApp", value_name = "KEY", allow_hyphen_values = true)]
    app: String,
    /// A call to play; by default, the call in WCS's documentation and a call that the samples refuse
    #[arg(long, num_args = 2, value_names = ["CALLER", "CALLEE"], allow_hyphen_values = true)]
    call: Vec<String>,
    /// A call that must ring
    #[arg(long, num_args = 2, value_names = ["CALLER", "CALLEE"], allow_hyphen_values = true)]
    permitted: Vec<String>,
    /// A call that must not ring
    #[arg(long, num_args = 2, value_names = ["CALLER", "CALLEE"], allow_hyphen_values = true)]
    refused: Vec<String>,
    /// The calls have video too
    #[arg(long)]
    video: bool,
    /// The rest_hook_secret_key; if there are two, separated by a comma, the first one signs
    #[arg(long, env = "WCS_HOOK_SECRET", hide_env_values = true, value_name = "KEY", allow_hyphen_values = true)]
    secret: Option<String>,
    /// The answer of your own backend to connect; connect is not sent to the URL
    #[arg(long, value_name = "FILE", conflicts_with = "no_connect", allow_hyphen_values = true)]
    connect_answer: Option<PathBuf>,
    /// Leave connect out, as if it were not among the app's REST methods, so that WCS uses its defaults
    #[arg(long)]
    no_connect: bool,
    /// WCS's rest_request_timeout
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    timeout: u64,
    /// WCS's rest_client_request_retry_count: how often a request that could not be sent is sent again
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    retries: u32,
}

/// A call to play, and whether it must ring.
struct ExpectedCall<'a> {
    caller: &'a str,
    callee: &'a str,
    must_ring: Option<bool>,
}

impl Args {
    fn wcs(&self) -> Wcs {
        let secret = self.secret.as_deref().and_then(|keys| keys.split(',').next()).map(str::trim);
        let secret = secret.filter(|key| !key.is_empty()).map(Secret::new);
        Wcs::new(&self.app, &self.url, secret, self.retries, Duration::from_secs(self.timeout))
    }

    fn connect_source(&self) -> ConnectSource {
        match &self.connect_answer {
            _ if self.no_connect => ConnectSource::Disabled,
            Some(file) => ConnectSource::File(file.clone()),
            None => ConnectSource::Hook,
        }
    }

    fn calls(&self) -> Vec<ExpectedCall<'_>> {
        let listed = [(&self.call, None), (&self.permitted, Some(true)), (&self.refused, Some(false))];
        let calls: Vec<_> = listed
            .into_iter()
            .flat_map(|(calls, must_ring)| calls.chunks_exact(2).map(move |pair| (pair, must_ring)))
            .filter_map(|(pair, must_ring)| match pair {
                [caller, callee] => Some(ExpectedCall { caller, callee, must_ring }),
                _ => None,
            })
            .collect();
        if calls.is_empty() {
            let default = |callee| ExpectedCall { caller: "PPP009", callee, must_ring: None };
            return vec![default("PPP005"), default("PPP006")];
        }
        calls
    }
}

/// Plays the session and its calls.
pub(crate) fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    if !is_http_url(&args.url) {
        return Err(usage(format!("`{}` is not a URL, such as `http://127.0.0.1:8080/rest/my_api`", args.url)));
    }
    let wcs = args.wcs();
    let (origin, config) = wcs.connect(&args.connect_source())?;
    if global.output == Output::Text {
        print_line(format!("connect: {origin}, OnCallEvent restOnError={}", escape(&config.on_error)))?;
    }
    let mut result = Outcome::Done;
    let mut played = Vec::new();
    for ExpectedCall { caller, callee, must_ring } in args.calls() {
        let outcome = wcs.call(&config, caller, callee, args.video);
        let is_wrong = outcome.fails_open() || must_ring.is_some_and(|must| must != (outcome == CallOutcome::Rings));
        if is_wrong {
            result = Outcome::Failed;
        }
        match global.output {
            Output::Text => {
                let style = if is_wrong { AnsiColor::Red.on_default().bold() } else { Style::new() };
                let expected = match must_ring {
                    _ if outcome.fails_open() || !is_wrong => "",
                    Some(true) => ", and must ring",
                    _ => ", and must not",
                };
                let outcome = escape(&format!("{outcome}{expected}"));
                print_line(Line::from(format!("{caller} to {callee}: ")).then(Line::styled(style, outcome)))?;
            }
            Output::Json => played.push(json!({
                "caller": caller, "callee": callee, "outcome": outcome.as_str(), "why": outcome.to_string(),
                "wrong": is_wrong,
            })),
        }
    }
    if global.output == Output::Json {
        print_line(json!({"connect": origin, "rest_on_error": config.on_error, "calls": played}))?;
    }
    Ok(result)
}
