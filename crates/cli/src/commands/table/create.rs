//! `table create`: creates the permission table.

use callgate_admin::Error;
use callgate_admin::table;

use super::print;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;

/// Create the table and wait until it is active; if it exists, print how it differs
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(after_help = "Example:\n  callgatectl table create --table callgate --region eu-central-1")]
pub(crate) struct Args {}

/// Creates the table.
pub(crate) async fn run(global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    if let Some(summary) = connection.table.describe().await? {
        return print(&connection, "there already", &summary);
    }
    let table = &connection.table;
    table::create(table.client(), table.name()).await?;
    let summary = table.describe().await?.ok_or_else(|| Error::TableNotFound(table.name().to_owned()))?;
    print(&connection, "created", &summary)
}
