//! `/rules/edit`: one rule or block, new or stored.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use callgate_admin::action::Action;
use callgate_admin::edit::{BlockEdit, Edit, RuleEdit};
use callgate_admin::rule_row::deny_all;
use callgate_admin::table::app_search::AppSearch;
use callgate_admin::{RuleLocation, RuleTarget, time};
use callgate_core::{AppKey, Effect, EpochSeconds, Hours, MediaSet, ParseError, PartyId, Pattern, Rule};
use maud::{Markup, html};

use crate::console::Console;
use crate::console::fields::{Fields, Form, Query, link, seen};
use crate::console::page::{
    NEW_APP, PageError, Section, app_input, back, hidden, new_app_box, page, redirect, select, text,
};
use crate::console::rule_list::{APPLY, EDIT, Place, RuleName};
use crate::time::now;

/// Where the page leads back to unless it was opened from another one.
const RULES: &str = "/rules";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(EDIT, get(show).post(write))
}

/// What the form is about.
struct Subject {
    /// The stored rule. `None` for a new one.
    name: Option<RuleName>,
    /// What is stored, as the plan of a change has it.
    before: String,
    /// The stored rule, or why it cannot be parsed.
    rule: Option<Result<Rule, ParseError>>,
    /// Whether the form can write it. Otherwise it can only be disabled, enabled or revoked.
    is_writable: bool,
    /// The app of a new rule that has to be confirmed because nothing is stored for it, and similar apps.
    unknown_app: Option<(AppKey, Vec<AppKey>)>,
}

async fn show(State(console): State<Arc<Console>>, Query(fields): Query) -> Result<Response, PageError> {
    console.read_apps().await?;
    let mut subject = subject(&console, &fields).await?;
    // What was typed, or what is stored.
    let is_typed = fields.get("effect").is_some();
    let stored = subject.rule.as_ref().filter(|_| !is_typed).and_then(|rule| rule.as_ref().ok());
    let shown = stored.map_or_else(|| fields.clone(), |rule| filled(&fields, &subject, rule));
    let preview = match (is_typed, action_of(&console, &fields)) {
        // The address is that of a stored rule.
        (false, _) if subject.name.is_none() && fields.get("to").is_some() && !fields.has("new", "yes") => html! {
            div class="message notice" role="status" { p { "This rule is no longer stored. The form below writes a new one." } }
        },
        (false, _) => html! {},
        (true, Err(error)) => problem(&error),
        (true, Ok(action)) => match console.plan(&action).await {
            Ok(plan) => {
                subject.before = plan.before;
                preview(&plan.text, &subject.before, &plan.notices, plan.is_unchanged)
            }
            Err(error) => problem(&error),
        },
    };
    show_form(&console, &fields, &shown, &subject, &preview)
}

/// Writes what was typed, if what is stored is still what the page showed.
async fn write(State(console): State<Arc<Console>>, Form(fields): Form) -> Result<Response, PageError> {
    let subject = subject(&console, &fields).await?;
    let planned = match action_of(&console, &fields) {
        Ok(action) => console.plan(&action).await.map(|plan| (action, plan)),
        Err(error) => Err(error),
    };
    let (action, plan) = match planned {
        Ok(planned) => planned,
        Err(error) => {
            return error.on(show_form(&console, &fields, &fields, &subject, &problem(&error)));
        }
    };
    let seen = fields.seen().next().unwrap_or_default();
    if seen != plan.before && !plan.is_unchanged {
        let subject = Subject { before: plan.before.clone(), ..subject };
        let mut response = show_form(&console, &fields, &fields, &subject, &conflict(seen, &plan.before, &plan.text))?;
        *response.status_mut() = StatusCode::CONFLICT;
        return Ok(response);
    }
    let app = action.app();
    if plan.before.is_empty()
        && !fields.has(NEW_APP, app.as_str())
        && let AppSearch::Unknown(similar) = console.settings.table.search_app(app).await?
    {
        let subject = Subject { unknown_app: Some((app.clone(), similar)), ..subject };
        let why = PageError::invalid(format!("Nothing is stored for app `{app}`. Confirm below that it is meant."));
        return why.on(show_form(&console, &fields, &fields, &subject, &problem(&why)));
    }
    let performed = console.perform(&action, Some(seen)).await?;
    Ok(redirect(&console, back(&fields, RULES), vec![performed].into()))
}

