//! `import`: writes the rules of a file to the table.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use callgate_admin::import::{
    Applied, ApplyError, Difference, DifferenceCounts, Import, ImportControl, OtherRules, UnconfirmedRule,
};
use callgate_admin::rule_file::Problems;
use callgate_admin::wording::count;
use callgate_admin::{Author, Error, RuleRow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::args::FormatArg;
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::interrupts::Interrupts;
use crate::output::{Output, print_error, print_line, print_note};
use crate::prompt::{confirm, confirm_app};
use crate::time::now;

/// How often the progress bar is updated.
const REFRESH: Duration = Duration::from_millis(200);

/// Write the rules of a CSV or NDJSON file to the table
///
/// The columns are app, from, to, effect, media, hours, expires_at and note, in any order. The last four are optional.
/// The whole file is checked before anything is written. Rules that are not in the file stay, unless --replace is given.
/// At every moment, also if the import fails or is ended, a call is permitted only if the rules before or after it do.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[expect(clippy::doc_markdown, reason = "this comment is the help text")]
#[command(after_help = "\
Examples:
  callgatectl import rules.csv --dry-run                            show what would change
  callgatectl import rules.csv
  callgatectl import - --replace --yes < rules.ndjson               these rules, and no others

  app,from,to,effect,media,hours,expires_at,note
  shop,PPP009,PPP005,allow,audio,,,
  shop,*,support,allow,,Mon-Fri 09:00-18:00 UTC; Sat 10:00-14:00 UTC,2026-12-31T18:00:00Z,on trial")]
pub(crate) struct Args {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The format of the file; by default, detected from the first character
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatArg>,
    /// Show what would be added, changed and removed, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove the rules of the file's apps that are not in the file
    #[arg(long)]
    replace: bool,
    /// Do not ask before removing rules
    #[arg(long, short)]
    yes: bool,
    /// Accept ids that look like numbers and are none, prefixes that no number has, and rules that have expired
    #[arg(long)]
    exactly: bool,
    /// The number of simultaneous requests
    #[arg(long, default_value_t = 16, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// How long the function keeps an app's rules; the import waits so long before it permits more
    #[arg(long, env = "APP_CACHE_SECONDS", default_value = "5", value_name = "SECONDS", hide_env_values = true)]
    #[arg(value_parser = app_cache)]
    app_cache_seconds: Duration,
}

/// Checks the whole file, then writes it.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let Connection { table, output, .. } = &connection;
    let mut import = match Import::check(table, args.open()?, args.format.map(Into::into), args.exactly, now()).await? {
        Ok(import) => import,
        Err(problems) => return refuse(&problems, *output),
    };
    print_kinds(import.warnings(), 0, "notice: ");
    table.check_keys().await?;
    let author = connection.author().await;
    let mut total = Applied::default();
    let mut noted = 0;
    let mut asks_about_apps = true;
    loop {
        import.plan(args.replace, &author).await?;
        if let Some(notices) = import.notices() {
            print_kinds(notices, noted, "notice: ");
            noted = notices.kinds.len();
        }
        if args.dry_run {
            return print_difference(&import, *output);
        }
        if asks_about_apps {
            asks_about_apps = false;
            for app in import.apps(MAX_APPS)? {
                confirm_app(table, &app, args.yes).await?;
            }
        }
        if import.counts().removed > 0 && !args.yes {
            confirm_removal(&import)?;
        }
        let result = apply(&import, args, *output).await?;
        let applied = result.as_ref().map_or_else(|error| error.applied, |applied| *applied);
        total.written += applied.written;
        total.removed += applied.removed;
        match result {
            Ok(_) => break,
            Err(error) if error.changed.is_empty() => return Err(report(error)),
            Err(ApplyError { changed, total: planned, .. }) => {
                let done = applied.written + applied.removed;
                print_note(format!("{done} of {planned} rules are written or removed"));
                let text = format!("{} changed meanwhile and were not removed:", count(changed.len() as u64, "rule"));
                print_note(text);
                for rule in &changed {
                    print_note(removal_text(rule));
                }
                if args.yes || !io::stdin().is_terminal() {
                    bail!("the import is not complete; run the same command again, and check these rules");
                }
            }
        }
    }
    finish(&mut import, args, &author, total, *output).await
}

