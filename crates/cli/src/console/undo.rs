//! Messages about what was just written, and the button that takes it back.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use callgate_admin::history::{Change, ChangedValue, Description};
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::undo::Undo;
use callgate_admin::wording::escape;
use callgate_core::AppKey;
use maud::{Markup, html};

use super::Console;
use super::fields::{Fields, Form};
use super::page::{PageError, Section, back, hidden, page, redirect, text};
use super::write::Performed;
use crate::commands::history::value_lines;

/// The field with the id of a message.
pub(super) const MESSAGE: &str = "message";

/// The field with a change to take back.
pub(super) const CHANGE: &str = "change";

/// Where the page of a confirmation belongs.
const HISTORY: &str = "/history";

/// The most messages that are kept for a reload.
const MAX_MESSAGES: usize = 200;

/// A change of the history.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub(super) app: AppKey,
    pub(super) id: String,
}

impl Reference {
    /// As a field has it. No id contains an `@`.
    pub(super) fn field(&self) -> String {
        format!("{}@{}", self.id, self.app)
    }
}

/// What was just done, or was not.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    pub(super) text: String,
    /// More lines: notices, and what was not done.
    pub(super) details: Vec<String>,
    /// Whether something was not done.
    pub(super) is_problem: bool,
    /// What can be taken back.
    pub(super) changes: Vec<Reference>,
}

/// The last messages, each with a random id, so that the address of another console names none of them.
#[derive(Debug, Default)]
pub(super) struct Messages(Mutex<VecDeque<(String, Message)>>);

impl Messages {
    /// Keeps a message for the page that is shown next. Returns its id.
    pub(super) fn add(&self, message: Message) -> String {
        let id = format!("{:016x}", RandomState::new().build_hasher().finish());
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push_back((id.clone(), message));
        if messages.len() > MAX_MESSAGES {
            messages.pop_front();
        }
        id
    }

    fn get(&self, id: &str) -> Option<Message> {
        let messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().find(|(it, _)| it == id).map(|(_, message)| message.clone())
    }
}

impl From<Vec<Performed>> for Message {
    fn from(performed: Vec<Performed>) -> Self {
        let mut message = Self::default();
        let mut texts = Vec::new();
        let mut is_written = false;
        for done in performed {
            texts.push(done.what());
            is_written |= done.is_written;
            message.details.extend(done.notices);
            message.changes.extend(done.change);
        }
        let text = match (texts.is_empty(), is_written) {
            (true, _) => "Nothing was written.".to_owned(),
            (false, false) => format!("Nothing to do: {}", texts.join("; ")),
            (false, true) => format!("Written: {}", texts.join("; ")),
        };
        Self { text, ..message }
    }
}

impl Message {
    /// What was written, and why the rest was not.
    pub(super) fn of_part(performed: Vec<Performed>, error: &PageError) -> Self {
        let mut message = Self { is_problem: true, ..performed.into() };
        message.details.push(error.to_string());
        message
    }

    /// The message that an address names.
    pub(super) fn of(console: &Console, fields: &Fields) -> Option<Self> {
        console.messages.get(fields.get(MESSAGE)?)
    }

    pub(super) fn markup(&self, console: &Console, fields: &Fields, path: &str) -> Markup {
        let Self { text: line, details, is_problem, changes } = self;
        let (class, role) = if *is_problem { ("message problem", "alert") } else { ("message done", "status") };
        html! {
            div class=(class) role=(role) {
                p { (text(line)) }
                @if !details.is_empty() { ul { @for line in details { li { (text(line)) } } } }
                @if !changes.is_empty() && !console.settings.is_read_only {
                    form class="actions" method="post" action="/undo" {
                        @for change in changes { (hidden(CHANGE, &change.field())) }
                        (hidden("back", &format!("{path}?{}", fields.with(MESSAGE, None))))
                        button { "Undo" }
                    }
                }
            }
        }
    }
}

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/undo", post(undo))
}

