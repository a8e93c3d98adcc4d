//! `check`: would this call go through, and why?

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use callgate::store::{Settings, Store};
use callgate_core::{
    Call, Considered, Decision, Door, Effect, EpochSeconds, Invalid, Matched, MediaSet, Pattern, Place, Standing,
    Trace, trace,
};
use clap::Args;
use serde_json::{Value, json};

use crate::connection::{Options as Connection, Output, Table, now};
use crate::moment;
use crate::outcome::Outcome;
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
        caller: table.party(&options.from)?,
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
    let trace = trace(&call, found.records(), at);
    match table.output {
        Output::Text => print!("{}", text(&call, &trace, at)),
        Output::Json => println!("{}", as_json(&call, &trace, at)),
    }
    Ok(match trace.decision.effect() {
        Effect::Allow => Outcome::Done,
        Effect::Deny => Outcome::Refused,
    })
}

fn text(call: &Call, trace: &Trace<'_>, at: EpochSeconds) -> String {
    let mut out = String::new();
    let word = match trace.decision.effect() {
        Effect::Allow => "permitted",
        Effect::Deny => "refused",
    };
    let media = if call.media.video { "audio and video" } else { "audio" };
    let _ = writeln!(out, "{word}: {} ({})", trace.decision.reason(), because(&trace.decision));
    let _ =
        writeln!(out, "  {} to {} in app {}, {media}, at {}", call.caller, call.callee, call.app, moment::format(at));
    for (door, rules) in &trace.doors {
        let _ = writeln!(out, "{}", heading(*door, call));
        if rules.is_empty() {
            let _ = writeln!(out, "  no rules: says nothing");
            continue;
        }
        let decides = rules.iter().find(|rule| rule.decides);
        if decides.is_none() {
            let _ = writeln!(out, "  no rule applies: says nothing");
        }
        let width = rules.iter().map(|rule| rule.matched.to_string().chars().count()).max().unwrap_or_default();
        for rule in rules {
            let mark = if rule.decides { '>' } else { ' ' };
            let matched = rule.matched.to_string();
            let says = rule.rule.map_or("?", |rule| rule.effect.as_str());
            let _ = writeln!(out, "{mark} {matched:width$}  {says:5}  {}", why(rule, decides));
        }
    }
    out
}

fn heading(door: Door, call: &Call) -> String {
    match door {
        Door::App => format!("door 1, app {}: who may call anybody", call.app),
        Door::Caller => format!("door 2, caller {}: whom it may call", call.caller),
        Door::Callee => format!("door 3, callee {}: who may call it", call.callee),
    }
}

/// The decision in a few words.
fn because(decision: &Decision<'_>) -> String {
    match decision {
        Decision::Rule { door, matched: Matched::Pair(_), effect } => {
            format!("the rule of exactly these two {}s at door {}", effect.as_str(), number(*door))
                .replace("denys", "denies")
        }
        Decision::Rule { door, matched, effect: Effect::Allow } => {
            format!("`{matched}` allows at door {}", number(*door))
        }
        Decision::Rule { door, matched, effect: Effect::Deny } => {
            format!("`{matched}` denies at door {}", number(*door))
        }
        Decision::Suspended(door) => format!("the {} is suspended", door.as_str()),
        Decision::NoRule => "no door says anything".to_owned(),
        Decision::InvalidRecord(invalid) => format!("{}: {}", place(invalid), invalid.fault),
    }
}

const fn number(door: Door) -> u8 {
    match door {
        Door::App => 1,
        Door::Caller => 2,
        Door::Callee => 3,
    }
}

fn place(invalid: &Invalid<'_>) -> String {
    match invalid.place {
        Place::Item(door) => format!("the {}'s item cannot be understood", door.as_str()),
        Place::Entry(door, pattern) => format!("the rule `{pattern}` at door {} cannot be understood", number(door)),
        Place::Pair => "the rule of exactly these two cannot be understood".to_owned(),
    }
}

/// Why a rule did or did not apply, and what became of it if it did.
fn why(considered: &Considered<'_>, decides: Option<&Considered<'_>>) -> String {
    let kind = if matches!(considered.matched, Matched::Pair(_)) { "rule of exactly these two, " } else { "" };
    // A condition that does not hold has been said already.
    let extra = match considered.standing {
        Standing::Applies(rule) => conditions(rule),
        _ => String::new(),
    };
    let standing = match (considered.standing, decides) {
        (Standing::Applies(_), _) if considered.decides => "decides here".to_owned(),
        (Standing::Applies(_), Some(other)) => {
            let length = |rule: &Considered<'_>| match rule.matched {
                Matched::Pair(_) | Matched::Listed(Pattern::Exact(_)) => usize::MAX,
                Matched::Listed(pattern) => pattern.to_string().len(),
            };
            if length(other) > length(considered) {
                format!("applies, but is shorter than `{}`", other.matched)
            } else {
                "applies, but between two of the same length deny decides, then the rule of exactly these two"
                    .to_owned()
            }
        }
        (Standing::Applies(_), None) => "applies, but another rule cannot be understood".to_owned(),
        (Standing::AboutOthers, _) => "is about others".to_owned(),
        (Standing::Expired(at), _) => format!("expired at {}", moment::format(at)),
        (Standing::OtherMedia(media), _) => format!("is about {}", media_in_words(media)),
        (Standing::OutsideHours(hours), _) => format!("now is outside {hours}"),
        (Standing::NotUnderstood(fault), _) => format!("cannot be understood, so it refuses the call: {fault}"),
    };
    format!("{kind}{standing}{extra}")
}

fn as_json(call: &Call, trace: &Trace<'_>, at: EpochSeconds) -> Value {
    let (door, rule) = match trace.decision {
        Decision::Rule { door, matched, .. } => (Some(door.as_str()), Some(matched.to_string())),
        _ => (None, None),
    };
    let doors: Vec<_> = trace
        .doors
        .iter()
        .map(|(door, rules)| {
            let decides = rules.iter().find(|rule| rule.decides);
            let says = decides.and_then(|rule| rule.rule.ok()).map(|rule| rule.effect.as_str());
            let rules: Vec<_> = rules.iter().map(|rule| considered(rule, decides)).collect();
            json!({"door": door.as_str(), "says": says, "rules": rules})
        })
        .collect();
    json!({
        "decision": trace.decision.effect().as_str(), "reason": trace.decision.reason(), "door": door, "rule": rule,
        "because": because(&trace.decision), "app": call.app.as_str(), "caller": call.caller.as_str(),
        "callee": call.callee.as_str(), "video": call.media.video, "at": moment::format(at), "doors": doors,
    })
}

fn considered(rule: &Considered<'_>, decides: Option<&Considered<'_>>) -> Value {
    let standing = match rule.standing {
        Standing::Applies(_) => "applies",
        Standing::AboutOthers => "about_others",
        Standing::Expired(_) => "expired",
        Standing::OtherMedia(_) => "other_media",
        Standing::OutsideHours(_) => "outside_hours",
        Standing::NotUnderstood(_) => "not_understood",
    };
    json!({
        "pattern": rule.matched.to_string(), "is_pair": matches!(rule.matched, Matched::Pair(_)),
        "effect": rule.rule.ok().map(|rule| rule.effect.as_str()), "standing": standing, "decides": rule.decides,
        "why": why(rule, decides),
    })
}
