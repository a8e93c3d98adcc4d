//! `/import`: a file of rules is checked, compared with the table, and written after a look at the difference.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use callgate_admin::import::{Applied, ApplyError, Difference, DifferenceCounts, Import, ImportControl, OtherRules};
use callgate_admin::rule_file::{Format, Problems, Reader, Template};
use callgate_admin::table::app_search::AppSearch;
use callgate_admin::wording::{count, escape, quote};
use callgate_admin::{Author, Error, RuleRow};
use callgate_core::AppKey;
use maud::{Markup, html};
use tokio::sync::Mutex;

use crate::console::Console;
use crate::console::fields::{Fields, Form, Query};
use crate::console::jobs::{Failure, Job, Jobs, Progress, State as JobState};
use crate::console::page::{PageError, Section, app_input, hidden, page, text};
use crate::rule_file_args::replaces_no_app;
use crate::time::now;

const PATH: &str = "/import";

/// The largest file: about two million rules.
const MAX_FILE_BYTES: usize = 128 << 20;

/// The room for the other fields of the form.
const MAX_FIELD_BYTES: usize = 64 << 10;

/// The most files that are kept. Each one that is not written yet has a temporary file.
const MAX_IMPORTS: usize = 5;

/// How many rules of a difference are shown.
const MAX_SHOWN: usize = 500;

/// How many apps of a file are asked about if nothing is stored for them.
const MAX_APPS: usize = 3;

/// How many requests write at once, as for the command.
const CONCURRENCY: u16 = 16;

/// How often the progress of writing is read.
const REFRESH: Duration = Duration::from_millis(100);

/// The files of the console.
pub(in crate::console) type Imports = Jobs<Upload, Stage>;

type ImportJob = Arc<Job<Upload, Stage>>;

/// The files that are checked or written.
pub(in crate::console) fn imports() -> Imports {
    Jobs::new(MAX_IMPORTS)
}

/// A file, and how it is to be read.
#[derive(Debug)]
pub(in crate::console) struct Upload {
    name: String,
    app: Option<AppKey>,
    list: Option<String>,
    template: Option<String>,
    format: Option<Format>,
    is_replaced: bool,
    exactly: bool,
    /// The valid file, until it is written.
    import: Mutex<Option<Import>>,
}

/// What is known about a file.
#[derive(Debug)]
pub(in crate::console) enum Stage {
    /// It has problems, so nothing can be written.
    Refused(Problems),
    /// It is valid, and compared with the table.
    Planned(Plan),
    /// It is written.
    Written(Written),
    /// It is written in part.
    Unfinished { done: u64, total: u64, why: String },
}

/// A difference to look at before it is written.
#[derive(Debug)]
pub(in crate::console) struct Plan {
    counts: DifferenceCounts,
    /// The first changes, and the first removals.
    shown: [VecDeque<Difference>; 2],
    /// Identifies the whole difference.
    fingerprint: u64,
    /// What is worth a look, as lines.
    notices: Vec<String>,
    /// Apps of which nothing is stored, with the similar ones.
    unknown_apps: Vec<(AppKey, Vec<AppKey>)>,
    /// Why an earlier difference was not written, or not to its end.
    changed: Option<String>,
}

