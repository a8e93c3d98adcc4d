//! `check`: would this call go through, and why?

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use anstyle::AnsiColor;
use anyhow::Context as _;
use callgate::store::{Settings, Store};
use callgate_core::{
    Applicability, Call, Decision, Door, Effect, EpochSeconds, EvaluatedRule, InvalidRecord, MediaSet, ParsedItem,
    Party, PartyId, Pattern, Permissions, RecordLocation, RuleKey, Status, Trace, has_expired, trace,
};
use clap::Args;
use serde_json::{Value, json};

use crate::connection::{Options as Connection, Output, Table, now};
use crate::moment;
use crate::outcome::Outcome;
use crate::say::print_line;
use crate::statement::{conditions, media_in_words};

/// How long the look-up may take: a person waits, not a call.
const DEADLINE: Duration = Duration::from_secs(10);

/// The call to judge.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The app (WCS's appKey)
    #[arg(long, value_name = "APP")]
    app: String,
    /// Who calls, in any spelling; 'anonymous' for a withheld number
    #[arg(long, value_name = "PARTY", allow_hyphen_values = true)]
    from: String,
    /// Who is called, in any spelling
    #[arg(long, value_name = "PARTY", allow_hyphen_values = true)]
    to: String,
    /// The call carries video too
    #[arg(long)]
    video: bool,
    /// Judge the call as if it came at this moment, such as 2026-12-31T18:00:00+03:00
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
}

/// Decides the call as the function would, and says why.
pub(crate) async fn run(options: &Options, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let call = Call {
        app: Table::app(&options.app)?,
        // An event without a caller is one of somebody who withholds the number.
        caller: if options.from.trim().is_empty() { PartyId::anonymous() } else { table.party(&options.from)? },
        callee: table.party(&options.to)?,
        media: MediaSet { audio: true, video: options.video },
    };
    let at = options.at.as_deref().map(|text| moment::parse(text, now())).transpose()?.unwrap_or_else(now);
    let settings =
        Settings { table: table.name.clone(), strong_reads: true, app_cache: Duration::ZERO, deadline: DEADLINE };
    let store = Store::new(table.client.clone(), settings);
    let found = store.look_up(&call, SystemTime::now()).await;
    // The look-up tells the log what failed; a person also wants to know what to do.
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            table.probe().await?;
            return Err(error).context("the permissions could not be read");
        }
    };
    let trace = trace(&call, found.permissions(), at);
    let at_the_door = |door| AtTheDoor::of(door, found.permissions(), at);
    match table.output {
        Output::Text => print_line(text(&call, &trace, at_the_door, at))?,
        Output::Json => print_line(as_json(&call, &trace, at_the_door, at))?,
    }
    Ok(match trace.decision.effect() {
        Effect::Allow => Outcome::Done,
        Effect::Deny => Outcome::Refused,
    })
}

/// What stands beside the rules of the item at a door.
struct AtTheDoor {
    is_suspended: bool,
    /// The moment from which the party counts as absent, where that has come.
    expired: Option<EpochSeconds>,
}

impl AtTheDoor {
    fn of(door: Door, records: Permissions<'_>, at: EpochSeconds) -> Self {
        let party = |found: &ParsedItem<Party>| {
            found.as_ref().ok().and_then(Option::as_ref).map(|it| (it.status, it.expires_at))
        };
        let (status, expires_at) = match door {
            Door::App => records.app.as_ref().ok().and_then(Option::as_ref).map(|app| (app.status, None)),
            Door::Caller => party(records.caller),
            Door::Callee => party(records.callee),
        }
        .unwrap_or_default();
        let expired = expires_at.filter(|_| has_expired(expires_at, at));
        Self { is_suspended: status == Status::Suspended && expired.is_none(), expired }
    }
}

impl fmt::Display for AtTheDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expired {
            Some(at) => write!(f, " (expired at {}, so it counts as absent)", moment::format(at)),
            None if self.is_suspended => f.write_str(" (suspended)"),
            None => Ok(()),
        }
    }
}

fn text(call: &Call, trace: &Trace<'_>, at_the_door: impl Fn(Door) -> AtTheDoor, at: EpochSeconds) -> String {
    let mut out = String::new();
    let (word, colour) = match trace.decision.effect() {
        Effect::Allow => ("permitted", AnsiColor::Green.on_default()),
        Effect::Deny => ("refused", AnsiColor::Red.on_default()),
    };
    let media = if call.media.video { "audio and video" } else { "audio" };
    let _ = writeln!(out, "{colour}{word}{colour:#}: {} ({})", trace.decision.reason(), because(&trace.decision));
    let _ = write!(out, "  {} to {} in app {}, {media}, at {}", call.caller, call.callee, call.app, moment::format(at));
    for (door, rules) in &trace.doors {
        let _ = write!(out, "\n{}", heading(*door, call, &at_the_door(*door)));
        if rules.is_empty() {
            out.push_str("\n  no rules: says nothing");
            continue;
        }
        let decides = rules.iter().find(|rule| rule.decides);
        if decides.is_none() {
            out.push_str("\n  no rule applies: says nothing");
        }
        let width = rules.iter().map(|rule| rule.key.to_string().chars().count()).max().unwrap_or_default();
        for rule in rules {
            let mark = if rule.decides { '>' } else { ' ' };
            let key = rule.key.to_string();
            let says = rule.rule.map_or("?", |rule| rule.effect.as_str());
            let _ = write!(out, "\n{mark} {key:width$}  {says:5}  {}", why(rule, decides));
        }
    }
    out
}

