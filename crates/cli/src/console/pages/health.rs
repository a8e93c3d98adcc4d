//! `/health`: when WCS last sent a hook, whether the hook fails open, and what is wrong with the permissions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use callgate::authentication::Secret;
use callgate::config::is_http_url;
use callgate_admin::decision_log::CallFilter;
use callgate_admin::doctor::{Finding, FindingKind, Report};
use callgate_admin::wording::count;
use maud::{Markup, html};

use super::waiting::is_from_wcs;
use crate::console::Console;
use crate::console::fields::{Fields, Form, Query};
use crate::console::jobs::{Failure, Jobs, Progress, State as JobState};
use crate::console::page::{self, PageError, Section, hidden, page, text, time};
use crate::time::now;
use crate::wcs::setup::DEFAULT_APP;
use crate::wcs::{ConnectSource, PlannedCall, PlayedHook, Wcs};

const PATH: &str = "/health";

/// How many findings are on a page.
const PAGE: usize = 100;

/// How long WCS waits for an answer unless it is configured otherwise.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The last inspection of the table.
pub(in crate::console) type Inspections = Jobs<(), Inspection>;

/// The last check of a URL.
pub(in crate::console) type Simulations = Jobs<Hook, Simulation>;

pub(in crate::console) fn inspections() -> Inspections {
    Jobs::new(1)
}

pub(in crate::console) fn simulations() -> Simulations {
    Jobs::new(1)
}

/// What an inspection found.
#[derive(Debug)]
pub(in crate::console) struct Inspection {
    report: Report,
    /// The titles of the findings that were fixed.
    fixed: Vec<String>,
    /// Why not all of them were fixed.
    problem: Option<String>,
}

/// A hook to check.
#[derive(Debug)]
pub(in crate::console) struct Hook {
    url: String,
    app: String,
}

/// What WCS would do with the answers of a hook.
#[derive(Debug)]
pub(in crate::console) struct Simulation {
    /// Where the answer to `connect` came from, and how it differs from what was sent.
    connect: String,
    note: Option<String>,
    /// The gated hooks, with their configuration, and whether each fails open.
    gated: Vec<(&'static str, String, bool)>,
    played: Vec<PlayedHook>,
}

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(PATH, get(show))
        .route("/health/inspect", post(inspect))
        .route("/health/fix", post(fix))
        .route("/health/simulate", post(simulate))
        .route("/health/inspection/cancel", post(cancel_inspection))
        .route("/health/simulation/cancel", post(cancel_simulation))
}

async fn show(State(console): State<Arc<Console>>, Query(fields): Query) -> Result<Response, PageError> {
    let content = html! {
        div class="columns" { (activity(&console)) (simulation(&console)) }
        (inspection(&console, &fields))
    };
    page(&console, Section::Health, PATH, "Health", &fields, content)
}

/// When WCS last sent a hook.
fn activity(console: &Console) -> Markup {
    let hooks = console.settings.activity.as_ref().map(|activity| activity.hooks());
    let answered = hooks.as_ref().and_then(|hooks| hooks.values().max().copied());
    let (calls, all) = (console.settings.calls.read(), CallFilter::default());
    let logged = calls.newest(&all).find(|call| is_from_wcs(call));
    let last = answered.max(logged.map(|call| call.timestamp.div_euclid(1_000_000)));
    let is_known = hooks.is_some() || console.settings.has_log;
    html! {
        section class="card" aria-labelledby="wcs" id="activity" data-live="5000" {
            h2 id="wcs" { "WCS" }
            dl class="facts" {
                dt { "Last hook" }
                dd {
                    @match last {
                        Some(at) => (time(at)),
                        None if is_known => "none since the console was started",
                        None => "not known, because no log is read",
                    }
                }
                dt { "Last " code { "connect" } }
                dd {
                    @match hooks.as_ref().map(|hooks| hooks.get("connect")) {
                        Some(Some(at)) => (time(*at)),
                        Some(None) => "none since the console was started",
                        None => "not known, because the log has only calls",
                    }
                }
                @for (hook, at) in hooks.iter().flatten().filter(|(hook, _)| *hook != "connect") {
                    dt { code { (text(hook)) } }
                    dd { (time(*at)) }
                }
            }
            p class="help" {
                "If WCS does not send " code { "connect" } ", it uses its own defaults, and lets calls through when the hook fails. \
                 Check the app's URL and REST methods in WCS. A check of this hook's URL also counts here."
            }
        }
    }
}

