//! `export`: writes the rules of the table as a file.

use callgate_admin::Error;
use callgate_admin::rule_file::{Format, Writer};
use callgate_admin::wording::count;

use crate::args::FormatArg;
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, file_output, print_error, print_note};
use crate::time::now;

/// Write the rules of the table to standard output, as import reads them
///
/// The rules and blocks are sorted by app, caller and callee. Those that have expired are left out. The status, groups and
/// notes of apps and parties are not rules, so they are not exported; backup writes everything. The exit code is 1 if the file
/// does not decide every call as the table does: suspended apps and parties, groups whose members matter to the rules, and
/// rules that import would refuse, read differently or store in another place, are listed on standard error.
///
/// In a CSV file, an app, a list, a note or an id with which a spreadsheet would begin a formula has an apostrophe before it,
/// which import removes.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::doc_markdown, reason = "this comment is the help text")]
#[command(after_help = "\
Examples:
  callgatectl export > rules.csv
  callgatectl export --app shop --format ndjson
  callgatectl export --app shop --list spam > spam.csv")]
pub(crate) struct Args {
    /// Export only this app; can be repeated. Without it every app is exported, also if CALLGATE_APP is set
    #[arg(long, value_name = "APP", allow_hyphen_values = true)]
    app: Vec<String>,
    /// Export only the rules and blocks of this list
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    list: Option<String>,
    /// The format of the file; without it, CSV, or NDJSON with --output json
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatArg>,
    /// The number of simultaneous scans of the table
    #[arg(long, default_value_t = 4, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: u16,
}

/// Writes the file, then lists the items and rules that are left out.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = global.open().await?;
    let apps = args.app.iter().map(|app| table.parse_app(app)).collect::<Result<Vec<_>, Error>>()?;
    let format = args.format.map_or(
        match output {
            Output::Text => Format::Csv,
            Output::Json => Format::Ndjson,
        },
        Into::into,
    );
    let export = table.export(&apps, args.list.as_deref(), format, args.segments, now()).await?;
    let mut writer = Writer::new(format, file_output())?;
    export.for_each(|rule| anyhow::Ok(writer.write(&rule)?))?;
    writer.finish()?;
    if export.expired() > 0 {
        print_note(format!("not exported, because they have no effect: {}", count(export.expired(), "expired rule")));
    }
    if export.unusual() > 0 {
        print_note(format!(
            "import this file with --exactly: {} an id that looks like a number and is none, or a prefix that no number has",
            if export.unusual() == 1 { "one rule has".to_owned() } else { format!("{} rules have", export.unusual()) },
        ));
    }
    let left_out = export.left_out();
    if left_out.is_empty() {
        return Ok(Outcome::Done);
    }
    for item in left_out {
        print_note(format!("left out: {item}"));
    }
    print_error(format!(
        "{} left out of the export, so an import of it decides calls differently; `callgatectl backup` writes everything",
        left_out.len()
    ));
    Ok(Outcome::Failed)
}
