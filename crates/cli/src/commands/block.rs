//! `block`: blocks a caller.

use anyhow::bail;
use callgate_admin::blocks::BlockChange;
use callgate_admin::rule_row::deny_all;
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::wording::{conditions_text, escape, quote};
use callgate_admin::{RuleRow, Table};
use callgate_core::{AppKey, Block, ParseError, PartyId, Pattern};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::args::{AppOrCallArgs, ConditionArgs, parse_party, parse_written_party, rule_command};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::{Outcome, usage};
use crate::log_args::HEADING;
use crate::output::{Output, print_line};
use crate::prompt::{confirm_app, confirm_change};
use crate::time::now;
use crate::write_rule::party_expiry_notice;

/// Refuse all calls from a party, whatever the rules; calls to it are not affected
///
/// On a party that is blocked already, conditions that are not named stay as they are.
#[derive(Debug, Clone, clap::Args)]
#[command(override_usage = "\
callgatectl block [OPTIONS] --app <APP> <PARTY>
       callgatectl block [OPTIONS] --app <APP> --last-caller-of <PARTY>
       callgatectl block [OPTIONS] --from-call <ID>")]
#[command(after_help = "\
Examples:
  callgatectl block --app shop +15550100199 --until 30d --note 'nuisance calls'
  callgatectl block --app shop anonymous
  callgatectl block --app shop --last-caller-of PPP005 --log calls.log
  callgatectl block --from-call 5f0c2d1e --function callgate

A block is for one caller and all callees. For a pattern, a group, single callees, media or hours, write a deny.")]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppOrCallArgs,
    /// The caller, in any spelling; 'anonymous' for callers that withhold their number
    #[arg(value_name = "PARTY", allow_hyphen_values = true)]
    #[arg(required_unless_present_any = ["from_call", "last_caller_of"])]
    party: Option<String>,
    /// Block the caller of the last call in the log that went to this party, in any spelling
    #[arg(long, help_heading = HEADING, value_name = "PARTY", allow_hyphen_values = true, conflicts_with_all = ["party", "from_call"])]
    last_caller_of: Option<String>,
    #[command(flatten)]
    conditions: ConditionArgs,
    /// Accept an id that looks like a number and is none, or like a pattern
    #[arg(long)]
    exactly: bool,
    /// Do not ask before blocking
    #[arg(long, short)]
    yes: bool,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    to: Option<String>,
    #[arg(long, hide = true)]
    media: Vec<String>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    hours: Vec<String>,
}

/// Blocks the caller.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let (app, caller) = args.caller(table, global).await?;
    let deny = |from: &Pattern, to: &Pattern| {
        let deny = rule_command("deny", app.as_str(), from, to);
        deny.strip_suffix('`').map_or_else(String::new, |it| format!("{it}{}`", args.rule_options()))
    };
    let to = args.to.as_deref().map(|text| table.parse_pattern(text)).transpose()?.unwrap_or(Pattern::Everyone);
    let instead = |pattern: &Pattern| format!("write a deny instead: {}", deny(pattern, &to));
    let caller = match caller {
        Some(caller) => caller,
        None => parse_written_party(table, args.party.as_deref().unwrap_or_default(), args.exactly, instead)?,
    };
    if args.to.is_some() || !args.rule_options().is_empty() {
        let from = Pattern::Exact(caller.as_str().to_owned());
        return Err(usage(format!(
            "a block refuses all calls of a party, and takes no --to, --media or --hours; {}",
            instead(&from)
        )));
    }
    let edit = args.conditions.edit(now())?;
    let author = OnceCell::new();
    // The change that was sent last.
    let mut sent: Option<BlockChange> = None;
    for attempt in 0..MAX_ATTEMPTS {
        let change = table.plan_block(&app, &caller, &edit, now()).await?;
        if change.is_unchanged() {
            let is_own = author.get().is_some_and(|author| change.is_written_by(author));
            return match sent.filter(|_| is_own) {
                Some(sent) => report(&connection, (&app, &caller), &sent, true),
                None => report(&connection, (&app, &caller), &change, false),
            };
        }
        if sent.is_none() && change.previous().is_none() {
            confirm_app(table, &app, args.yes).await?;
        }
        let is_same = sent.as_ref().map(|sent| sent.has_same_previous(&change));
        let before = previous_text(&caller, change.previous()).map(|text| format!("\n{text}")).unwrap_or_default();
        let question = format!(
            "{} in app `{app}`\nthis refuses all calls from `{caller}`, whatever the rules{before}",
            block_text(&caller, &change.block)
        );
        confirm_change(&question, is_same, true, args.yes)?;
        let author = author.get_or_init(|| connection.author()).await;
        match table.write_block(&change, author).await {
            Ok(true) => return report(&connection, (&app, &caller), &change, true),
            Ok(false) => {}
            // The next plan shows whether the block was written.
            Err(error) if error.is_unanswered() && attempt == 0 => {}
            Err(error) => return Err(error.into()),
        }
        sent = Some(change);
        tokio::time::sleep(retry_pause(attempt)).await;
    }
    bail!("other writers keep changing this block; nothing was written, try again")
}