/// Whether a hook fails open.
fn simulation(console: &Console) -> Markup {
    let job = console.simulations.last();
    let url = job.as_ref().map(|job| job.data.url.as_str()).or(console.settings.hook_url.as_deref());
    let app = job.as_ref().map_or(DEFAULT_APP, |job| job.data.app.as_str());
    let state = job.as_ref().map(|job| job.state());
    let is_running = matches!(state, Some(JobState::Running(_)));
    html! {
        section class="card" aria-labelledby="open" id="simulation" data-live=[is_running.then_some("1000")] {
            h2 id="open" { "Does the hook fail open?" }
            p class="help" {
                "Sends the hooks of a session with two calls to the app's URL, as WCS does, and obeys the answers as WCS would. \
                 The calls are decided and logged like others."
            }
            @if !is_running {
                form class="actions" method="post" action="/health/simulate" {
                    label { "App's URL " input type="url" name="url" value=[url] placeholder="https://…/rest/my_api" required; }
                    label { "App " input class="short" name="app" value=(app) autocomplete="off"; }
                    label {
                        "Secret "
                        input class="short" type="password" name="secret" autocomplete="off" aria-describedby="secret";
                    }
                    button { "Check the URL" }
                }
                p class="help" id="secret" {
                    "The rest_hook_secret_key, if WCS signs hooks; by default, that of WCS_HOOK_SECRET. It is not kept."
                }
            }
            @if let (Some(job), Some(state)) = (&job, &state) {
                h3 { "Result for " code { (text(&job.data.url)) } ", " (time(job.started_at)) }
                @match state {
                    JobState::Running(progress) => (progress.markup("/health/simulation/cancel")),
                    JobState::Cancelled => p { "Cancelled." },
                    JobState::Failed(why) => div class="message problem" role="alert" { p { (text(why)) } },
                    JobState::Ended(simulation) => (simulation.markup()),
                }
            }
        }
    }
}

/// What is wrong with the permissions.
fn inspection(console: &Console, fields: &Fields) -> Markup {
    let job = console.inspections.last();
    let state = job.as_ref().map(|job| job.state());
    let is_running = matches!(state, Some(JobState::Running(_)));
    html! {
        section class="card" aria-labelledby="permissions" id="inspection" data-live=[is_running.then_some("1000")] {
            h2 id="permissions" { "Permissions" }
            p class="help" {
                "Finds rules and items that have no effect or refuse calls by mistake, as " code { "callgatectl doctor" }
                " does. It reads the whole table, which takes minutes for a million rules."
            }
            @if !is_running {
                form class="actions" method="post" action="/health/inspect" {
                    button class="primary" { @if job.is_some() { "Inspect again" } @else { "Inspect all permissions" } }
                }
            }
            @if let (Some(job), Some(state)) = (&job, &state) {
                @match state {
                    JobState::Running(progress) => (progress.markup("/health/inspection/cancel")),
                    JobState::Cancelled => p { "Cancelled." },
                    JobState::Failed(why) => div class="message problem" role="alert" { p { (text(why)) } },
                    JobState::Ended(inspection) => {
                        p class="help" { "Inspected: " (time(job.started_at)) }
                        (inspection.markup(console, fields, job.id))
                    }
                }
            }
        }
    }
}

