//! `/calls`: the calls of the log as they come, why each was permitted or refused, and one step to change that.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use callgate_admin::action::Action;
use callgate_admin::decision_log::wording::REASONS;
use callgate_admin::decision_log::{CallFilter, Decided, LoggedCall};
use callgate_admin::edit::{BlockEdit, Edit};
use callgate_admin::reversal::{Previous, Reversal, Step};
use callgate_admin::wording::{count, escape};
use callgate_admin::{RuleTarget, time};
use callgate_core::{Call, Effect, MediaSet, PartyId, Pattern, trace};
use maud::{Markup, html};

use crate::console::Console;
use crate::console::call_log::{MAX_CALLS, key};
use crate::console::doors::doors;
use crate::console::fields::{Fields, Form, Query, link, seen};
use crate::console::page::{
    self, PageError, Section, answer, app_input, back, decision, hidden, input, page, party_link, redirect, select,
    text, until_input,
};
use crate::console::write::{stored_block, stored_rule};
use crate::time::now;

const PATH: &str = "/calls";

/// How many calls are on a page.
const PAGE: usize = 100;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(PATH, get(show))
        .route("/calls/answer", post(change_answer))
        .route("/calls/block", post(block_caller))
}

async fn show(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    Query(fields): Query,
) -> Result<Response, PageError> {
    let show = |result: Markup| {
        let content = html! { (filters(&console, &fields)) (result) };
        page(&console, Section::Calls, PATH, "Calls", &fields, content)
    };
    let filter = match call_filter(&console, &fields) {
        Ok(filter) => filter,
        Err(error) => return error.on(show(error.message())),
    };
    let open = match fields.get("call") {
        // The script takes only the list from the page, so the table need not be read every second.
        Some(_) if headers.get("sec-fetch-dest").is_some_and(|it| it == "empty") => None,
        Some(key) => Some(detail(&console, &fields, key).await?),
        None => None,
    };
    show(html! { @if let Some(open) = &open { (open) } (list(&console, &fields, &filter)) })
}

/// The filter of the fields, as `callgatectl calls` has it.
pub(super) fn call_filter(console: &Console, fields: &Fields) -> Result<CallFilter, PageError> {
    let table = &console.settings.table;
    let pattern = |name: &str| match fields.get(name).map(|text| table.parse_pattern(text)).transpose()? {
        Some(Pattern::Group(group)) => Err(PageError::invalid(format!(
            "The log does not name groups, so `@{group}` matches no call. Name one of its parties."
        ))),
        pattern => Ok(pattern),
    };
    let decision = fields
        .get("decision")
        .map(|word| Decided::from_word(word).ok_or_else(|| PageError::invalid(format!("`{word}` is not a decision."))));
    Ok(CallFilter {
        since: fields.get("since").map(|text| time::parse_since(text, now())).transpose()?,
        until: fields.get("until").map(|text| time::parse(text, now())).transpose()?,
        app: console.filter_app(fields)?,
        from: pattern("from")?,
        to: pattern("to")?,
        party: pattern("party")?,
        decisions: decision.transpose()?.into_iter().collect(),
        reasons: fields.all("reason").map(str::to_owned).collect(),
        hook: fields.get("hook").map(str::to_owned),
        call_id: fields.get("id").map(str::to_owned),
    })
}

fn filters(console: &Console, fields: &Fields) -> Markup {
    let decisions = [("", "all"), ("deny", "refused"), ("allow", "permitted"), ("error", "failed")];
    let reasons: Vec<_> = [("", "all")].into_iter().chain(REASONS.map(|reason| (reason, reason))).collect();
    let is_open = ["from", "to", "reason", "until", "hook", "id"].iter().any(|name| fields.get(name).is_some());
    html! {
        form class="filters" method="get" action=(PATH) role="search" {
            (input("Caller or callee", "party", fields))
            (select("Decision", "decision", &decisions, fields))
            label { "Since " input name="since" value=[fields.get("since")] placeholder="1h, 15:00" autocomplete="off"; }
            (app_input(console, console.typed_app(fields)))
            details open[is_open] {
                summary { "More" }
                (input("Caller", "from", fields))
                (input("Callee", "to", fields))
                (select("Reason", "reason", &reasons, fields))
                label { "Until " input name="until" value=[fields.get("until")] placeholder="18:00" autocomplete="off"; }
                (input("Hook", "hook", fields))
                (input("Id of the call", "id", fields))
            }
            button class="primary" { "Filter" }
            a href=(console.unfiltered(PATH)) { "Show all" }
        }
    }
}