/// Takes changes back, the last one first.
async fn undo(State(console): State<Arc<Console>>, Form(fields): Form) -> Result<Response, PageError> {
    let mut changes = Vec::new();
    for field in fields.all(CHANGE) {
        let (id, app) =
            field.split_once('@').ok_or_else(|| PageError::invalid(format!("`{field}` is not a change")))?;
        let app = console.settings.table.parse_app(app)?;
        let change = console.settings.table.change(&app, id).await?;
        let change = change.ok_or_else(|| PageError::not_found(format!("The history has no change `{id}`.")))?;
        changes.push((app, change));
    }
    changes.sort_by(|(_, one), (_, other)| other.id.cmp(&one.id));
    if !fields.has("confirmed", "yes") {
        let (mut conflicts, mut taken_back) = (Vec::new(), HashSet::new());
        for (_, change) in &changes {
            // What a later one of these changes wrote is taken back before.
            let of_others = |value: &ChangedValue| !taken_back.contains(&value.key);
            conflicts.extend(console.settings.table.plan_undo(change).await?.conflicts.into_iter().filter(of_others));
            taken_back.extend(change.values.iter().map(|value| value.key.clone()));
        }
        if !conflicts.is_empty() {
            return confirm(&console, &fields, &conflicts);
        }
    }
    let seen: Vec<_> = fields.all("seen").collect();
    let mut performed = Vec::new();
    for (app, change) in &changes {
        match console.undo(app, change, &seen).await {
            Ok(done) => performed.push(done),
            Err(error) if performed.is_empty() => return Err(error),
            Err(error) => return Ok(redirect(&console, back(&fields, HISTORY), Message::of_part(performed, &error))),
        }
    }
    Ok(redirect(&console, back(&fields, HISTORY), performed.into()))
}

/// Shows what was changed again since, and asks.
fn confirm(console: &Console, fields: &Fields, conflicts: &[ChangedValue]) -> Result<Response, PageError> {
    let lines: Vec<_> = conflicts.iter().flat_map(value_lines).collect();
    let content = html! {
        p { "This was changed again since. Before (−) is what the change wrote. After (+) is what is stored now, and would be lost." }
        ul class="diff" { @for description in conflicts.iter().flat_map(ChangedValue::descriptions) { (before_and_after(&description)) } }
        form class="actions" method="post" action="/undo" {
            @for change in fields.all(CHANGE) { (hidden(CHANGE, change)) }
            @for line in &lines { (hidden("seen", line.trim())) }
            (hidden("confirmed", "yes"))
            (hidden("back", back(fields, HISTORY)))
            button class="danger" { "Take it back all the same" }
            a href=(back(fields, HISTORY)) { "Leave it as it is" }
        }
    };
    page(console, Section::History, HISTORY, "Take this change back?", &Fields::default(), content)
}

/// What was there before, and what is there after.
pub(super) fn before_and_after(Description { kind: _, subject, place, before, after }: &Description) -> Markup {
    html! {
        @for (class, word, view) in [("removed", "before: ", before), ("added", "after: ", after)] {
            @if let Some(view) = view {
                li class=(class) {
                    span class="hidden" { (word) }
                    @if !subject.is_empty() { (text(subject)) ": " }
                    (text(&view.text())) (text(place))
                }
            }
        }
    }
}

impl Console {
    /// Takes a change back. If it had to be confirmed, `seen` are the differences that were shown.
    async fn undo(&self, app: &AppKey, change: &Change, seen: &[&str]) -> Result<Performed, PageError> {
        let author = self.author(&format!("undo {}", change.id)).await;
        let text = format!("took back {}", escape(&change.command));
        let mut sent = false;
        for attempt in 0..MAX_ATTEMPTS {
            let undo = self.settings.table.plan_undo(change).await?;
            if undo.is_unchanged() {
                return Ok(self.performed(text, Vec::new(), app, sent.then_some(&author)).await.if_found());
            }
            if !sent && !is_seen(&undo, seen) {
                return Err(PageError::conflict(
                    "Nothing was written, because another person changed it again. Go back and look at it.",
                ));
            }
            match self.settings.table.undo(&undo, &author).await {
                Ok(true) => return Ok(self.performed(text, Vec::new(), app, Some(&author)).await),
                Ok(false) => {}
                Err(error) if error.is_unanswered() && attempt == 0 => sent = true,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(retry_pause(attempt)).await;
        }
        Err(PageError::conflict("Other writers keep changing what this change wrote. Nothing was written; try again."))
    }
}

/// Whether every conflict was shown before.
fn is_seen(undo: &Undo, seen: &[&str]) -> bool {
    undo.conflicts.iter().flat_map(value_lines).all(|line| seen.contains(&line.trim()))
}
