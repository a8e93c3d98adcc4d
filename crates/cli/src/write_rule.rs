//! The flow of `allow` and `deny`: compare with the stored rule, confirm a pattern, write, report.

use anyhow::bail;
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::wording::{escape, rule_text, target_text};
use callgate_admin::{RuleChange, RuleRow};
use callgate_core::{Effect, ParseError, Rule};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::args::RuleArgs;
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_line};
use crate::prompt::confirm;
use crate::time::now;

/// Writes a rule.
pub(crate) async fn write_rule(effect: Effect, args: &RuleArgs, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let target = args.target.parse(table)?;
    let rule = args.rule(effect, now())?;
    let mut is_confirmed = args.yes || !target.has_pattern();
    let author = OnceCell::new();
    for attempt in 0..MAX_ATTEMPTS {
        let change = table.plan_rule(target.clone(), rule.clone(), now()).await?;
        if change.is_unchanged() {
            return report(&connection, &change, "unchanged", None);
        }
        if !is_confirmed && !confirm(&consequence(&change))? {
            bail!("nothing was written");
        }
        is_confirmed = true;
        let author = author.get_or_init(|| connection.author()).await;
        if table.write_rule(&change, author).await? {
            let result = if change.previous().is_some() { "replaced" } else { "written" };
            return report(&connection, &change, result, change.previous());
        }
        tokio::time::sleep(retry_pause(attempt)).await;
    }
    bail!("other writers keep changing this rule; nothing was written, try again")
}

/// The effect of a rule with a pattern, in words.
fn consequence(RuleChange { target, rule, .. }: &RuleChange) -> String {
    let effect = match rule.effect {
        Effect::Allow => "this allows calls",
        Effect::Deny => "this refuses calls",
    };
    let rule = rule_text(&target.from, &target.to, rule);
    format!("{rule} in app `{}`\n{effect}: {}", target.app, target_text(target))
}

fn report(
    connection: &Connection,
    change: &RuleChange,
    result: &str,
    previous: Option<Result<&Rule, &ParseError>>,
) -> anyhow::Result<Outcome> {
    let RuleChange { target, rule, redundant, dial_plan_warning, .. } = change;
    let redundant = redundant.as_ref().map(|why| format!("this rule has no effect at present: {why}"));
    let notices: Vec<_> = dial_plan_warning.clone().into_iter().chain(redundant).collect();
    match connection.output {
        Output::Text => {
            print_line(format!("{result}: {}", rule_text(&target.from, &target.to, rule)))?;
            match previous {
                Some(Ok(previous)) => {
                    print_line(format!("  before: {}", rule_text(&target.from, &target.to, previous)))?;
                }
                Some(Err(error)) => print_line(format!("  before: an invalid rule: {}", escape(&error.to_string())))?,
                None => {}
            }
            for notice in notices {
                print_line(format!("  notice: {}", escape(&notice)))?;
            }
        }
        Output::Json => {
            let previous = previous.and_then(Result::ok).map(|previous| RuleRow::new(target, previous));
            let notice = (!notices.is_empty()).then(|| notices.join("; "));
            print_line(
                json!({"result": result, "rule": RuleRow::new(target, rule), "previous": previous, "notice": notice}),
            )?;
        }
    }
    Ok(Outcome::Done)
}