/// The table of calls. It is live, unless it ends at a time or continues an earlier page.
fn list(console: &Console, fields: &Fields, filter: &CallFilter) -> Markup {
    let log = console.settings.calls.read();
    let before = fields.get("before");
    let mut calls = log.newest_before(filter, before);
    let shown: Vec<_> = calls.by_ref().take(PAGE).collect();
    let has_more = calls.next().is_some();
    let is_live = before.is_none() && filter.until.is_none();
    html! {
        div id="calls" data-live=[is_live.then_some("1000")] {
            @if let Some(error) = &log.error { p class="message problem" role="alert" { (text(error)) } }
            @if shown.is_empty() { (no_calls(console, log.len())) } @else {
                (table(&shown, fields))
                nav class="pager" aria-label="Pages of the list" {
                    @if before.is_some() { a href={ (PATH) "?" (fields.with("before", None)) } { "Newest calls" } }
                    @if let Some(last) = shown.last().filter(|_| has_more) {
                        a href={ (PATH) "?" (fields.with("before", Some(&key(last)))) } { "Older calls" }
                    }
                    span {
                        (count(log.len() as u64, "call")) " in memory"
                        @if log.dropped > 0 { ". " code { "callgatectl calls" } " reads older ones." }
                    }
                }
            }
        }
    }
}

fn no_calls(console: &Console, all: usize) -> Markup {
    let hook = console.settings.hook_url.as_deref();
    let (what, advice) = if all > 0 {
        ("No call matches the filter.", html! { a href=(console.unfiltered(PATH)) { "Show all calls" } })
    } else if !console.settings.has_log {
        return page::no_log("No log is read, so no calls are shown.");
    } else {
        (
            "No call has come yet.",
            html! {
                @if let Some(url) = hook { "Send one to " code { (url) "/OnCallEvent" } ": the terminal shows a command to try. " }
                "New calls appear here by themselves. Until then, look at " a href="/rules" { "the rules" } "."
            },
        )
    };
    page::empty(what, &advice)
}

fn table(calls: &[&LoggedCall<'_>], fields: &Fields) -> Markup {
    let opened = fields.get("call");
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Calls" {
            table class="steady" {
                caption class="hidden" { "Calls, the newest first" }
                thead { tr {
                    th scope="col" class="time" { "Time" }
                    th scope="col" class="decision-column" { "Decision" }
                    th scope="col" class="party" { "Caller" }
                    th scope="col" class="party" { "Callee" }
                    th scope="col" class="app" { "App" }
                    th scope="col" { "Reason" }
                } }
                tbody {
                    @for call in calls {
                        @let key = key(call);
                        @let is_open = opened == Some(&key);
                        // The script knows a row again by its id.
                        tr id={ "call-" (key) } class=[is_open.then_some("open")] {
                            td class="time" {
                                a href={ (PATH) "?" (fields.with("call", Some(&key))) "#call" } aria-current=[is_open.then_some("true")] {
                                    (page::time(call.timestamp.div_euclid(1_000_000)))
                                }
                            }
                            td { (decision(call.decision)) }
                            td { (party(call, call.caller.as_deref())) }
                            td data-label="to" { (party(call, call.callee.as_deref())) @if call.media.is_some_and(|media| media.video) { " (video)" } }
                            td data-label="in" { (text(call.app.as_deref().unwrap_or("?"))) }
                            td class="wide" { (text(&call.because())) }
                        }
                    }
                }
            }
        }
    }
}

