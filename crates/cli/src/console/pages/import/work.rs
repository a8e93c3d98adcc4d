//! The work on a file of rules: it is checked, compared with the table, and written.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use callgate_admin::import::{Applied, ApplyError, Difference, DifferenceCounts, Import, ImportControl, OtherRules};
use callgate_admin::rule_file::{Format, Problems, Reader, Template};
use callgate_admin::table::app_search::AppSearch;
use callgate_admin::wording::{count, quote};
use callgate_admin::{Author, Error, RuleRow};
use callgate_core::AppKey;
use tokio::sync::Mutex;

use crate::console::Console;
use crate::console::jobs::{Failure, Job, Jobs, Progress};
use crate::rule_file_args::replaces_no_app;
use crate::time::now;

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

pub(super) type ImportJob = Arc<Job<Upload, Stage>>;

/// The files that are checked or written.
pub(in crate::console) fn imports() -> Imports {
    Jobs::new(MAX_IMPORTS)
}

/// A file, and how it is to be read.
#[derive(Debug)]
pub(in crate::console) struct Upload {
    pub(super) name: String,
    pub(super) app: Option<AppKey>,
    pub(super) list: Option<String>,
    pub(super) template: Option<String>,
    pub(super) format: Option<Format>,
    pub(super) is_replaced: bool,
    pub(super) exactly: bool,
    /// The valid file, until it is written.
    pub(super) import: Mutex<Option<Import>>,
    /// How many rules were written or removed so far.
    pub(super) written: AtomicU64,
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
    pub(super) counts: DifferenceCounts,
    /// The first changes, and the first removals.
    pub(super) shown: [VecDeque<Difference>; 2],
    /// Identifies the whole difference.
    pub(super) fingerprint: u64,
    /// What is worth a look, as lines.
    pub(super) notices: Vec<String>,
    /// Apps of which nothing is stored, with the similar ones.
    pub(super) unknown_apps: Vec<(AppKey, Vec<AppKey>)>,
    /// Why an earlier difference was not written, or not to its end.
    pub(super) changed: Option<String>,
}

#[derive(Debug)]
pub(in crate::console) struct Written {
    pub(super) applied: Applied,
    pub(super) unchanged: u64,
    /// What other writers changed meanwhile, after the rules of apps were replaced. Or why that is not known.
    pub(super) others: Result<OtherRules, String>,
}

impl Upload {
    fn reader(&self, console: &Console, source: CountedFile) -> Result<Reader<CountedFile>, Error> {
        let region = console.settings.table.phone_region();
        let reader = match &self.template {
            Some(template) => Reader::of_numbers(source, Template::parse(template, now())?, region),
            None => Reader::new(source, self.format, region),
        };
        Ok(reader.exactly(self.exactly).of_app(self.app.clone()).of_list(self.list.clone()))
    }

    /// The command that does the same, for the history.
    pub(super) fn command(&self) -> String {
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
pub(super) async fn check(
    console: Arc<Console>,
    job: ImportJob,
    bytes: Bytes,
    progress: Progress,
) -> Result<Stage, Failure> {
    progress.begin("Checking the file", Some(bytes.len() as u64));
    let source = CountedFile { bytes: Cursor::new(bytes), progress: progress.clone() };
    let reader = job.data.reader(&console, source)?;
    let checked = progress.unless_cancelled(Import::check(&console.settings.table, reader, now())).await?;
    let mut import = match checked {
        Ok(import) => import,
        Err(problems) => return Ok(Stage::Refused(problems)),
    };
    if job.data.is_replaced
        && let Some(problems) = replaces_no_app(&import)?
    {
        return Ok(Stage::Refused(problems));
    }
    progress.unless_cancelled(console.settings.table.check_keys()).await?;
    let plan = plan(&console, &job.data, &mut import, &progress, None).await;
    *job.data.import.lock().await = Some(import);
    plan.map(Stage::Planned)
}

/// Compares the file with the table as it is now.
pub(super) async fn plan(
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
        if let AppSearch::Unknown(similar) = progress.unless_cancelled(console.settings.table.search_app(&app)).await? {
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

/// Writes the file, unless the table changed so that another difference would be written.
pub(super) async fn apply(
    console: Arc<Console>,
    job: ImportJob,
    seen: u64,
    progress: Progress,
) -> Result<Stage, Failure> {
    let mut kept = job.data.import.lock().await;
    let Some(import) = kept.as_mut() else { return Err(Failure::Error("the file is no longer kept".to_owned())) };
    let again = plan(&console, &job.data, import, &progress, None).await?;
    if again.fingerprint != seen {
        let why =
            "The table changed since the file was compared with it. Nothing was written; look at the difference again.";
        return Ok(Stage::Planned(Plan { changed: Some(why.to_owned()), ..again }));
    }
    let unchanged = again.counts.unchanged;
    let result = run(import, again.counts, console.settings.app_cache, &progress).await;
    let (Ok(applied) | Err(ApplyError { applied, .. })) = &result;
    job.data.written.fetch_add(applied.written + applied.removed, Ordering::Relaxed);
    match result {
        Ok(applied) => {
            let others = if job.data.is_replaced {
                progress.begin("Comparing the table with the file again", None);
                import.look_again(&job.data.author(&console).await).await.map_err(|error| error.to_string())
            } else {
                Ok(OtherRules::default())
            };
            *kept = None;
            Ok(Stage::Written(Written { applied, unchanged, others }))
        }
        Err(ApplyError { applied, total, changed, .. }) if !changed.is_empty() => {
            let rules: Vec<_> = changed.iter().take(MAX_SHOWN).map(RuleRow::text).collect();
            let done = applied.written + applied.removed;
            let why = format!(
                "{} changed meanwhile and were not removed: {}.",
                count(changed.len() as u64, "rule"),
                rules.join("; "),
            );
            let text = format!("{done} of {total} rules are written or removed. {why} Look at what remains.");
            match plan(&console, &job.data, import, &progress, Some(text)).await {
                Ok(plan) => Ok(Stage::Planned(plan)),
                Err(_) => Ok(Stage::Unfinished { done, total, why }),
            }
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
