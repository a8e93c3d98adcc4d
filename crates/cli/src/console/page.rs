//! The layout of every page, and the parts that several pages have.

use std::fmt;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use callgate_admin::Error;
use callgate_admin::decision_log::Decided;
use callgate_admin::decision_log::wording::decision_word;
use callgate_admin::time::{format, format_local_aligned};
use callgate_admin::wording::escape;
use callgate_core::{AppKey, Effect, EpochSeconds};
use maud::{DOCTYPE, Markup, html};

use super::Console;
use super::fields::{APP, Fields};
use super::undo::{MESSAGE, Message};
use crate::exit::{UsageError, hint};

/// A page in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Calls,
    Waiting,
    Parties,
    Rules,
    Check,
    Import,
    History,
    Health,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Calls, "/calls", "Calls"),
        (Self::Waiting, "/waiting", "Waiting"),
        (Self::Parties, "/parties", "Parties"),
        (Self::Rules, "/rules", "Rules"),
        (Self::Check, "/check", "Check"),
        (Self::Import, "/import", "Import"),
        (Self::History, "/history", "History"),
        (Self::Health, "/health", "Health"),
    ];
}

/// A whole page. Above it is the message that the query string names: what was just written, with a button that takes it back.
#[expect(clippy::unnecessary_wraps, clippy::needless_pass_by_value, reason = "every page ends with it")]
pub(super) fn page(
    console: &Console,
    section: Section,
    path: &str,
    title: &str,
    fields: &Fields,
    content: Markup,
) -> Result<Response, PageError> {
    let message = Message::of(console, fields);
    let body = html! {
        header class="top" {
            a class="skip" href="#main" { "Skip to the content" }
            span class="name" { "callgate" }
            nav aria-label="Pages" {
                ul {
                    @for (it, path, name) in Section::ALL {
                        li { a href=(path) aria-current=[(it == section).then_some("page")] { (name) } }
                    }
                }
            }
            span class="place" { (text(&console.settings.place)) @if console.settings.is_read_only { " · read-only" } }
        }
        main id="main" {
            h1 { (text(title)) }
            @if let Some(message) = &message { (message.markup(console, fields, path)) }
            (content)
            datalist id="expiries" { @for value in ["1h", "1d", "7d", "30d"] { option value=(value) {} } }
        }
    };
    Ok(document(title, &body).into_response())
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (escape(title)) " – callgate" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/console.css";
                script src="/assets/console.js" defer {}
            }
            body { (body) }
        }
    }
}

/// A page without the navigation, for a request that is refused.
pub(super) fn plain_page(status: StatusCode, title: &str, content: &Markup) -> Response {
    let body = html! { main id="main" { h1 { (title) } (content) } };
    (status, document(title, &body)).into_response()
}

/// A page with a result, or with the reason in its place.
pub(super) fn with_result(
    result: Result<Markup, PageError>,
    page: impl FnOnce(Markup) -> Result<Response, PageError>,
) -> Result<Response, PageError> {
    match result {
        Ok(result) => page(result),
        Err(error) => error.on(page(error.message())),
    }
}

/// A text from the table, the log or a person. Characters that are not shown, or that change the direction of text, become
/// visible, and the text does not change the order of what is around it.
pub(super) fn text(text: &str) -> Markup {
    html! { bdi { (escape(text)) } }
}

/// A moment in the time zone of the operator.
pub(super) fn time(at: EpochSeconds) -> Markup {
    html! { time datetime=(format(at)) { (format_local_aligned(at)) } }
}

/// A decision, readable without its colour.
pub(super) fn decision(decision: Decided) -> Markup {
    html! { span class={ "decision " (decision.as_str()) } { (decision_word(decision)) } }
}

/// The effect of rules on a call, as a decision.
pub(super) fn answer(effect: Effect) -> Markup {
    decision(match effect {
        Effect::Allow => Decided::Allow,
        Effect::Deny => Decided::Deny,
    })
}

/// A link to the page of a party.
pub(super) fn party_link(app: &str, id: &str) -> Markup {
    html! { a href=(party_path(app, id)) { (text(id)) } }
}

/// The address of the page of a party. Its path has the party's id, whatever characters it has.
pub(super) fn party_path(app: &str, id: &str) -> String {
    format!("/parties/{}/{}", path_segment(app), path_segment(id))
}

/// A text as one segment of a path. `.` and `..` would be taken for steps.
fn path_segment(text: &str) -> String {
    let encoded = |byte: u8| format!("%{byte:02X}");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~@+:*".contains(&byte);
    text.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { encoded(byte) }).collect()
}

/// A text field with its label.
pub(super) fn input(label: &str, name: &str, fields: &Fields) -> Markup {
    html! { label { (label) " " input name=(name) value=[fields.get(name)] autocomplete="off" spellcheck="false"; } }
}

/// The field for an app. It suggests the apps that are known.
pub(super) fn app_input(console: &Console, value: Option<&str>) -> Markup {
    html! {
        label { "App " input name=(APP) value=[value] list="apps" autocomplete="off" spellcheck="false"; }
        datalist id="apps" { @for app in console.apps() { option value=(app) {} } }
    }
}

/// The name of the box that confirms an app for which nothing is stored.
pub(super) const NEW_APP: &str = "new-app";