/// Finds the rule that the fields name, if they name a stored one.
async fn subject(console: &Console, fields: &Fields) -> Result<Subject, PageError> {
    let table = &console.settings.table;
    let none = Subject { name: None, before: String::new(), rule: None, is_writable: true, unknown_app: None };
    if ["app", "from", "to"].iter().any(|name| fields.get(name).is_none()) || fields.has("new", "yes") {
        return Ok(none);
    }
    let name = RuleName::parse(table, fields)?;
    let rule = match &name.place {
        Place::Block(caller) => table
            .plan_unblocking(&name.app, caller)
            .await?
            .and_then(|unblocking| unblocking.previous().map(|block| block.map(deny_all).map_err(Clone::clone))),
        Place::Rule(door) => {
            let location = RuleLocation::literal(&name.app, &name.from, &name.to, *door);
            let revocation = table.plan_revocation(location).await?;
            revocation.map(|revocation| revocation.rule().cloned().map_err(Clone::clone))
        }
    };
    if rule.is_none() {
        return Ok(none);
    }
    let action = write_of(console, &name);
    let is_writable = action.is_some();
    let plan = console.plan(&action.unwrap_or_else(|| name.revoke())).await?;
    Ok(Subject { name: Some(name), before: plan.before, rule, is_writable, unknown_app: None })
}

/// An action that would write the stored rule and change nothing but its effect. `None` if no form can write a rule in its place.
fn write_of(console: &Console, name: &RuleName) -> Option<Action> {
    let RuleName { app, from, to, place } = name;
    match place {
        Place::Block(caller) => {
            Some(Action::Block { app: app.clone(), caller: caller.clone(), edit: BlockEdit::default() })
        }
        Place::Rule(door) => {
            let pattern = |text: &str| console.settings.table.parse_pattern(text).ok();
            let target = RuleTarget { app: app.clone(), from: pattern(from)?, to: pattern(to)? };
            let location = target.owner_at(*door).ok().map(|owner| target.location_in(&owner))?;
            let is_list = door.is_none() || target.has_pattern();
            if !is_list || location != RuleLocation::literal(app, from, to, *door) {
                return None;
            }
            let edit = RuleEdit {
                effect: Effect::Allow,
                media: Edit::Keep,
                hours: Edit::Keep,
                is_disabled: false,
                common: BlockEdit::default(),
            };
            Some(Action::WriteRule { target, door: *door, edit })
        }
    }
}

/// The fields with the values of a stored rule.
fn filled(fields: &Fields, subject: &Subject, rule: &Rule) -> Fields {
    let Rule { effect, media, hours, expires_at, list, note, .. } = rule;
    let is_block = matches!(subject.name.as_ref().map(|name| &name.place), Some(Place::Block(_)));
    let medium = |is_in: fn(&MediaSet) -> bool| media.as_ref().is_some_and(is_in).then(|| "yes".to_owned());
    let values = [
        ("effect", Some(if is_block { "block" } else { effect.as_str() }.to_owned())),
        ("audio", medium(|media| media.audio)),
        ("video", medium(|media| media.video)),
        ("hours", hours.as_ref().map(ToString::to_string)),
        ("until", expires_at.map(typed_time)),
        ("list", list.clone()),
        ("note", note.clone()),
    ];
    values
        .into_iter()
        .fold(fields.clone(), |fields, (name, value)| Fields::of(fields.with(name, value.as_deref()).as_bytes()))
}

/// A moment as a person can type it.
fn typed_time(at: EpochSeconds) -> String {
    let local = time::format_local(at);
    if time::parse_until(&local, now()).is_ok_and(|read| read == at) { local } else { time::format(at) }
}

/// The change that the fields ask for.
fn action_of(console: &Console, fields: &Fields) -> Result<Action, PageError> {
    let table = &console.settings.table;
    let missing = |what: &str| PageError::invalid(format!("{what} is missing."));
    let app = table.parse_app(fields.get("app").ok_or_else(|| missing("The app"))?)?;
    let from = fields.get("from").ok_or_else(|| missing("The caller, or a pattern for several,"))?;
    let is_exact = fields.has("exactly", "yes");
    let check = |text: &str| if is_exact { Ok(()) } else { table.check_written(text) };
    let common = common_of(fields)?;
    let effect = match fields.get("effect").unwrap_or_default() {
        "block" => {
            if fields.get("to").is_some_and(|to| to != "*") {
                return Err(PageError::invalid(
                    "A block is for all calls of its caller. Leave the callee empty, or write a rule that denies.",
                ));
            }
            return Ok(Action::Block { app, caller: one_party(console, from, is_exact)?, edit: common });
        }
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        other => return Err(PageError::invalid(format!("`{other}` is not an effect. Choose allow, deny or block."))),
    };
    let to = fields.get("to").ok_or_else(|| missing("The callee, or a pattern for several,"))?;
    check(from)?;
    check(to)?;
    let target = RuleTarget { app, from: table.parse_pattern(from)?, to: table.parse_pattern(to)? };
    let door = match fields.get("door") {
        None => None,
        Some(_) => match RuleName::parse(table, fields)?.place {
            Place::Rule(door) => door,
            Place::Block(_) => {
                return Err(PageError::invalid("A block cannot become a rule. Revoke it, and write a new rule."));
            }
        },
    };
    let media = MediaSet { audio: fields.has("audio", "yes"), video: fields.has("video", "yes") };
    let windows = fields.get("hours").unwrap_or_default().replace(['\r', '\n'], ";");
    let windows: Vec<_> = windows.split(';').map(str::trim).filter(|window| !window.is_empty()).collect();
    let hours = if windows.is_empty() {
        None
    } else {
        Some(Hours::parse(&windows.join(";")).map_err(|error| PageError::invalid(error.to_string()))?)
    };
    let edit = RuleEdit {
        effect,
        media: if media.audio || media.video { Edit::Set(media) } else { Edit::Clear },
        hours: hours.map_or(Edit::Clear, Edit::Set),
        is_disabled: fields.has("disabled", "yes"),
        common,
    };
    Ok(Action::WriteRule { target, door, edit })
}

