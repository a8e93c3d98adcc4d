//! `find`: finds parties, groups and rules by a text.

use callgate_admin::find::{Found, Needle};
use callgate_admin::wording::{count, escape};
use serde_json::json;

use crate::connection::{Connection, GlobalArgs};
use crate::exit::{Outcome, usage};
use crate::output::{Output, print_line, print_note};

/// Find apps, parties, groups and rules by a part of an id, a pattern, a list or a note
///
/// Reads the whole table, and prints what it finds as it goes: the order is that of the table, not of the ids. Upper and lower
/// case are the same. A number is found in every spelling.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl find spam
  callgatectl find --app shop '8 (495)' --phone-region RU")]
pub(crate) struct Args {
    /// The text to find
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    text: String,
    /// Search only this app
    #[arg(long, value_name = "APP", allow_hyphen_values = true)]
    app: Option<String>,
    /// The number of simultaneous scans of the table
    #[arg(long, default_value_t = 4, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: u16,
}

/// Prints everything that holds the text.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = global.open().await?;
    if args.text.trim().is_empty() {
        return Err(usage("the text to find is empty"));
    }
    let app = args.app.as_deref().map(|app| table.parse_app(app)).transpose()?;
    let needle = Needle::new(&args.text, table.phone_region());
    for form in needle.canonical() {
        print_note(format!("ids are also compared with `{}`", escape(form)));
    }
    let found = table
        .find(&needle, app.as_ref(), args.segments, |found| {
            match output {
                Output::Text => print_line(text(&found))?,
                Output::Json => print_line(json!(found))?,
            }
            anyhow::Ok(())
        })
        .await?;
    print_note(match found {
        0 => format!("`{}` is not found", escape(args.text.trim())),
        found => format!("{} found", count(found, "place")),
    });
    Ok(Outcome::Done)
}

fn text(found: &Found) -> String {
    let note = |note: &Option<String>| note.as_ref().map(|it| format!(" ({})", escape(it))).unwrap_or_default();
    match found {
        Found::App { app, note: of_app } => format!("app {}{}", escape(app), note(of_app)),
        Found::Party { app, party, groups, note: of_party } => {
            let groups: Vec<_> = groups.iter().map(|group| format!("@{}", escape(group))).collect();
            let groups = if groups.is_empty() { String::new() } else { format!(", groups {}", groups.join(", ")) };
            format!("party {} in app {}{groups}{}", escape(party), escape(app), note(of_party))
        }
        Found::Rule { place, rule } => format!("{}{place}", rule.text()),
    }
}
