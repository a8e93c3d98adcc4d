//! `/parties/<app>/<id>`: what holds for one party, what is stored for it, and what it did.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use callgate_admin::action::Action;
use callgate_admin::decision_log::CallFilter;
use callgate_admin::edit::BlockEdit;
use callgate_admin::groups::GroupName;
use callgate_admin::history::{ChangedValue, HistoryFilter, HistoryPage};
use callgate_admin::rule_page::{PageLimits, PageRule, RuleFilter, RuleSide};
use callgate_admin::show::ItemSummary;
use callgate_admin::time;
use callgate_admin::who::{Question, Side, WhoRow};
use callgate_admin::wording::{count, escape, quote, rule_text};
use callgate_core::{AppKey, Call, MediaSet, ParseError, PartyId, Pattern, Status, has_expired};
use maud::{Markup, html};

use super::calls::{check_link, conditions, conditions_of};
use super::parties::state;
use super::rule::new_rule_link;
use crate::commands::who::pattern_text;
use crate::console::Console;
use crate::console::fields::{Fields, Form, Query, link, seen};
use crate::console::page::{
    self, PageError, Section, back, decision, hidden, page, party_link, party_path, redirect, text,
};
use crate::console::rule_list::{Layout, rules_form};
use crate::console::undo::before_and_after;
use crate::console::write::stored_block;
use crate::time::now;

/// The address that changes a party.
const CHANGE: &str = "/parties/change";

/// With more rules than this, the page does not compute what they come to.
const MAX_RULES: usize = 500;

/// How many rules, answers, calls and changes are shown.
const SHOWN: usize = 50;
const CALLS: usize = 10;
const CHANGES: usize = 10;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/parties/{app}/{id}", get(show)).route(CHANGE, post(change))
}

/// A party, and what is stored for it.
struct Party {
    app: AppKey,
    id: PartyId,
    item: Option<Result<ItemSummary, ParseError>>,
    rules: Vec<PageRule>,
    /// Whether these are not all rules.
    has_more_rules: bool,
    path: String,
    /// The address of the page with its fields.
    address: String,
}

async fn show(
    State(console): State<Arc<Console>>,
    Path((app, id)): Path<(String, String)>,
    Query(fields): Query,
) -> Result<Response, PageError> {
    let table = &console.settings.table;
    let (app, typed) = (table.parse_app(&app)?, id);
    let id = table.parse_party(&typed)?;
    let path = party_path(app.as_str(), id.as_str());
    if id.as_str() != typed {
        return Ok(Redirect::to(&path).into_response());
    }
    let filter = RuleFilter { app: Some(app.clone()), party: Some(RuleSide::party(&id)), ..RuleFilter::default() };
    let limits = PageLimits { found: MAX_RULES, items: 2 * MAX_RULES };
    let (item, rules) =
        tokio::try_join!(table.party_summary(&app, &id), Box::pin(table.rule_page(&filter, None, limits, now())))?;
    let address = page::address(&path, &fields);
    let party = Party { item, has_more_rules: rules.next.is_some(), rules: rules.rules, path, address, app, id };
    let holds = if party.has_more_rules { too_many(&party) } else { holds(&console, &fields, &party).await? };
    let of_party = HistoryFilter { party: Some(&party.id), ..HistoryFilter::default() };
    let history = console.settings.table.history_page(&party.app, of_party, CHANGES).await?;
    let content = html! {
        (facts(&party))
        @if party.item.is_none() && party.rules.is_empty() { (nothing_stored(&console, &party).await?) }
        @if !console.settings.is_read_only { (actions(&console, &party).await?) }
        (holds)
        (stored(&console, &party))
        div class="columns" {
            (last_calls(&console, &party))
            (last_changes(&party, &history))
        }
    };
    let title = format!("{} in app {}", escape(party.id.as_str()), escape(party.app.as_str()));
    page(&console, Section::Parties, &party.path, &title, &fields, content)
}

