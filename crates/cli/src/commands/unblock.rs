//! `unblock`: ends the block of a caller.

use anyhow::bail;
use callgate_admin::RuleRow;
use callgate_admin::blocks::Unblocking;
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_core::{AppKey, PartyId, Pattern};
use serde_json::json;
use tokio::sync::OnceCell;

use super::block::block_text;
use crate::args::{AppArgs, parse_party, rule_command};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_line};
use crate::prompt::confirm_change;

/// Let the rules decide the calls from a blocked party again
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  callgatectl unblock --app shop +15550100199")]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// The caller, in any spelling
    #[arg(value_name = "PARTY", allow_hyphen_values = true)]
    party: String,
    /// Accept an id that looks like a pattern
    #[arg(long)]
    exactly: bool,
}

/// Deletes the block.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let app = args.app.parse(table)?;
    let caller = parse_party(table, &args.party, args.exactly, |pattern| {
        format!("a deny is ended so: {}", rule_command("revoke", app.as_str(), pattern, &Pattern::Everyone))
    })?;
    let deleted = delete(&connection, &app, &caller).await?;
    let block = deleted.as_ref().and_then(Unblocking::previous).and_then(Result::ok);
    if connection.output == Output::Json {
        let result = if deleted.is_some() { "unblocked" } else { "absent" };
        let previous = block.map(|block| RuleRow::of_block(app.as_str(), caller.as_str(), block));
        print_line(json!({"result": result, "app": app.as_str(), "party": caller.as_str(), "previous": previous}))?;
    }
    match (deleted.as_ref(), block) {
        (None, _) => bail!("party `{caller}` of app `{app}` is not blocked"),
        (Some(_), Some(block)) if connection.output == Output::Text => {
            print_line(format!("unblocked: {}", block_text(&caller, block)))?;
        }
        (Some(_), None) if connection.output == Output::Text => {
            print_line(format!("unblocked: the invalid block of {caller}"))?;
        }
        _ => {}
    }
    Ok(Outcome::Done)
}

/// Deletes the block of a caller. `None` when there is none.
async fn delete(connection: &Connection, app: &AppKey, caller: &PartyId) -> anyhow::Result<Option<Unblocking>> {
    let (table, author) = (&connection.table, OnceCell::new());
    // The one that was sent last.
    let mut sent: Option<Unblocking> = None;
    for attempt in 0..MAX_ATTEMPTS {
        // If the block is gone after an attempt to delete it, the answer to that attempt was lost.
        let Some(unblocking) = table.plan_unblocking(app, caller).await? else {
            if let Some(sent) = &sent {
                table.delete_empty(sent.key()).await?;
            }
            return Ok(sent);
        };
        let is_same = sent.as_ref().map(|sent| sent.has_same_previous(&unblocking));
        let text = match unblocking.previous() {
            Some(Ok(block)) => block_text(caller, block),
            Some(Err(_)) | None => format!("the invalid block of {caller}"),
        };
        confirm_change(&format!("end: {text} in app `{app}`"), is_same, false, false)?;
        let author = author.get_or_init(|| connection.author()).await;
        match table.delete_block(&unblocking, author).await {
            Ok(true) => return Ok(Some(unblocking)),
            Ok(false) => {}
            // The next plan shows whether the block was deleted.
            Err(error) if error.is_unanswered() && attempt == 0 => {}
            Err(error) => return Err(error.into()),
        }
        sent = Some(unblocking);
        tokio::time::sleep(retry_pause(attempt)).await;
    }
    bail!("other writers keep changing this block; nothing was written, try again")
}
