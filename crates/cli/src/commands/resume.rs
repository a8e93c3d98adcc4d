//! `resume`: ends the suspension of an app or a party.

use callgate_core::Status;

use crate::args::PartyArgs;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::write_status::write_status;

/// Let the rules of an app or a party decide again
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  callgatectl resume --app shop PPP007")]
pub(crate) struct Args {
    #[command(flatten)]
    party: PartyArgs,
    /// Remove the note, such as the reason for the suspension
    #[arg(long)]
    no_note: bool,
    /// Do not ask before resuming a whole app
    #[arg(long, short)]
    yes: bool,
}

/// Writes the status.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    write_status(Status::Active, &args.party, args.no_note.then_some(""), args.yes, global).await
}
