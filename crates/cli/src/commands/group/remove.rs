//! `group remove`: removes parties from a group.

use super::{MembersArgs, change_members};
use crate::connection::GlobalArgs;
use crate::exit::Outcome;

/// Remove parties from a group
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  callgatectl group remove --app shop @sales PPP202")]
pub(crate) struct Args {
    #[command(flatten)]
    members: MembersArgs,
}

/// Removes parties from a group.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    change_members(false, &args.members, global).await
}
