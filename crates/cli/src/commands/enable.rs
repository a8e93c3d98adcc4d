//! `enable`: switches a rule on.

use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::write_rule::{SwitchArgs, switch_rule};

/// Switch a disabled rule on
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  callgatectl enable --app shop --from '+7495*' --to PPP005")]
pub(crate) struct Args {
    #[command(flatten)]
    rule: SwitchArgs,
}

/// Switches the rule on.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    switch_rule(false, &args.rule, global).await
}
