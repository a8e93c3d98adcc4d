//! Writes planned imports: the difference, the question, the progress, and the end.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::{anyhow, bail};
use callgate_admin::import::{
    Applied, ApplyError, Difference, DifferenceCounts, Import, ImportControl, UnconfirmedRule,
};
use callgate_admin::rule_file::Problems;
use callgate_admin::wording::count;
use callgate_admin::{Author, Error, RuleRow};
use serde_json::json;

use crate::args::SpeedArgs;
use crate::interrupts::Interrupts;
use crate::output::{Output, print_line, print_note};
use crate::progress::{print_wait, progress_bar, show_progress};
use crate::prompt::confirm;

/// How an import is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options<'a> {
    /// Whether rules that are not in the file are removed, and which these are, in the words of the question.
    pub(crate) removed: Option<&'static str>,
    /// Whether the difference is only printed.
    pub(crate) dry_run: bool,
    /// Whether rules are removed without a question.
    pub(crate) yes: bool,
    pub(crate) speed: &'a SpeedArgs,
    pub(crate) output: Output,
}

/// Plans and writes an import. Returns what was written and removed; `None` for a dry run.
pub(crate) async fn write_import(
    import: &mut Import,
    author: &Author,
    options: Options<'_>,
) -> anyhow::Result<Option<Applied>> {
    let Options { removed, dry_run, yes, speed, output } = options;
    let mut total = Applied::default();
    let mut noted = 0;
    loop {
        import.plan(removed.is_some(), author).await?;
        if let Some(notices) = import.notices() {
            print_kinds(notices, noted, "notice: ");
            noted = notices.kinds.len();
        }
        if dry_run {
            print_difference(import, output)?;
            return Ok(None);
        }
        if import.counts().removed > 0 && !yes {
            confirm_removal(import, removed.unwrap_or_default())?;
        }
        let result = apply(import, speed, output).await?;
        let applied = result.as_ref().map_or_else(|error| error.applied, |applied| *applied);
        total.written += applied.written;
        total.removed += applied.removed;
        match result {
            Ok(_) => return Ok(Some(total)),
            Err(error) if error.changed.is_empty() => return Err(report(error)),
            Err(ApplyError { changed, total: planned, .. }) => {
                let done = applied.written + applied.removed;
                print_note(format!("{done} of {planned} rules are written or removed"));
                let text = format!("{} changed meanwhile and were not removed:", count(changed.len() as u64, "rule"));
                print_note(text);
                for rule in &changed {
                    print_note(removal_text(rule));
                }
                if yes || !io::stdin().is_terminal() {
                    bail!("the import is not complete; run the same command again, and check these rules");
                }
            }
        }
    }
}

/// Prints one line for each kind of problem, without the first few.
pub(crate) fn print_kinds(problems: &Problems, skip: usize, label: &str) {
    for kind in problems.kinds.iter().skip(skip) {
        print_note(format!("{label}{kind}"));
    }
    if problems.other_count() > 0 {
        print_note(format!("{label}... and {} more of other kinds", problems.other_count()));
    }
}

/// Prints what the import would change.
fn print_difference(import: &Import, output: Output) -> anyhow::Result<()> {
    import.for_each_difference(|difference| -> anyhow::Result<()> {
        match output {
            Output::Text => print_line(difference_text(&difference))?,
            Output::Json => {
                let (change, rule, previous) = match &difference {
                    Difference::Added(rule) => ("added", rule, None),
                    Difference::Changed { rule, previous } => ("changed", rule, Some(&**previous)),
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
    Ok(())
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
fn confirm_removal(import: &Import, which: &str) -> anyhow::Result<()> {
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
    if !confirm(&format!("{removed} {which} will be removed"))? {
        bail!("nothing was written");
    }
    Ok(())
}

/// Writes the import, with a progress bar, until it is done, fails or is interrupted.
async fn apply(import: &Import, speed: &SpeedArgs, output: Output) -> anyhow::Result<Result<Applied, ApplyError>> {
    // From here on, an interrupted import prints how many rules are written.
    let mut interrupts = Interrupts::listen()?;
    let bar = progress_bar(import.counts().written() + import.counts().removed, "rules", output)?;
    let control = ImportControl::default();
    let announce = |time: Duration| print_wait(&bar, time);
    let applying = import.apply(speed.concurrency, speed.app_cache.app_cache_seconds, &control, announce);
    Ok(show_progress(applying, &control, &bar, &mut interrupts).await)
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