impl Args {
    /// The app, and the caller if it is taken from the log.
    async fn caller(&self, table: &Table, global: &GlobalArgs) -> anyhow::Result<(AppKey, Option<PartyId>)> {
        if self.party.is_some() && self.app.call.from_call.is_some() {
            return Err(usage("--from-call names the caller; leave out the party"));
        }
        if let Some(call) = self.app.find_call(global).await? {
            return Ok((call.app, Some(call.caller)));
        }
        let app = self.app.parse(table)?;
        let Some(callee) = &self.last_caller_of else { return Ok((app, None)) };
        let callee = parse_party(table, callee, self.exactly, |_| "name one party that was called".to_owned())?;
        let call = self.app.call.log.find_last_call(global, &app, &callee).await?;
        Ok((app, Some(call.caller)))
    }

    /// The options that only a rule has.
    fn rule_options(&self) -> String {
        let media = self.media.iter().map(|value| format!(" --media {}", quote(value)));
        let hours = self.hours.iter().map(|value| format!(" --hours {}", quote(value)));
        media.chain(hours).collect()
    }
}

/// A block on one line: `block +15550100199, until 2026-12-31T00:00:00Z (nuisance calls)`.
pub(crate) fn block_text(caller: &PartyId, block: &Block) -> String {
    format!("block {}{}", escape(caller.as_str()), conditions_text(&deny_all(block)))
}

fn previous_text(caller: &PartyId, previous: Option<Result<&Block, &ParseError>>) -> Option<String> {
    Some(match previous? {
        Ok(previous) => format!("before: {}", block_text(caller, previous)),
        Err(error) => format!("before: an invalid block: {}", escape(&error.to_string())),
    })
}

fn report(
    connection: &Connection,
    (app, caller): (&AppKey, &PartyId),
    change: &BlockChange,
    is_written: bool,
) -> anyhow::Result<Outcome> {
    let BlockChange { block, party_expires_at, is_party_expired, .. } = change;
    let previous = change.previous().filter(|_| is_written);
    let result = match previous {
        _ if !is_written => "unchanged",
        Some(_) => "replaced",
        None => "written",
    };
    let notice = party_expiry_notice(*party_expires_at, *is_party_expired, block.expires_at, "this block");
    match connection.output {
        Output::Text => {
            print_line(format!("{result}: {}", block_text(caller, block)))?;
            if let Some(previous) = previous_text(caller, previous) {
                print_line(format!("  {previous}"))?;
            }
            if let Some(notice) = notice {
                print_line(format!("  notice: {notice}"))?;
            }
        }
        Output::Json => {
            let row = |block: &Block| RuleRow::of_block(app.as_str(), caller.as_str(), block);
            let previous = previous.and_then(Result::ok).map(row);
            print_line(json!({"result": result, "rule": row(block), "previous": previous, "notice": notice}))?;
        }
    }
    Ok(Outcome::Done)
}
