//! `deny`: writes a rule that refuses calls.

use callgate_core::Effect;

use crate::args::RuleArgs;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::write_rule::write_rule;

/// Refuse calls, even if another door allows them
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl deny --app shop --from '+881*' --to '*'               a range that may not call anyone
  callgatectl deny --app shop --from '*' --to PPP005                no caller, except those that a more specific rule allows
  callgatectl deny --app shop --from anonymous --to PPP005          callers that withhold their number
  callgatectl deny --app shop --from '*' --to PPP005 --hours 'Fri-Sun 22:00-07:00 Europe/Moscow'
  callgatectl deny --from-call 5f0c2d1e --log calls.log             the parties of a logged call")]
pub(crate) struct Args {
    #[command(flatten)]
    rule: RuleArgs,
}

/// Writes the rule.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    write_rule(Effect::Deny, &args.rule, global).await
}