fn facts(Party { app, id, item, rules, .. }: &Party) -> Markup {
    let summary = item.as_ref().and_then(|item| item.as_ref().ok());
    html! {
        section class="card" {
            h2 class="hidden" { "What is stored for the party itself" }
            dl class="facts" {
                dt { "State" }
                dd {
                    @if item.is_none() && rules.is_empty() { "active, because nothing is stored for it" }
                    @else if item.is_none() { "active; only rules name it" }
                    @else { (state(item.as_ref().map(Result::as_ref))) }
                }
                @if let Some(block) = summary.and_then(|item| item.blocked.as_ref()) {
                    dt { "Blocked" }
                    dd {
                        (text(&stored_block(id, Ok(block))))
                        @if has_expired(block.expires_at, now()) { " " span class="tag warn" { "expired" } }
                    }
                }
                @if let Some(note) = summary.and_then(|item| item.note.as_ref()) { dt { "Note" } dd { (text(note)) } }
                dt { "Groups" }
                dd {
                    @for group in summary.iter().flat_map(|item| &item.groups) {
                        a class="tag" href=(link("/parties", [("app", app.as_str()), ("text", &format!("@{group}"))])) { "@" (text(group)) } " "
                    }
                    @if summary.is_none_or(|item| item.groups.is_empty()) { "none" }
                }
            }
        }
    }
}

/// The rules of the app that match a party for which nothing is stored.
async fn nothing_stored(console: &Console, Party { app, id, .. }: &Party) -> Result<Markup, PageError> {
    let rules = console.settings.table.app_rules_for(app, id).await?;
    Ok(html! {
        section class="card" {
            h2 { "Rules of the app that match it" }
            @if rules.is_empty() {
                p { "Nothing is stored for this party, and no rule of the app matches it. Its calls are refused unless a rule of the other party permits them." }
            } @else {
                ul {
                    @for rule in &rules {
                        li {
                            @match &rule.rule {
                                Ok(it) => (text(&rule_text(&rule.from, &rule.to, it))),
                                Err(error) => { (text(&format!("{} to {}: invalid: {error}", rule.from, rule.to))) },
                            }
                        }
                    }
                }
            }
        }
    })
}

/// What its calls come to, in both directions.
async fn holds(console: &Console, fields: &Fields, party: &Party) -> Result<Markup, PageError> {
    let Party { app, id, path, .. } = party;
    let media = MediaSet { audio: true, video: fields.has("video", "yes") };
    let callers = Question { app: app.clone(), party: id.clone(), side: Side::Callers, media, at: now() };
    let callees = Question { side: Side::Callees, ..callers.clone() };
    let who = |question| console.settings.table.who_without_members(question);
    let (callers, callees) = tokio::try_join!(Box::pin(who(&callers)), Box::pin(who(&callees)))?;
    let other_media = fields.with("video", (!media.video).then_some("yes"));
    Ok(html! {
        section {
            div class="heading" {
                h2 { "Who can call whom now" }
                p class="help" {
                    (if media.video { "For calls with video. " } else { "For calls without video. " })
                    a href={ (path) "?" (other_media) } { (if media.video { "Without video" } else { "With video" }) }
                }
            }
            div class="columns" {
                (answers(party, &callers, Side::Callers, media))
                (answers(party, &callees, Side::Callees, media))
            }
        }
    })
}

fn answers(party: &Party, rows: &[WhoRow], side: Side, media: MediaSet) -> Markup {
    let [app, id] = [party.app.as_str(), party.id.as_str()].map(quote);
    let heading = match side {
        Side::Callers => "Who may call it",
        Side::Callees => "Whom it may call",
    };
    let other = if side == Side::Callers { "a caller" } else { "a callee" };
    html! {
        section class="card" {
            h3 { (heading) }
            div class="scroll" tabindex="0" role="region" aria-label=(heading) {
                table {
                    caption class="hidden" { (heading) }
                    thead { tr { th scope="col" { "Answer" } th scope="col" { "Party or pattern" } th scope="col" { "Why" } } }
                    tbody {
                        @for row in rows.iter().take(SHOWN) {
                            tr {
                                td { (page::answer(row.effect)) @if let Some(at) = row.until { span class="help" { "until " (text(&time::describe(at))) } } }
                                td { (subject(party, row, side, media)) }
                                td { (text(&row.because)) @for inactive in &row.inactive { span class="help" { (text(inactive)) } } }
                            }
                        }
                    }
                }
            }
            @if rows.len() > SHOWN {
                p class="help" { "And " (rows.len() - SHOWN) " more: " code { "callgatectl who --app " (text(&app)) (if side == Side::Callers { " --to " } else { " --from " }) (text(&id)) } }
            }
            @if rows.iter().take(SHOWN).any(|row| row.may_differ) {
                p class="help" { "Own rules, groups, a block or a suspension of " (other) " that only a pattern matches may change the answer for it." }
            }
        }
    }
}

