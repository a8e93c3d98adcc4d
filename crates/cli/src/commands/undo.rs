//! `undo`: takes a change back.

use anyhow::{anyhow, bail};
use callgate_admin::history::{Change, ChangedValue};
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::undo::Undo;
use callgate_admin::wording::escape;
use callgate_core::AppKey;
use serde_json::json;

use super::history::{print_values, value_lines};
use crate::args::{APP, app_name};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::{Outcome, usage};
use crate::output::{Output, print_line, print_note};
use crate::prompt::confirm_loss;

/// Take a change back: put what was there before it
///
/// If what the change wrote was changed again since, it prints the difference and asks. Taking a change back is a change of its own,
/// which can be taken back too.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl undo --app shop                                        your last change
  callgatectl undo '2026-11-26T11:20:33.123456Z#5f0c2b1e'            this change, as history prints it
  callgatectl undo '2026-11-26T11:20:33.123456Z#5f0c2b1e' --dry-run  what would be written")]
pub(crate) struct Args {
    /// The change, as history prints it; without it, the last one of yours in the app
    #[arg(value_name = "CHANGE")]
    change: Option<String>,
    /// The app (WCS's appKey); can be left out if the change is given
    #[arg(long, value_name = "APP", env = APP, hide_env_values = true, value_parser = app_name, allow_hyphen_values = true)]
    app: Option<String>,
    /// Print what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask, even if what the change wrote was changed again
    #[arg(long, short)]
    yes: bool,
}

/// Takes the change back.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let author = connection.author().await;
    let (app, change) = args.find(&connection, &author.name).await?;
    // The one that was sent last.
    let mut sent: Option<Undo> = None;
    for attempt in 0..MAX_ATTEMPTS {
        let undo = table.plan_undo(&change).await?;
        if undo.is_unchanged() {
            // After an attempt, its answer was lost.
            let (values, result) = sent.map_or_else(|| (Vec::new(), "unchanged"), |sent| (sent.values, "undone"));
            return report(&connection, (&app, &change), &values, result);
        }
        if args.dry_run {
            print_conflicts(&undo);
            return report(&connection, (&app, &change), &undo.values, "dry_run");
        }
        let is_new = sent.as_ref().is_none_or(|sent| !sent.has_same_previous(&undo));
        if is_new && !undo.conflicts.is_empty() && !args.yes {
            print_conflicts(&undo);
            let question = format!("`{}` is taken back all the same", escape(&change.command));
            if !confirm_loss(&question)? {
                bail!("nothing was written");
            }
        }
        match table.undo(&undo, &author).await {
            Ok(true) => return report(&connection, (&app, &change), &undo.values, "undone"),
            Ok(false) => {}
            // The next plan shows whether it was written.
            Err(error) if error.is_unanswered() && attempt == 0 => {}
            Err(error) => return Err(error.into()),
        }
        sent = Some(undo);
        tokio::time::sleep(retry_pause(attempt)).await;
    }
    bail!("other writers keep changing what this change wrote; nothing was written, try again")
}

impl Args {
    /// The change to take back, and its app.
    async fn find(&self, connection: &Connection, author: &str) -> anyhow::Result<(AppKey, Change)> {
        let table = &connection.table;
        let app = self.app.as_ref().map(|app| table.parse_app(app)).transpose()?;
        let Some(id) = &self.change else {
            let app =
                app.ok_or_else(|| usage("name the change, or the app whose last change of yours is taken back"))?;
            let change = table.last_change(&app, None, |it| it.author == author).await?;
            let change = change.ok_or_else(|| anyhow!("`{author}` has changed nothing in app `{app}`"))?;
            return Ok((app, change));
        };
        let id = id.trim();
        let app = match app {
            Some(app) => Some(app),
            None => table.app_of_change(id).await?,
        };
        let missing = || anyhow!("there is no change `{}`; `callgatectl history --app APP` lists them", escape(id));
        let app = app.ok_or_else(missing)?;
        let change = table.change(&app, id).await?.ok_or_else(missing)?;
        Ok((app, change))
    }
}

fn print_conflicts(undo: &Undo) {
    if !undo.conflicts.is_empty() {
        print_note("what the change wrote (-) was changed again since (+):");
    }
    undo.conflicts.iter().flat_map(value_lines).for_each(print_note);
}

fn report(
    connection: &Connection,
    (app, change): (&AppKey, &Change),
    values: &[ChangedValue],
    result: &str,
) -> anyhow::Result<Outcome> {
    match connection.output {
        Output::Json => {
            let values: Vec<_> = values.iter().flat_map(ChangedValue::descriptions).collect();
            print_line(json!({"result": result, "app": app.as_str(), "change": change.id, "values": values}))?;
        }
        Output::Text => {
            let word = match result {
                "dry_run" => "would be undone",
                result => result,
            };
            let undoes = change.undoes.as_ref().filter(|id| !change.command.contains(id.as_str()));
            let took_back = undoes.map(|id| format!(", which took back {}", escape(id)));
            print_line(format!("{word}: {}{}", escape(&change.command), took_back.unwrap_or_default()))?;
            values.iter().try_for_each(print_values)?;
        }
    }
    Ok(Outcome::Done)
}