/// An id of a call, with a link to its party unless it is cut.
fn party(call: &LoggedCall<'_>, id: Option<&str>) -> Markup {
    match (id, call.app.as_deref()) {
        (None, _) => html! { "?" },
        (Some(id), Some(app)) if !call.is_masked => party_link(app, id),
        (Some(id), _) => html! { @if call.is_masked { "…" } (text(id)) },
    }
}

/// An opened call: what the log has, why, and what would change it.
async fn detail(console: &Console, fields: &Fields, key: &str) -> Result<Markup, PageError> {
    let Some(call) = console.settings.calls.read().find(key).cloned() else {
        return Ok(html! {
            section class="card" id="call" {
                h2 { "This call is no longer in memory" }
                p { "The console keeps the last " (MAX_CALLS) " calls. " code { "callgatectl calls" } " reads older ones." }
            }
        });
    };
    let changes = changes(console, fields, &call).await?;
    let video = if call.media.is_some_and(|media| media.video) { ", with video" } else { "" };
    Ok(html! {
        section class="card" id="call" aria-labelledby="call-title" {
            h2 id="call-title" {
                (decision(call.decision)) " " (party(&call, call.caller.as_deref())) " to " (party(&call, call.callee.as_deref()))
                (video)
            }
            p { (text(&call.because())) }
            (changes)
            details {
                summary { "Logged values" }
                (facts(&call))
            }
            p { a href={ (PATH) "?" (fields.with("call", None)) } { "Close" } }
        }
    })
}

fn facts(call: &LoggedCall<'_>) -> Markup {
    let milliseconds = |value: Option<f64>| value.map(|value| format!("{value} ms"));
    let rows: [(&str, Option<String>); 14] = [
        ("Time (UTC)", Some(callgate_admin::decision_log::utc(call.timestamp))),
        ("App", call.app.as_deref().map(escape)),
        ("Caller", call.caller.as_deref().map(escape)),
        ("Callee", call.callee.as_deref().map(escape)),
        ("Media", call.media.map(|media| media.words().join(", "))),
        ("Reason", Some(escape(&call.reason))),
        ("Door", call.door.as_deref().map(escape)),
        ("Rule", call.rule.as_deref().map(escape)),
        ("Hook", call.hook.as_deref().map(escape)),
        ("HTTP status", call.status.map(|status| status.to_string())),
        ("Table read", milliseconds(call.store_ms)),
        ("Total time", milliseconds(call.total_ms)),
        ("Id of the call", call.call_id.as_deref().map(escape)),
        ("Id of the request", call.request_id.as_deref().map(escape)),
    ];
    html! {
        dl class="facts" {
            @for (name, value) in rows {
                @if let Some(value) = value { dt { (name) } dd { bdi { (value) } } }
            }
        }
    }
}

/// What would change the answer, by the table as it is now, and the buttons for it.
async fn changes(console: &Console, fields: &Fields, logged: &LoggedCall<'_>) -> Result<Markup, PageError> {
    if logged.is_masked {
        return Ok(
            html! { p { "The log has only the ends of ids (LOG_PARTIES=masked), so no rule can be written from here." } },
        );
    }
    let Some(call) = logged.to_call(console.settings.table.phone_region()) else {
        return Ok(
            html! { p { "The call lacks an id, or has one that is not valid, so no rule can be written for it." } },
        );
    };
    let lookup = console.settings.table.look_up(&call).await?;
    let now = now();
    let reversal = console.settings.table.reversal(&call, lookup.permissions(), now, now);
    let trace = trace(&call, lookup.permissions(), now);
    let effect = trace.decision.effect();
    let is_same = effect.as_str() == logged.decision.as_str();
    Ok(html! {
        @if !is_same { p { "By the rules as they are now, this call is " (answer(effect)) "." } }
        @if !console.settings.is_read_only {
            div class="columns" {
                (answer_form(console, &page::address(PATH, fields), &call, effect, &reversal).await?)
                (block_form(console, fields, &call).await?)
            }
        }
        details open {
            summary { "Every door and rule, as they are now" }
            (doors(&call, &trace, lookup.permissions(), now))
            p { a href=(check_link(&call)) { "Decide this call at another time" } }
        }
    })
}

