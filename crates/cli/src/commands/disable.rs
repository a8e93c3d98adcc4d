//! `disable`: switches a rule off.

use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::write_rule::{SwitchArgs, switch_rule};

/// Switch a rule off, and keep it with its conditions
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  callgatectl disable --app shop --from '+7495*' --to PPP005\n  callgatectl disable --app shop --from PPP009 --to '*' --door app"
)]
pub(crate) struct Args {
    #[command(flatten)]
    rule: SwitchArgs,
}

/// Switches the rule off.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    switch_rule(true, &args.rule, global).await
}