/// Prints the result. After --replace, compares the table with the file again.
async fn finish(
    import: &mut Import,
    args: &Args,
    author: &Author,
    applied: Applied,
    output: Output,
) -> anyhow::Result<Outcome> {
    let Applied { written, removed } = applied;
    let unchanged = import.counts().unchanged;
    let OtherRules { others, missing, counts } =
        if args.replace { import.look_again(author).await? } else { OtherRules::default() };
    match output {
        Output::Text => {
            let removed = if removed > 0 { format!(", {removed} removed") } else { String::new() };
            let unchanged = if unchanged > 0 { format!(", {unchanged} unchanged") } else { String::new() };
            print_line(format!("imported: {} written{removed}{unchanged}", count(written, "rule")))?;
        }
        Output::Json => print_line(json!({
            "result": "imported", "written": written, "removed": removed, "unchanged": unchanged,
            "others": others, "missing": missing,
        }))?,
    }
    if counts.removed + counts.written() == 0 {
        return Ok(Outcome::Done);
    }
    for (rules, all, text) in [
        (&others, counts.removed, "of these apps not in the file"),
        (&missing, counts.written(), "of the file missing or changed"),
    ] {
        if all > 0 {
            print_note(format!("{} {text}:", count(all, "rule")));
            for rule in rules {
                print_note(format!("  {}", rule.text()));
            }
        }
        let more = all.saturating_sub(rules.len() as u64);
        if more > 0 {
            print_note(format!("  ... and {more} more"));
        }
    }
    let others = count(counts.removed, "other rule");
    print_error(format!(
        "another writer changed these apps during the import: {others} {} there, and {} of the file {} not; see with \
         `show` who wrote them, then import the file that is right once more",
        if counts.removed == 1 { "is" } else { "are" },
        count(counts.written(), "rule"),
        if counts.written() == 1 { "is" } else { "are" },
    ));
    Ok(Outcome::Failed)
}

/// The time in `APP_CACHE_SECONDS`. An empty value counts as not given, as for the function.
fn app_cache(text: &str) -> Result<Duration, String> {
    let text = if text.trim().is_empty() { "5" } else { text.trim() };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= 3_600);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("`{text}` is not a whole number of seconds up to 3600"))
}

impl Args {
    fn open(&self) -> anyhow::Result<Box<dyn Read + Send>> {
        if self.file.as_os_str() == "-" {
            return Ok(Box::new(io::stdin()));
        }
        let name = self.file.display();
        Ok(Box::new(File::open(&self.file).with_context(|| format!("`{name}` cannot be opened"))?))
    }
}

/// Prints one line for each kind of problem, without the first few.
fn print_kinds(problems: &Problems, skip: usize, label: &str) {
    for kind in problems.kinds.iter().skip(skip) {
        print_note(format!("{label}{kind}"));
    }
    if problems.other_count() > 0 {
        print_note(format!("{label}... and {} more of other kinds", problems.other_count()));
    }
}

/// Prints what is wrong with the file.
fn refuse(problems: &Problems, output: Output) -> anyhow::Result<Outcome> {
    let Problems { first, count: all, .. } = problems;
    match output {
        Output::Json => {
            print_line(json!({"result": "refused", "written": 0, "problems": first, "count": all}))?;
        }
        Output::Text => {
            print_kinds(problems, 0, "");
        }
    }
    print_error(format!("{} in the file; nothing was written", count(*all, "problem")));
    Ok(Outcome::Failed)
}

