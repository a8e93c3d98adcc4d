//! `move`: gives a whole app another key, or a party another id.

use std::time::Duration;

use anyhow::bail;
use callgate_admin::wording::count;
use callgate_admin::{RuleRow, Table};
use callgate_core::AppKey;
use serde_json::json;

use super::forget::{MAX_LISTED, list};
use crate::args::{AppArgs, AppCacheArgs, parse_party};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::{Outcome, usage};
use crate::output::{Output, print_error, print_line, print_note};
use crate::prompt::{confirm, confirm_loss};

/// Move a whole app to another key, or a party with every rule that names it to another id
///
/// Scans the table. Everything is copied first and then deleted in the old place. At every moment, also if the command fails or
/// is ended, a call is permitted only if the rules before or after it do. Run it again to complete it. Who wrote a rule and when
/// stays. Calls between the old and the new id of a party are refused meanwhile. Do not change rules that are moved in the meantime.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl move --app shop --to-app store --dry-run
  callgatectl move --app shop PPP009 --to-party PPP109")]
#[command(group(clap::ArgGroup::new("target").required(true).args(["to_app", "to_party"])))]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// The party to move, in any spelling
    #[arg(value_name = "PARTY", allow_hyphen_values = true, requires = "to_party")]
    party: Option<String>,
    /// The new key of the whole app
    #[arg(long, value_name = "APP", allow_hyphen_values = true, conflicts_with = "party")]
    to_app: Option<String>,
    /// The new id of the party
    #[arg(long, value_name = "PARTY", allow_hyphen_values = true, requires = "party")]
    to_party: Option<String>,
    /// List what would be moved, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask, even if items of the new app are deleted
    #[arg(long, short)]
    yes: bool,
    /// Accept a new id that looks like a number and is none, or ids that look like a pattern
    #[arg(long)]
    exactly: bool,
    #[command(flatten)]
    app_cache: AppCacheArgs,
}

const AGAIN: &str = "the move is not complete; run the same command again, which completes it";

/// Moves an app or a party.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let app = args.app.parse(&connection.table)?;
    match (&args.to_app, &args.party, &args.to_party) {
        (Some(to), ..) => move_app(args, &connection, &app, to).await,
        (None, Some(from), Some(to)) => move_party(args, &connection, &app, (from, to)).await,
        (None, ..) => Err(usage("name the party, and its new id with --to-party, or the new app with --to-app")),
    }
}

fn announce(time: Duration) {
    print_note(format!("waiting {} s, until no function uses older rules of the app", time.as_secs()));
}

async fn move_party(
    args: &Args,
    connection: &Connection,
    app: &AppKey,
    (from_text, to_text): (&str, &str),
) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = connection;
    if !args.exactly {
        table.check_written(to_text)?;
    }
    let party = |text: &str| parse_party(table, text, args.exactly, |_| "name one party".to_owned());
    let (from, to) = (party(from_text)?, party(to_text)?);
    print_note("reading the whole table");
    let plan = table.plan_party_move(app, &from, &to).await?;
    let (rules, kept) = (plan.rules(), plan.kept());
    let moved = count(rules.len() as u64, "rule");
    let summary = if plan.has_item() { format!("its item, and {moved} elsewhere") } else { moved };
    let result = if plan.is_empty() {
        "absent"
    } else if args.dry_run {
        "dry_run"
    } else {
        let old: Vec<RuleRow> = rules.iter().map(|(old, _)| old.clone()).collect();
        list(&old, "-", MAX_LISTED);
        list(&kept, "=", MAX_LISTED);
        let keeps = if kept.is_empty() {
            String::new()
        } else {
            format!("; `{to}` has {} already, which stay (=)", count(kept.len() as u64, "rule"))
        };
        if !args.yes && !confirm(&format!("`{from}` becomes `{to}` in app `{app}`: {summary}{keeps}"))? {
            bail!("nothing was written");
        }
        let author = connection.author().await;
        let moved = table.move_party(&plan, &author, args.app_cache.app_cache_seconds, announce).await;
        moved.map_err(|error| anyhow::Error::from(error).context(AGAIN))?;
        "moved"
    };
    match output {
        Output::Json => {
            let rules: Vec<_> = rules.iter().map(|(old, new)| json!({"rule": new, "previous": old})).collect();
            print_line(json!({
                "result": result, "app": app.as_str(), "party": from.as_str(), "to_party": to.as_str(),
                "item": plan.has_item(), "rules": rules, "kept": kept,
            }))?;
        }
        Output::Text if result == "absent" => print_line(format!("nothing is stored about {from} in app {app}"))?,
        Output::Text if result == "dry_run" => {
            for (old, new) in &rules {
                print_line(format!("- {}\n+ {}", old.text(), new.text()))?;
            }
            for rule in &kept {
                print_line(format!("= {}", rule.text()))?;
            }
            print_line(format!("would be moved: {summary}"))?;
        }
        Output::Text => print_line(format!("moved: {from} is {to} in app {app}: {summary}"))?,
    }
    Ok(Outcome::Done)
}

