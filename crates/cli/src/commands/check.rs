//! `check`: decides a call as the function would, and explains the decision.

use std::fmt::Write as _;

use anstyle::AnsiColor;
use callgate_admin::reversal::{Reversal, command_line};
use callgate_admin::time;
use callgate_admin::wording::{count, decision_text, escape};
use callgate_core::{
    Applicability, Call, Decision, Door, Effect, EpochSeconds, EvaluatedRule, MediaSet, PartyId, Pattern, RuleKey,
    Trace, trace,
};
use serde_json::{Value, json};

use crate::args::{AppArgs, check_one_party, parse_party, print_understood};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::{Outcome, usage};
use crate::output::{Line, Output, print_line};
use crate::time::{now, parse_at};
use crate::trace_text::{DoorState, MAX_OTHERS, door_text, is_other, why};

/// Decide a call as the function would, and explain the decision
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl check --app shop --from '8 (495) 123-45-67' --to PPP005
  callgatectl check --app shop --from PPP009 --to PPP005 --video --at 2026-12-31T18:00:00+03:00

The exit code is 0 if the call goes through, and 3 if it is refused.")]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// The caller, in any spelling; 'anonymous' for a withheld number
    #[arg(long, value_name = "PARTY", allow_hyphen_values = true)]
    from: String,
    /// The callee, in any spelling
    #[arg(long, value_name = "PARTY", allow_hyphen_values = true)]
    to: String,
    /// Accept an id that looks like a pattern
    #[arg(long)]
    exactly: bool,
    /// The call has video too
    #[arg(long)]
    video: bool,
    /// Decide the call as if it came at this time: '15:00' (today), '2026-12-31 18:00' in your time zone, or with a zone, such as
    /// '2026-12-31T18:00:00+03:00', or '10m ago'
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
}

/// Decides the call and explains the decision.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = global.open().await?;
    let one = |pattern: &Pattern| match pattern {
        Pattern::Group(_) => "name one of its parties".to_owned(),
        Pattern::Prefix(prefix) => format!("name one, such as a number that starts with `{prefix}`"),
        Pattern::Everyone | Pattern::Exact(_) => "name one party".to_owned(),
    };
    check_one_party(&table, &args.from, args.exactly, one)?;
    let call = Call {
        app: args.app.parse(&table)?,
        // As the hook takes it: an event without a caller has a withheld number.
        caller: PartyId::new(&args.from, table.phone_region())
            .map_err(|error| usage(format!("the party `{}` {error}", args.from)))?,
        callee: parse_party(&table, &args.to, args.exactly, one)?,
        media: MediaSet { audio: true, video: args.video },
    };
    print_understood(&args.from, call.caller.as_str());
    let at = args.at.as_deref().map(parse_at).transpose()?.unwrap_or_else(now);
    let lookup = table.look_up(&call).await?;
    let trace = trace(&call, lookup.permissions(), at);
    let state = |door| DoorState::at(door, lookup.permissions(), at);
    let reversal = table.reversal(&call, lookup.permissions(), at, now());
    match output {
        Output::Text => print_line(text(&call, &trace, state, at).then(reversal_text(&trace, &reversal)))?,
        Output::Json => print_line(as_json(&call, &trace, state, at, &reversal))?,
    }
    Ok(match trace.decision.effect() {
        Effect::Allow => Outcome::Done,
        Effect::Deny => Outcome::Refused,
    })
}