/// Prints what the import would change.
fn print_difference(import: &Import, output: Output) -> anyhow::Result<Outcome> {
    import.for_each_difference(|difference| -> anyhow::Result<()> {
        match output {
            Output::Text => print_line(difference_text(&difference))?,
            Output::Json => {
                let (change, rule, previous) = match &difference {
                    Difference::Added(rule) => ("added", rule, None),
                    Difference::Changed { rule, previous } => ("changed", rule, Some(previous)),
                    Difference::Removed(rule) => ("removed", rule, None),
                };
                print_line(json!({"change": change, "rule": rule, "previous": previous}))?;
            }
        }
        Ok(())
    })?;
    let DifferenceCounts { added, changed, removed, unchanged } = import.counts();
    match output {
        Output::Text => print_line(format!(
            "{} would be added, {changed} changed, {removed} removed; {unchanged} stay as they are",
            count(added, "rule")
        ))?,
        Output::Json => print_line(json!({
            "result": "dry_run", "added": added, "changed": changed, "removed": removed, "unchanged": unchanged,
        }))?,
    }
    Ok(Outcome::Done)
}

fn difference_text(difference: &Difference) -> String {
    match difference {
        Difference::Added(rule) => format!("+ {}", rule.text()),
        Difference::Changed { rule, previous } => format!("~ {} [it is: {}]", rule.text(), previous.text()),
        Difference::Removed(rule) => removal_text(rule),
    }
}

fn removal_text(rule: &RuleRow) -> String {
    format!("- {}", rule.text())
}

/// How many apps of a file are asked about if nothing is stored for them.
const MAX_APPS: usize = 3;

/// Prints the rules to remove, and asks. Without a terminal, only --yes confirms.
fn confirm_removal(import: &Import) -> anyhow::Result<()> {
    import.for_each_difference(|difference| {
        if matches!(difference, Difference::Removed(_)) {
            print_note(difference_text(&difference));
        }
        anyhow::Ok(())
    })?;
    let removed = count(import.counts().removed, "rule");
    if !io::stdin().is_terminal() {
        bail!("{removed} would be removed; nothing was written; confirm with --yes");
    }
    if !confirm(&format!("{removed} not in the file will be removed"))? {
        bail!("nothing was written");
    }
    Ok(())
}

/// Writes the import, with a progress bar, until it is done, fails or is interrupted.
async fn apply(import: &Import, args: &Args, output: Output) -> anyhow::Result<Result<Applied, ApplyError>> {
    // From here on, an interrupted import prints how many rules are written.
    let mut interrupts = Interrupts::listen()?;
    let bar = progress_bar(import.counts().written() + import.counts().removed, output)?;
    let control = ImportControl::default();
    let announce = |time: Duration| {
        let seconds = count(time.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX), "second");
        bar.suspend(|| {
            print_note(format!("waiting {seconds}, until no function uses the app's earlier rules any more"));
        });
    };
    let result = {
        let mut applying = pin!(import.apply(args.concurrency, args.app_cache_seconds, &control, announce));
        let mut refresh = tokio::time::interval(REFRESH);
        loop {
            tokio::select! {
                result = &mut applying => break result,
                () = interrupts.recv() => control.stop(),
                _ = refresh.tick() => bar.set_position(control.done()),
            }
        }
    };
    bar.finish_and_clear();
    Ok(result)
}

/// Prints how far an import came. Returns why it ended.
fn report(error: ApplyError) -> anyhow::Error {
    let ApplyError { applied: Applied { written, removed }, total, unconfirmed, changed: _, error } = error;
    let done = written + removed;
    let progress = format!("{done} of {total} rules are written; run the same command again, which writes the others");
    if matches!(error, Error::Stopped(_)) {
        return anyhow!("interrupted: {progress}");
    }
    print_note(progress);
    let Some(unconfirmed) = unconfirmed else { return error.into() };
    let UnconfirmedRule { line, rule, is_cause } = *unconfirmed;
    let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    if is_cause {
        return anyhow::Error::from(error).context(format!("{line}{} cannot be written", rule.text()));
    }
    print_note(format!("the first rule that is not confirmed: {line}{}", rule.text()));
    error.into()
}

fn progress_bar(total: u64, output: Output) -> anyhow::Result<ProgressBar> {
    if output == Output::Json || !io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} rules, {per_sec}, {eta} left")?);
    Ok(bar)
}