#[derive(Debug)]
pub(in crate::console) struct Written {
    applied: Applied,
    unchanged: u64,
    /// What other writers changed meanwhile, after the rules of apps were replaced.
    others: OtherRules,
}

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
        @if console.is_read_only {
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
            (app_input(console, None))
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
    let app = fields.get("app").map(|app| console.table.parse_app(app)).transpose()?;
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

impl Upload {
    fn reader(&self, console: &Console, source: CountedFile) -> Result<Reader<CountedFile>, Error> {
        let region = console.table.phone_region();
        let reader = match &self.template {
            Some(template) => Reader::of_numbers(source, Template::parse(template, now())?, region),
            None => Reader::new(source, self.format, region),
        };
        Ok(reader.exactly(self.exactly).of_app(self.app.clone()).of_list(self.list.clone()))
    }

    /// The command that does the same, for the history.
    fn command(&self) -> String {
        let format = self.format.map(|format| if format == Format::Csv { "csv" } else { "ndjson" });
        let options = [
            ("--format", format),
            ("--app", self.app.as_ref().map(AppKey::as_str)),
            ("--list", self.list.as_deref()),
            ("--as", self.template.as_deref()),
        ];
        let options = options.into_iter().filter_map(|(name, value)| Some(format!(" {name} {}", quote(value?))));
        let switches = [(" --replace", self.is_replaced), (" --exactly", self.exactly)];
        let switches = switches.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name.to_owned());
        format!("import {}{}", quote(&self.name), options.chain(switches).collect::<String>())
    }

    async fn author(&self, console: &Console) -> Author {
        console.author(&self.command()).await
    }
}

