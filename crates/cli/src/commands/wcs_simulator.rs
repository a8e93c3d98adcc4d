//! `wcs-simulator`: plays a session of WCS against a hook.

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
use crate::wcs::{ConnectSource, PlannedCall, PlayedHook, Session, Wcs, setup};

/// Play a session of WCS against a hook, and show what the page and the SIP side would get
///
/// Sends the hooks that WCS sends for a page with a SIP phone, in this order: connect, ConnectionStatusEvent,
/// RegistrationStatusEvent; for each call an outgoing call and an incoming OnCallEvent, each followed by CallStatusEvent if the
/// call goes through; and last StreamKeepAliveEvent. Obeys each answer as WCS does under the restClientConfig that the answer to
/// connect has, or under WCS's defaults.
///
/// A hook is gated if it decides calls: OnCallEvent always, and call if restClientConfig names it. Exits with 1, and prints in
/// red, if a gated hook fails open (its restOnError is not FAIL, or its restPolicy is DISABLE), if a call goes through that its
/// hook did not permit, if a call does not end as --permitted or --refused expects, if the client gets an error, or if WCS ends
/// the stream. Other answers than 200 that WCS only logs, and a 200 whose body is not what was sent, are notes in yellow.
///
/// This follows the published documentation of WCS 5.2. It was not compared with a live WCS.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these comments are what --help prints")]
#[command(after_help = "\
Examples:
  callgatectl wcs-simulator http://127.0.0.1:8080/rest/my_api
  callgatectl wcs-simulator URL --secret KEY --permitted PPP009 PPP005 --refused +881612 PPP005
  callgatectl wcs-simulator URL --connect-answer mine.json    # the answer of your own backend
  callgatectl wcs-simulator URL --setup                       # how to connect WCS to this URL")]
pub(crate) struct Args {
    /// The app URL, as in `add app NAME APPKEY "URL"`
    url: String,
    /// The app's key
    #[arg(long, default_value = setup::DEFAULT_APP, value_name = "KEY", allow_hyphen_values = true)]
    app: String,
    /// A call to play; by default, the call in WCS's documentation and a call that the samples refuse
    #[arg(long, num_args = 2, value_names = ["CALLER", "CALLEE"], allow_hyphen_values = true)]
    call: Vec<String>,
    /// A call that must ring, and must go out if call is gated
    #[arg(long, num_args = 2, value_names = ["CALLER", "CALLEE"], allow_hyphen_values = true)]
    permitted: Vec<String>,
    /// A call that must not ring, and must not go out if call is gated
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
    /// Print how to connect WCS to the URL, and send nothing: the commands for WCS's own command line, for the default app or
    /// with --app for an app of your own, and with --secret the lines for flashphoner.properties
    #[arg(long, conflicts_with_all = [
        "call", "permitted", "refused", "video", "connect_answer", "no_connect", "timeout", "retries",
    ])]
    setup: bool,
}

impl Args {
    /// The app's URL, without a slash at its end, because WCS adds one and the hook.
    fn app_url(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// The key that signs.
    fn key(&self) -> Option<&str> {
        let key = self.secret.as_deref().and_then(|keys| keys.split(',').next()).map(str::trim);
        key.filter(|key| !key.is_empty())
    }

    fn wcs(&self) -> Wcs {
        let secret = self.key().map(Secret::new);
        Wcs::new(&self.app, self.app_url(), secret, self.retries, Duration::from_secs(self.timeout))
    }

    fn connect_source(&self) -> ConnectSource {
        match &self.connect_answer {
            _ if self.no_connect => ConnectSource::Disabled,
            Some(file) => ConnectSource::File(file.clone()),
            None => ConnectSource::Hook,
        }
    }

    fn calls(&self) -> Vec<PlannedCall> {
        let call = |caller: &str, callee: &str, must_go_through| PlannedCall {
            caller: caller.to_owned(),
            callee: callee.to_owned(),
            must_go_through,
        };
        let listed = [(&self.call, None), (&self.permitted, Some(true)), (&self.refused, Some(false))];
        let calls: Vec<_> = listed
            .into_iter()
            .flat_map(|(calls, must)| calls.chunks_exact(2).map(move |pair| (pair, must)))
            .filter_map(|(pair, must)| match pair {
                [caller, callee] => Some(call(caller, callee, must)),
                _ => None,
            })
            .collect();
        if calls.is_empty() {
            return vec![call("PPP009", "PPP005", None), call("PPP009", "PPP006", None)];
        }
        calls
    }
}

/// Plays the session, or prints how to connect WCS.
pub(crate) fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    if !is_http_url(&args.url) {
        return Err(usage(format!("`{}` is not a URL, such as `http://127.0.0.1:8080/rest/my_api`", args.url)));
    }
    if args.setup {
        print_setup(args, global.output)?;
        return Ok(Outcome::Done);
    }
    let wcs = args.wcs();
    let session = wcs.connect(&args.connect_source())?;
    if global.output == Output::Text {
        print_connect(&session)?;
    }
    let mut is_wrong = session.gated_hooks().any(|(_, config)| config.fails_open());
    let mut events = Vec::new();
    session.play(&args.calls(), args.video, |played| {
        is_wrong |= played.wrong;
        match global.output {
            Output::Text => print_played(&played)?,
            Output::Json => {
                let parties = played.parties.as_ref();
                let (caller, callee) = (parties.map(|(caller, _)| caller), parties.map(|(_, callee)| callee));
                events.push(json!({
                    "hook": played.hook, "caller": caller, "callee": callee, "status": played.status,
                    "outcome": played.outcome(), "why": played.why, "note": played.note, "wrong": played.wrong,
                }));
            }
        }
        Ok(())
    })?;
    if global.output == Output::Json {
        let gated = session.gated_hooks().map(|(hook, config)| {
            json!({
                "hook": hook, "rest_on_error": config.on_error, "rest_policy": config.policy,
                "fails_open": config.fails_open(),
            })
        });
        let gated: Vec<_> = gated.collect();
        print_line(json!({
            "connect": session.connect, "note": session.note, "gated_hooks": gated, "events": events,
        }))?;
    }
    Ok(if is_wrong { Outcome::Failed } else { Outcome::Done })
}

