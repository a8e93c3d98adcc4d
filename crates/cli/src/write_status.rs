//! The flow of `suspend` and `resume`.

use anyhow::bail;
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::time;
use callgate_admin::wording::{escape, quote};
use callgate_core::{Pattern, Status};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::args::{PartyArgs, deny_commands, parse_party, parse_written_party};
use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::output::{Output, print_line};
use crate::prompt::{confirm, confirm_app};
use crate::time::now;

/// Writes the status of an app or a party.
pub(crate) async fn write_status(
    status: Status,
    args: &PartyArgs,
    note: Option<&str>,
    yes: bool,
    global: &GlobalArgs,
) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let app = args.app.parse(table)?;
    let instead = |pattern: &Pattern| match (status, pattern) {
        (_, Pattern::Everyone) => {
            let command = if status == Status::Active { "resume" } else { "suspend" };
            format!("`callgatectl {command} --app {}` applies to the whole app", quote(app.as_str()))
        }
        (Status::Suspended, _) => deny_commands(app.as_str(), pattern),
        (Status::Active, _) => "name the parties one by one".to_owned(),
    };
    let party = args.party.as_deref().map(|text| match status {
        Status::Suspended => parse_written_party(table, text, args.exactly, instead),
        Status::Active => parse_party(table, text, args.exactly, instead),
    });
    let party = party.transpose()?;
    let name = match &party {
        None => format!("app `{app}`"),
        Some(id) => format!("party `{id}` of app `{app}`"),
    };
    let mut is_confirmed = yes || party.is_some();
    let author = OnceCell::new();
    let mut attempt = 0;
    let change = loop {
        let change = table.plan_status(&app, party.as_ref(), status, note, now()).await?;
        if change.is_unchanged {
            break change;
        }
        if attempt == 0 && status == Status::Suspended {
            confirm_app(table, &app, yes).await?;
        }
        let consequence = match status {
            Status::Suspended => "all its calls will be refused",
            Status::Active => "its rules will decide again",
        };
        is_confirmed = is_confirmed || confirm(&format!("{name}: {consequence}"))?;
        if !is_confirmed {
            bail!("nothing was written");
        }
        let author = author.get_or_init(|| connection.author()).await;
        if table.write_status(&change, author).await? {
            break change;
        }
        attempt += 1;
        if attempt == MAX_ATTEMPTS {
            bail!("other writers keep changing {name}; nothing was written, try again");
        }
        tokio::time::sleep(retry_pause(attempt)).await;
    };
    let notice = match (change.expired_at, change.expires_at) {
        (Some(at), _) if change.is_unchanged => {
            Some(format!("the party expired at {}, so it counts as absent", time::describe(at)))
        }
        (Some(at), _) => Some(format!(
            "the party had expired at {}; it no longer expires, and its former rules are removed",
            time::describe(at)
        )),
        (None, Some(at)) if status == Status::Suspended => {
            Some(format!("the party expires at {}, and its status with it", time::describe(at)))
        }
        (None, _) => None,
    };
    let note = change.remaining_note.as_ref();
    let note = note.map(|note| format!("its note stays: {}; --no-note removes it", escape(note)));
    let notice = notice.or(note);
    let result = if change.is_unchanged { "unchanged" } else { "written" };
    match connection.output {
        Output::Text => {
            print_line(format!("{result}: {name} is {}", status.as_str()))?;
            if let Some(notice) = notice {
                print_line(format!("  notice: {notice}"))?;
            }
        }
        Output::Json => print_line(json!({
            "result": result, "app": app.as_str(), "party": party.map(|id| id.to_string()), "status": status.as_str(),
            "notice": notice,
        }))?,
    }
    Ok(Outcome::Done)
}
