//! `who`: lists who may call a party, or whom it may call.

use anstyle::AnsiColor;
use callgate_admin::time;
use callgate_admin::who::{Members, Question, Side, WhoRow};
use callgate_admin::wording::{count, escape};
use callgate_core::{Door, Effect, MediaSet};
use serde_json::{Value, json};

use crate::args::{AppArgs, parse_party};
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::output::{Line, Output, print_line};
use crate::time::{now, parse_at};

/// List who may call a party now, or whom it may call
///
/// Prints a row for each party, group and prefix that a rule names, the most specific first, and one for everyone else. A row
/// answers for the parties that it matches and that no row above it matches. Its answer is the function's own.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl who --app shop --to PPP005
  callgatectl who --app shop --from PPP009 --video --at 2026-12-31T18:00:00+03:00")]
#[command(group(clap::ArgGroup::new("side").required(true).args(["to", "from"])))]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// List who may call this party
    #[arg(long, value_name = "PARTY", allow_hyphen_values = true)]
    to: Option<String>,
    /// List whom this party may call
    #[arg(long, value_name = "PARTY", allow_hyphen_values = true)]
    from: Option<String>,
    /// The calls have video too
    #[arg(long)]
    video: bool,
    /// Accept a party that looks like a pattern
    #[arg(long)]
    exactly: bool,
    /// Answer for calls at this time: '15:00' (today), '2026-12-31 18:00' in your time zone, or with a zone, such as
    /// '2026-12-31T18:00:00+03:00', or '10m ago'
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
}

/// Prints the answers.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = global.open().await?;
    let (side, text) = match (&args.to, &args.from) {
        (Some(to), _) => (Side::Callers, to.as_str()),
        (None, from) => (Side::Callees, from.as_deref().unwrap_or_default()),
    };
    let question = Question {
        app: args.app.parse(&table)?,
        party: parse_party(&table, text, args.exactly, |_| {
            "name one party; `show` and `group show` list rules of patterns and groups".to_owned()
        })?,
        side,
        media: MediaSet { audio: true, video: args.video },
        at: args.at.as_deref().map(parse_at).transpose()?.unwrap_or_else(now),
    };
    let rows = Box::pin(table.who(&question)).await?;
    match output {
        Output::Text => print_text(&question, &rows)?,
        Output::Json => print_line(as_json(&question, &rows))?,
    }
    Ok(Outcome::Done)
}

fn print_text(Question { app, party, side, media, at }: &Question, rows: &[WhoRow]) -> std::io::Result<()> {
    let media = if media.video { "audio and video" } else { "audio" };
    let what = match side {
        Side::Callers => format!("who may call {party}"),
        Side::Callees => format!("whom {party} may call"),
    };
    print_line(format!("{what} in app {app}, {media}, at {}:", time::describe(*at)))?;
    let cells: Vec<_> = rows.iter().map(|row| (pattern_text(row), until_text(row))).collect();
    let width = |of: fn(&(String, String)) -> &String| {
        cells.iter().map(|cell| of(cell).chars().count()).max().unwrap_or_default()
    };
    let (first, second) = (width(|it| &it.0), width(|it| &it.1));
    for (row, (pattern, until)) in rows.iter().zip(&cells) {
        let (word, colour) = match row.effect {
            Effect::Allow => ("yes", AnsiColor::Green.on_default()),
            Effect::Deny => ("no ", AnsiColor::Red.on_default()),
        };
        let line = format!("  {pattern:first$}  {until:second$}  {}", escape(&row.because));
        print_line(Line::styled(colour, word).then(line))?;
        for inactive in &row.inactive {
            print_line(format!("       {}", escape(inactive)))?;
        }
    }
    if rows.iter().any(|row| row.may_differ) {
        let (other, list) = match side {
            Side::Callers => ("a caller that only a pattern matches", "whom it may call"),
            Side::Callees => ("a callee that only a pattern matches", "who may call it"),
        };
        print_line(format!(
            "{other} may have rules of its own ({list}), groups, a block or a suspension, which can change its answer; \
             `callgatectl check` decides one call"
        ))?;
    }
    Ok(())
}

/// The pattern, and the members of a group.
pub(crate) fn pattern_text(row: &WhoRow) -> String {
    let pattern = escape(&row.pattern.to_string());
    match row.members {
        None => pattern,
        Some(Members { count: members, permitted }) => {
            let differs = permitted != if row.effect == Effect::Allow { members } else { 0 };
            let permitted = if differs { format!(", {permitted} of them permitted") } else { String::new() };
            format!("{pattern} ({}{permitted})", count(members, "member"))
        }
    }
}

fn until_text(row: &WhoRow) -> String {
    row.until.map(|at| format!("until {}", time::describe(at))).unwrap_or_default()
}

fn as_json(Question { app, party, side, media, at }: &Question, rows: &[WhoRow]) -> Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let WhoRow { pattern, effect, reason, door, rule, because, until, inactive, members, may_differ } = row;
            json!({
                "pattern": pattern.to_string(), "decision": effect.as_str(), "reason": reason,
                "door": door.map(Door::as_str), "rule": rule, "because": because, "until": until.map(time::format),
                "inactive": inactive, "may_differ": may_differ,
                "members": members.map(|Members { count, permitted }| json!({"count": count, "permitted": permitted})),
            })
        })
        .collect();
    let party = party.as_str();
    let (to, from) = if *side == Side::Callers { (Some(party), None) } else { (None, Some(party)) };
    json!({
        "app": app.as_str(), "to": to, "from": from, "video": media.video, "at": time::format(*at), "rows": rows,
    })
}