impl Inspection {
    fn markup(&self, console: &Console, fields: &Fields, id: u64) -> Markup {
        let Self { report: Report { findings, items, rules }, fixed, problem } = self;
        let kind = fields.get("kind");
        let matching: Vec<_> = findings.iter().filter(|it| kind.is_none_or(|kind| it.kind.as_str() == kind)).collect();
        let first = fields.get("first").and_then(|first| first.parse().ok()).unwrap_or(0_usize).min(matching.len());
        let shown = matching.iter().skip(first).take(PAGE);
        let last = matching.len().min(first.saturating_add(PAGE));
        let fixable = findings.iter().filter(|it| it.fix.is_some()).count();
        html! {
            p role="status" {
                (count(*items, "item")) " and " (count(*rules, "rule")) " inspected, "
                (count(findings.len() as u64, "finding")) "."
            }
            @if let Some(problem) = problem {
                div class="message problem" role="alert" { p { "Not everything was fixed: " (text(problem)) } }
            }
            @if !fixed.is_empty() {
                details {
                    summary { (count(fixed.len() as u64, "finding")) " fixed" }
                    ul { @for title in fixed.iter().take(PAGE) { li { (text(title)) } } }
                    @if fixed.len() > PAGE { p { "and " (fixed.len() - PAGE) " more" } }
                }
            }
            @if fixable > 0 && !console.settings.is_read_only {
                form class="actions" method="post" action="/health/fix" {
                    (hidden("inspection", &id.to_string()))
                    button { "Fix " (count(fixable as u64, "finding")) }
                    p class="help" {
                        "Removes what has expired, and moves rules between two parties to where allow and deny write them. \
                         It changes no answer to any call, and the history can take it back."
                    }
                }
            }
            @if findings.is_empty() { (page::empty("Nothing was found.", &html! { "All rules have an effect." })) } @else {
                (kinds(findings, kind))
                @for finding in shown { (one(finding)) }
                @if first > 0 || last < matching.len() {
                    nav class="pager" aria-label="Pages of the findings" {
                        span { (first + 1) " to " (last) " of " (matching.len()) }
                        @if first > 0 {
                            @let previous = first.saturating_sub(PAGE).to_string();
                            a href={ (PATH) "?" (fields.with("first", Some(&previous))) "#inspection" } { "Previous" }
                        }
                        @if last < matching.len() {
                            a href={ (PATH) "?" (fields.with("first", Some(&last.to_string()))) "#inspection" } { "Next" }
                        }
                    }
                }
            }
        }
    }
}

/// The kinds of findings with their numbers. Each is a link that shows only these.
fn kinds(findings: &[Finding], chosen: Option<&str>) -> Markup {
    let number = |kind: FindingKind| findings.iter().filter(|it| it.kind == kind).count();
    html! {
        nav class="pager" aria-label="Kinds of findings" {
            a href={ (PATH) "#inspection" } aria-current=[chosen.is_none().then_some("true")] { "All kinds" }
            @for kind in FindingKind::ALL {
                @let number = number(kind);
                @if number > 0 {
                    a href={ (PATH) "?kind=" (kind.as_str()) "#inspection" }
                        aria-current=[(chosen == Some(kind.as_str())).then_some("true")] { (kind.as_str()) " (" (number) ")" }
                }
            }
        }
    }
}

fn one(finding: &Finding) -> Markup {
    html! {
        article class="finding" {
            h3 { (text(&finding.title())) }
            p { (text(&finding.what)) }
            p class="help" { (text(&finding.why)) }
            @if let Some(command) = &finding.command { p { "Fix:" } pre { code { (text(command)) } } }
            @if let Some(advice) = &finding.advice { p { "Advice: " (text(advice)) } }
        }
    }
}

async fn inspect(State(console): State<Arc<Console>>) -> Result<Response, PageError> {
    let table = console.settings.table.clone();
    console.inspections.start((), |_, progress| async move {
        progress.begin("Reading the whole table", None);
        let report = progress.unless_cancelled(table.inspect(now())).await?;
        Ok(Inspection { report, fixed: Vec::new(), problem: None })
    })?;
    Ok(to_page("inspection"))
}

/// Applies the fixes of the inspection that the page showed.
async fn fix(State(console): State<Arc<Console>>, Form(fields): Form) -> Result<Response, PageError> {
    let id = fields.required("inspection")?;
    let job = id.parse().ok().and_then(|id| console.inspections.get(id)).ok_or_else(|| {
        PageError::conflict(
            "Nothing was fixed: the permissions were inspected again since. Go back, reload, and look at the findings.",
        )
    })?;
    if let JobState::Ended(inspection) = job.state() {
        job.run(|_, progress| apply_fixes(console.clone(), inspection, progress));
    }
    Ok(to_page("inspection"))
}

/// Applies the fixes one by one. When it is cancelled, the others remain.
async fn apply_fixes(
    console: Arc<Console>,
    inspection: Arc<Inspection>,
    progress: Progress,
) -> Result<Inspection, Failure> {
    let Inspection { report: Report { findings, items, rules }, fixed, problem: _ } = &*inspection;
    let total = findings.iter().filter(|finding| finding.fix.is_some()).count();
    progress.begin("Fixing", Some(total as u64));
    let author = console.author("doctor --fix").await;
    let (mut remaining, mut fixed, mut problem) = (Vec::new(), fixed.clone(), None);
    for finding in findings {
        let is_fixed = match &finding.fix {
            Some(fix) if problem.is_none() && !progress.is_cancelled() => {
                progress.add(1);
                console.settings.table.fix(fix, &author).await
            }
            _ => Ok(false),
        };
        match is_fixed {
            Ok(true) => fixed.push(finding.title()),
            // A finding whose item changed meanwhile remains.
            Ok(false) => remaining.push(finding.clone()),
            Err(error) => {
                problem = Some(error.to_string());
                remaining.push(finding.clone());
            }
        }
    }
    if progress.is_cancelled() {
        problem = Some("it was cancelled".to_owned());
    }
    Ok(Inspection { report: Report { findings: remaining, items: *items, rules: *rules }, fixed, problem })
}