/// A file in memory that counts what is read, and cannot be read any more when the work is cancelled.
struct CountedFile {
    bytes: Cursor<Bytes>,
    progress: Progress,
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let read = self.bytes.read(buffer)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

/// Checks the whole file, and compares it with the table.
async fn check(console: Arc<Console>, job: ImportJob, bytes: Bytes, progress: Progress) -> Result<Stage, Failure> {
    progress.begin("Checking the file", Some(bytes.len() as u64));
    let source = CountedFile { bytes: Cursor::new(bytes), progress: progress.clone() };
    let reader = job.data.reader(&console, source)?;
    let checked = progress.unless_cancelled(Import::check(&console.table, reader, now())).await?;
    let mut import = match checked {
        Ok(import) => import,
        Err(problems) => return Ok(Stage::Refused(problems)),
    };
    if job.data.is_replaced
        && let Some(problems) = replaces_no_app(&import)?
    {
        return Ok(Stage::Refused(problems));
    }
    progress.unless_cancelled(console.table.check_keys()).await?;
    let plan = plan(&console, &job.data, &mut import, &progress, None).await;
    *job.data.import.lock().await = Some(import);
    plan.map(Stage::Planned)
}

/// Compares the file with the table as it is now.
async fn plan(
    console: &Console,
    upload: &Upload,
    import: &mut Import,
    progress: &Progress,
    changed: Option<String>,
) -> Result<Plan, Failure> {
    progress.begin("Comparing the file with the table", None);
    let author = upload.author(console).await;
    progress.unless_cancelled(import.plan(upload.is_replaced, &author)).await?;
    let mut unknown_apps = Vec::new();
    for app in import.apps(MAX_APPS)? {
        if let AppSearch::Unknown(similar) = progress.unless_cancelled(console.table.search_app(&app)).await? {
            unknown_apps.push((app, similar));
        }
    }
    let notices = [Some(import.warnings()), import.notices()].into_iter().flatten().flat_map(lines).collect();
    let (shown, fingerprint) = tokio::task::block_in_place(|| differences(import))?;
    Ok(Plan { counts: import.counts(), shown, fingerprint, notices, unknown_apps, changed })
}

/// The first differences, and a number that stands for all of them.
fn differences(import: &Import) -> Result<([VecDeque<Difference>; 2], u64), Error> {
    let mut shown = [VecDeque::new(), VecDeque::new()];
    let mut hasher = DefaultHasher::new();
    import.for_each_difference(|difference| {
        let text = |rule: &RuleRow| rule.text();
        match &difference {
            Difference::Added(rule) => ("+", text(rule)).hash(&mut hasher),
            Difference::Changed { rule, previous } => ("~", text(rule), text(previous)).hash(&mut hasher),
            Difference::Removed(rule) => ("-", text(rule)).hash(&mut hasher),
        }
        let [changes, removals] = &mut shown;
        let list = if matches!(difference, Difference::Removed(_)) { removals } else { changes };
        if list.len() < MAX_SHOWN {
            list.push_back(difference);
        }
        Ok::<_, Error>(())
    })?;
    Ok((shown, hasher.finish()))
}

/// One line for each kind of problem.
fn lines(problems: &Problems) -> Vec<String> {
    let more = problems.other_count();
    let more = (more > 0).then(|| format!("... and {more} more of other kinds"));
    problems.kinds.iter().map(ToString::to_string).chain(more).collect()
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
    if let Some((app, _)) = plan.unknown_apps.iter().find(|(app, _)| !fields.has("new-app", app.as_str())) {
        return Err(PageError::invalid(format!(
            "Nothing was written: confirm that app `{app}` is meant, for which nothing is stored."
        )));
    }
    let seen = plan.fingerprint;
    job.run(|job, progress| apply(console, job, seen, progress));
    Ok(to_page(id))
}

/// Writes the file, unless the table changed so that another difference would be written.
async fn apply(console: Arc<Console>, job: ImportJob, seen: u64, progress: Progress) -> Result<Stage, Failure> {
    let mut kept = job.data.import.lock().await;
    let Some(import) = kept.as_mut() else { return Err(Failure::Error("the file is no longer kept".to_owned())) };
    let again = plan(&console, &job.data, import, &progress, None).await?;
    if again.fingerprint != seen {
        let why =
            "The table changed since the file was compared with it. Nothing was written; look at the difference again.";
        return Ok(Stage::Planned(Plan { changed: Some(why.to_owned()), ..again }));
    }
    let unchanged = again.counts.unchanged;
    match run(import, again.counts, console.app_cache, &progress).await {
        Ok(applied) => {
            let others = if job.data.is_replaced {
                progress.begin("Comparing the table with the file again", None);
                import.look_again(&job.data.author(&console).await).await?
            } else {
                OtherRules::default()
            };
            *kept = None;
            Ok(Stage::Written(Written { applied, unchanged, others }))
        }
        Err(ApplyError { applied, total, changed, .. }) if !changed.is_empty() => {
            let rules: Vec<_> = changed.iter().take(MAX_SHOWN).map(RuleRow::text).collect();
            let why = format!(
                "{} of {total} rules are written or removed. {} changed meanwhile and were not removed: {}. Look at what remains.",
                applied.written + applied.removed,
                count(changed.len() as u64, "rule"),
                rules.join("; "),
            );
            plan(&console, &job.data, import, &progress, Some(why)).await.map(Stage::Planned)
        }
        Err(ApplyError { applied, total, unconfirmed, error, .. }) => {
            let done = applied.written + applied.removed;
            let why = match unconfirmed {
                _ if matches!(error, Error::Stopped(_)) => "It was cancelled.".to_owned(),
                Some(rule) => format!("{error}. The first rule that is not confirmed: {}.", rule.rule.text()),
                None => format!("{error}."),
            };
            Ok(Stage::Unfinished { done, total, why })
        }
    }
}

/// Writes the planned import to its end, or until it is cancelled.
async fn run(
    import: &Import,
    counts: DifferenceCounts,
    app_cache: Duration,
    progress: &Progress,
) -> Result<Applied, ApplyError> {
    let total = counts.written() + counts.removed;
    progress.begin("Writing", Some(total));
    let control = ImportControl::default();
    let announce = |time: Duration| {
        let seconds = count(time.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX), "second");
        let text = format!("Waiting {seconds}, until no function uses the app's earlier rules any more");
        progress.begin(text, Some(total));
    };
    let mut applying = std::pin::pin!(import.apply(CONCURRENCY, app_cache, &control, announce));
    let mut refresh = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            result = &mut applying => return result,
            _ = refresh.tick() => {
                progress.set_done(control.done());
                // Requests that are under way are completed, so that it is known what is written.
                if progress.is_cancelled() {
                    control.stop();
                }
            }
        }
    }
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
    let content = html! {
        p class="help" { "As a command: " code { "callgatectl " (text(&job.data.command())) } }
        div id="import" data-live=[is_running.then_some("1000")] {
            @match &state {
                JobState::Running(progress) => section class="card" { (progress.markup(&format!("{path}/cancel"))) },
                JobState::Cancelled => (ended(&path, "Cancelled. Nothing was written.", "")),
                JobState::Failed(why) => (ended(&path, "This did not work.", why)),
                JobState::Ended(stage) => (stage.markup(&path, &job.data)),
            }
        }
        p { a href=(PATH) { "Import another file" } }
    };
    page(&console, Section::Import, &path, &format!("Import {}", escape(&job.data.name)), &fields, content)
}

