//! `/import`: a file of rules is checked, compared with the table, and written after a look at the difference.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use callgate_admin::rule_file::{Format, Template};
use callgate_admin::wording::{count, escape};
use maud::{Markup, html};
use tokio::sync::Mutex;

use self::view::ended;
use self::work::{ImportJob, Stage, Upload, apply, check, plan};
pub(in crate::console) use self::work::{Imports, imports};
use crate::console::Console;
use crate::console::fields::{Fields, Form, Query};
use crate::console::jobs::{Failure, State as JobState};
use crate::console::page::{NEW_APP, PageError, Section, app_input, page, text};
use crate::time::now;

mod view;
mod work;

const PATH: &str = "/import";

/// The largest file: about two million rules.
const MAX_FILE_BYTES: usize = 128 << 20;

/// The room for the other fields of the form.
const MAX_FIELD_BYTES: usize = 64 << 10;

pub(super) fn routes() -> Router<Arc<Console>> {
    let limit = DefaultBodyLimit::max(MAX_FILE_BYTES + MAX_FIELD_BYTES);
    Router::new()
        .route(PATH, get(choose).post(upload).layer(limit))
        .route("/import/{id}", get(show))
        .route("/import/{id}/write", post(write))
        .route("/import/{id}/compare", post(compare))
        .route("/import/{id}/cancel", post(cancel))
        .route("/import/{id}/discard", post(discard))
}

async fn choose(State(console): State<Arc<Console>>, Query(fields): Query) -> Result<Response, PageError> {
    let content = html! {
        @if let Some(job) = console.imports.last() {
            p { "The last file: " a href={ (PATH) "/" (job.id) } { (text(&job.data.name)) } }
        }
        @if console.settings.is_read_only {
            div class="empty" { p { "This console is read-only." } p { "Start it without --read-only to import rules." } }
        } @else {
            (form(&console))
        }
    };
    page(&console, Section::Import, PATH, "Import a file of rules", &fields, content)
}

fn form(console: &Console) -> Markup {
    html! {
        form class="fields" method="post" action=(PATH) enctype="multipart/form-data" data-drop {
            label {
                "File of rules "
                input type="file" name="file" required;
                small { "CSV, NDJSON, or a number on each line. Choose it, or drop it here. Nothing is written before you have seen \
                         what would change." }
            }
            (app_input(console, console.typed_app(&Fields::default())))
            small { "Without an app, each line names its app." }
            label { "List " input name="list" autocomplete="off"; small { "All rules belong to this list, such as spam." } }
            label {
                "Rule for each number "
                input name="template" placeholder="block {}, or deny * to {}, until 30d (premium)" autocomplete="off" spellcheck="false";
                small { "Only for a file with a number on each line." }
            }
            label {
                "Format "
                select name="format" {
                    option value="" { "by its first character" }
                    option value="csv" { "CSV" }
                    option value="ndjson" { "NDJSON" }
                }
            }
            label {
                input type="checkbox" name="replace" value="yes";
                "Remove the rules of these apps, or of this list, that are not in the file"
            }
            label {
                input type="checkbox" name="exactly" value="yes";
                "Accept ids that only look like numbers, prefixes that no number has, and rules that have expired"
            }
            div { button class="primary" { "Check the file" } }
        }
    }
}

async fn upload(State(console): State<Arc<Console>>, parts: Multipart) -> Result<Response, PageError> {
    let (upload, bytes) = read_parts(&console, parts).await?;
    if let Some(template) = &upload.template {
        // An error in it is about the field, not about the file.
        Template::parse(template, now())?;
    }
    let id = console.imports.start(upload, |job, progress| check(console.clone(), job, bytes, progress))?;
    Ok(to_page(id))
}

/// The fields of the form, and the bytes of the file.
async fn read_parts(console: &Console, mut parts: Multipart) -> Result<(Upload, Bytes), PageError> {
    let mut file = None;
    let mut others = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(|error| not_read(&error))? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "file" {
            let file_name = part.file_name().unwrap_or_default().to_owned();
            file = Some((file_name, part.bytes().await.map_err(|error| not_read(&error))?));
        } else {
            others.push((name, part.text().await.map_err(|error| not_read(&error))?));
        }
    }
    let fields = Fields::from(others);
    let (name, bytes) = file.filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        PageError::invalid("No file was chosen. Go back, and choose a file of rules, or drop it on the form.")
    })?;
    let app = fields.get("app").map(|app| console.settings.table.parse_app(app)).transpose()?;
    let template = fields.get("template").map(str::to_owned);
    if template.is_some() && app.is_none() {
        return Err(PageError::invalid("A file of numbers names no app. Name the app of the rules."));
    }
    let upload = Upload {
        name,
        app,
        list: fields.get("list").map(str::to_owned),
        template,
        format: match fields.get("format") {
            Some("csv") => Some(Format::Csv),
            Some("ndjson") => Some(Format::Ndjson),
            _ => None,
        },
        written: AtomicU64::new(0),
        is_replaced: fields.has("replace", "yes"),
        exactly: fields.has("exactly", "yes"),
        import: Mutex::new(None),
    };
    Ok((upload, bytes))
}

