//! `allow`: writes a rule that allows calls.

use callgate_core::Effect;

use crate::args::RuleArgs;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::write_rule::write_rule;

/// Allow calls
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl allow --app shop --from PPP009 --to PPP005            one caller, one callee
  callgatectl allow --app shop --from PPP009 --to 'PPP*'            one caller, a range of callees
  callgatectl allow --app shop --from '+7495*' --to PPP005          a range of callers, one callee
  callgatectl allow --app shop --from '*' --to '*'                  everyone may call everyone
  callgatectl allow --app shop --from PPP009 --to PPP005 --media audio --until 30d --note 'on trial'
  callgatectl allow --app shop --from '*' --to support --hours 'Mon-Fri 09:00-18:00 Europe/Moscow'
  callgatectl allow --from-call 5f0c2d1e --function callgate        the parties of a logged call")]
pub(crate) struct Args {
    #[command(flatten)]
    rule: RuleArgs,
}

/// Writes the rule.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    write_rule(Effect::Allow, &args.rule, global).await
}
