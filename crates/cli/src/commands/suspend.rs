//! `suspend`: suspends an app or a party.

use callgate_core::Status;

use crate::args::PartyArgs;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::write_status::write_status;

/// Refuse all calls of an app or a party, whatever its rules
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  callgatectl suspend --app shop PPP007\n  callgatectl suspend --app shop")]
pub(crate) struct Args {
    #[command(flatten)]
    party: PartyArgs,
    /// Do not ask before suspending a whole app
    #[arg(long, short)]
    yes: bool,
}

/// Writes the status.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    write_status(Status::Suspended, &args.party, args.yes, global).await
}