fn not_read(error: &MultipartError) -> PageError {
    PageError::invalid(format!(
        "The file cannot be read: {}. Files of up to {} MB can be imported here; larger ones with callgatectl import.",
        error.body_text(),
        MAX_FILE_BYTES >> 20
    ))
}

/// Writes the difference that was looked at.
async fn write(
    State(console): State<Arc<Console>>,
    Path(id): Path<u64>,
    Form(fields): Form,
) -> Result<Response, PageError> {
    let job = find(&console, id)?;
    let JobState::Ended(stage) = job.state() else { return Ok(to_page(id)) };
    let Stage::Planned(plan) = &*stage else { return Ok(to_page(id)) };
    if fields.get("plan") != Some(&plan.fingerprint.to_string()) {
        return Err(PageError::conflict(
            "Nothing was written: another page has compared the file again. Go back, reload, and look at the difference.",
        ));
    }
    if plan.counts.removed > 0 && !fields.has("remove", "yes") {
        return Err(PageError::invalid(format!(
            "Nothing was written: confirm that {} will be removed.",
            count(plan.counts.removed, "rule")
        )));
    }
    if let Some((app, _)) = plan.unknown_apps.iter().find(|(app, _)| !fields.has(NEW_APP, app.as_str())) {
        return Err(PageError::invalid(format!(
            "Nothing was written: confirm that app `{app}` is meant, for which nothing is stored."
        )));
    }
    let seen = plan.fingerprint;
    job.run(|job, progress| apply(console, job, seen, progress));
    Ok(to_page(id))
}

/// Compares the file with the table again, after it was written in part or the comparison failed.
async fn compare(State(console): State<Arc<Console>>, Path(id): Path<u64>) -> Result<Response, PageError> {
    let job = find(&console, id)?;
    job.run(|job, progress| async move {
        let mut kept = job.data.import.lock().await;
        let Some(import) = kept.as_mut() else {
            return Err(Failure::Error("the file is no longer kept; choose it again".to_owned()));
        };
        plan(&console, &job.data, import, &progress, None).await.map(Stage::Planned)
    });
    Ok(to_page(id))
}

async fn cancel(State(console): State<Arc<Console>>, Path(id): Path<u64>) -> Result<Response, PageError> {
    find(&console, id)?.cancel();
    Ok(to_page(id))
}

async fn discard(State(console): State<Arc<Console>>, Path(id): Path<u64>) -> Result<Response, PageError> {
    find(&console, id)?.cancel();
    console.imports.forget(id);
    Ok(Redirect::to(PATH).into_response())
}

fn find(console: &Console, id: u64) -> Result<ImportJob, PageError> {
    console.imports.get(id).ok_or_else(|| {
        PageError::not_found(
            "This file is no longer kept. Choose it again on the page Import; nothing is written twice.",
        )
    })
}

fn to_page(id: u64) -> Response {
    Redirect::to(&format!("{PATH}/{id}")).into_response()
}

async fn show(
    State(console): State<Arc<Console>>,
    Path(id): Path<u64>,
    Query(fields): Query,
) -> Result<Response, PageError> {
    let job = find(&console, id)?;
    let path = format!("{PATH}/{id}");
    let state = job.state();
    let is_running = matches!(state, JobState::Running(_));
    let ended = |what: &str, why: &str| ended(&path, &job.data, what, why);
    let content = html! {
        p class="help" { "As a command: " code { "callgatectl " (text(&job.data.command())) } }
        div id="import" data-live=[is_running.then_some("1000")] {
            @match &state {
                JobState::Running(progress) => section class="card" { (progress.markup(&format!("{path}/cancel"))) },
                JobState::Cancelled => (ended("Cancelled.", "")),
                JobState::Failed(why) => (ended("This failed:", why)),
                JobState::Ended(stage) => (stage.markup(&path, &job.data)),
            }
        }
        p { a href=(PATH) { "Import another file" } }
    };
    page(&console, Section::Import, &path, &format!("Import {}", escape(&job.data.name)), &fields, content)
}