/// The address of the page that explains the decision of a call.
pub(super) fn check_link(Call { app, caller, callee, media }: &Call) -> String {
    let fields = [("app", app.as_str()), ("from", caller.as_str()), ("to", callee.as_str()), ("exactly", "yes")];
    link("/check", fields.into_iter().chain(media_fields(*media)))
}

/// The fields of the media of a call, unless it has audio only.
pub(super) fn media_fields(media: MediaSet) -> Vec<(&'static str, &'static str)> {
    [media.video.then_some(("video", "yes")), (!media.audio).then_some(("audio", "no"))].into_iter().flatten().collect()
}

/// The media of the fields.
pub(super) fn media_of(fields: &Fields) -> MediaSet {
    MediaSet { audio: !fields.has("audio", "no"), video: fields.has("video", "yes") }
}

/// What is stored in the place of a step, in words, as the plan of a change has it.
pub(super) fn before(Step { action, previous, .. }: &Step) -> String {
    match (previous, action) {
        (Some(Previous::Rule(rule)), Action::WriteRule { target: RuleTarget { from, to, .. }, .. }) => {
            stored_rule(from, to, Ok(rule))
        }
        (Some(Previous::Rule(rule)), Action::SwitchRule { from, to, .. } | Action::Revoke { from, to, .. }) => {
            stored_rule(from, to, Ok(rule))
        }
        (Some(Previous::Block(block)), Action::Unblock { caller, .. }) => stored_block(caller, Ok(block)),
        _ => String::new(),
    }
}

/// The form that turns the answer around, and then leads back.
pub(super) async fn answer_form(
    console: &Console,
    back: &str,
    call: &Call,
    effect: Effect,
    reversal: &Reversal,
) -> Result<Markup, PageError> {
    let steps = match reversal {
        Reversal::Steps(steps) => steps,
        Reversal::Show(command) => {
            return Ok(
                html! { p { "No rule can change the answer as long as what is stored is invalid: " code { (text(command)) } } },
            );
        }
    };
    let Call { caller, callee, .. } = call;
    let label = match effect {
        Effect::Allow => format!("Deny calls from {caller} to {callee}"),
        Effect::Deny => format!("Allow {caller} to call {callee}"),
    };
    let mut plans = Vec::new();
    for step in steps {
        plans.push((step, console.plan(&step.action).await?));
    }
    let writes_rule = steps.iter().any(|step| matches!(step.action, Action::WriteRule { .. }));
    Ok(html! {
        form class="actions" method="post" action="/calls/answer" {
            (call_fields(call))
            (hidden("back", back))
            p { "Writes:" }
            ul {
                @for (step, plan) in &plans {
                    li {
                        (text(&step.text))
                        (hidden("step", &step.command)) (seen(&before(step)))
                        @if let Some(previous) = Some(before(step)).filter(|it| !it.is_empty()) { span class="help" { "Stored now: " (text(&previous)) } }
                        @if !plan.notices.is_empty() { ul { @for notice in &plan.notices { li { (text(notice)) } } } }
                    }
                }
            }
            @if writes_rule {
                (conditions())
                @if !steps.iter().all(|step| step.only_adds) {
                    p class="help" { "If the rule gets an end, what is changed or removed here does not come back after it." }
                }
            }
            button class="primary" { (text(&label)) }
        }
    })
}

/// The form that blocks the caller.
async fn block_form(console: &Console, fields: &Fields, call: &Call) -> Result<Markup, PageError> {
    let action = Action::Block { app: call.app.clone(), caller: call.caller.clone(), edit: BlockEdit::default() };
    let plan = console.plan(&action).await?;
    if plan.is_unchanged {
        let Call { app, caller, .. } = call;
        return Ok(html! {
            div class="actions" {
                p { "The caller is blocked already: " (text(&plan.before)) }
                p { "To change that, go to the page of " (party_link(app.as_str(), caller.as_str())) "." }
            }
        });
    }
    Ok(html! {
        form class="actions" method="post" action="/calls/block" {
            (call_fields(call))
            (hidden("back", &page::address(PATH, fields)))
            (seen(&plan.before))
            p { "Writes:" }
            ul { li {
                (text(&plan.text))
                @if !plan.before.is_empty() { span class="help" { "Stored now: " (text(&plan.before)) } }
            } }
            (conditions())
            button class="danger" { (text(&format!("Block all calls from {}", call.caller))) }
        }
    })
}

