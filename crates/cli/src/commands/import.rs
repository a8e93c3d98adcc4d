//! `import`: writes the rules of a file to the table.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use callgate_admin::import::{Applied, ApplyError, Difference, DifferenceCounts, Import, ImportControl, Problems};
use callgate_admin::wording::count;
use callgate_admin::{Error, RuleRow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::args::FormatArg;
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::interrupts::Interrupts;
use crate::output::{Output, print_error, print_line, print_note};
use crate::prompt::confirm;
use crate::time::now;

/// How often the progress bar is updated.
const REFRESH: Duration = Duration::from_millis(200);

/// Write the rules of a CSV or NDJSON file to the table
///
/// The columns are app, from, to, effect, media, hours, expires_at and note, in any order. The last four are optional.
/// The whole file is checked before anything is written. Rules that are not in the file stay, unless --replace is given.
#[derive(Debug, Clone, clap::Args)]
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
    /// The number of simultaneous requests
    #[arg(long, default_value_t = 16, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

/// Checks the whole file, then writes it.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let Connection { table, output, .. } = &connection;
    let mut import = match Import::check(table, args.open()?, args.format.map(Into::into), now()).await? {
        Ok(import) => import,
        Err(problems) => return refuse(&problems, *output),
    };
    for warning in import.warnings() {
        print_note(format!("notice: {warning}"));
    }
    table.check_keys().await?;
    if args.replace {
        import.replace().await?;
    }
    if args.dry_run {
        return print_difference(&mut import, *output).await;
    }
    if import.removed_count() > 0 && !args.yes {
        confirm_removal(&import)?;
    }
    apply(import, args.concurrency, &connection).await
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

/// Prints what is wrong with the file.
fn refuse(problems: &Problems, output: Output) -> anyhow::Result<Outcome> {
    let Problems { first, count: all } = problems;
    match output {
        Output::Json => {
            print_line(json!({"result": "refused", "written": 0, "problems": first, "count": all}))?;
        }
        Output::Text => {
            first.iter().for_each(print_note);
            let more = all.saturating_sub(first.len() as u64);
            if more > 0 {
                print_note(format!("... and {more} more"));
            }
        }
    }
    print_error(format!("{} in the file; nothing was written", count(*all, "problem")));
    Ok(Outcome::Failed)
}

/// Prints what the import would change.
async fn print_difference(import: &mut Import, output: Output) -> anyhow::Result<Outcome> {
    let counts = import.difference(|difference| -> anyhow::Result<()> {
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
    });
    let DifferenceCounts { added, changed, removed, unchanged } = counts.await?;
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

/// Prints the rules to remove, and asks. Without a terminal, only --yes confirms.
fn confirm_removal(import: &Import) -> anyhow::Result<()> {
    import.for_each_removed(|rule| {
        print_note(removal_text(&rule));
        anyhow::Ok(())
    })?;
    let removed = count(import.removed_count(), "rule");
    if !io::stdin().is_terminal() {
        bail!("{removed} would be removed; nothing was written; confirm with --yes");
    }
    if !confirm(&format!("{removed} not in the file will be removed"))? {
        bail!("nothing was written");
    }
    Ok(())
}

/// Writes the import, with a progress bar, until it is done or interrupted.
async fn apply(import: Import, concurrency: u16, connection: &Connection) -> anyhow::Result<Outcome> {
    // From here on, an interrupted import prints how many rules are written.
    let mut interrupts = Interrupts::listen()?;
    let bar = progress_bar(import.rule_count() + import.removed_count(), connection.output)?;
    let author = connection.author().await;
    let control = ImportControl::default();
    let result = {
        let mut applying = pin!(import.apply(&author, concurrency, &control));
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
    let Applied { written, removed } = match result {
        Ok(applied) => applied,
        Err(ApplyError { done, total, error }) => {
            let progress = format!(
                "{done} of {total} rules are written; run the same command again, which writes all of them anew"
            );
            if matches!(error, Error::Stopped(_)) {
                bail!("interrupted: {progress}");
            }
            print_note(progress);
            return Err(error.into());
        }
    };
    match connection.output {
        Output::Text => {
            let removed = if removed > 0 { format!(", {removed} removed") } else { String::new() };
            print_line(format!("imported: {} written{removed}", count(written, "rule")))?;
        }
        Output::Json => print_line(json!({"result": "imported", "written": written, "removed": removed}))?,
    }
    Ok(Outcome::Done)
}

fn progress_bar(total: u64, output: Output) -> anyhow::Result<ProgressBar> {
    if output == Output::Json || !io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} rules, {per_sec}, {eta} left")?);
    Ok(bar)
}
