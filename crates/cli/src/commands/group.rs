//! `group`: adds parties to groups, removes them, and shows groups.

use anyhow::bail;
use callgate_admin::groups::{GroupName, MembershipChange};
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::{Author, Table};
use callgate_core::{AppKey, PartyId, Pattern};
use clap::Subcommand;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::args::{AppArgs, parse_party, parse_written_party};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_line};
use crate::prompt::confirm_app;
use crate::time::now;
use crate::write_rule::party_expiry_notice;

mod add;
mod remove;
mod show;

/// Add parties to a group, remove them, or show a group
///
/// A rule from or to a group, such as @sales, matches every party of that group.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl group add --app shop @sales PPP201 PPP202
  callgatectl group remove --app shop @sales PPP202
  callgatectl group show --app shop @sales
  callgatectl deny --app shop --from @sales --to '+882*'")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    Add(add::Args),
    Remove(remove::Args),
    Show(show::Args),
}

/// Runs the subcommand.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        Command::Add(args) => add::run(args, global).await,
        Command::Remove(args) => remove::run(args, global).await,
        Command::Show(args) => show::run(args, global).await,
    }
}

/// A group and some of its parties.
#[derive(Debug, Clone, clap::Args)]
struct MembersArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The group, with or without the @: 1 to 64 of the characters a-z, 0-9, _ and -
    #[arg(value_name = "@NAME")]
    group: String,
    /// The parties, in any spelling
    #[arg(value_name = "PARTY", required = true)]
    parties: Vec<String>,
    /// Accept an id that looks like a number and is none, or like a pattern
    #[arg(long)]
    exactly: bool,
    /// Show what would change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before writing for an app that has nothing stored
    #[arg(long, short)]
    yes: bool,
}

/// Adds the parties to the group, or removes them, one after the other.
async fn change_members(is_added: bool, args: &MembersArgs, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let app = args.app.parse(table)?;
    let group = GroupName::parse(&args.group)?;
    let parties = parse_parties(args, table, is_added)?;
    if is_added && !args.dry_run {
        confirm_app(table, &app, args.yes).await?;
    }
    let author = OnceCell::new();
    let (mut changes, mut failure) = (Vec::new(), None);
    for party in parties {
        match change_member(&connection, &author, (&app, &party, &group), is_added, args.dry_run).await {
            Ok(change) => changes.push((party, change)),
            Err(error) => {
                failure = Some(error.context(format!("party `{party}`")));
                break;
            }
        }
    }
    let (verb, preposition) = if is_added { ("added", "to") } else { ("removed", "from") };
    let verb = |change: &MembershipChange| if change.is_unchanged { "unchanged" } else { verb };
    let notice = |it: &MembershipChange| {
        let is_relevant = is_added && !it.is_unchanged;
        let notice = || party_expiry_notice(it.party_expires_at, it.is_party_expired, None, "its groups");
        is_relevant.then(notice).flatten()
    };
    let name = group.pattern();
    match connection.output {
        Output::Text => {
            let tense = if args.dry_run { "would be " } else { "" };
            for (party, change) in &changes {
                print_line(match (change.is_unchanged, is_added) {
                    (false, _) => format!("{tense}{}: {party} {preposition} {name}", verb(change)),
                    (true, true) => format!("unchanged: {party} is in {name}"),
                    (true, false) => format!("unchanged: {party} is not in {name}"),
                })?;
                if let Some(notice) = notice(change) {
                    print_line(format!("  notice: {notice}"))?;
                }
            }
        }
        Output::Json => {
            let parties: Vec<Value> = changes
                .iter()
                .map(|(party, it)| json!({"party": party.as_str(), "result": verb(it), "notice": notice(it)}))
                .collect();
            let is_unchanged = changes.iter().all(|(_, change)| change.is_unchanged);
            let result = match (args.dry_run, is_unchanged) {
                (true, _) => "dry_run",
                (false, true) => "unchanged",
                (false, false) => "written",
            };
            print_line(json!({"result": result, "app": app.as_str(), "group": name.to_string(), "parties": parties}))?;
        }
    }
    failure.map_or(Ok(Outcome::Done), Err)
}

/// Parses all parties before anything is written, each once.
fn parse_parties(args: &MembersArgs, table: &Table, is_added: bool) -> anyhow::Result<Vec<PartyId>> {
    let mut parties: Vec<PartyId> = Vec::new();
    for text in &args.parties {
        let instead = |pattern: &Pattern| match pattern {
            Pattern::Group(_) => "a group has only parties, no groups; name its parties".to_owned(),
            _ => "name the parties one by one".to_owned(),
        };
        let party = if is_added {
            parse_written_party(table, text, args.exactly, instead)?
        } else {
            parse_party(table, text, args.exactly, instead)?
        };
        if !parties.contains(&party) {
            parties.push(party);
        }
    }
    Ok(parties)
}

/// Adds or removes one party. With `is_dry_run`, only plans it.
async fn change_member(
    connection: &Connection,
    author: &OnceCell<Author>,
    (app, party, group): (&AppKey, &PartyId, &GroupName),
    is_added: bool,
    is_dry_run: bool,
) -> anyhow::Result<MembershipChange> {
    let table = &connection.table;
    let mut sent: Option<MembershipChange> = None;
    for attempt in 0..MAX_ATTEMPTS {
        let change = table.plan_membership(app, party, group, is_added, now()).await?;
        if change.is_unchanged {
            // After an attempt, it is unchanged because the answer to that attempt was lost, or another writer did the same.
            let Some(sent) = sent else { return Ok(change) };
            if !is_added {
                table.delete_empty(change.key()).await?;
            }
            return Ok(sent);
        }
        if is_dry_run {
            return Ok(change);
        }
        let author = author.get_or_init(|| connection.author()).await;
        match table.write_membership(&change, author).await {
            Ok(true) => return Ok(change),
            Ok(false) => {}
            // The next plan shows whether it was written.
            Err(error) if error.is_unanswered() && attempt == 0 => {}
            Err(error) => return Err(error.into()),
        }
        sent = Some(change);
        tokio::time::sleep(retry_pause(attempt)).await;
    }
    bail!("other writers keep changing its groups; nothing was written, try again")
}
