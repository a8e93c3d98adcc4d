//! `forget`: deletes everything that is stored about a party.

use std::time::Duration;

use anyhow::bail;
use callgate_admin::RuleRow;
use callgate_admin::forget::Forgetting;
use callgate_admin::wording::count;
use serde_json::json;

use crate::args::{AppArgs, AppCacheArgs, parse_party};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_line, print_note};
use crate::prompt::confirm;

/// How many rules a question lists.
pub(crate) const MAX_LISTED: usize = 20;

/// Where a party is still named after everything about it is deleted from the table.
const TRACES: [&str; 6] = [
    "the function's log and the gateway's access log, until they expire (LogRetentionDays)",
    "point-in-time recovery, for 35 days",
    "backups, and files that export wrote",
    "the history of changes, and CloudTrail if it logs writes to the table",
    "notes, and rules for prefixes and groups that match it",
    "WCS itself: its logs, call records and registrations",
];

/// Delete everything that is stored about a party, rules of others that name it included
///
/// Scans the table. The item of the party, the rules between it and one other, and the rules for exactly it in the lists of the
/// app and of other parties are deleted; rules for prefixes and groups that match it stay. At every moment, also if the command
/// fails or is ended, a call is permitted only if the rules before or after it do. Run it again to complete it.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  callgatectl forget --app shop PPP009 --dry-run\n  callgatectl forget --app shop PPP009"
)]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// The party, in any spelling
    #[arg(value_name = "PARTY", allow_hyphen_values = true)]
    party: String,
    /// List what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Accept a party that looks like a pattern
    #[arg(long)]
    exactly: bool,
    #[command(flatten)]
    app_cache: AppCacheArgs,
}

/// Deletes what is found.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let Connection { table, output, .. } = &connection;
    let output = *output;
    let app = args.app.parse(table)?;
    let party = parse_party(table, &args.party, args.exactly, |_| "name one party".to_owned())?;
    print_note("reading the whole table");
    let plan = table.plan_forgetting(&app, &party).await?;
    let result = if plan.is_empty() {
        "absent"
    } else if args.dry_run {
        "dry_run"
    } else {
        let rules: Vec<_> = plan.rules().into_iter().chain(plan.own_rules()).collect();
        list(&rules, "-", MAX_LISTED);
        let question = format!("everything about `{party}` in app `{app}` will be deleted: {}", summary(&plan));
        if !args.yes && !confirm(&question)? {
            bail!("nothing was written");
        }
        let announce = |time: Duration| {
            print_note(format!("waiting {} s, until no function uses older rules of the app", time.as_secs()));
        };
        let author = connection.author().await;
        table.forget(&plan, &author, args.app_cache.app_cache_seconds, announce).await.map_err(|error| {
            anyhow::Error::from(error)
                .context("not everything is deleted; run the same command again, which deletes the rest")
        })?;
        "forgotten"
    };
    match output {
        Output::Json => print_line(json!({
            "result": result, "app": app.as_str(), "party": party.as_str(), "item": plan.has_item(),
            "own_rules": plan.own_rules(), "rules": plan.rules(), "traces": TRACES,
        }))?,
        Output::Text if result == "absent" => print_line(format!("nothing is stored about {party} in app {app}"))?,
        Output::Text if result == "dry_run" => {
            for rule in plan.rules().iter().chain(&plan.own_rules()) {
                print_line(format!("- {}", rule.text()))?;
            }
            print_line(format!("would be deleted: {}", summary(&plan)))?;
        }
        Output::Text => print_line(format!("forgotten: {party} in app {app}: {}", summary(&plan)))?,
    }
    if output == Output::Text {
        print_line("it may still be named in:")?;
        for trace in TRACES {
            print_line(format!("  {trace}"))?;
        }
    }
    Ok(Outcome::Done)
}

fn summary(plan: &Forgetting) -> String {
    let own = plan.own_rules().len() as u64;
    let rules = count(plan.rules().len() as u64, "rule");
    if plan.has_item() { format!("its item with {}, and {rules} elsewhere", count(own, "rule")) } else { rules }
}

/// Prints the first rules for people.
pub(crate) fn list(rules: &[RuleRow], sign: &str, max: usize) {
    for rule in rules.iter().take(max) {
        print_note(format!("{sign} {}", rule.text()));
    }
    if let Some(more) = rules.len().checked_sub(max).filter(|more| *more > 0) {
        print_note(format!("{sign} and {} more, which --dry-run lists", count(more as u64, "rule")));
    }
}
