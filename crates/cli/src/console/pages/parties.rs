//! `/parties`: finds parties by their id, a number in any spelling, a group or a note.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use callgate_admin::cursor::Cursor;
use callgate_admin::find::Needle;
use callgate_admin::party_page::{FoundParty, PartyFilter, PartyPage};
use callgate_admin::rule_page::PageLimits;
use callgate_admin::show::ItemSummary;
use callgate_admin::time;
use callgate_admin::wording::count;
use callgate_core::{AppKey, ParseError, Status, has_expired};
use maud::{Markup, html};

use crate::console::Console;
use crate::console::fields::{Fields, Query};
use crate::console::page::{PageError, Section, app_input, empty, input, page, party_link, party_path, text};
use crate::time::now;

const PATH: &str = "/parties";

/// What a page of parties holds and reads.
const LIMITS: PageLimits = PageLimits { found: 50, items: 1_000 };

/// The most apps in which an id is searched if no app is given.
const MAX_APPS: usize = 20;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(show))
}

async fn show(State(console): State<Arc<Console>>, Query(fields): Query) -> Result<Response, PageError> {
    console.read_apps().await?;
    let form = || {
        html! {
            form class="filters" method="get" action=(PATH) role="search" {
                (app_input(&console, console.typed_app(&fields)))
                (input("Id, number, group or note", "text", &fields))
                button class="primary" { "Search" }
                a href=(console.unfiltered(PATH)) { "Show all" }
            }
        }
    };
    let app = match console.filter_app(&fields).map_err(PageError::from) {
        Ok(app) => app,
        Err(error) => {
            let content = html! { (form()) (error.message()) };
            return error.on(page(&console, Section::Parties, PATH, "Parties", &fields, content));
        }
    };
    let apps = console.stored_apps();
    let filter = PartyFilter {
        known_apps: apps.iter().filter_map(|app| AppKey::new(app).ok()).take(MAX_APPS).collect(),
        text: fields.get("text").map(|text| Needle::new(text, console.settings.table.phone_region())),
        app,
    };
    let start = fields.get("after").map(str::parse::<Cursor>).transpose()?;
    let parties = Box::pin(console.settings.table.party_page(&filter, start.as_ref(), LIMITS)).await?;
    console.remember_apps(parties.parties.iter().map(|party| party.app.as_str()));
    let content = html! {
        (form())
        @if parties.parties.is_empty() { (nothing(&console, &fields, &parties)) } @else { (table(&parties.parties)) }
        (pager(&fields, &parties, start.is_some()))
        (exact_links(&filter, &parties.parties))
    };
    page(&console, Section::Parties, PATH, "Parties", &fields, content)
}

fn table(parties: &[FoundParty]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Parties" {
            table {
                caption class="hidden" { "Parties" }
                thead { tr {
                    th scope="col" { "Party" }
                    th scope="col" { "App" }
                    th scope="col" { "State" }
                    th scope="col" { "Groups" }
                    th scope="col" { "Note" }
                } }
                tbody {
                    @for FoundParty { app, id, item } in parties {
                        @let summary = item.as_ref().and_then(|item| item.as_ref().ok());
                        tr {
                            th scope="row" { (party_link(app, id)) }
                            td { (text(app)) }
                            td { (state(item.as_ref().map(Result::as_ref))) }
                            td { @for group in summary.iter().flat_map(|item| &item.groups) { span class="tag" { "@" (text(group)) } " " } }
                            td { @if let Some(note) = summary.and_then(|item| item.note.as_ref()) { (text(note)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Whether a party takes part in calls, in words.
pub(super) fn state(item: Option<Result<&ItemSummary, &ParseError>>) -> Markup {
    match item {
        None => html! { span class="help" { "only rules name it" } },
        Some(Err(ParseError(why))) => html! { span class="tag warn" { "invalid" } " " (text(why)) },
        Some(Ok(ItemSummary { expires_at, .. })) if has_expired(*expires_at, now()) => {
            html! { span class="tag warn" { "expired" } }
        }
        Some(Ok(ItemSummary { status, blocked, expires_at, .. })) => {
            let is_blocked = blocked.as_ref().is_some_and(|block| !has_expired(block.expires_at, now()));
            html! {
                @if *status == Status::Suspended { span class="tag warn" { "suspended" } " " }
                @if is_blocked { span class="tag warn" { "blocked" } " " }
                @if *status == Status::Active && !is_blocked { "active" }
                @if let Some(at) = expires_at { " until " (text(&time::describe(*at))) }
            }
        }
    }
}

fn nothing(console: &Console, fields: &Fields, parties: &PartyPage) -> Markup {
    match (&parties.next, fields.get("text")) {
        (Some(_), _) => empty(
            &format!("None was found among {}.", count(parties.items_read as u64, "item")),
            &html! { "The table has more: search on with the link below." },
        ),
        (None, Some(found)) => empty(
            &format!("No party has `{}` in its id, its groups or its note.", callgate_admin::wording::escape(found)),
            &html! { a href=(console.unfiltered(PATH)) { "Show all parties" } },
        ),
        (None, None) => empty(
            "No party is stored.",
            &html! { "Parties appear here when a rule, a group, a block or a note names them." },
        ),
    }
}

fn pager(fields: &Fields, parties: &PartyPage, is_continued: bool) -> Markup {
    html! {
        nav class="pager" aria-label="Pages of the list" {
            @if is_continued { a href={ (PATH) "?" (fields.with("after", None)) } { "First page" } }
            @if let Some(next) = &parties.next {
                a href={ (PATH) "?" (fields.with("after", Some(&next.to_string()))) } {
                    (if parties.parties.len() < LIMITS.found { "Search on" } else { "Next page" })
                }
            }
            span {
                (count(parties.items_read as u64, "item")) (if parties.items_read == 1 { " was read" } else { " were read" })
                @if parties.reads_table { ", page by page of the whole table" }
                @if parties.next.is_none() { "; there are no more" }
            }
        }
    }
}

/// The pages of the party that the text names, if it was not found: rules with patterns may match it.
fn exact_links(filter: &PartyFilter, found: &[FoundParty]) -> Markup {
    let Some(id) = filter.text.as_ref().and_then(Needle::id) else { return html! {} };
    let is_found = |app: &AppKey| found.iter().any(|party| party.app == app.as_str() && party.id == id.as_str());
    let apps = filter.app.as_ref().map_or(filter.known_apps.as_slice(), std::slice::from_ref);
    let apps: Vec<_> = apps.iter().filter(|app| !is_found(app)).collect();
    html! {
        @if !apps.is_empty() {
            p class="help" {
                "Rules for patterns may match " (text(id.as_str())) " although nothing is stored for it: "
                @for (number, app) in apps.iter().enumerate() {
                    @if number > 0 { ", " }
                    a href=(party_path(app.as_str(), id.as_str())) { (text(id.as_str())) " in app " (text(app.as_str())) }
                }
            }
        }
    }
}
