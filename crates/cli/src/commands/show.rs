//! `show`: prints what is stored for an app or a party, including invalid rules.

use std::io;

use anyhow::bail;
use callgate_admin::rule_row::deny_all;
use callgate_admin::show::{ItemSummary, ListedRule, StoredItem};
use callgate_admin::wording::{conditions_text, count, escape, quote, rule_text};
use callgate_admin::{RuleRow, StoredRule, Table, time};
use callgate_core::{AppKey, EpochSeconds, ParseError, PartyId, Pattern, Rule, has_expired};
use serde_json::{Value, json};

use crate::args::PartyArgs;
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_line};
use crate::time::now;

/// Show what is stored for an app or a party, or the rules and blocks of a list
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl show --app shop
  callgatectl show --app shop PPP005
  callgatectl show --app shop --list spam")]
pub(crate) struct Args {
    #[command(flatten)]
    party: PartyArgs,
    /// Show the rules and blocks of this list in the app, for which the whole table is read
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, conflicts_with = "party")]
    list: Option<String>,
}

/// Shows an app or a party.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = global.open().await?;
    let app = args.party.app.parse(&table)?;
    if let Some(list) = &args.list {
        return show_list(&app, list, &table.stored_list(&app, list).await?, output);
    }
    let stored = match args.party.parse_party(&table, |pattern| instead(&app, pattern))? {
        None => match table.stored_app(&app).await? {
            Some(stored) => stored,
            None => bail!("nothing is stored for app `{app}` itself; its parties may have rules all the same"),
        },
        Some(id) => match table.stored_party(&app, id.clone()).await? {
            Some(stored) => stored,
            None => return show_absent(&table, output, app, id).await,
        },
    };
    match output {
        Output::Text => print_text(&stored)?,
        Output::Json => print_line(as_json(&stored))?,
    }
    // An invalid item refuses calls, which must not be overlooked.
    Ok(if stored.summary.is_ok() { Outcome::Done } else { Outcome::Failed })
}

/// What to write instead of a pattern or a group.
fn instead(app: &AppKey, pattern: &Pattern) -> String {
    let app = quote(app.as_str());
    match pattern {
        Pattern::Group(_) => format!("`callgatectl group show --app {app} {pattern}` shows the group"),
        _ => format!(
            "`callgatectl show --app {app}` shows the rules of the whole app, and `export --app {app}` all rules"
        ),
    }
}

/// Shows a party for which nothing is stored: rules of the app may match it all the same.
async fn show_absent(table: &Table, output: Output, app: AppKey, id: PartyId) -> anyhow::Result<Outcome> {
    let rules = table.app_rules_for(&app, &id).await?;
    match output {
        Output::Text => {
            print_line(format!("nothing is stored for party {id} of app {app}"))?;
            print_rules("rules of the app that match it", &rules)?;
        }
        Output::Json => {
            let stored = StoredItem {
                app,
                party: Some(id),
                summary: Ok(ItemSummary::default()),
                incoming: Vec::new(),
                outgoing: Vec::new(),
                outgoing_pairs: Vec::new(),
            };
            let mut shown = as_json(&stored);
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("is_stored".to_owned(), json!(false));
                shown.insert("app_rules".to_owned(), rows(&rules));
            }
            print_line(shown)?;
        }
    }
    Ok(Outcome::Done)
}

/// Prints the rules and blocks of a list.
fn show_list(app: &AppKey, list: &str, rules: &[ListedRule], output: Output) -> anyhow::Result<Outcome> {
    match output {
        Output::Text => {
            print_line(format!("list {} of app {app}: {}", escape(list), count(rules.len() as u64, "rule")))?;
            for ListedRule { row, rule } in rules {
                match rule {
                    Ok(rule) => print_line(format!("  {}{}{}", row.text(), expired(rule), author(rule)))?,
                    Err(ParseError(why)) => print_line(format!("  {}: {}", row.text(), escape(why)))?,
                }
            }
        }
        Output::Json => {
            let rows: Vec<_> = rules.iter().map(|ListedRule { row, rule }| row_as_json(row, rule.as_ref())).collect();
            print_line(json!({"app": app.as_str(), "list": list, "rules": rows}))?;
        }
    }
    Ok(Outcome::Done)
}

