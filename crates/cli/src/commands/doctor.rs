//! `doctor`: finds mistakes in the table, and applies fixes that change no answer.

use std::io;

use anstyle::Style;
use callgate_admin::doctor::{Finding, FindingKind, Report};
use callgate_admin::wording::{count, escape};
use serde_json::json;

use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Line, Output, print_line};
use crate::time::now;

/// Find rules and items that have no effect or refuse calls by mistake
///
/// The commands that it prints as fixes, and --fix, change no answer to any call. Where a change may change answers, it
/// prints how to look at the item or rule.
///
/// Use the phone region of the function: with another one, other rules match.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", kinds_help()))]
pub(crate) struct Args {
    /// Remove expired rules, blocks and parties, and move rules between two parties to where allow and deny write them
    #[arg(long)]
    fix: bool,
}

const EXAMPLES: &str = "\
Examples:
  callgatectl doctor
  callgatectl doctor --fix

The exit code is 4 if there are findings.";

fn kinds_help() -> String {
    let kind = |kind: FindingKind| format!("\n  {:<18} {}", kind.as_str(), kind.description());
    format!("Kinds of findings:{}", FindingKind::ALL.map(kind).concat())
}

/// Inspects the table, applies fixes with --fix, and prints the findings that remain.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let Report { findings, items, rules } = connection.table.inspect(now()).await?;
    let (findings, fixed) = if args.fix { apply_fixes(&connection, findings).await? } else { (findings, Vec::new()) };
    match connection.output {
        Output::Text => {
            for title in fixed {
                print_line(format!("fixed: {}", escape(&title)))?;
            }
            findings.iter().try_for_each(print_finding)?;
            let inspected = format!("{} and {} inspected", count(items, "item"), count(rules, "rule"));
            print_line(format!("{inspected}, {}", count(findings.len() as u64, "finding")))?;
        }
        Output::Json => {
            print_line(json!({"findings": findings, "fixed": fixed, "items": items, "rules": rules}))?;
        }
    }
    Ok(if findings.is_empty() { Outcome::Done } else { Outcome::Findings })
}

/// Returns the findings that remain, and the titles of those that were fixed.
async fn apply_fixes(connection: &Connection, findings: Vec<Finding>) -> anyhow::Result<(Vec<Finding>, Vec<String>)> {
    let author = connection.author().await;
    let (mut remaining, mut fixed) = (Vec::new(), Vec::new());
    for finding in findings {
        match &finding.fix {
            // A finding whose item changed meanwhile remains.
            Some(fix) if connection.table.fix(fix, &author).await? => fixed.push(finding.title()),
            _ => remaining.push(finding),
        }
    }
    Ok((remaining, fixed))
}

fn print_finding(finding: &Finding) -> io::Result<()> {
    let bold = Style::new().bold();
    let title = Line::styled(bold, escape(&finding.title()));
    print_line(title.then(format!("\n  {}\n  {}", escape(&finding.what), escape(&finding.why))))?;
    if let Some(command) = &finding.command {
        print_line(format!("  fix: {}", escape(command)))?;
    }
    if let Some(advice) = &finding.advice {
        print_line(format!("  look at it: {}", escape(advice)))?;
    }
    Ok(())
}
