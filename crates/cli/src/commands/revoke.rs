//! `revoke`: deletes a rule, or all rules and blocks of a list.

use anyhow::bail;
use callgate_admin::import::Import;
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::wording::{count, doors_text, rule_text, target_text};
use callgate_admin::{Revocation, RuleLocation, RuleRow, RuleTarget};
use callgate_core::{Door, ParseError, Rule};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::args::{AppArgs, DoorArg, SpeedArgs, TargetArgs};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::{Outcome, usage};
use crate::output::{Output, print_line};
use crate::prompt::confirm_change;
use crate::write_import::{Options, write_import};
use crate::write_rule::missing_rule;

/// Delete a rule, or all rules and blocks of a list
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl revoke --app shop --from '+881*' --to '*'
  callgatectl revoke --app shop --from PPP009 --to '*' --door app         the app's exception for this caller
  callgatectl revoke --app shop --list spam --dry-run                     what of the list would be removed")]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// The callers: an id or number in any spelling, a group such as @sales, a prefix such as '+7495*', or '*' for everyone
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true, required_unless_present = "list", requires = "to")]
    from: Option<String>,
    /// The callees, in the same forms
    #[arg(
        long,
        value_name = "PATTERN",
        allow_hyphen_values = true,
        required_unless_present = "list",
        requires = "from"
    )]
    to: Option<String>,
    /// Delete all rules and blocks of this list instead; without a terminal, only --yes confirms that
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, conflicts_with_all = ["from", "to", "door", "exactly"])]
    list: Option<String>,
    /// Show which rules and blocks of the list would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// The list that holds the rule, if it is not the usual one for these parties; doctor prints it where needed
    #[arg(long, value_name = "DOOR", value_enum)]
    door: Option<DoorArg>,
    /// Take --from and --to literally, as doctor prints them, for rules that are not stored in canonical form
    #[arg(long)]
    exactly: bool,
    /// Do not ask before deleting a rule for more than one caller or callee
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    speed: SpeedArgs,
}

/// Deletes all rules and blocks of a list, as an import of an empty list would.
async fn revoke_list(args: &Args, list: &str, connection: &Connection) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = connection;
    let app = args.app.parse(table)?;
    table.check_keys().await?;
    let mut import = Import::of_empty_list(table, &app, list)?;
    let author = connection.author().await;
    let removed = Some("of the list");
    let options = Options { removed, dry_run: args.dry_run, yes: args.yes, speed: &args.speed, output: *output };
    let Some(applied) = write_import(&mut import, &author, options).await? else { return Ok(Outcome::Done) };
    let result = if applied.removed > 0 { "revoked" } else { "absent" };
    match output {
        Output::Json => {
            print_line(json!({"result": result, "app": app.as_str(), "list": list, "removed": applied.removed}))?;
        }
        Output::Text if applied.removed > 0 => {
            print_line(format!("revoked: {} of list `{list}` in app `{app}`", count(applied.removed, "rule")))?;
        }
        Output::Text => {}
    }
    if applied.removed == 0 {
        bail!("there is no rule of list `{list}` in app `{app}`");
    }
    Ok(Outcome::Done)
}

/// Deletes the one rule at this location.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    if let Some(list) = &args.list {
        return revoke_list(args, list, &connection).await;
    }
    if args.dry_run {
        return Err(usage("--dry-run shows the rules of a list; name it with --list"));
    }
    let table = &connection.table;
    let [from, to] = [&args.from, &args.to].map(|pattern| pattern.clone().unwrap_or_default());
    let target = TargetArgs { app: args.app.clone(), from, to };
    let (target, location) = target.locate(table, args.door, args.exactly)?;
    let deleted = args.delete(&connection, &target, &location).await?;
    let RuleTarget { app, from, to } = &target;
    if connection.output == Output::Json {
        let result = if deleted.is_some() { "revoked" } else { "absent" };
        let previous = deleted.as_ref().and_then(|it| it.rule().ok()).map(|rule| RuleRow::new(&target, rule));
        let (app, from, to) = (app.as_str(), from.to_string(), to.to_string());
        let door: Vec<_> = location.doors().into_iter().map(Door::as_str).collect();
        print_line(json!({
            "result": result, "app": app, "from": from, "to": to, "door": door, "previous": previous,
        }))?;
    }
    match deleted {
        None => return Err(missing_rule(table, &target, &location, "revokes").await?),
        Some(deleted) if connection.output == Output::Text => {
            let doors = doors_text(&location.doors());
            print_line(format!("revoked: {} [{doors}]", text(&target, deleted.rule())))?;
        }
        Some(_) => {}
    }
    Ok(Outcome::Done)
}

impl Args {
    /// Deletes the rule at a location. `None` when there is none.
    async fn delete(
        &self,
        connection: &Connection,
        target: &RuleTarget,
        location: &RuleLocation,
    ) -> anyhow::Result<Option<Revocation>> {
        let (table, author) = (&connection.table, OnceCell::new());
        // The revocation that was sent last. It was confirmed, if it had to be.
        let mut sent: Option<Revocation> = None;
        for attempt in 0..MAX_ATTEMPTS {
            // If the rule is gone after an attempt to delete it, the answer to that attempt was lost.
            let Some(revocation) = table.plan_revocation(location.clone()).await? else {
                if sent.is_some() {
                    table.delete_empty(&location.key).await?;
                }
                return Ok(sent);
            };
            let rule = text(target, revocation.rule());
            let question =
                format!("revoke {rule} in app `{}`\nthis rule matches calls: {}", target.app, target_text(target));
            let is_same = sent.as_ref().map(|sent| sent.has_same_previous(&revocation));
            confirm_change(&question, is_same, target.has_pattern(), self.yes)?;
            let author = author.get_or_init(|| connection.author()).await;
            match table.delete_rule(&revocation, author).await {
                Ok(true) => return Ok(Some(revocation)),
                Ok(false) => {}
                // The next plan shows whether the rule was deleted.
                Err(error) if error.is_unanswered() && attempt == 0 => {}
                Err(error) => return Err(error.into()),
            }
            sent = Some(revocation);
            tokio::time::sleep(retry_pause(attempt)).await;
        }
        bail!("other writers keep changing this rule; nothing was written, try again")
    }
}

fn text(target: &RuleTarget, rule: Result<&Rule, &ParseError>) -> String {
    match rule {
        Ok(rule) => rule_text(&target.from, &target.to, rule),
        Err(_) => format!("the invalid rule from {} to {}", target.from, target.to),
    }
}
