//! `table describe`: prints the state of the permission table.

use callgate_admin::Error;

use super::print;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;

/// Show the table, and how it differs from the one that create makes
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(after_help = "Example:\n  callgatectl table describe --table callgate")]
pub(crate) struct Args {}

/// Describes the table.
pub(crate) async fn run(global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let summary = table.describe().await?.ok_or_else(|| Error::TableNotFound(table.name().to_owned()))?;
    print(&connection, "there", &summary)
}
