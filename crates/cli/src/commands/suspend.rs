//! `suspend`: suspends an app or a party.

use callgate_core::Status;

use crate::args::PartyArgs;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::write_status::write_status;

/// Refuse all calls of an app or a party, whatever its rules
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  callgatectl suspend --app shop PPP007 --note 'left the company'\n  callgatectl suspend --app shop"
)]
pub(crate) struct Args {
    #[command(flatten)]
    party: PartyArgs,
    /// Why, for people. doctor does not report what is suspended with a note. Without it, a stored note stays
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
    /// Do not ask before suspending a whole app
    #[arg(long, short)]
    yes: bool,
}

/// Writes the status.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    write_status(Status::Suspended, &args.party, args.note.as_deref(), args.yes, global).await
}
