//! `history`: prints who changed what.

use callgate_admin::history::{BulkCounts, Change, ChangedValue, Description, ValueView};
use callgate_admin::time;
use callgate_admin::wording::{escape, quote};
use callgate_core::Pattern;
use serde_json::json;

use crate::args::PartyArgs;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::output::{Output, print_line};
use crate::time::{now, parse_since};

/// Print who changed what, with the values before and after
///
/// Every command that changes something writes a change into the table, together with what it changes. After the changes, it prints
/// what is stored now although no change made it, as far as these changes show: another program wrote that. Rules and parties that
/// have expired are not among these.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl history --app shop                      all changes, the newest last
  callgatectl history --app shop PPP005 --since 7d    those about one party, of the last week")]
pub(crate) struct Args {
    #[command(flatten)]
    party: PartyArgs,
    /// Only changes since this time, such as '1h' or '7d' before now, '15:00' or '2026-12-31 18:00'
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
}

/// Prints the changes.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let app = args.party.app.parse(table)?;
    let without = |_: &Pattern| format!("`callgatectl history --app {}` has all changes", quote(app.as_str()));
    let party = args.party.parse_party(table, without)?;
    let since = args.since.as_deref().map(parse_since).transpose()?;
    let all = table.history(&app, since).await?;
    let unrecorded = table.unrecorded_changes(party.as_ref(), &all, now()).await?;
    let is_about = |change: &&Change| party.as_ref().is_none_or(|party| change.names(party));
    let changes: Vec<_> = all.iter().filter(is_about).collect();
    match connection.output {
        Output::Text => {
            for change in &changes {
                print_change(change)?;
            }
            if !unrecorded.is_empty() {
                print_line("not in the history, so another program wrote it:")?;
            }
            unrecorded.iter().try_for_each(print_values)?;
            if changes.is_empty() && unrecorded.is_empty() {
                let about = party.as_ref().map(|party| format!(" about {party}")).unwrap_or_default();
                let since = since.map(|since| format!(" since {}", time::format_local(since))).unwrap_or_default();
                print_line(format!("no changes{about} in app {app}{since}"))?;
            }
        }
        Output::Json => {
            let unrecorded: Vec<_> = unrecorded.iter().flat_map(ChangedValue::descriptions).collect();
            let changes: Vec<_> = changes.into_iter().map(as_json).collect();
            print_line(json!({"app": app.as_str(), "changes": changes, "unrecorded": unrecorded}))?;
        }
    }
    Ok(Outcome::Done)
}

fn print_change(change: &Change) -> anyhow::Result<()> {
    let Change { id, at, author, command, values, undoes, counts, list, is_cut } = change;
    print_line(format!("{}, {}: {}", time::format_local(at.as_second()), escape(author), escape(command)))?;
    print_line(format!("  change {}", escape(id)))?;
    if let Some(undoes) = undoes {
        print_line(format!("  takes back {}", escape(undoes)))?;
    }
    if let Some(counts) = counts {
        print_line(format!("  {}", counts_text(counts, list.as_deref())))?;
    }
    if *is_cut {
        print_line("  the values are too large for the history")?;
    }
    values.iter().filter(|_| !is_cut).try_for_each(print_values)
}

/// What a command that changed many items did, on one line.
pub(crate) fn counts_text(counts: &BulkCounts, list: Option<&str>) -> String {
    let BulkCounts { added, changed, removed, more, is_complete, signed_at: _ } = counts;
    let list = list.map(|list| format!(", list `{}`", escape(list))).unwrap_or_default();
    let counts = format!("{added} added, {changed} changed, {removed} removed{list}");
    let verb = if *more == 1 { "is" } else { "are" };
    let more = if *more > 0 { format!("; {more} of these {verb} not listed one by one") } else { String::new() };
    if *is_complete { counts + &more } else { format!("was to be: {counts}; it did not run to its end") }
}

/// Prints the lines of a changed value.
pub(super) fn print_values(value: &ChangedValue) -> anyhow::Result<()> {
    for line in value_lines(value) {
        print_line(line)?;
    }
    Ok(())
}

/// What was there before, with a minus, and what is there after, with a plus.
pub(crate) fn value_lines(value: &ChangedValue) -> Vec<String> {
    let lines = value.descriptions().into_iter().flat_map(|Description { kind: _, subject, place, before, after }| {
        let subject = if subject.is_empty() { subject } else { format!("{subject}: ") };
        let line = |sign, view: ValueView| format!("  {sign} {subject}{}{place}", view.text());
        [before.map(|view| line("-", view)), after.map(|view| line("+", view))]
    });
    lines.flatten().collect()
}

fn as_json(change: &Change) -> serde_json::Value {
    let Change { id, at, author, command, values, undoes, counts, list, is_cut } = change;
    let counts = counts.map(|BulkCounts { added, changed, removed, more, is_complete, signed_at: _ }| {
        json!({"added": added, "changed": changed, "removed": removed, "more": more, "complete": is_complete})
    });
    let values: Vec<_> = values.iter().filter(|_| !is_cut).flat_map(ChangedValue::descriptions).collect();
    json!({
        "id": id, "at": at.to_string(), "author": author, "command": command, "undoes": undoes, "values": values,
        "counts": counts, "list": list, "cut": is_cut,
    })
}