async fn simulate(State(console): State<Arc<Console>>, Form(fields): Form) -> Result<Response, PageError> {
    let url = fields.get("url").unwrap_or_default().trim_end_matches('/').to_owned();
    if !is_http_url(&url) {
        return Err(PageError::invalid(format!("`{url}` is not a URL, such as `http://127.0.0.1:8080/rest/my_api`.")));
    }
    let app = fields.get("app").unwrap_or(DEFAULT_APP).to_owned();
    let typed = fields.get("secret").map(str::to_owned);
    let secrets = typed.or_else(|| std::env::var("WCS_HOOK_SECRET").ok());
    let secret =
        secrets.as_deref().and_then(|keys| keys.split(',').next()).map(str::trim).filter(|key| !key.is_empty());
    let wcs = Wcs::new(&app, &url, secret.map(Secret::new), 0, TIMEOUT);
    console.simulations.start(Hook { url, app }, |_, progress| async move {
        progress.begin("Sending hooks", None);
        let played = progress.clone();
        let playing = tokio::task::spawn_blocking(move || play(&wcs, &played));
        let playing = async { playing.await.map_err(anyhow::Error::from)? };
        progress.unless_cancelled(playing).await
    })?;
    Ok(to_page("simulation"))
}

/// Plays a session, until it is cancelled.
fn play(wcs: &Wcs, progress: &Progress) -> anyhow::Result<Simulation> {
    let call =
        |callee: &str| PlannedCall { caller: "PPP009".to_owned(), callee: callee.to_owned(), must_go_through: None };
    let session = wcs.connect(&ConnectSource::Hook)?;
    let mut played = Vec::new();
    session.play(&[call("PPP005"), call("PPP006")], false, |hook| {
        played.push(hook);
        if progress.is_cancelled() { Err(io::Error::other("cancelled")) } else { Ok(()) }
    })?;
    let gated = session.gated_hooks().map(|(hook, config)| (hook, config.to_string(), config.fails_open())).collect();
    Ok(Simulation { connect: session.connect.clone(), note: session.note.clone(), gated, played })
}

impl Simulation {
    fn markup(&self) -> Markup {
        let Self { connect, note, gated, played } = self;
        let fails_open = gated.iter().any(|(.., fails_open)| *fails_open);
        let is_wrong = fails_open || played.iter().any(|hook| hook.wrong);
        let (class, word, text) = match (fails_open, is_wrong) {
            (true, _) => ("decision error", "fails open", "WCS lets calls through when the hook does not permit them."),
            (false, true) => {
                ("decision error", "check the hooks", "At least one hook had a wrong outcome, marked below.")
            }
            (false, false) => ("decision allow", "fails closed", "A call that the hook does not permit is refused."),
        };
        html! {
            p role="status" { span class=(class) { (word) } " " (text) }
            dl class="facts" {
                dt { code { "connect" } }
                dd { (page::text(connect)) @if let Some(note) = note { small { " note: " (page::text(note)) } } }
                @for (hook, config, _) in gated { dt { code { (hook) } } dd { (page::text(config)) } }
            }
            details {
                summary { "The hooks that were sent" }
                ol {
                    @for hook in played {
                        li {
                            code { (hook.hook) }
                            @if let Some((caller, callee)) = &hook.parties { " " (page::text(caller)) " to " (page::text(callee)) }
                            ": " (page::text(&hook.why))
                            @if hook.wrong { " " span class="tag warn" { "wrong outcome" } }
                            @if let Some(note) = &hook.note { small { " note: " (page::text(note)) } }
                        }
                    }
                }
            }
        }
    }
}

async fn cancel_inspection(State(console): State<Arc<Console>>) -> Response {
    if let Some(job) = console.inspections.last() {
        job.cancel();
    }
    to_page("inspection")
}

async fn cancel_simulation(State(console): State<Arc<Console>>) -> Response {
    if let Some(job) = console.simulations.last() {
        job.cancel();
    }
    to_page("simulation")
}

fn to_page(section: &str) -> Response {
    Redirect::to(&format!("{PATH}#{section}")).into_response()
}
