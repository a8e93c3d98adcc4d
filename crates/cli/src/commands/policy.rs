//! `policy`: prints the rights that a person needs, as a policy for AWS IAM.

use callgate_admin::access::{Resources, Role, policy};
use clap::ValueEnum;

use crate::connection::GlobalArgs;
use crate::exit::{Outcome, usage};
use crate::output::{Output, print_line};

/// Print an IAM policy for the people who use callgate
///
/// The policy allows what the commands of the role need on this table and this log group, and nothing else. The table is not
/// read. The region and the account are those of --region and --account, or those of your credentials.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl policy reader
  callgatectl policy operator --table callgate --region eu-central-1 --account 123456789012 \\
      --log-group /aws/lambda/callgate > operator.json
  aws iam put-group-policy --group-name on-call --policy-name callgate --policy-document \"$(callgatectl policy operator)\"")]
pub(crate) struct Args {
    /// Whom the policy is for
    #[arg(value_enum, value_name = "ROLE")]
    role: RoleArg,
    /// The number of the AWS account; by default, the account of your credentials
    #[arg(long, value_name = "NUMBER")]
    account: Option<String>,
    /// The log group of the function
    #[arg(long, env = "CALLGATE_LOG_GROUP", value_name = "NAME", hide_env_values = true)]
    log_group: Option<String>,
    /// The Lambda function, whose log group is /aws/lambda/NAME
    #[arg(long, env = "CALLGATE_FUNCTION", value_name = "NAME", hide_env_values = true)]
    function: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    /// Looks at rules, calls and changes: show, who, find, check, calls, history, replay, export, backup, doctor
    Reader,
    /// Also changes one thing at a time: allow, deny, revoke, enable, disable, block, unblock, group, suspend, resume, undo
    Operator,
    /// Also changes many at once, and the table: import, restore, move, forget, doctor --fix, table
    Administrator,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Reader => Self::Reader,
            RoleArg::Operator => Self::Operator,
            RoleArg::Administrator => Self::Administrator,
        }
    }
}

/// Prints the policy.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    // An empty value counts as not given.
    let given = |option: &Option<String>| option.clone().filter(|name| !name.trim().is_empty());
    let log_group = given(&args.log_group).or_else(|| Some(format!("/aws/lambda/{}", given(&args.function)?)));
    let log_group = log_group
        .ok_or_else(|| usage("no log group is given; name one with --log-group, such as /aws/lambda/callgate"))?;
    let place = global.place(args.account.as_deref()).await?;
    let resources = Resources::new(&place.region, &place.account, &place.table, &log_group)?;
    let policy = policy(args.role.into(), &resources);
    match global.output {
        Output::Text => print_line(format!("{policy:#}"))?,
        Output::Json => print_line(policy)?,
    }
    Ok(Outcome::Done)
}
