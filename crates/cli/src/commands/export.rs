//! `export`: every rule of the table as text.

use std::io::BufWriter;

use anyhow::Context as _;
use callgate_core::Rule;
use clap::Args;

use crate::connection::{Options as Connection, Output, Table};
use crate::items::keys;
use crate::moment;
use crate::outcome::Outcome;
use crate::rows::{Format, Writer};
use crate::say::{print_error, print_note};
use crate::spool::{Added, Set, Spool};
use crate::statement::Row;
use crate::stored::rules_of;

/// What to write, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Only this app; may be repeated
    #[arg(long, value_name = "APP")]
    app: Vec<String>,
    /// How to write it
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// How many scans read the table at once
    #[arg(long, default_value_t = 4, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: u16,
}

/// Writes the rules to standard output, sorted by app, caller and callee.
pub(crate) async fn run(options: &Options, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let apps = options.app.iter().map(|app| Ok(Table::app(app)?.to_string())).collect::<anyhow::Result<Vec<_>>>()?;
    let spool = Spool::new()?;
    let mut left_out = Vec::new();
    let mut pages = table.scan(options.segments);
    while let Some(page) = pages.recv().await {
        for item in page? {
            let Some(rules) = rules_of(&item) else {
                left_out.push(format!("{:?}: no item of callgate", keys(&item).unwrap_or_default()));
                continue;
            };
            for stored in rules.into_iter().filter(|it| apps.is_empty() || apps.contains(&it.app)) {
                match stored.rule.as_ref().map_err(ToString::to_string).and_then(sayable) {
                    Ok(rule) => {
                        let row = Row::of(&stored.app, &stored.from, &stored.to, rule);
                        // The spool sorts; what is sorted here are the words of the file.
                        let at = [stored.app.as_str(), stored.from.as_str(), stored.to.as_str(), ""];
                        if matches!(spool.insert(Set::Wanted, at, &row, 0)?, Added::Contradicts(_)) {
                            left_out.push(format!(
                                "{} to {} in app {}: stands both in a list and as a pair, and both say something else",
                                stored.from, stored.to, stored.app
                            ));
                        }
                    }
                    Err(fault) => {
                        left_out.push(format!("{} to {} in app {}: {fault}", stored.from, stored.to, stored.app));
                    }
                }
            }
        }
    }
    let format = options.format.unwrap_or(match table.output {
        Output::Text => Format::Csv,
        Output::Json => Format::Ndjson,
    });
    let mut writer = Writer::new(format, BufWriter::new(std::io::stdout().lock()))?;
    spool.each(Set::Wanted, |spooled| writer.write(&spooled.row)).context("the rules cannot be written")?;
    writer.finish()?;
    left_out.sort();
    for what in &left_out {
        print_note(format!("left out: {what}"));
    }
    if left_out.is_empty() {
        return Ok(Outcome::Done);
    }
    let left_out = left_out.len();
    print_error(format!("{left_out} left out of the export; `callgatectl doctor` says how to mend what is left out"));
    Ok(Outcome::Failed)
}

/// What the columns can hold: a file must not say more, or less, than the table does.
fn sayable(rule: &Rule) -> Result<&Rule, String> {
    match rule.expires_at {
        Some(at) if moment::absolute(&moment::format(at)) != Some(at) => {
            Err(format!("its `expires_at` is {at}, not seconds since 1970"))
        }
        _ => Ok(rule),
    }
}