/// The end of work that wrote nothing, and the next steps.
fn ended(path: &str, what: &str, why: &str) -> Markup {
    html! {
        div class="message problem" role="alert" { p { (what) " " (text(why)) } }
        (next_steps(path))
    }
}

fn next_steps(path: &str) -> Markup {
    html! {
        div class="actions" {
            form method="post" action={ (path) "/compare" } { button { "Compare the file with the table again" } }
            form method="post" action={ (path) "/discard" } { button { "Discard the file" } }
        }
    }
}

impl Stage {
    fn markup(&self, path: &str, upload: &Upload) -> Markup {
        match self {
            Self::Refused(problems) => refused(problems, path),
            Self::Planned(plan) => plan.markup(path, upload),
            Self::Written(written) => written.markup(),
            Self::Unfinished { done, total, why } => html! {
                div class="message problem" role="alert" {
                    p { (done) " of " (total) " rules are written or removed. " (text(why)) }
                    p { "At every moment, a call is permitted only if the rules before or after the import do." }
                }
                (next_steps(path))
            },
        }
    }
}

fn refused(problems: &Problems, path: &str) -> Markup {
    let title = format!("{} in the file. Nothing was written.", count(problems.count, "problem"));
    html! {
        div class="message problem" role="alert" { p { (title) } }
        section class="card" aria-labelledby="problems" {
            h2 id="problems" { "Problems by kind" }
            div class="scroll" tabindex="0" role="region" aria-label="Problems" {
                table {
                    caption class="hidden" { "Problems of the file, by kind" }
                    thead { tr {
                        th scope="col" class="number" { "Lines" }
                        th scope="col" { "First line" }
                        th scope="col" { "Column" }
                        th scope="col" { "Value" }
                        th scope="col" { "What is wrong" }
                    } }
                    tbody {
                        @for kind in &problems.kinds {
                            tr {
                                td class="number" { (kind.count) }
                                td {
                                    (kind.first.line)
                                    @for line in &kind.lines { ", " (line) }
                                    @if kind.count > kind.lines.len() as u64 + 1 { ", …" }
                                }
                                td { (text(&kind.first.column)) }
                                td { (text(&kind.first.value)) }
                                td { (text(&kind.first.reason)) }
                            }
                        }
                    }
                }
            }
            @if problems.other_count() > 0 { p { "and " (problems.other_count()) " more of other kinds" } }
            p { "Correct the file, and choose it again." }
        }
        form method="post" action={ (path) "/discard" } { button { "Discard the file" } }
    }
}

