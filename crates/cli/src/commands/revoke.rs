//! `revoke`: deletes a rule.

use anyhow::bail;
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::wording::{rule_text, target_text};
use callgate_admin::{Revocation, RuleLocation, RuleRow, RuleTarget, Table};
use callgate_core::{ParseError, Pattern, Rule};
use serde_json::json;

use crate::args::TargetArgs;
use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::output::{Output, print_line};
use crate::prompt::confirm;

/// Delete a rule
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  callgatectl revoke --app shop --from '+881*' --to '*'")]
pub(crate) struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Take --from and --to literally, as doctor prints them, for rules that are not stored in canonical form
    #[arg(long)]
    exactly: bool,
    /// Do not ask before deleting a rule for more than one caller or callee
    #[arg(long, short)]
    yes: bool,
}

/// Deletes the rule wherever it is stored.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let (target, locations) = args.locations(table)?;
    let mut is_confirmed = args.yes || !target.has_pattern();
    let mut deleted = None;
    for location in locations {
        if let Some(revocation) = delete(table, &target, &location, &mut is_confirmed).await? {
            deleted = Some(revocation);
        }
    }
    let RuleTarget { app, from, to } = &target;
    if connection.output == Output::Json {
        let result = if deleted.is_some() { "revoked" } else { "absent" };
        let previous = deleted.as_ref().and_then(|it| it.rule().ok()).map(|rule| RuleRow::new(&target, rule));
        let (app, from, to) = (app.as_str(), from.to_string(), to.to_string());
        print_line(json!({"result": result, "app": app, "from": from, "to": to, "previous": previous}))?;
    }
    match deleted {
        None => bail!("there is no rule from `{from}` to `{to}` in app `{app}`"),
        Some(deleted) if connection.output == Output::Text => {
            print_line(format!("revoked: {}", text(&target, deleted.rule())))?;
        }
        Some(_) => {}
    }
    Ok(Outcome::Done)
}

impl Args {
    /// The locations at which the rule may be stored. With --exactly, a rule between two parties may also be in a list.
    fn locations(&self, table: &Table) -> anyhow::Result<(RuleTarget, Vec<RuleLocation>)> {
        if !self.exactly {
            let target = self.target.parse(table)?;
            let location = target.location()?;
            return Ok((target, vec![location]));
        }
        let TargetArgs { app, from, to } = &self.target;
        let app = table.parse_app(app)?;
        let locations = RuleLocation::literal(&app, from, to);
        Ok((RuleTarget { app, from: Pattern::from_stored(from), to: Pattern::from_stored(to) }, locations))
    }
}

/// Deletes the rule at one location. `None` when there is none.
async fn delete(
    table: &Table,
    target: &RuleTarget,
    location: &RuleLocation,
    is_confirmed: &mut bool,
) -> anyhow::Result<Option<Revocation>> {
    for attempt in 0..MAX_ATTEMPTS {
        let Some(revocation) = table.plan_revocation(location.clone()).await? else { return Ok(None) };
        let rule = text(target, revocation.rule());
        let question =
            format!("revoke {rule} in app `{}`\nthis rule matches calls: {}", target.app, target_text(target));
        if !*is_confirmed && !confirm(&question)? {
            bail!("nothing was written");
        }
        *is_confirmed = true;
        if table.delete_rule(&revocation).await? {
            return Ok(Some(revocation));
        }
        tokio::time::sleep(retry_pause(attempt)).await;
    }
    bail!("other writers keep changing this rule; nothing was written, try again")
}

fn text(target: &RuleTarget, rule: Result<&Rule, &ParseError>) -> String {
    match rule {
        Ok(rule) => rule_text(&target.from, &target.to, rule),
        Err(_) => format!("the invalid rule from {} to {}", target.from, target.to),
    }
}