async fn move_app(args: &Args, connection: &Connection, from: &AppKey, to: &str) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = connection;
    let to = parse_new_app(table, to)?;
    print_note("reading the whole table");
    let plan = table.plan_app_move(from, &to).await?;
    let (source, target) = (plan.source, plan.target);
    let is_empty = source.all() == 0 && !plan.is_resumed();
    let replaces = target.all() > 0 && !plan.is_resumed();
    let items = format!(
        "{} of parties, {} between two parties{}",
        count(source.parties, "item"),
        count(source.pairs, "rule"),
        if source.apps > 0 { ", and the item of the app" } else { "" },
    );
    let mut question = if plan.is_copied() {
        format!("everything of app `{from}` is copied to app `{to}`; the rest of app `{from}` will be deleted: {items}")
    } else {
        format!("app `{from}` becomes app `{to}`: {items}")
    };
    if plan.is_resumed() {
        question.push_str("\nthis completes a move that was interrupted");
    }
    if replaces {
        let all = count(target.all(), "item");
        question = format!(
            "{question}\napp `{to}` has {all} already; those that app `{from}` does not have are DELETED, the others replaced"
        );
    }
    let mut remaining = Vec::new();
    let result = if is_empty {
        "absent"
    } else if args.dry_run {
        "dry_run"
    } else {
        let is_confirmed = args.yes || if replaces { confirm_loss(&question)? } else { confirm(&question)? };
        if !is_confirmed {
            bail!("nothing was written");
        }
        let moved = table.move_app(&plan, &connection.author().await, args.app_cache.app_cache_seconds, announce).await;
        remaining = moved.map_err(|error| anyhow::Error::from(error).context(AGAIN))?;
        if remaining.is_empty() { "moved" } else { "incomplete" }
    };
    let remaining: Vec<_> = remaining.iter().map(|key| format!("{} {}", key.pk, key.sk)).collect();
    match output {
        Output::Json => print_line(json!({
            "result": result, "app": from.as_str(), "to_app": to.as_str(), "resumed": plan.is_resumed(),
            "parties": source.parties, "pairs": source.pairs, "replaced": if replaces { target.all() } else { 0 },
            "remaining": remaining,
        }))?,
        Output::Text if result == "absent" => print_line(format!("nothing is stored for app {from}"))?,
        Output::Text if result == "dry_run" => print_line(format!("would be done: {question}"))?,
        Output::Text if result == "moved" => print_line(format!("moved: app {from} is app {to}: {items}"))?,
        Output::Text => {}
    }
    if remaining.is_empty() {
        return Ok(Outcome::Done);
    }
    for item in &remaining {
        print_note(format!("remains in app {from}: {item}"));
    }
    print_error(format!(
        "{} of app {from}, which is suspended now, because they were written during the move or their copies were changed; \
         forget or revoke what app {to} does not need, and run the same command again",
        if remaining.len() == 1 {
            "one item remains in the place".to_owned()
        } else {
            format!("{} items remain in the place", remaining.len())
        },
    ));
    Ok(Outcome::Failed)
}

fn parse_new_app(table: &Table, text: &str) -> anyhow::Result<AppKey> {
    Ok(table.parse_app(text)?)
}