fn heading(door: Door, call: &Call, state: &AtTheDoor) -> String {
    match door {
        Door::App => format!("door 1, app {}{state}: who may call anybody", call.app),
        Door::Caller => format!("door 2, caller {}{state}: whom it may call", call.caller),
        Door::Callee => format!("door 3, callee {}{state}: who may call it", call.callee),
    }
}

/// The decision in a few words.
fn because(decision: &Decision<'_>) -> String {
    match decision {
        Decision::Rule { door, key, effect } => {
            let rule = match key {
                RuleKey::Pair(_) => "the rule of exactly these two".to_owned(),
                RuleKey::Entry(pattern) => format!("`{pattern}`"),
            };
            let verb = match effect {
                Effect::Allow => "allows",
                Effect::Deny => "denies",
            };
            format!("{rule} {verb} at door {}", number(*door))
        }
        Decision::Suspended(door) => format!("the {} is suspended", door.as_str()),
        Decision::NoRule => "no door says anything".to_owned(),
        Decision::InvalidRecord(invalid) => format!("{}: {}", place(invalid), invalid.error),
    }
}

const fn number(door: Door) -> u8 {
    match door {
        Door::App => 1,
        Door::Caller => 2,
        Door::Callee => 3,
    }
}

fn place(invalid: &InvalidRecord<'_>) -> String {
    match invalid.location {
        RecordLocation::Item(door) => format!("the {}'s item cannot be understood", door.as_str()),
        RecordLocation::Entry(door, pattern) => {
            format!("the rule `{pattern}` at door {} cannot be understood", number(door))
        }
        RecordLocation::Pair => "the rule of exactly these two cannot be understood".to_owned(),
    }
}

/// Why a rule did or did not apply, and what became of it if it did.
fn why(considered: &EvaluatedRule<'_>, decides: Option<&EvaluatedRule<'_>>) -> String {
    let kind = if matches!(considered.key, RuleKey::Pair(_)) { "rule of exactly these two, " } else { "" };
    // A condition that does not hold has been said already.
    let extra = match considered.applicability {
        Applicability::Applies(rule) => conditions(rule),
        _ => String::new(),
    };
    let applicability = match (considered.applicability, decides) {
        (Applicability::Applies(_), _) if considered.decides => "decides here".to_owned(),
        (Applicability::Applies(_), Some(other)) => {
            let length = |rule: &EvaluatedRule<'_>| match rule.key {
                RuleKey::Pair(_) | RuleKey::Entry(Pattern::Exact(_)) => usize::MAX,
                RuleKey::Entry(pattern) => pattern.to_string().len(),
            };
            if length(other) > length(considered) {
                format!("applies, but is shorter than `{}`", other.key)
            } else {
                "applies, but between two of the same length deny decides, then the rule of exactly these two"
                    .to_owned()
            }
        }
        (Applicability::Applies(_), None) => "applies, but another rule cannot be understood".to_owned(),
        (Applicability::DoesNotMatch, _) => "is about others".to_owned(),
        (Applicability::Expired(at), _) => format!("expired at {}", moment::format(at)),
        (Applicability::OtherMedia(media), _) => format!("is about {}", media_in_words(media)),
        (Applicability::OutsideHours(hours), _) => format!("now is outside {hours}"),
        (Applicability::Invalid(fault), _) => format!("cannot be understood, so it refuses the call: {fault}"),
    };
    format!("{kind}{applicability}{extra}")
}

fn as_json(call: &Call, trace: &Trace<'_>, at_the_door: impl Fn(Door) -> AtTheDoor, at: EpochSeconds) -> Value {
    let (door, rule) = match trace.decision {
        Decision::Rule { door, key, .. } => (Some(door.as_str()), Some(key.to_string())),
        _ => (None, None),
    };
    let doors: Vec<_> = trace
        .doors
        .iter()
        .map(|(door, rules)| {
            let decides = rules.iter().find(|rule| rule.decides);
            let says = decides.and_then(|rule| rule.rule.ok()).map(|rule| rule.effect.as_str());
            let rules: Vec<_> = rules.iter().map(|rule| considered(rule, decides)).collect();
            let AtTheDoor { is_suspended, expired } = at_the_door(*door);
            json!({
                "door": door.as_str(), "suspended": is_suspended, "expired_at": expired.map(moment::format),
                "says": says, "rules": rules,
            })
        })
        .collect();
    json!({
        "decision": trace.decision.effect().as_str(), "reason": trace.decision.reason(), "door": door, "rule": rule,
        "because": because(&trace.decision), "app": call.app.as_str(), "caller": call.caller.as_str(),
        "callee": call.callee.as_str(), "video": call.media.video, "at": moment::format(at), "doors": doors,
    })
}

fn considered(rule: &EvaluatedRule<'_>, decides: Option<&EvaluatedRule<'_>>) -> Value {
    let applicability = match rule.applicability {
        Applicability::Applies(_) => "applies",
        Applicability::DoesNotMatch => "about_others",
        Applicability::Expired(_) => "expired",
        Applicability::OtherMedia(_) => "other_media",
        Applicability::OutsideHours(_) => "outside_hours",
        Applicability::Invalid(_) => "not_understood",
    };
    json!({
        "pattern": rule.key.to_string(), "is_pair": matches!(rule.key, RuleKey::Pair(_)),
        "effect": rule.rule.ok().map(|rule| rule.effect.as_str()), "standing": applicability, "decides": rule.decides,
        "why": why(rule, decides),
    })
}
