//! `table create`: creates the permission table.

use callgate_admin::Error;
use callgate_admin::table::Creation;

use super::print;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;

/// Create the table and wait until it is active; if it exists, complete it and print how it differs
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(after_help = "Example:\n  callgatectl table create --table callgate --region eu-central-1")]
pub(crate) struct Args {}

/// Creates the table.
pub(crate) async fn run(global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let result = match table.create().await {
        Ok(Creation::Created) => "created",
        Ok(Creation::Completed) => "completed",
        // The keys are among the differences that are printed.
        Ok(Creation::Nothing) | Err(Error::WrongKeys(_)) => "there already",
        Err(error) => return Err(error.into()),
    };
    let summary = table.describe().await?.ok_or_else(|| Error::TableNotFound(table.name().to_owned()))?;
    print(&connection, result, &summary)
}
