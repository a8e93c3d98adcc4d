//! `/check`: decides a call as the function would, draws the doors, and shows what would change the answer.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use callgate_admin::reversal::{Reversal, command_line};
use callgate_admin::time;
use callgate_admin::wording::decision_text;
use callgate_core::{Call, Effect, EpochSeconds, PartyId, Pattern, trace};
use maud::{Markup, html};

use crate::args::check_one_party;
use crate::console::Console;
use crate::console::doors::doors;
use crate::console::fields::{Fields, Query};
use crate::console::page::{self, PageError, Section, app_input, empty, input, page, party_link, text, with_result};
use crate::console::pages::calls::{answer_form, media_of};
use crate::time::now;

const PATH: &str = "/check";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(show))
}

async fn show(State(console): State<Arc<Console>>, Query(fields): Query) -> Result<Response, PageError> {
    let result = match question(&console, &fields).await {
        Ok(Some(question)) => Ok(answer(&console, &fields, &question).await?),
        Ok(None) => Ok(empty(
            "Nothing is checked yet.",
            &html! { "Type a caller and a callee, as in the log or in any spelling of a number. Nothing is called or written." },
        )),
        Err(error) => Err(error),
    };
    with_result(result, |result| {
        page(&console, Section::Check, PATH, "Check a call", &fields, html! { (form(&console, &fields)) (result) })
    })
}

fn form(console: &Console, fields: &Fields) -> Markup {
    html! {
        form class="filters" method="get" action=(PATH) {
            (app_input(console, console.typed_app(fields)))
            (input("Caller", "from", fields))
            (input("Callee", "to", fields))
            label { "Time " input name="at" value=[fields.get("at")] placeholder="now" autocomplete="off"; }
            label { input type="checkbox" name="video" value="yes" checked[fields.has("video", "yes")]; "With video" }
            @if fields.has("audio", "no") { label { input type="checkbox" name="audio" value="no" checked; "Without audio" } }
            label { input type="checkbox" name="exactly" value="yes" checked[fields.has("exactly", "yes")]; "Accept ids that look like a pattern" }
            button class="primary" { "Check" }
        }
    }
}

/// A call to decide, as if it came at a moment.
struct Question {
    call: Call,
    at: EpochSeconds,
}

/// The call of the fields. `None` as long as the form is empty.
async fn question(console: &Console, fields: &Fields) -> Result<Option<Question>, PageError> {
    let (from, to) = (fields.get("from"), fields.get("to"));
    if from.is_none() && to.is_none() {
        return Ok(None);
    }
    let app = console.one_app(fields).await?.ok_or_else(|| PageError::invalid("Name the app, WCS's appKey."))?;
    let to = to.ok_or_else(|| PageError::invalid("Name the callee."))?;
    let table = &console.settings.table;
    let one = |pattern: &Pattern| match pattern {
        Pattern::Group(_) => "name one of its parties".to_owned(),
        Pattern::Prefix(prefix) => format!("name one, such as a number that starts with `{prefix}`"),
        Pattern::Everyone | Pattern::Exact(_) => "name one party".to_owned(),
    };
    let check = |text: &str| check_one_party(table, text, fields.has("exactly", "yes"), one);
    // As the hook takes it: an event without a caller has a withheld number.
    let from = from.unwrap_or("anonymous");
    check(from)?;
    check(to)?;
    let caller = PartyId::new(from, table.phone_region())
        .map_err(|error| PageError::invalid(format!("The caller `{from}` {error}.")))?;
    let callee = table.parse_party(to)?;
    let at = fields.get("at").map(|text| time::parse(text, now())).transpose()?.unwrap_or_else(now);
    Ok(Some(Question { call: Call { app, caller, callee, media: media_of(fields) }, at }))
}

async fn answer(console: &Console, fields: &Fields, Question { call, at }: &Question) -> Result<Markup, PageError> {
    let lookup = console.settings.table.look_up(call).await?;
    let permissions = lookup.permissions();
    let trace = trace(call, permissions, *at);
    let reversal = console.settings.table.reversal(call, permissions, *at, now());
    let Call { app, caller, callee, media } = call;
    Ok(html! {
        section class="card" aria-labelledby="result" {
            h2 id="result" {
                (page::answer(trace.decision.effect())) " " (party_link(app.as_str(), caller.as_str())) " to " (party_link(app.as_str(), callee.as_str()))
            }
            p class="help" {
                "In app " (text(app.as_str())) ", " (media.words().join(" and ")) ", at " (time::describe(*at))
                ". Reason: " code { (trace.decision.reason()) }
                @for (typed, id) in [(fields.get("from"), caller), (fields.get("to"), callee)] {
                    @if let Some(typed) = typed.filter(|typed| *typed != id.as_str()) {
                        ". " code { (text(typed)) } " is " code { (text(id.as_str())) }
                    }
                }
                "."
            }
            @if trace.doors.is_empty() {
                p { (text(&decision_text(&trace.decision))) ". Until it is corrected, no door is evaluated." }
            } @else {
                (doors(call, &trace, permissions, *at))
            }
        }
        (change(console, fields, call, trace.decision.effect(), &reversal).await?)
    })
}

/// What would change the answer, and for a call that comes now the button for it.
async fn change(
    console: &Console,
    fields: &Fields,
    call: &Call,
    effect: Effect,
    reversal: &Reversal,
) -> Result<Markup, PageError> {
    let aim = if effect == Effect::Allow { "refuse" } else { "permit" };
    let (title, command) = match reversal {
        Reversal::Steps(steps) => (format!("What would {aim} it"), command_line(steps)),
        Reversal::Show(command) => ("No rule can change the answer".to_owned(), command.clone()),
    };
    let has_steps = matches!(reversal, Reversal::Steps(_));
    let form = if has_steps && !console.settings.is_read_only && fields.get("at").is_none() {
        let back = page::address(PATH, fields);
        Some(answer_form(console, &back, call, effect, reversal).await?)
    } else {
        None
    };
    Ok(html! {
        section class="card" aria-labelledby="change" {
            h2 id="change" { (title) }
            @if !has_steps { p { "What is stored is not valid. This command shows it." } }
            pre { code { (text(&command)) } }
            @if let Some(form) = form { (form) }
        }
    })
}