/// The box that confirms an app for which nothing is stored, and which may be mistyped.
pub(super) fn new_app_box(app: &AppKey, similar: &[AppKey]) -> Markup {
    html! {
        label {
            input type="checkbox" name=(NEW_APP) value=(app.as_str()) required;
            span {
                "App " (text(app.as_str())) " is meant, although nothing is stored for it"
                @for (number, similar) in similar.iter().enumerate() {
                    @if number == 0 { "; similar: " } @else { ", " }
                    (text(similar.as_str()))
                }
            }
        }
    }
}

/// A choice with its label: the values with their texts.
pub(super) fn select(label: &str, name: &str, options: &[(&str, &str)], fields: &Fields) -> Markup {
    html! {
        label {
            (label) " "
            select name=(name) {
                @for (value, text) in options {
                    option value=(value) selected[fields.get(name).unwrap_or_default() == *value] { (text) }
                }
            }
        }
    }
}

/// A hidden field.
pub(super) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// What to show if there is nothing: what is empty, and what to do.
pub(super) fn empty(what: &str, advice: &Markup) -> Markup {
    html! { div class="empty" { p { (what) } p { (advice) } } }
}

/// The field for an expiry.
pub(super) fn until_input(value: Option<&str>) -> Markup {
    html! { label { "Until " input name="until" value=[value] placeholder="7d, 18:00" list="expiries" autocomplete="off"; } }
}

/// What to show if no log is read.
pub(super) fn no_log(what: &str) -> Markup {
    empty(
        what,
        &html! { "Start the console with " code { "--log-group" } ", " code { "--function" } " or " code { "--log" } ", as for " code { "callgatectl calls" } "." },
    )
}

/// The address of a page, without the message about what was just written.
pub(super) fn address(path: &str, fields: &Fields) -> String {
    format!("{path}?{}", fields.with(MESSAGE, None))
}

/// The address to which a form returns, if it is one of the console's, or else `otherwise`.
pub(super) fn back<'a>(fields: &'a Fields, otherwise: &'a str) -> &'a str {
    // `//host` and `/\host` would be other servers, and browsers leave out tabs and ends of lines.
    let is_own = |path: &&str| {
        path.starts_with('/') && !path.starts_with("//") && !path.contains(|c: char| c == '\\' || c.is_control())
    };
    fields.get("back").filter(is_own).unwrap_or(otherwise)
}

/// Leads back to where a form was, with a message.
pub(super) fn redirect(console: &Console, back: &str, message: Message) -> Response {
    let (path, query) = back.split_once('?').unwrap_or((back, ""));
    let number = console.messages.add(message);
    let query = Fields::of(query.as_bytes()).with(MESSAGE, Some(&number));
    Redirect::to(&format!("{path}?{query}")).into_response()
}

/// Why a page cannot be shown, or something cannot be written.
#[derive(Debug)]
pub(super) struct PageError {
    status: StatusCode,
    title: &'static str,
    text: String,
}

impl PageError {
    /// A field or an address has a value that is not valid.
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, title: "Invalid input", text: text.into() }
    }

    /// There is no such page or thing.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, title: "Not found", text: text.into() }
    }

    /// What was to be changed is no longer what the page showed.
    pub(super) fn conflict(text: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, title: "It changed meanwhile", text: text.into() }
    }

    /// Too much of a kind is under way.
    pub(super) fn busy(text: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, title: "Too much at once", text: text.into() }
    }

    /// The same with the status of another.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// A page that shows the reason, with the status of the error.
    pub(super) fn on(&self, page: Result<Response, Self>) -> Result<Response, Self> {
        page.map(|page| (self.status, page).into_response())
    }

    /// The reason, on a page that shows something else too.
    pub(super) fn message(&self) -> Markup {
        html! { div class="message problem" role="alert" { p { (text(&self.text)) } } }
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Error> for PageError {
    fn from(error: Error) -> Self {
        let hint = hint(&error).map(|hint| format!("; {hint}")).unwrap_or_default();
        let text = format!("{error}{hint}");
        match error {
            Error::InvalidInput(_) | Error::ProbableMistake(_) => Self::invalid(text),
            Error::Conflict(_) => Self::conflict(text),
            Error::InvalidItem(_) => Self { status: StatusCode::CONFLICT, title: "This cannot be changed", text },
            _ => Self { status: StatusCode::BAD_GATEWAY, title: "The table cannot be used", text },
        }
    }
}

impl From<anyhow::Error> for PageError {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<UsageError>() {
            Ok(UsageError(text)) => return Self::invalid(text),
            Err(error) => error,
        };
        match error.downcast::<Error>() {
            Ok(error) => error.into(),
            Err(error) => Self {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                title: "The console failed",
                text: format!("{error:#}"),
            },
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let Self { status, title, text } = self;
        let content = html! {
            p class="message problem" role="alert" { (self::text(&text)) }
            p { "Go back with your browser to change what you typed, or go to the " a href="/calls" { "calls" } "." }
        };
        plain_page(status, title, &content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_returns_only_to_the_console() {
        let check = |path: &str| {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("back", path).finish();
            back(&Fields::of(query.as_bytes()), "/otherwise").to_owned()
        };
        for path in ["/", "/rules?app=a%20b&from=%2F%2F", "/parties/a/%2E"] {
            assert_eq!(check(path), path);
        }
        for path in [
            "",
            "rules",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "http://evil.example",
        ] {
            assert_eq!(check(path), "/otherwise", "{path:?}");
        }
    }
}