/// The fields for the expiry and the note.
pub(super) fn conditions() -> Markup {
    html! {
        (until_input(None))
        label { "Note " input name="note" autocomplete="off"; }
    }
}

/// The expiry and the note of the fields.
pub(super) fn conditions_of(fields: &Fields) -> Result<BlockEdit, PageError> {
    let set = |note: &str| Edit::Set(note.to_owned());
    Ok(BlockEdit {
        expires_at: fields.until()?.map_or(Edit::Keep, Edit::Set),
        list: Edit::Keep,
        note: fields.get("note").map_or(Edit::Keep, set),
    })
}

fn call_fields(Call { app, caller, callee, media }: &Call) -> Markup {
    html! {
        (hidden("app", app.as_str())) (hidden("from", caller.as_str())) (hidden("to", callee.as_str()))
        @for (name, value) in media_fields(*media) { (hidden(name, value)) }
    }
}

/// The call of a form. Its ids are those of the log, in canonical form.
fn call_of(console: &Console, fields: &Fields) -> Result<Call, PageError> {
    let table = &console.settings.table;
    let party = |name: &str| -> Result<PartyId, PageError> { Ok(table.parse_party(fields.required(name)?)?) };
    let app = table.parse_app(fields.required("app")?)?;
    Ok(Call { app, caller: party("from")?, callee: party("to")?, media: media_of(fields) })
}

/// Takes the steps that turn the answer around, if they are still those that the page showed.
async fn change_answer(State(console): State<Arc<Console>>, Form(fields): Form) -> Result<Response, PageError> {
    let call = call_of(&console, &fields)?;
    let lookup = console.settings.table.look_up(&call).await?;
    let now = now();
    let steps = match console.settings.table.reversal(&call, lookup.permissions(), now, now) {
        Reversal::Steps(steps) => steps,
        Reversal::Show(_) => Vec::new(),
    };
    if !steps.iter().map(|step| step.command.as_str()).eq(fields.all("step")) {
        return Err(PageError::conflict(
            "Nothing was written: the rules changed since the page was loaded, and something else is needed now. Go back and reload.",
        ));
    }
    let conditions = conditions_of(&fields)?;
    let seen = fields.seen().map(str::to_owned);
    let message = console.perform_all(with_conditions(steps, seen, &conditions)).await?;
    Ok(redirect(&console, back(&fields, PATH), message))
}

/// The actions of steps, with what a page showed as stored. The rules get the expiry and the note of a form.
pub(super) fn with_conditions(
    steps: Vec<Step>,
    seen: impl IntoIterator<Item = String>,
    conditions: &BlockEdit,
) -> Vec<(Action, Option<String>)> {
    let mut writes_rule = false;
    let actions = steps.into_iter().zip(seen).map(|(Step { action, .. }, seen)| {
        // The step before one that enables a rule writes the same rule.
        let is_same_rule = std::mem::take(&mut writes_rule) && matches!(action, Action::SwitchRule { .. });
        let action = match action {
            Action::WriteRule { target, door, mut edit } => {
                writes_rule = true;
                let BlockEdit { expires_at, list: _, note } = conditions.clone();
                if expires_at != Edit::Keep {
                    edit.common.expires_at = expires_at;
                }
                edit.common.note = note;
                Action::WriteRule { target, door, edit }
            }
            action => action,
        };
        (action, (!is_same_rule).then_some(seen))
    });
    actions.collect()
}

async fn block_caller(State(console): State<Arc<Console>>, Form(fields): Form) -> Result<Response, PageError> {
    let Call { app, caller, .. } = call_of(&console, &fields)?;
    let action = Action::Block { app, caller, edit: conditions_of(&fields)? };
    let performed = console.perform(&action, fields.seen().next()).await?;
    Ok(redirect(&console, back(&fields, PATH), vec![performed].into()))
}