/// For what must not be.
fn red() -> Style {
    AnsiColor::Red.on_default().bold()
}

/// For what deserves a look.
fn yellow() -> Style {
    AnsiColor::Yellow.on_default()
}

fn with_note(line: Line, note: Option<&str>) -> Line {
    match note {
        Some(note) => line.then(Line::styled(yellow(), escape(&format!("; note: {note}")))),
        None => line,
    }
}

fn print_connect(session: &Session<'_>) -> anyhow::Result<()> {
    let mut line = Line::from(escape(&format!("connect: {}", session.connect)));
    for (hook, config) in session.gated_hooks() {
        let style = if config.fails_open() { red() } else { Style::new() };
        line = line.then(", ").then(Line::styled(style, escape(&format!("{hook} {config}"))));
    }
    print_line(with_note(line, session.note.as_deref()))?;
    Ok(())
}

fn print_played(played: &PlayedHook) -> std::io::Result<()> {
    let parties = played.parties.as_ref();
    let parties = parties.map(|(caller, callee)| format!(" {caller} to {callee}")).unwrap_or_default();
    let style = match played {
        PlayedHook { wrong: true, .. } => red(),
        played if played.is_failure() => yellow(),
        _ => Style::new(),
    };
    let line = Line::from(escape(&format!("{}{parties}: ", played.hook)));
    print_line(with_note(line.then(Line::styled(style, escape(&played.why))), played.note.as_deref()))
}

/// Prints the settings of WCS for the URL. The commands for the default app are left out if another app is named.
fn print_setup(args: &Args, output: Output) -> anyhow::Result<()> {
    let url = args.app_url();
    let is_default = args.app == setup::DEFAULT_APP;
    let key = if is_default { "APPKEY" } else { &args.app };
    let (own, gated_call, show) = (setup::own_app(url, key), setup::gated_call(key), setup::show(key));
    let properties = if args.key().is_some() { &setup::PROPERTIES[..] } else { &[] };
    if output == Output::Json {
        let default_app = is_default.then(|| setup::default_app(url));
        print_line(json!({
            "default_app": default_app, "own_app": own, "gated_call": gated_call, "show": show, "properties": properties,
        }))?;
        return Ok(());
    }
    print_line("On the command line of WCS (ssh -p 2001 admin@WCS), type:")?;
    if is_default {
        print_line("\nFor the default app, which exists already, with all hooks at WCS's own EchoApp:")?;
        print_line(format!("    {}", setup::default_app(url)))?;
    }
    print_line("\nFor an app of your own:")?;
    for command in own {
        print_line(format!("    {command}"))?;
    }
    print_line(format!("    {gated_call}    (only if calls of browsers are gated: GATED_HOOKS=OnCallEvent,call)"))?;
    print_line(format!("    {show}"))?;
    if !properties.is_empty() {
        print_line("\nIn flashphoner.properties, with the secret in place of KEY (if there are two, the first one):")?;
        for line in properties {
            print_line(format!("    {line}"))?;
        }
    }
    Ok(())
}
