//! `/history`: who changed what, with the values before and after, and a button that takes a change back.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use callgate_admin::history::{Change, ChangedValue, HistoryFilter, HistoryPage};
use callgate_admin::time;
use callgate_admin::wording::{count, quote};
use callgate_core::{AppKey, PartyId};
use maud::{Markup, html};

use crate::args::check_one_party;
use crate::commands::history::counts_text;
use crate::console::Console;
use crate::console::fields::{Fields, Query};
use crate::console::page::{self, PageError, Section, app_input, empty, hidden, input, page, text, with_result};
use crate::console::undo::{CHANGE, Reference, before_and_after};
use crate::time::now;

const PATH: &str = "/history";

/// How many changes are on a page.
const PAGE: usize = 50;

/// How many values of a change are shown at first.
const MAX_VALUES: usize = 20;

/// How many values that other programs wrote are shown.
const MAX_UNRECORDED: usize = 500;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(show))
}

async fn show(State(console): State<Arc<Console>>, Query(fields): Query) -> Result<Response, PageError> {
    with_result(list(&console, &fields).await, |list| {
        page(&console, Section::History, PATH, "History", &fields, html! { (form(&console, &fields)) (list) })
    })
}

fn form(console: &Console, fields: &Fields) -> Markup {
    html! {
        form class="filters" method="get" action=(PATH) role="search" {
            (app_input(console, console.typed_app(fields)))
            (input("Party", "party", fields))
            label { "Since " input name="since" value=[fields.get("since")] placeholder="7d, 15:00, 2026-11-26" autocomplete="off"; }
            label {
                input type="checkbox" name="unrecorded" value="yes" checked[fields.has("unrecorded", "yes")];
                "Only what other programs wrote, whenever that was (reads the whole history of the app)"
            }
            button class="primary" { "Show" }
            a href=(PATH) { "Show all" }
        }
    }
}

async fn list(console: &Console, fields: &Fields) -> Result<Markup, PageError> {
    let Some(app) = console.one_app(fields).await? else {
        return Ok(empty(
            "No app is chosen.",
            &html! { "Each app has a history of its own. Type the app, WCS's appKey." },
        ));
    };
    let party = party(console, fields)?;
    if fields.has("unrecorded", "yes") {
        return unrecorded(console, &app, party.as_ref()).await;
    }
    let since = fields.get("since").map(|text| time::parse_since(text, now())).transpose()?;
    let before = fields.get("before");
    let filter = HistoryFilter { party: party.as_ref(), since, before };
    let HistoryPage { changes, read, next } = console.settings.table.history_page(&app, filter, PAGE).await?;
    Ok(html! {
        @if changes.is_empty() && next.is_none() {
            (empty(
                "No changes match.",
                &html! { "What the console and callgatectl write in app " (text(app.as_str())) " appears here." },
            ))
        }
        @for change in &changes { (article(console, fields, &app, change)) }
        @if before.is_some() || next.is_some() {
            nav class="pager" aria-label="Pages of the list" {
                @if before.is_some() { a href={ (PATH) "?" (fields.with("before", None)) } { "Newest changes" } }
                @if let Some(next) = &next {
                    a href={ (PATH) "?" (fields.with("before", Some(next))) } { "Older changes" }
                    @if party.is_some() { span { (count(read as u64, "change")) " searched so far" } }
                }
            }
        }
    })
}

/// What is stored although no change of the history made it. Reads the whole history of the app.
async fn unrecorded(console: &Console, app: &AppKey, party: Option<&PartyId>) -> Result<Markup, PageError> {
    let changes = console.settings.table.history(app, None).await?;
    let values = console.settings.table.unrecorded_changes(party, &changes, now()).await?;
    let descriptions: Vec<_> = values.iter().flat_map(ChangedValue::descriptions).collect();
    Ok(html! {
        @if descriptions.is_empty() {
            (empty(
                "Everything that is stored was written by callgatectl or the console, as far as the history shows.",
                &html! { "Rules and parties that have expired do not count." },
            ))
        } @else {
            section class="card" aria-labelledby="unrecorded" {
                h2 id="unrecorded" { "Not in the history, so another program wrote it" }
                ul class="diff" { @for description in descriptions.iter().take(MAX_UNRECORDED) { (before_and_after(description)) } }
                @if descriptions.len() > MAX_UNRECORDED {
                    p { "and " (descriptions.len() - MAX_UNRECORDED) " more. " code { "callgatectl history --app " (text(&quote(app.as_str()))) } " prints all of them." }
                }
            }
        }
    })
}

fn party(console: &Console, fields: &Fields) -> Result<Option<PartyId>, PageError> {
    let Some(typed) = fields.get("party") else { return Ok(None) };
    check_one_party(&console.settings.table, typed, false, |_| "name one of its parties".to_owned())?;
    Ok(Some(console.settings.table.parse_party(typed)?))
}

/// A change with what it changed.
fn article(console: &Console, fields: &Fields, app: &AppKey, change: &Change) -> Markup {
    let Change { id, at, author, command, values, undoes, counts, list, is_cut } = change;
    let can_undo = counts.is_none() && !is_cut && !values.is_empty() && !console.settings.is_read_only;
    let reference = Reference { app: app.clone(), id: id.clone() };
    let descriptions: Vec<_> = values.iter().filter(|_| !is_cut).flat_map(ChangedValue::descriptions).collect();
    let (first, rest) = descriptions.split_at(descriptions.len().min(MAX_VALUES));
    html! {
        article class="card" {
            div class="heading" {
                h2 { (text(command)) }
                p class="help" { (page::time(at.as_second())) " by " (text(author)) }
                @if can_undo {
                    form method="post" action="/undo" {
                        (hidden(CHANGE, &reference.field()))
                        (hidden("back", &page::address(PATH, fields)))
                        button { "Undo" span class="hidden" { " " (text(command)) } }
                    }
                }
            }
            @if let Some(undoes) = undoes {
                p class="help" { "Takes back " code { (text(undoes)) } }
            }
            @if let Some(counts) = counts {
                p { (counts_text(counts, list.as_deref())) }
                p class="help" { "A command that changed many rules. Undo the changes of single rules, or restore a backup." }
            }
            @if *is_cut { p { "The values are too large for the history, so this cannot be taken back here." } }
            @if !first.is_empty() { ul class="diff" { @for description in first { (before_and_after(description)) } } }
            @if !rest.is_empty() {
                details {
                    summary { "and " (count(rest.len() as u64, "more value")) }
                    ul class="diff" { @for description in rest { (before_and_after(description)) } }
                }
            }
        }
    }
}
