//! The flow of `allow` and `deny`: compare with the stored rule, confirm a pattern, write, report.

use anyhow::bail;
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::wording::{escape, rule_text, target_text};
use callgate_admin::{RuleChange, RuleRow, time};
use callgate_core::{Effect, ParseError, Rule};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::args::RuleArgs;
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_line};
use crate::prompt::confirm_change;
use crate::time::now;

/// Writes a rule.
pub(crate) async fn write_rule(effect: Effect, args: &RuleArgs, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let target = args.target(table)?;
    let rule = args.rule(effect, now())?;
    let door = args.door.map(Into::into);
    let author = OnceCell::new();
    // The change that was sent last. It was confirmed, if it had to be.
    let mut sent: Option<RuleChange> = None;
    for attempt in 0..MAX_ATTEMPTS {
        let change = table.plan_rule(target.clone(), door, rule.clone(), now()).await?;
        if change.is_unchanged() {
            let is_own = author.get().is_some_and(|author| change.is_written_by(author));
            return match sent.filter(|_| is_own) {
                Some(sent) => report_written(&connection, &sent),
                None => report(&connection, &change, "unchanged", None),
            };
        }
        let is_same = sent.as_ref().map(|sent| sent.has_same_previous(&change));
        confirm_change(&consequence(&change), is_same, target.has_pattern(), args.yes)?;
        let author = author.get_or_init(|| connection.author()).await;
        match table.write_rule(&change, author).await {
            Ok(true) => return report_written(&connection, &change),
            Ok(false) => {}
            // The next plan shows whether the rule was written.
            Err(error) if error.is_unanswered() && attempt == 0 => {}
            Err(error) => return Err(error.into()),
        }
        sent = Some(change);
        tokio::time::sleep(retry_pause(attempt)).await;
    }
    bail!("other writers keep changing this rule; nothing was written, try again")
}

/// The effect of a rule with a pattern, and the rule it replaces, in words.
fn consequence(change: &RuleChange) -> String {
    let RuleChange { target, rule, .. } = change;
    let effect = match rule.effect {
        Effect::Allow => "this allows calls",
        Effect::Deny => "this refuses calls",
    };
    let text = rule_text(&target.from, &target.to, rule);
    let before = previous_text(change, change.previous());
    let before = before.map(|text| format!("\n{text}")).unwrap_or_default();
    format!("{text} in app `{}`\n{effect}: {}{before}", target.app, target_text(target))
}

fn previous_text(
    RuleChange { target, .. }: &RuleChange,
    previous: Option<Result<&Rule, &ParseError>>,
) -> Option<String> {
    Some(match previous? {
        Ok(previous) => format!("before: {}", rule_text(&target.from, &target.to, previous)),
        Err(error) => format!("before: an invalid rule: {}", escape(&error.to_string())),
    })
}

fn report_written(connection: &Connection, change: &RuleChange) -> anyhow::Result<Outcome> {
    let result = if change.previous().is_some() { "replaced" } else { "written" };
    report(connection, change, result, change.previous())
}

fn report(
    connection: &Connection,
    change: &RuleChange,
    result: &str,
    previous: Option<Result<&Rule, &ParseError>>,
) -> anyhow::Result<Outcome> {
    let RuleChange { target, rule, redundant, prefix_warning, .. } = change;
    let redundant = redundant.as_ref().map(|why| format!("this rule has no effect at present: {why}"));
    let zone = rule.hours.as_ref().and_then(|hours| time::zone_notice(hours, now()));
    let notices = [prefix_warning.clone(), zone, expiry_notice(change), redundant];
    let notices: Vec<_> = notices.into_iter().flatten().collect();
    match connection.output {
        Output::Text => {
            print_line(format!("{result}: {}", rule_text(&target.from, &target.to, rule)))?;
            if let Some(previous) = previous_text(change, previous) {
                print_line(format!("  {previous}"))?;
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

/// What the expiry of the party that holds the rule means for the rule.
fn expiry_notice(RuleChange { rule, party_expires_at, is_party_expired, .. }: &RuleChange) -> Option<String> {
    let at = (*party_expires_at)?;
    let text = time::describe(at);
    if *is_party_expired {
        return Some(format!(
            "the party had expired at {text}; it no longer expires, and its former rules are removed"
        ));
    }
    let is_earlier = rule.expires_at.is_none_or(|own| own > at);
    is_earlier.then(|| format!("the party expires at {text}, and this rule with it"))
}
