//! `/rules`: the stored rules page by page, and changes of several at once.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use callgate_admin::cursor::Cursor;
use callgate_admin::find::Needle;
use callgate_admin::rule_page::{PageLimits, Reading, RuleFilter, RulePage, RuleSide, RuleState};
use callgate_admin::wording::count;
use maud::{Markup, html};

use crate::console::Console;
use crate::console::fields::{Fields, Form, Query};
use crate::console::page::{PageError, Section, address, app_input, back, empty, input, page, redirect, select};
use crate::console::pages::rule::new_rule_link;
use crate::console::rule_list::{APPLY, Layout, rules_form, sort, sorting, wanted};
use crate::time::now;

const PATH: &str = "/rules";

/// What a page of rules holds and reads.
const LIMITS: PageLimits = PageLimits { found: 100, items: 1_000 };

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(show)).route(APPLY, post(apply))
}

async fn show(State(console): State<Arc<Console>>, Query(fields): Query) -> Result<Response, PageError> {
    console.read_apps().await?;
    let filter = match rule_filter(&console, &fields) {
        Ok(filter) => filter,
        Err(error) => {
            let content = html! { (filters(&console, &fields)) (error.message()) };
            return error.on(page(&console, Section::Rules, PATH, "Rules", &fields, content));
        }
    };
    let start = fields.get("after").map(str::parse::<Cursor>).transpose()?;
    let mut rules = Box::pin(console.settings.table.rule_page(&filter, start.as_ref(), LIMITS, now())).await?;
    console.remember_apps(rules.rules.iter().map(|rule| rule.row.app.as_str()));
    let sorting = sorting(&fields);
    if let Some(sorting) = sorting {
        sort(&mut rules.rules, sorting);
    }
    let is_part = start.is_some() || rules.next.is_some();
    let content = html! {
        (filters(&console, &fields))
        @if !console.settings.is_read_only {
            p { (new_link(&fields)) }
        }
        @if rules.rules.is_empty() { (nothing(&console, &fields, &filter, &rules)) } @else {
            @if sorting.is_some() && is_part {
                p class="help" { "Only the rules of this page are sorted, because the others are not read." }
            }
            (rules_form(&console, &rules.rules, Layout {
                label: "Rules",
                shows_app: filter.app.is_none(),
                sorted: Some((PATH, &fields)),
                back: &address(PATH, &fields),
            }))
        }
        (pager(&fields, &filter, &rules, start.is_some()))
    };
    page(&console, Section::Rules, PATH, "Rules", &fields, content)
}

fn new_link(fields: &Fields) -> Markup {
    let [app, from, to] = ["app", "from", "to"].map(|name| fields.get(name).unwrap_or_default());
    html! { a class="button" href=(new_rule_link(app, from, to, &address(PATH, fields))) { "New rule" } }
}

/// The filter of the fields.
fn rule_filter(console: &Console, fields: &Fields) -> Result<RuleFilter, PageError> {
    let region = console.settings.table.phone_region();
    let side = |name: &str| fields.get(name).map(|text| RuleSide::new(text, region));
    let state = |word: &str| {
        let state = RuleState::ALL.into_iter().find(|state| state.as_str() == word);
        state.ok_or_else(|| PageError::invalid(format!("`{word}` is not a state of a rule.")))
    };
    Ok(RuleFilter {
        app: console.filter_app(fields)?,
        from: side("from"),
        to: side("to"),
        party: side("party"),
        effect: fields.get("effect").map(str::to_owned),
        list: fields.get("list").map(str::to_owned),
        text: fields.get("text").map(|text| Needle::new(text, region)),
        state: fields.get("state").map(state).transpose()?,
        everywhere: fields.has("everywhere", "yes"),
    })
}

fn filters(console: &Console, fields: &Fields) -> Markup {
    let effects = [("", "all"), ("allow", "allow"), ("deny", "deny"), ("block", "block")];
    let states: Vec<_> = [("", "all")].into_iter().chain(RuleState::ALL.map(|it| (it.as_str(), it.as_str()))).collect();
    let is_open = ["from", "to", "list", "state", "effect"].iter().any(|name| fields.get(name).is_some());
    html! {
        form class="filters" method="get" action=(PATH) role="search" {
            (app_input(console, console.typed_app(fields)))
            (input("Caller or callee", "party", fields))
            (input("Text in ids, lists, notes", "text", fields))
            details open[is_open] {
                summary { "More" }
                (input("Callers, as written", "from", fields))
                (input("Callees, as written", "to", fields))
                (select("Effect", "effect", &effects, fields))
                (select("State", "state", &states, fields))
                (input("List", "list", fields))
            }
            button class="primary" { "Filter" }
            a href=(console.unfiltered(PATH)) { "Show all" }
        }
    }
}

/// Whether a filter chooses among the rules of an app.
fn is_filtered(fields: &Fields) -> bool {
    ["from", "to", "party", "effect", "state", "list", "text"].iter().any(|name| fields.get(name).is_some())
}

fn nothing(console: &Console, fields: &Fields, filter: &RuleFilter, rules: &RulePage) -> Markup {
    match (&rules.next, is_filtered(fields)) {
        (Some(_), _) => empty(
            &format!("None of the {} that were read has such a rule.", count(rules.items_read as u64, "item")),
            &html! { "The table has more: search on with the link below." },
        ),
        (None, true) => {
            empty("No rule matches the filter.", &html! { a href=(console.unfiltered(PATH)) { "Show all rules" } })
        }
        (None, false) => {
            let app = filter.app.as_ref().map(|app| format!(" for app {app}")).unwrap_or_default();
            empty(
                &format!("No rule is stored{app}."),
                &html! { @if !console.settings.is_read_only { "Write one with the button above, or " a href="/import" { "import a file" } "." } },
            )
        }
    }
}

/// What was read, and the way to the rest.
fn pager(fields: &Fields, filter: &RuleFilter, rules: &RulePage, is_continued: bool) -> Markup {
    let names_party = ["from", "to", "party"].iter().any(|name| fields.get(name).is_some());
    let next = rules.next.as_ref().map(ToString::to_string);
    html! {
        nav class="pager" aria-label="Pages of the list" {
            @if is_continued { a href={ (PATH) "?" (fields.with("after", None)) } { "First page" } }
            @if let Some(next) = &next {
                a href={ (PATH) "?" (fields.with("after", Some(next))) } {
                    (if rules.rules.len() < LIMITS.found { "Search on" } else { "Next page" })
                }
            }
            span {
                (count(rules.rules.len() as u64, "rule")) ", for which " (count(rules.items_read as u64, "item"))
                (if rules.items_read == 1 { " was read" } else { " were read" })
                @if next.is_none() { "; there are no more" }
            }
        }
        @if rules.reading == Reading::PlacesOfParty {
            p class="help" {
                "Only what is stored for the party was read. The lists of other parties may have entries for it, if they were written with "
                code { "--door" } ": "
                a href={ (PATH) "?" (Fields::of(fields.with("after", None).as_bytes()).with("everywhere", Some("yes"))) } { "Search the whole table" }
            }
        }
        @if names_party && filter.app.is_none() {
            p class="help" { "With an app, the rules of a party are found at once, without reading the whole table." }
        }
    }
}

/// Changes the checked rules.
async fn apply(State(console): State<Arc<Console>>, Form(fields): Form) -> Result<Response, PageError> {
    let wanted = wanted(&console, &fields)?;
    let message = console.perform_each(wanted, "change", "Nothing was written, because no rule was checked.").await;
    Ok(redirect(&console, back(&fields, PATH), message))
}
