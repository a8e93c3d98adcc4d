//! `suspend` and `resume`: whether an app or a party takes part in calls at all.

use anyhow::bail;
use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Key};
use callgate_core::{Status, has_expired};
use clap::Args;
use serde_json::json;

use crate::connection::{Options as Connection, Output, Table, now};
use crate::items::{Change, Expression};
use crate::moment;
use crate::outcome::Outcome;
use crate::rules::confirm;
use crate::say::print_line;

/// An app, or one of its parties.
#[derive(Debug, Clone, Args)]
pub(crate) struct PartyArgs {
    /// The app (WCS's appKey)
    #[arg(long, value_name = "APP")]
    pub(crate) app: String,
    /// The party, in any spelling; without, the app itself
    #[arg(value_name = "PARTY", allow_hyphen_values = true)]
    pub(crate) party: Option<String>,
}

/// Whose status to change.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    whom: PartyArgs,
    /// Ask no question before a whole app is suspended or resumed
    #[arg(long, short)]
    yes: bool,
}

/// Writes the status, and creates the item where there is none.
pub(crate) async fn set(status: Status, options: &Options, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let app = Table::app(&options.whom.app)?;
    let party = options.whom.party.as_deref().map(|text| table.party(text)).transpose()?;
    let (key, name) = match &party {
        None => (Key::app(&app), format!("app `{app}`")),
        Some(id) => (Key::party(&app, id), format!("party `{id}` of app `{app}`")),
    };
    let item = table.get(&key).await?;
    let stored = item.as_ref().and_then(|item| item.get("status"));
    let is_so = match stored {
        None => status == Status::Active,
        Some(value) => value.as_s().is_ok_and(|word| word == status.as_str()),
    };
    if !is_so {
        let verb =
            if status == Status::Suspended { "no call of it will go through" } else { "its rules will decide again" };
        if party.is_none() && !options.yes && !confirm(&format!("{name}: {verb}"))? {
            bail!("nothing was written");
        }
        let mut expression = Expression::default();
        let (attribute, word) =
            (expression.name("status"), expression.value(AttributeValue::S(status.as_str().to_owned())));
        // One attribute, set whatever else is being changed.
        table
            .change(Change { key: &key, update: format!("SET {attribute} = {word}"), condition: None, expression })
            .await?;
    }
    let expired = match (&party, item) {
        (Some(_), Some(item)) => {
            item::read_party(item).ok().and_then(|it| it.expires_at).filter(|&at| has_expired(Some(at), now()))
        }
        _ => None,
    };
    let expired = expired.map(|at| format!("the party expired at {}, so it counts as absent", moment::format(at)));
    let star = party.as_ref().filter(|id| id.as_str().ends_with('*'));
    let star = star.map(|id| format!("`{id}` is one party's id here, not a pattern: nobody else's status is changed"));
    let notice = star.or(expired);
    let result = if is_so { "unchanged" } else { "written" };
    match table.output {
        Output::Text => {
            print_line(format!("{result}: {name} is {}", status.as_str()))?;
            if let Some(notice) = notice {
                print_line(format!("  note: {notice}"))?;
            }
        }
        Output::Json => print_line(
            json!({"result": result, "app": app.as_str(), "party": party.map(|id| id.to_string()), "status": status.as_str(), "notice": notice}),
        )?,
    }
    Ok(Outcome::Done)
}
