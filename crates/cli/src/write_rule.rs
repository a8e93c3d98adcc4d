//! The flow of `allow`, `deny`, `enable` and `disable`: compare with the stored rule, confirm, write, report.

use anyhow::{anyhow, bail};
use callgate_admin::exceptions::Exceptions;
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::wording::{count, doors_text, escape, quote, rule_text, target_text};
use callgate_admin::{RuleChange, RuleLocation, RuleRow, RuleTarget, Table, time};
use callgate_core::{Door, Effect, EpochSeconds, ParseError, Pattern, Rule};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::args::{DoorArg, RuleArgs, TargetArgs, rule_command};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Output, print_line};
use crate::prompt::{confirm_app, confirm_change};
use crate::time::now;

/// The most exceptions that a notice names.
const MAX_EXCEPTIONS: usize = 3;

/// Writes a rule.
pub(crate) async fn write_rule(effect: Effect, args: &RuleArgs, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let target = args.target(table, global).await?;
    let edit = args.edit(effect, now())?;
    let door = args.door.map(Into::into);
    let plan = async || Ok(table.plan_rule(target.clone(), door, &edit, now()).await?);
    write(&connection, plan, args.yes, None).await
}

/// A rule to switch on or off.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SwitchArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The list that holds the rule, if it is not the usual one for these parties
    #[arg(long, value_name = "DOOR", value_enum)]
    door: Option<DoorArg>,
    /// Take --from and --to literally, for rules that are not stored in canonical form
    #[arg(long)]
    exactly: bool,
    /// Do not ask before switching a rule for more than one caller or callee
    #[arg(long, short)]
    yes: bool,
}

/// Switches a stored rule on or off.
pub(crate) async fn switch_rule(is_disabled: bool, args: &SwitchArgs, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let table = &connection.table;
    let (target, location) = args.target.locate(table, args.door, args.exactly)?;
    let verb = if is_disabled { "disables" } else { "enables" };
    let plan = async || match table.plan_switch(&target, &location, is_disabled, now()).await? {
        Some(change) => Ok(change),
        None => Err(missing_rule(table, &target, &location, verb).await?),
    };
    write(&connection, plan, args.yes, Some(if is_disabled { "disabled" } else { "enabled" })).await
}

/// The error for a rule that is not stored, with a hint if a rule for these parties is stored in another place.
pub(crate) async fn missing_rule(
    table: &Table,
    target: &RuleTarget,
    location: &RuleLocation,
    verb: &str,
) -> anyhow::Result<anyhow::Error> {
    let RuleTarget { app, from, to } = target;
    let missing = format!("there is no rule from `{from}` to `{to}` in app `{app}`");
    for door in Door::ALL {
        // Only rules to everyone, or from everyone, are in an app's lists.
        if (door == Door::App && *to != Pattern::Everyone) || (door == Door::Destination && *from != Pattern::Everyone)
        {
            continue;
        }
        let other = RuleLocation::literal(app, &from.to_string(), &to.to_string(), Some(door));
        if other != *location && table.plan_revocation(other).await?.is_some() {
            let door = door.as_str();
            return Ok(anyhow!("{missing}; the list of door `{door}` has one, which `--door {door}` {verb}"));
        }
    }
    Ok(anyhow!(missing))
}

