//! `table`: creates and describes the permission table.

use callgate_admin::table::TableSummary;
use callgate_admin::wording::escape;
use clap::Subcommand;
use serde_json::json;

use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_line};

mod create;
mod describe;

/// Create the permission table, or describe it
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl table create --table callgate --region eu-central-1
  callgatectl table describe --table callgate")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    Create(create::Args),
    Describe(describe::Args),
}

/// Runs the subcommand.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Create(_) => create::run(global).await,
        Command::Describe(_) => describe::run(global).await,
    }
}

/// Prints a table, and where it differs from the one that `create` makes.
fn print(connection: &Connection, result: &str, summary: &TableSummary) -> anyhow::Result<Outcome> {
    let TableSummary { status, items, bytes, differences } = summary;
    let name = connection.table.name();
    match connection.output {
        Output::Text => {
            print_line(format!("table {name}: {result}, {}", escape(status)))?;
            print_line(format!("  about {items} items, {bytes} bytes"))?;
            for difference in differences {
                print_line(format!("  differs: {}", escape(difference)))?;
            }
            if differences.is_empty() {
                print_line("  keys, index, billing and expiry are as they should be")?;
            }
        }
        Output::Json => print_line(json!({
            "table": name, "result": result, "status": status, "items": items, "bytes": bytes,
            "differences": differences,
        }))?,
    }
    Ok(if differences.is_empty() { Outcome::Done } else { Outcome::Failed })
}