impl Plan {
    fn markup(&self, path: &str, upload: &Upload) -> Markup {
        let Self { counts, shown, fingerprint, notices, unknown_apps, changed } = self;
        let DifferenceCounts { added, changed: replaced, removed, unchanged } = *counts;
        let all = counts.written() + removed;
        let [changes, removals] = shown;
        let which = match (&upload.list, &upload.app) {
            (Some(_), _) => "of the list that are not in the file",
            (None, _) => "of these apps that are not in the file",
        };
        html! {
            @if let Some(why) = changed { div class="message problem" role="alert" { p { (text(why)) } } }
            @if !notices.is_empty() {
                div class="message notice" role="status" {
                    p { "Notices: the file is valid, but look at these lines." }
                    ul { @for line in notices { li { (text(line)) } } }
                }
            }
            section class="card" aria-labelledby="difference" {
                h2 id="difference" { "What would change" }
                p {
                    (count(added, "rule")) " would be added, " (replaced) " changed, " (removed) " removed; " (unchanged)
                    " stay as they are."
                }
                @if all == 0 {
                    p { "The table has all of this already. There is nothing to write." }
                } @else {
                    // Removals first, because they are to be confirmed.
                    @for (list, all, name) in [
                        (removals, removed, "Rules that would be removed"),
                        (changes, counts.written(), "Rules that would be added or changed"),
                    ] {
                        @if !list.is_empty() {
                            div class="scroll tall" tabindex="0" role="region" aria-label=(name) {
                                ul class="diff" { @for it in list { (difference(it)) } }
                            }
                        }
                        @let more = all.saturating_sub(list.len() as u64);
                        @if more > 0 { p class="help" { "and " (more) " more" } }
                    }
                    form class="fields" method="post" action={ (path) "/write" } {
                        (hidden("plan", &fingerprint.to_string()))
                        @for (app, similar) in unknown_apps {
                            label {
                                input type="checkbox" name="new-app" value=(app.as_str()) required;
                                span {
                                    "App " (text(app.as_str())) " is meant, although nothing is stored for it"
                                    @for (number, similar) in similar.iter().enumerate() {
                                        @if number == 0 { "; similar: " } @else { ", " }
                                        (text(similar.as_str()))
                                    }
                                }
                            }
                        }
                        @if removed > 0 {
                            label {
                                input type="checkbox" name="remove" value="yes" required;
                                "Remove " (count(removed, "rule")) " " (which)
                            }
                        }
                        div { button class="primary" { "Write " (count(all, "change")) } }
                    }
                }
            }
            form method="post" action={ (path) "/discard" } { button { "Discard the file" } }
        }
    }
}

fn difference(difference: &Difference) -> Markup {
    let (class, word, rule, previous) = match difference {
        Difference::Added(rule) => ("added", "added: ", rule, None),
        Difference::Changed { rule, previous } => ("changed", "changed: ", rule, Some(previous)),
        Difference::Removed(rule) => ("removed", "removed: ", rule, None),
    };
    html! {
        li class=(class) {
            span class="hidden" { (word) } (text(&rule.text()))
            @if let Some(previous) = previous { " " small { "It is: " (text(&previous.text())) } }
        }
    }
}

impl Written {
    fn markup(&self) -> Markup {
        let Self { applied: Applied { written, removed }, unchanged, others: OtherRules { others, missing, counts } } =
            self;
        let disturbed = counts.removed + counts.written();
        html! {
            div class="message done" role="status" {
                p {
                    "Imported: " (count(*written, "rule")) " written"
                    @if *removed > 0 { ", " (removed) " removed" }
                    @if *unchanged > 0 { ", " (unchanged) " unchanged" }
                    "."
                }
            }
            @if disturbed > 0 {
                div class="message problem" role="alert" {
                    p { "Another writer changed these apps during the import. Look in the history who it was, then import the file \
                         that is right once more." }
                }
                @for (rules, all, what) in [
                    (others, counts.removed, "of these apps not in the file"),
                    (missing, counts.written(), "of the file missing or changed"),
                ] {
                    @if all > 0 {
                        section class="card" {
                            h2 { (count(all, "rule")) " " (what) }
                            ul { @for rule in rules { li { (text(&rule.text())) } } }
                            @if all > rules.len() as u64 { p { "and " (all - rules.len() as u64) " more" } }
                        }
                    }
                }
            }
            p { a href="/history" { "See the changes in the history" } }
        }
    }
}
