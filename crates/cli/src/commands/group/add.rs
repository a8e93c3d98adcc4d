//! `group add`: adds parties to a group.

use super::{MembersArgs, change_members};
use crate::connection::GlobalArgs;
use crate::exit::Outcome;

/// Add parties to a group
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  callgatectl group add --app shop @sales PPP201 PPP202")]
pub(crate) struct Args {
    #[command(flatten)]
    members: MembersArgs,
}

/// Adds parties to a group.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    change_members(true, &args.members, global).await
}