/// The other side of the calls of a row. One party has a link to the page that explains the call.
fn subject(Party { app, id, .. }: &Party, row: &WhoRow, side: Side, media: MediaSet) -> Markup {
    let other = match &row.pattern {
        Pattern::Exact(other) => PartyId::new(other, None).ok().filter(|it| it.as_str() == other),
        _ => None,
    };
    match other {
        None => {
            html! { (text(&pattern_text(row))) @if row.pattern == Pattern::Everyone { span class="help" { "everyone else" } } }
        }
        Some(other) => {
            let (caller, callee) =
                if side == Side::Callers { (other.clone(), id.clone()) } else { (id.clone(), other.clone()) };
            let check = check_link(&Call { app: app.clone(), caller, callee, media });
            html! { (party_link(app.as_str(), other.as_str())) " " a href=(check) { "check" span class="hidden" { " the call with " (text(other.as_str())) } } }
        }
    }
}

fn too_many(Party { app, id, .. }: &Party) -> Markup {
    let [app, id] = [app.as_str(), id.as_str()].map(quote);
    html! {
        section class="card" {
            h2 { "Who can call whom now" }
            p { "More than " (MAX_RULES) " rules name this party, which is too many for this page. Use these commands: "
                code { "callgatectl who --app " (text(&app)) " --to " (text(&id)) } " and " code { "callgatectl who --app " (text(&app)) " --from " (text(&id)) } }
        }
    }
}

/// The rules that are stored for it.
fn stored(console: &Console, party: &Party) -> Markup {
    let Party { app, id, rules, has_more_rules, address, .. } = party;
    let all = link("/rules", [("app", app.as_str()), ("party", id.as_str())]);
    html! {
        section {
            div class="heading" {
                h2 { "Rules that name it" }
                p class="help" {
                    @if !console.settings.is_read_only {
                        a href=(new_rule_link(app.as_str(), "", id.as_str(), address)) { "New rule for its callers" } " · "
                        a href=(new_rule_link(app.as_str(), id.as_str(), "", address)) { "New rule for its callees" } " · "
                    }
                    a href=(all) { "All in the list of rules" }
                }
            }
            @if rules.is_empty() {
                div class="empty" { p { "No rule names this party." } p { "Rules for groups and prefixes may match it all the same; who can call whom is above." } }
            } @else {
                (rules_form(console, rules.get(..SHOWN).unwrap_or(rules), Layout { label: "Rules that name the party", shows_app: false, sorted: None, back: address }))
                @if rules.len() > SHOWN {
                    p class="help" { "These are " (SHOWN) " of " @if *has_more_rules { "more than " } (count(rules.len() as u64, "rule")) ". " a href=(all) { "Show all" } }
                }
            }
        }
    }
}

fn last_calls(console: &Console, Party { app, id, .. }: &Party) -> Markup {
    let filter = CallFilter {
        app: Some(app.clone()),
        party: Some(Pattern::Exact(id.as_str().to_owned())),
        ..CallFilter::default()
    };
    let log = console.settings.calls.read();
    let calls: Vec<_> = log.newest(&filter).filter(|call| !call.is_masked).take(CALLS).collect();
    html! {
        section class="card" {
            div class="heading" { h2 { "Last calls" } p class="help" { a href=(link("/calls", [("app", app.as_str()), ("party", id.as_str())])) { "All calls" } } }
            @if calls.is_empty() { p { "The log has no call from or to this party." } } @else {
                ul {
                    @for call in calls {
                        li {
                            (page::time(call.timestamp.div_euclid(1_000_000))) " " (decision(call.decision)) " "
                            (text(call.caller.as_deref().unwrap_or("?"))) " to " (text(call.callee.as_deref().unwrap_or("?"))) ": " (text(&call.because()))
                        }
                    }
                }
            }
        }
    }
}