/// The expiry, the list and the note of the fields. What is empty is removed.
fn common_of(fields: &Fields) -> Result<BlockEdit, PageError> {
    let until = fields.until()?;
    let set = |name: &str| fields.get(name).map_or(Edit::Clear, |text| Edit::Set(text.to_owned()));
    Ok(BlockEdit { expires_at: until.map_or(Edit::Clear, Edit::Set), list: set("list"), note: set("note") })
}

/// Parses one party that is to be stored, in any spelling.
fn one_party(console: &Console, text: &str, is_exact: bool) -> Result<PartyId, PageError> {
    let table = &console.settings.table;
    if !is_exact {
        match table.parse_pattern(text)? {
            Pattern::Exact(_) => {}
            pattern => return Err(PageError::invalid(format!("`{pattern}` is a pattern, not one party."))),
        }
        table.check_written(text)?;
    }
    Ok(table.parse_party(text)?)
}

fn problem(error: &PageError) -> Markup {
    html! { div class="message problem" role="alert" { p { "Nothing was written. " (text(&error.to_string())) } } }
}

/// What would be written.
fn preview(new: &str, before: &str, notices: &[String], is_unchanged: bool) -> Markup {
    html! {
        div class="message notice" role="status" {
            p { @if is_unchanged { "This would change nothing: " } @else { "This would be written: " } (text(new)) }
            @if !before.is_empty() && !is_unchanged { p { "It replaces: " (text(before)) } }
            @if !notices.is_empty() { ul { @for notice in notices { li { (text(notice)) } } } }
        }
    }
}

/// Both versions of a rule that another person changed.
fn conflict(seen: &str, stored: &str, new: &str) -> Markup {
    let nothing = |version: &str| if version.is_empty() { "nothing".to_owned() } else { version.to_owned() };
    html! {
        div class="message problem" role="alert" {
            @if seen.is_empty() { p { "Nothing was written, because another rule is stored for these parties." } }
            @else { p { "Nothing was written, because the rule changed since this page was loaded." } }
            dl class="facts" {
                @if !seen.is_empty() { dt { "The page showed" } dd { (text(seen)) } }
                dt { "Stored now" } dd { (text(&nothing(stored))) }
                dt { "Yours" } dd { (text(new)) }
            }
            p { "Writing it now replaces what is stored." }
        }
    }
}

fn show_form(
    console: &Console,
    fields: &Fields,
    shown: &Fields,
    subject: &Subject,
    top: &Markup,
) -> Result<Response, PageError> {
    let title = subject.name.as_ref().map_or_else(|| "New rule".to_owned(), |name| format!("Edit {}", name.text()));
    let content = html! {
        (top)
        @match &subject.rule {
            Some(Err(error)) => div class="message problem" role="alert" { p { "The stored rule is invalid: " (text(&error.to_string())) } },
            _ => {},
        }
        @if !subject.before.is_empty() {
            section class="card" {
                h2 { "Stored now" }
                p { (text(&subject.before)) }
                @if let Some(name) = subject.name.as_ref().filter(|_| !console.settings.is_read_only) { (quick_form(fields, subject, name)) }
            }
        }
        @if subject.is_writable && !console.settings.is_read_only { (edit_form(console, fields, shown, subject)) }
        @if !subject.is_writable {
            p class="help" { "A rule in this place can only be disabled, enabled or revoked. To change it otherwise, revoke it and write a new one." }
        }
        p { a href=(back(fields, RULES)) { "Back without writing" } }
    };
    page(console, Section::Rules, EDIT, &title, fields, content)
}

