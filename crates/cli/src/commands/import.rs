//! `import`: writes the rules of a file to the table.

use std::path::PathBuf;

use callgate_admin::Author;
use callgate_admin::import::{Applied, Import, OtherRules};
use callgate_admin::rule_file::Problems;
use callgate_admin::wording::count;
use serde_json::json;

use crate::args::SpeedArgs;
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_error, print_line, print_note};
use crate::prompt::confirm_app;
use crate::rule_file_args::{RuleFileArgs, replaces_no_app};
use crate::time::now;
use crate::write_import::{Options, print_kinds, write_import};

/// Write the rules of a file to the table
///
/// A CSV file has the columns app, from, to, effect, media, hours, expires_at, disabled, list and note, in any order; only the
/// first four are required. NDJSON has an object with these members on each line. With --as, the file has a number on each
/// line. A line that starts with # is a comment. The whole file is checked before anything is written. Rules that are not in
/// the file stay, unless --replace is given. At every moment, also if the import fails or is ended, a call is permitted only
/// if the rules before or after it do.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::doc_markdown, reason = "this comment is the help text")]
#[command(after_help = "\
Examples:
  callgatectl import rules.csv --dry-run                            show what would change
  callgatectl import rules.csv
  callgatectl import - --replace --yes < rules.ndjson               these rules, and no others
  callgatectl import numbers.txt --app shop --as 'block {}' --list spam --replace
                                                                    these numbers, and no others of the list
  callgatectl import prefixes.txt --app shop --as 'deny * to {}, until 30d (premium)'

  app,from,to,effect,media,hours,expires_at,disabled,list,note
  shop,PPP009,PPP005,allow,audio,,,,,
  shop,*,support,allow,,Mon-Fri 09:00-18:00 UTC; Sat 10:00-14:00 UTC,2026-12-31T18:00:00Z,,,on trial
  shop,+15550100199,*,block,,,,,spam,")]
pub(crate) struct Args {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    rules: RuleFileArgs,
    /// Show what would be added, changed and removed, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove the rules of the file's apps, or of the list, that are not in the file
    #[arg(long)]
    replace: bool,
    /// Do not ask before removing rules
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    speed: SpeedArgs,
}

/// How many apps of a file are asked about if nothing is stored for them.
const MAX_APPS: usize = 3;

/// Checks the whole file, then writes it.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let Connection { table, output, .. } = &connection;
    let mut import = match Import::check(table, args.rules.reader(&args.file, table)?, now()).await? {
        Ok(import) => import,
        Err(problems) => return refuse(&problems, *output),
    };
    print_kinds(import.warnings(), 0, "notice: ");
    if args.replace
        && let Some(problems) = replaces_no_app(&import)?
    {
        return refuse(&problems, *output);
    }
    table.check_keys().await?;
    let author = connection.author().await;
    let removed = args.replace.then_some("not in the file");
    let (dry_run, yes, output) = (args.dry_run, args.yes, *output);
    if !dry_run {
        for app in import.apps(MAX_APPS)? {
            confirm_app(table, &app, yes).await?;
        }
    }
    let options = Options { removed, dry_run, yes, speed: &args.speed, output };
    match write_import(&mut import, &author, options).await? {
        Some(applied) => finish(&mut import, args, &author, applied, output).await,
        None => Ok(Outcome::Done),
    }
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

/// Prints what is wrong with the file.
fn refuse(problems: &Problems, output: Output) -> anyhow::Result<Outcome> {
    match output {
        Output::Json => {
            let Problems { first, count, .. } = problems;
            print_line(json!({"result": "refused", "written": 0, "problems": first, "count": count}))?;
        }
        Output::Text => print_kinds(problems, 0, ""),
    }
    print_error(format!("{} in the file; nothing was written", count(problems.count, "problem")));
    Ok(Outcome::Failed)
}