fn last_changes(Party { app, id, .. }: &Party, history: &HistoryPage) -> Markup {
    html! {
        section class="card" {
            div class="heading" { h2 { "Last changes" } p class="help" { a href=(link("/history", [("app", app.as_str()), ("party", id.as_str())])) { "All changes" } } }
            @if history.changes.is_empty() {
                @if history.read == 0 { p { "The history of the app is empty." } }
                @else { p { "The last " (count(history.read as u64, "change")) " of the app did not change this party." } }
            } @else {
                @for change in &history.changes {
                    p { (page::time(change.at.as_second())) " " (text(&change.author)) ": " code { (text(&change.command)) } }
                    ul class="diff" {
                        @let values = change.values.iter().filter(|value| value.names(id));
                        @for description in values.flat_map(ChangedValue::descriptions).take(SHOWN) {
                            (before_and_after(&description))
                        }
                    }
                }
            }
        }
    }
}

/// The forms that change the party itself.
async fn actions(console: &Console, party: &Party) -> Result<Markup, PageError> {
    let Party { app, id, item, .. } = party;
    let summary = item.as_ref().and_then(|item| item.as_ref().ok());
    let is_suspended = summary.is_some_and(|item| item.status == Status::Suspended);
    let is_over = |expires_at| has_expired(expires_at, now());
    let is_blocked = summary.is_some_and(|item| {
        !is_over(item.expires_at) && item.blocked.as_ref().is_some_and(|block| !is_over(block.expires_at))
    });
    let (app, caller) = (app.clone(), id.clone());
    let action = if is_blocked {
        Action::Unblock { app, caller }
    } else {
        Action::Block { app, caller, edit: BlockEdit::default() }
    };
    let before = console.plan(&action).await?.before;
    Ok(html! {
        section class="card" {
            h2 class="hidden" { "Change the party" }
            div class="columns" {
                form class="actions" method="post" action=(CHANGE) {
                    (party_fields(party)) (seen(&before))
                    @if is_blocked { button class="primary" name="action" value="unblock" { (text(&format!("Unblock {id}"))) } }
                    @else {
                        (conditions())
                        button class="danger" name="action" value="block" { (text(&format!("Block all calls from {id}"))) }
                    }
                }
                form class="actions" method="post" action=(CHANGE) {
                    (party_fields(party))
                    @if is_suspended { button class="primary" name="action" value="resume" { (text(&format!("Resume {id}"))) } }
                    @else { button class="danger" name="action" value="suspend" { (text(&format!("Suspend {id}: no calls from it and to it"))) } }
                }
                form class="actions" method="post" action=(CHANGE) {
                    (party_fields(party))
                    label { "Group " input class="short" name="group" placeholder="@sales" autocomplete="off" spellcheck="false"; }
                    button name="action" value="add" { "Add to the group" }
                }
                @for group in summary.iter().flat_map(|item| &item.groups) {
                    form class="actions" method="post" action=(CHANGE) {
                        (party_fields(party)) (hidden("group", group))
                        button name="action" value="remove" { (text(&format!("Remove from @{group}"))) }
                    }
                }
            }
        }
    })
}

fn party_fields(Party { app, id, address, .. }: &Party) -> Markup {
    html! { (hidden("app", app.as_str())) (hidden("party", id.as_str())) (hidden("back", address)) }
}

/// Changes the party itself.
async fn change(State(console): State<Arc<Console>>, Form(fields): Form) -> Result<Response, PageError> {
    let table = &console.settings.table;
    let (app, party) = (table.parse_app(fields.required("app")?)?, table.parse_party(fields.required("party")?)?);
    let group = || fields.required("group").and_then(|group| Ok(GroupName::parse(group)?));
    let status = |status| Action::SetStatus { app: app.clone(), party: Some(party.clone()), status, note: None };
    let action = match fields.required("action")? {
        "block" => Action::Block { app, caller: party, edit: conditions_of(&fields)? },
        "unblock" => Action::Unblock { app, caller: party },
        "suspend" => status(Status::Suspended),
        "resume" => status(Status::Active),
        "add" => Action::SetMembership { group: group()?, app, party, is_member: true },
        "remove" => Action::SetMembership { group: group()?, app, party, is_member: false },
        other => return Err(PageError::invalid(format!("`{other}` is not a change of a party."))),
    };
    let performed = console.perform(&action, fields.seen().next()).await?;
    Ok(redirect(&console, back(&fields, "/parties"), vec![performed].into()))
}