fn text(call: &Call, trace: &Trace<'_>, state: impl Fn(Door) -> DoorState, at: EpochSeconds) -> Line {
    let mut out = String::new();
    let (word, colour) = match trace.decision.effect() {
        Effect::Allow => ("permitted", AnsiColor::Green.on_default()),
        Effect::Deny => ("refused", AnsiColor::Red.on_default()),
    };
    let media = if call.media.video { "audio and video" } else { "audio" };
    let because = escape(&decision_text(&trace.decision));
    let _ = writeln!(out, ": {} ({because})", trace.decision.reason());
    let _ = write!(out, "  {} to {} in app {}, {media}, at {}", call.caller, call.callee, call.app, time::describe(at));
    for (door, rules) in &trace.doors {
        let _ = write!(out, "\ndoor {}: {}{}", door.as_str(), door_text(*door, call), state(*door));
        if rules.is_empty() {
            out.push_str("\n  no rules");
            continue;
        }
        let deciding = rules.iter().find(|rule| rule.decides);
        if deciding.is_none() {
            out.push_str("\n  no rule applies");
        }
        let others = rules.iter().filter(|rule| is_other(rule)).count();
        let is_shown = |rule: &&EvaluatedRule<'_>| others <= MAX_OTHERS || !is_other(rule);
        let width = rules.iter().filter(is_shown).map(|rule| escape(&rule.key.to_string()).chars().count());
        let width = width.max().unwrap_or_default();
        for rule in rules.iter().filter(is_shown) {
            let mark = if rule.decides { '>' } else { ' ' };
            let key = escape(&rule.key.to_string());
            let effect = rule.rule.map_or("?", |rule| rule.effect.as_str());
            let _ = write!(out, "\n{mark} {key:width$}  {effect:5}  {}", escape(&why(rule, deciding)));
        }
        if others > MAX_OTHERS {
            let _ = write!(out, "\n  and {} that do not match", count(others as u64, "rule"));
        }
    }
    Line::styled(colour, word).then(out)
}

/// The commands that turn the decision around, on one line.
fn reversal_text(trace: &Trace<'_>, reversal: &Reversal) -> String {
    let aim = match trace.decision.effect() {
        Effect::Allow => "refuse",
        Effect::Deny => "permit",
    };
    match reversal {
        Reversal::Steps(steps) => format!("\nto {aim} it: {}", escape(&command_line(steps))),
        Reversal::Show(command) => format!("\nlook at it: {}", escape(command)),
    }
}

fn as_json(
    call: &Call,
    trace: &Trace<'_>,
    state: impl Fn(Door) -> DoorState,
    at: EpochSeconds,
    reversal: &Reversal,
) -> Value {
    let (command, advice) = match reversal {
        Reversal::Steps(steps) => (Some(command_line(steps)), None),
        Reversal::Show(command) => (None, Some(command)),
    };
    let (door, rule) = match trace.decision {
        Decision::Rule { door, key, .. } => (Some(door.as_str()), Some(key.to_string())),
        _ => (None, None),
    };
    let doors: Vec<_> = trace
        .doors
        .iter()
        .map(|(door, rules)| {
            let deciding = rules.iter().find(|rule| rule.decides);
            let effect = deciding.and_then(|rule| rule.rule.ok()).map(|rule| rule.effect.as_str());
            let rules: Vec<_> = rules.iter().map(|rule| rule_as_json(rule, deciding)).collect();
            let DoorState { is_suspended, expired_at } = state(*door);
            json!({
                "door": door.as_str(), "suspended": is_suspended, "expired_at": expired_at.map(time::format),
                "says": effect, "rules": rules,
            })
        })
        .collect();
    json!({
        "decision": trace.decision.effect().as_str(), "reason": trace.decision.reason(), "door": door, "rule": rule,
        "because": decision_text(&trace.decision), "app": call.app.as_str(), "caller": call.caller.as_str(),
        "callee": call.callee.as_str(), "video": call.media.video, "at": time::format(at), "doors": doors,
        "command": command, "advice": advice,
    })
}

fn rule_as_json(rule: &EvaluatedRule<'_>, deciding: Option<&EvaluatedRule<'_>>) -> Value {
    // Stable words for programs.
    let standing = match rule.applicability {
        Applicability::Applies(_) => "applies",
        Applicability::DoesNotMatch => "about_others",
        Applicability::Disabled => "disabled",
        Applicability::Expired(_) => "expired",
        Applicability::OtherMedia(_) => "other_media",
        Applicability::OutsideHours(_) => "outside_hours",
        Applicability::Invalid(_) => "not_understood",
    };
    json!({
        "pattern": rule.key.to_string(), "is_pair": matches!(rule.key, RuleKey::Pair(_)),
        "effect": rule.rule.ok().map(|rule| rule.effect.as_str()), "standing": standing, "decides": rule.decides,
        "why": why(rule, deciding),
    })
}
