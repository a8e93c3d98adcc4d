//! `replay`: decides logged calls again, under the rules of a file.

use std::path::PathBuf;

use anstyle::AnsiColor;
use callgate_admin::decision_log::CallFilter;
use callgate_admin::import::Import;
use callgate_admin::replay::{Answer, Flip, LogDifference, LoggedCalls, NotReplayed, ReplayReport};
use callgate_admin::rule_file::Problems;
use callgate_admin::time;
use callgate_admin::wording::{count, escape};
use callgate_core::Effect;
use serde_json::{Value, json};

use crate::connection::{Connection, GlobalArgs};
use crate::exit::{Outcome, usage};
use crate::log_args::LogArgs;
use crate::output::{Line, Output, print_error, print_line};
use crate::rule_file_args::{RuleFileArgs, replaces_no_app};
use crate::time::now;
use crate::write_import::print_kinds;

/// Try the rules of a file on the calls of the log, and print the answers that would change
///
/// Each logged call is decided twice, as if it came at the same time and with the same media: by the table as it is, and as it
/// would be after import of the file. Nothing is written. The first lines are the pairs whose calls would get another
/// answer, the most frequent first. The last lines compare the log with the table as it is: what was answered
/// differently then was changed since.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl replay --with rules.csv --log-group /aws/lambda/callgate --since 7d
  callgatectl replay --with rules.csv --replace --log calls.log     these rules, and no others
  callgatectl replay --with numbers.txt --app shop --as 'block {}' --list spam --log calls.log

The exit code is 4 if an answer would change.")]
pub(crate) struct Args {
    /// The file of rules, as import takes it, or - for standard input
    #[arg(long = "with", value_name = "FILE", allow_hyphen_values = true)]
    file: PathBuf,
    /// As if the rules of the file's apps, or of the list, that are not in the file were removed
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    rules: RuleFileArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Checks the file, reads the log, and decides its calls.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = global.open().await?;
    if args.file.as_os_str() == "-" && args.log.is_standard_input() {
        return Err(usage("only one of --with and --log can be standard input"));
    }
    let now = now();
    let import = match Import::check(&table, args.rules.reader(&args.file, &table)?, now).await? {
        Ok(import) => import,
        Err(problems) => return refuse(&problems, output),
    };
    print_kinds(import.warnings(), 0, "notice: ");
    if args.replace
        && let Some(problems) = replaces_no_app(&import)?
    {
        return refuse(&problems, output);
    }
    let mut calls = LoggedCalls::new();
    let read = args.log.for_each(global, CallFilter::default(), |call| Ok(calls.add(call)?)).await?;
    if read.masked > 0 {
        anyhow::bail!(
            "the log has only the last four characters of each id (LogParties=masked), so its calls cannot be decided again"
        );
    }
    let report = table.replay(calls, import, args.replace, now).await?;
    match output {
        Output::Text => print_report(&report, read.skipped())?,
        Output::Json => print_line(as_json(&report, read.skipped()))?,
    }
    Ok(if report.flips.is_empty() { Outcome::Done } else { Outcome::Findings })
}

/// Prints what is wrong with the file, as `import` does.
fn refuse(problems: &Problems, output: Output) -> anyhow::Result<Outcome> {
    match output {
        Output::Json => {
            let Problems { first, count, .. } = problems;
            print_line(json!({"result": "refused", "problems": first, "count": count}))?;
        }
        Output::Text => print_kinds(problems, 0, ""),
    }
    print_error(format!("{} in the file; no call was decided", count(problems.count, "problem")));
    Ok(Outcome::Failed)
}

fn print_report(report: &ReplayReport, other_lines: u64) -> anyhow::Result<()> {
    for flip in &report.flips {
        print_line(flip_text(flip))?;
    }
    let [permitted, refused] = [Effect::Allow, Effect::Deny].map(|effect| report.flipped(effect));
    let calls = count(report.calls, "call");
    print_line(match (permitted, refused) {
        (0, 0) => format!("none of {calls} would be answered differently"),
        _ => format!(
            "{} of {calls} would be answered differently: {permitted} permitted, {refused} refused",
            permitted + refused
        ),
    })?;
    let answered = report.calls - report.unanswered;
    print_line(format!("the table as it is repeats {} of {}", report.repeated, count(answered, "logged answer")))?;
    for LogDifference { logged: _, logged_reason, effect, reason, count: calls } in &report.differences {
        let then = escape(logged_reason);
        print_line(format!("  {}: {then} then, {reason} now, so {}", count(*calls, "call"), word(*effect)))?;
    }
    if report.unanswered > 0 {
        print_line(format!("  {} had no answer: permissions could not be read", count(report.unanswered, "call")))?;
    }
    let NotReplayed { not_from_wcs, incomplete, invalid_ids } = report.not_replayed;
    for (number, why) in [
        (other_lines, "not a decision"),
        (not_from_wcs, "a request that was not from WCS"),
        (incomplete, "without a caller, a callee or media"),
        (invalid_ids, "with an id that no call can have"),
    ] {
        if number > 0 {
            print_line(format!("not decided again: {}, {why}", count(number, "line")))?;
        }
    }
    Ok(())
}

fn flip_text(flip: &Flip) -> Line {
    let Flip { app, caller, callee, count: calls, first, last, before, after } = flip;
    let colour = match after.effect {
        Effect::Allow => AnsiColor::Green.on_default(),
        Effect::Deny => AnsiColor::Red.on_default(),
    };
    let [app, caller, callee] = [app, caller, callee].map(|text| escape(text));
    let times = if first == last {
        format!("at {}", time::describe(*first))
    } else {
        format!("from {} to {}", time::describe(*first), time::describe(*last))
    };
    let answer = |answer: &Answer| format!("{} ({})", answer.reason, escape(&answer.because));
    Line::styled(colour, word(after.effect)).then(format!(
        ": {caller} to {callee} in app {app}, {}, {times}\n  now:       {}\n  with file: {}",
        count(*calls, "call"),
        answer(before),
        answer(after)
    ))
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "permitted",
        Effect::Deny => "refused",
    }
}

fn as_json(report: &ReplayReport, other_lines: u64) -> Value {
    let answer = |answer: &Answer| json!({"decision": answer.effect.as_str(), "reason": answer.reason, "because": answer.because});
    let flips = report.flips.iter().map(|flip| {
        let Flip { app, caller, callee, count, first, last, before, after } = flip;
        json!({
            "app": app, "caller": caller, "callee": callee, "count": count,
            "first": time::format(*first), "last": time::format(*last), "before": answer(before), "after": answer(after),
        })
    });
    let differences = report.differences.iter().map(|difference| {
        let LogDifference { logged, logged_reason, effect, reason, count } = difference;
        json!({
            "logged": {"decision": logged.as_str(), "reason": logged_reason},
            "now": {"decision": effect.as_str(), "reason": reason}, "count": count,
        })
    });
    let NotReplayed { not_from_wcs, incomplete, invalid_ids } = report.not_replayed;
    json!({
        "flips": flips.collect::<Vec<_>>(), "calls": report.calls, "permitted": report.flipped(Effect::Allow),
        "refused": report.flipped(Effect::Deny), "repeated": report.repeated,
        "differences": differences.collect::<Vec<_>>(), "unanswered": report.unanswered,
        "not_replayed": {
            "other_lines": other_lines, "not_from_wcs": not_from_wcs, "incomplete": incomplete, "invalid_ids": invalid_ids,
        },
    })
}
