//! `group show`: prints the parties of a group, and the rules that name it.

use anyhow::bail;
use callgate_admin::StoredRule;
use callgate_admin::groups::{Group, GroupName};
use callgate_admin::wording::{escape, rule_text};
use callgate_core::ParseError;
use serde_json::json;

use crate::args::AppArgs;
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_line, print_note};
use crate::time::now;

/// Show the parties of a group, and the rules that name it
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  callgatectl group show --app shop @sales")]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// The group, with or without the @
    #[arg(value_name = "@NAME")]
    group: String,
}

/// Prints the group.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = global.open().await?;
    let app = args.app.parse(&table)?;
    let group = GroupName::parse(&args.group)?;
    let name = group.pattern();
    print_note("reading the whole table, because groups are stored with their parties");
    let Group { members, rules } = table.group(&app, &group, now()).await?;
    if members.is_empty() && rules.is_empty() {
        bail!("no party of app `{app}` is in group `{name}`, and no rule names it");
    }
    match output {
        Output::Text => {
            print_line(format!("group {name} of app {app}: {}", parties(members.len())))?;
            for member in &members {
                print_line(format!("  {}", escape(member)))?;
            }
            print_line("rules that name it:")?;
            if rules.is_empty() {
                print_line("  no rules")?;
            }
            for StoredRule { from, to, rule, .. } in &rules {
                print_line(match rule {
                    Ok(rule) => format!("  {}", rule_text(from, to, rule)),
                    Err(ParseError(why)) => format!("  {} to {}: invalid: {}", escape(from), escape(to), escape(why)),
                })?;
            }
        }
        Output::Json => {
            let rules: Vec<_> = rules.iter().map(StoredRule::row).collect();
            print_line(json!({"app": app.as_str(), "group": name.to_string(), "parties": members, "rules": rules}))?;
        }
    }
    Ok(Outcome::Done)
}

fn parties(number: usize) -> String {
    if number == 1 { "1 party".to_owned() } else { format!("{number} parties") }
}