/// Writes a planned change, and plans it again if another writer is faster. `done` is the result if it is not whether a rule was
/// replaced.
async fn write(
    connection: &Connection,
    plan: impl AsyncFn() -> anyhow::Result<RuleChange>,
    yes: bool,
    done: Option<&str>,
) -> anyhow::Result<Outcome> {
    let author = OnceCell::new();
    // The change that was sent last. It was confirmed, if it had to be.
    let mut sent: Option<RuleChange> = None;
    for attempt in 0..MAX_ATTEMPTS {
        let change = plan().await?;
        if change.is_unchanged() {
            let is_own = author.get().is_some_and(|author| change.is_written_by(author));
            return match sent.filter(|_| is_own) {
                Some(sent) => report_written(connection, &sent, done),
                None => report(connection, &change, "unchanged", None),
            };
        }
        if sent.is_none() && change.previous().is_none() {
            confirm_app(&connection.table, &change.target.app, yes).await?;
        }
        let is_same = sent.as_ref().map(|sent| sent.has_same_previous(&change));
        let needs_answer = change.target.has_pattern() || change.changes_effect();
        confirm_change(&consequence(&change), is_same, needs_answer, yes)?;
        let author = author.get_or_init(|| connection.author()).await;
        match connection.table.write_rule(&change, author).await {
            Ok(true) => return report_written(connection, &change, done),
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

/// The effect of a rule, its exceptions and the rule it replaces, in words.
fn consequence(change: &RuleChange) -> String {
    let RuleChange { target, rule, .. } = change;
    let effect = match (rule.disabled, rule.effect) {
        (true, _) => "this rule will not decide calls",
        (false, Effect::Allow) => "this allows calls",
        (false, Effect::Deny) => "this refuses calls",
    };
    let text = rule_text(&target.from, &target.to, rule);
    let mut lines = vec![format!("{text} in app `{}`", target.app), format!("{effect}: {}", target_text(target))];
    lines.extend(exceptions_notices(change));
    lines.extend(previous_text(change, change.previous()));
    lines.join("\n")
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

/// The rules that still allow some of the calls that a rule denies.
fn exceptions_notices(RuleChange { target, exceptions, .. }: &RuleChange) -> Vec<String> {
    let Exceptions { rules, unread } = exceptions;
    let mut notices = Vec::new();
    if !rules.is_empty() {
        let named = rules.iter().take(MAX_EXCEPTIONS).filter_map(|stored| {
            let rule = stored.rule.as_ref().ok()?;
            Some(rule_text(&stored.from, &stored.to, rule))
        });
        let mut named: Vec<_> = named.collect();
        if let Some(others @ 1..) = rules.len().checked_sub(named.len()) {
            named.push(format!("and {others} more"));
        }
        let verb = if rules.len() == 1 { "allows" } else { "allow" };
        let rules = count(rules.len() as u64, "more specific rule");
        notices.push(format!("{rules} at this door still {verb} calls: {}", named.join("; ")));
        // A block refuses the same calls, and more only if the rule is not for all callees.
        if let (Pattern::Exact(caller), Pattern::Everyone) = (&target.from, &target.to) {
            let (app, caller) = (quote(target.app.as_str()), quote(caller));
            notices.push(format!("to refuse all calls of this party: `callgatectl block --app {app} {caller}`"));
        }
    }
    notices.extend(unread.as_ref().map(|why| format!("rules between two parties may still allow calls: {why}")));
    notices
}

fn report_written(connection: &Connection, change: &RuleChange, done: Option<&str>) -> anyhow::Result<Outcome> {
    let result = if change.previous().is_some() { "replaced" } else { "written" };
    report(connection, change, done.unwrap_or(result), change.previous())
}

fn report(
    connection: &Connection,
    change: &RuleChange,
    result: &str,
    previous: Option<Result<&Rule, &ParseError>>,
) -> anyhow::Result<Outcome> {
    let RuleChange { target, rule, .. } = change;
    let disabled = (rule.disabled && result != "disabled").then(|| {
        let enable = rule_command("enable", target.app.as_str(), &target.from, &target.to);
        format!("this rule is disabled: {enable} switches it on")
    });
    let notices: Vec<_> = notices(change).into_iter().chain(disabled).collect();
    let doors = change.doors();
    match connection.output {
        Output::Text => {
            print_line(format!("{result}: {} [{}]", rule_text(&target.from, &target.to, rule), doors_text(&doors)))?;
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
            let door: Vec<_> = doors.iter().map(|door| door.as_str()).collect();
            print_line(json!({
                "result": result, "rule": RuleRow::new(target, rule), "door": door, "previous": previous, "notice": notice,
            }))?;
        }
    }
    Ok(Outcome::Done)
}

/// What is to be noticed about a rule that is written.
pub(crate) fn notices(change: &RuleChange) -> Vec<String> {
    let RuleChange { rule, redundant, prefix_warning, .. } = change;
    let zone = rule.hours.as_ref().and_then(|hours| time::zone_notice(hours, now()));
    let redundant = redundant.as_ref().map(|why| format!("this rule has no effect at present: {why}"));
    let notices = [prefix_warning.clone(), zone, expiry_notice(change), redundant];
    notices.into_iter().flatten().chain(exceptions_notices(change)).collect()
}

/// What the expiry of the party that holds the rule means for the rule.
fn expiry_notice(RuleChange { rule, party_expires_at, is_party_expired, .. }: &RuleChange) -> Option<String> {
    party_expiry_notice(*party_expires_at, *is_party_expired, rule.expires_at, "this rule")
}

/// What the expiry of a party means for what is written to it, which may expire earlier.
pub(crate) fn party_expiry_notice(
    party_expires_at: Option<EpochSeconds>,
    is_party_expired: bool,
    expires_at: Option<EpochSeconds>,
    what: &str,
) -> Option<String> {
    let at = party_expires_at?;
    let text = time::describe(at);
    if is_party_expired {
        return Some(format!(
            "the party had expired at {text}; it no longer expires, and its former rules are removed"
        ));
    }
    let is_earlier = expires_at.is_none_or(|own| own > at);
    is_earlier.then(|| format!("the party expires at {text}, and {what} with it"))
}