/// The buttons that need no other field.
fn quick_form(fields: &Fields, subject: &Subject, name: &RuleName) -> Markup {
    let is_disabled = matches!(&subject.rule, Some(Ok(Rule { disabled: true, .. })));
    let rule = name.encoded(&subject.before);
    html! {
        form class="actions" method="post" action=(APPLY) {
            (hidden("rule", &rule))
            (hidden("back", back(fields, RULES)))
            @if matches!(name.place, Place::Rule(_)) {
                @if is_disabled { button name="action" value="enable" { "Enable" } }
                @else { button name="action" value="disable" { "Disable" } }
            }
            button class="danger" name="action" value="revoke" { (text(&format!("Revoke {}", name.text()))) }
        }
    }
}

fn edit_form(console: &Console, fields: &Fields, shown: &Fields, subject: &Subject) -> Markup {
    let is_block = matches!(subject.name.as_ref().map(|name| &name.place), Some(Place::Block(_)));
    let effects: &[_] = match (&subject.name, is_block) {
        (Some(_), true) => &[("block", "block")],
        (Some(_), false) => &[("allow", "allow"), ("deny", "deny")],
        (None, _) => &[("allow", "allow"), ("deny", "deny"), ("block", "block: deny all calls of one caller")],
    };
    html! {
        form class="fields" method="post" action=(EDIT) {
            (seen(&subject.before))
            (hidden("back", back(fields, RULES)))
            @match &subject.name {
                Some(name) => {
                    (hidden("app", name.app.as_str())) (hidden("from", &name.from)) (hidden("to", &name.to))
                    @if let Some(door) = fields.get("door") { (hidden("door", door)) }
                    // Its ids are stored like this already.
                    (hidden("exactly", "yes"))
                    dl class="facts" {
                        dt { "App" } dd { (text(name.app.as_str())) }
                        dt { "Callers" } dd { (text(&name.from)) }
                        @if !is_block { dt { "Callees" } dd { (text(&name.to)) } }
                    }
                }
                None => {
                    (hidden("new", "yes"))
                    @if let Some(door) = fields.get("door").filter(|door| *door != "block") { (hidden("door", door)) }
                    (app_input(console, console.typed_app(shown).or(console.only_app().as_ref().map(AppKey::as_str))))
                    label { "Callers " input name="from" value=[shown.get("from")] autocomplete="off" spellcheck="false" required;
                        small { "An id or number in any spelling, a group such as @sales, a prefix such as +7495*, or * for everyone" } }
                    label { "Callees " input name="to" value=[shown.get("to")] autocomplete="off" spellcheck="false";
                        small { "In the same forms; empty for a block" } }
                }
            }
            (select("Effect", "effect", effects, shown))
            @if !is_block {
                fieldset {
                    legend { "Only for these media" }
                    (checkbox("Audio", "audio", shown))
                    (checkbox("Video", "video", shown))
                    small { "None checked: any. An allow applies to calls without other media, a deny to calls with any of them." }
                }
                label { "Only at these hours "
                    textarea name="hours" rows="2" spellcheck="false" { (shown.get("hours").unwrap_or_default().replace("; ", "\n")) }
                    small { "Mon-Fri 09:00-18:00 Europe/Moscow; one window on each line. Empty: always." } }
            }
            label { "Until " input name="until" value=[shown.get("until")] list="expiries" autocomplete="off";
                small { "30d, 18:00, 2026-12-31, 2026-12-31 18:00. Empty: no end." } }
            label { "List " input name="list" value=[shown.get("list")] autocomplete="off"; }
            label { "Note " input name="note" value=[shown.get("note")] autocomplete="off"; }
            @if subject.name.is_none() {
                (checkbox("Write it disabled", "disabled", shown))
                (checkbox("Accept ids that only look like numbers, and prefixes that no number has (--exactly)", "exactly", shown))
            }
            @if let Some((app, similar)) = &subject.unknown_app { (new_app_box(app, similar)) }
            div class="actions" {
                button class="primary" { (if subject.before.is_empty() { "Write the rule" } else { "Write over what is stored" }) }
                button formmethod="get" { "Show what it would do" }
            }
        }
    }
}

fn checkbox(label: &str, name: &str, fields: &Fields) -> Markup {
    html! { label { input type="checkbox" name=(name) value="yes" checked[fields.has(name, "yes")]; " " (label) } }
}

/// The address of the form for a new rule.
pub(super) fn new_rule_link(app: &str, from: &str, to: &str, back: &str) -> String {
    link(
        EDIT,
        [("app", app), ("from", from), ("to", to), ("new", "yes"), ("back", back)]
            .into_iter()
            .filter(|(_, it)| !it.is_empty()),
    )
}