fn print_text(stored: &StoredItem) -> io::Result<()> {
    let StoredItem { app, party, summary, incoming, outgoing, outgoing_pairs } = stored;
    let name = party.as_ref().map_or_else(|| format!("app {app}"), |id| format!("party {id} of app {app}"));
    match summary {
        Ok(ItemSummary { status, groups, blocked, note, expires_at }) => {
            print_line(format!("{name}: {}{}", status.as_str(), expiry(*expires_at)))?;
            if let Some(block) = blocked {
                let rule = deny_all(block);
                print_line(format!("  blocked{}{}{}", conditions_text(&rule), expired(&rule), author(&rule)))?;
            }
            if !groups.is_empty() {
                let groups: Vec<_> = groups.iter().map(|group| format!("@{group}")).collect();
                print_line(format!("  groups: {}", groups.join(", ")))?;
            }
            if let Some(note) = note {
                print_line(format!("  note: {}", escape(note)))?;
            }
        }
        Err(error) => {
            print_line(format!("{name}: invalid, so all its calls are refused: {}", escape(&error.0)))?;
        }
    }
    if party.is_none() {
        print_rules("who may call anyone here", incoming)?;
        return print_rules("whom anyone here may call", outgoing);
    }
    print_rules("who may call it", incoming)?;
    print_rules("whom it may call", outgoing)?;
    print_rules("whom it may call, by rules between two parties", outgoing_pairs)
}

fn expiry(expires_at: Option<EpochSeconds>) -> String {
    match expires_at {
        None => String::new(),
        Some(at) if has_expired(Some(at), now()) => {
            format!(", expired at {}, so it counts as absent", time::describe(at))
        }
        Some(at) => format!(", until {}", time::describe(at)),
    }
}

fn print_rules(heading: &str, rules: &[StoredRule]) -> io::Result<()> {
    print_line(format!("{heading}:"))?;
    if rules.is_empty() {
        print_line("  no rules")?;
    }
    for StoredRule { from, to, rule, .. } in rules {
        match rule {
            Ok(rule) => print_line(format!("  {}{}{}", rule_text(from, to, rule), expired(rule), author(rule)))?,
            Err(ParseError(why)) => {
                print_line(format!("  {} to {}: invalid: {}", escape(from), escape(to), escape(why)))?;
            }
        }
    }
    Ok(())
}

fn expired(rule: &Rule) -> &'static str {
    if has_expired(rule.expires_at, now()) { " [expired]" } else { "" }
}

fn author(rule: &Rule) -> String {
    match (&rule.updated_by, rule.updated_at) {
        (Some(by), Some(at)) => format!(" [{}, {}]", escape(by), time::format_local(at)),
        _ => String::new(),
    }
}

fn as_json(stored: &StoredItem) -> Value {
    let StoredItem { app, party, summary, incoming, outgoing, outgoing_pairs } = stored;
    let item = summary.as_ref().ok();
    let mut shown = json!({
        "app": app.as_str(), "status": item.map(|it| it.status.as_str()), "note": item.and_then(|it| it.note.as_deref()),
    });
    let mut add = |name: &str, value| shown.as_object_mut().and_then(|it| it.insert(name.to_owned(), value));
    if let Err(ParseError(why)) = summary {
        add("fault", json!(why));
    }
    match party {
        None => {
            add("callers", rows(incoming));
            add("destinations", rows(outgoing));
        }
        Some(id) => {
            add("party", json!(id.as_str()));
            add("groups", json!(item.map(|it| &it.groups)));
            add(
                "blocked",
                json!(item.and_then(|it| it.blocked.as_ref()).map(|block| {
                    let row = RuleRow::of_block(app.as_str(), id.as_str(), block);
                    row_as_json(&row, Ok(&deny_all(block)))
                })),
            );
            add("expires_at", json!(item.and_then(|it| it.expires_at).map(time::format)));
            add("incoming", rows(incoming));
            add("outgoing", rows(outgoing));
            add("outgoing_pairs", rows(outgoing_pairs));
            add("is_stored", json!(true));
        }
    }
    shown
}

/// The rules as rows of a file, with who wrote them and when. For an invalid rule, why it is invalid.
fn rows(rules: &[StoredRule]) -> Value {
    rules.iter().map(|stored| row_as_json(&stored.row(), stored.rule.as_ref())).collect()
}

fn row_as_json(row: &RuleRow, rule: Result<&Rule, &ParseError>) -> Value {
    match rule {
        Ok(rule) => {
            let mut row = json!(row);
            if let Some(row) = row.as_object_mut() {
                row.insert("updated_at".to_owned(), json!(rule.updated_at.map(time::format)));
                row.insert("updated_by".to_owned(), json!(rule.updated_by));
            }
            row
        }
        Err(ParseError(why)) => {
            let RuleRow { app, from, to, .. } = row;
            json!({"app": app, "from": from, "to": to, "fault": why})
        }
    }
}
