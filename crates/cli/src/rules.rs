//! `allow`, `deny`, `revoke`: one rule, said once.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::bail;
use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, PK, SK};
use callgate_core::{Effect, EpochSeconds, Fault, Hours, Pattern, Rule, Window};
use clap::Args;
use serde_json::json;

use crate::connection::{Options as Connection, Output, Table, now};
use crate::dialled::Dialled;
use crate::items::{Change, Expression};
use crate::moment;
use crate::outcome::{Outcome, usage};
use crate::say::{say, tell};
use crate::shadow::idle;
use crate::statement::{About, Row, Spot, in_words, parse_media, same, stored_at};

/// How often a change is tried again when somebody else changed the same rule at the same moment.
const MAX_ATTEMPTS: u32 = 10;

/// From whom to whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct Parties {
    /// The app (WCS's appKey)
    #[arg(long, value_name = "APP")]
    app: String,
    /// Who calls: an id or number in any spelling, a prefix such as '+7495*', or '*' for everyone
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    from: String,
    /// Who is called: as --from
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    to: String,
}

/// A rule to take back.
#[derive(Debug, Clone, Args)]
pub(crate) struct Revoked {
    #[command(flatten)]
    parties: Parties,
    /// Take --from and --to letter by letter, as doctor shows them, for what no spelling of today leads to
    #[arg(long)]
    exactly: bool,
    /// Ask no question before a rule that is about more than one party
    #[arg(long, short)]
    yes: bool,
}

impl Revoked {
    /// Where the rule may stand: of two parties also in a list, where somebody else's tool put it.
    fn spots(&self, table: &Table) -> anyhow::Result<(About, Vec<Spot>)> {
        if !self.exactly {
            let about = self.parties.about(table)?;
            let spot = about.spot()?;
            return Ok((about, vec![spot]));
        }
        let Parties { app, from, to } = &self.parties;
        let app = Table::app(app)?;
        Ok((
            About { app: app.clone(), from: Pattern::from_stored(from), to: Pattern::from_stored(to) },
            Spot::as_stored(&app, from, to),
        ))
    }
}

/// A rule to write.
#[derive(Debug, Clone, Args)]
pub(crate) struct Said {
    #[command(flatten)]
    parties: Parties,
    /// Only these media: an allow covers calls with no others, a deny calls with any of them
    #[arg(long, value_name = "audio|video", value_delimiter = ',')]
    media: Vec<String>,
    /// Only at these times: 'DAYS HH:MM-HH:MM ZONE', such as 'Mon-Fri 09:00-18:00 Europe/Moscow'; may be repeated
    #[arg(long, value_name = "WINDOW")]
    hours: Vec<String>,
    /// Only until this moment: '2026-12-31T18:00:00+03:00', '2026-12-31', or from now '12h', '30d'
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// A word to whoever reads the rule later
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
    /// Ask no question before a rule that is about more than one party
    #[arg(long, short)]
    yes: bool,
}

impl Parties {
    fn about(&self, table: &Table) -> anyhow::Result<About> {
        Ok(About { app: Table::app(&self.app)?, from: table.pattern(&self.from)?, to: table.pattern(&self.to)? })
    }
}

impl Said {
    fn rule(&self, effect: Effect, now: EpochSeconds) -> anyhow::Result<Rule> {
        let media = if self.media.is_empty() { None } else { Some(parse_media(&self.media.join(" "))?) };
        let mut windows: Vec<Window> = Vec::new();
        for text in &self.hours {
            windows.extend_from_slice(Hours::parse(text).map_err(|error| usage(error.to_string()))?.windows());
        }
        let expires_at = self.until.as_deref().map(|text| moment::parse(text, now)).transpose()?;
        if let Some(past) = expires_at.filter(|&at| at <= now) {
            return Err(usage(format!("--until {} does not lie in the future", moment::format(past))));
        }
        let hours = Hours::new(windows);
        Ok(Rule { media, hours, expires_at, note: self.note.clone().filter(|it| !it.is_empty()), ..Rule::new(effect) })
    }
}

/// Writes a rule where it belongs.
pub(crate) async fn write(effect: Effect, said: &Said, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let now = now();
    let about = said.parties.about(&table)?;
    let home = about.home()?;
    let spot = about.spot_in(&home);
    let rule = said.rule(effect, now)?;
    let mut asked = said.yes;
    let mut writer = None;
    for attempt in 0..MAX_ATTEMPTS {
        let (around, own) = Box::pin(table.around(&about, &home)).await?;
        let before = Before::read(&spot, own.as_ref());
        let idle = idle(&about, &rule, &around, now)
            .map(|why| format!("as things stand, this rule cannot change any answer: {why}"));
        let dialled = Dialled::note(&about, &table.plan).map(|(_, note)| note);
        let notices: Vec<_> = dialled.into_iter().chain(idle).collect();
        if matches!(&before.rule, Some(Ok(before)) if same(before, &rule)) {
            return report(&table, "unchanged", &about, &rule, None, &notices);
        }
        let will = format!(
            "{} in app `{}`\n{}",
            in_words(&about.from, &about.to, &rule),
            about.app,
            consequence(&about, effect)
        );
        if about.is_open() && !asked && !confirm(&will)? {
            bail!("nothing was written");
        }
        asked = true;
        if writer.is_none() {
            writer = Some(table.writer().await);
        }
        let rule = Rule { updated_at: Some(now), updated_by: writer.clone(), ..rule.clone() };
        if table.put(&spot, &rule, own.as_ref(), &before).await? {
            let replaced = before.rule.as_ref().map(|it| it.as_ref().map_err(Clone::clone));
            let result = if replaced.is_some() { "replaced" } else { "written" };
            return report(&table, result, &about, &rule, replaced, &notices);
        }
        pause(attempt).await;
    }
    bail!("somebody else keeps changing this rule; nothing was written, try again")
}

/// Takes a rule back.
pub(crate) async fn revoke(revoked: &Revoked, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let (about, spots) = revoked.spots(&table)?;
    let mut asked = revoked.yes;
    let mut taken = None;
    for spot in &spots {
        if let Some(before) = take_back(&table, &about, spot, &mut asked).await? {
            taken = Some(before);
        }
    }
    let About { app, from, to } = &about;
    let result = if taken.is_some() { "revoked" } else { "absent" };
    if table.output == Output::Json {
        let previous = taken.as_ref().and_then(|it| it.as_ref().ok()).map(|rule| Row::new(&about, rule));
        let (app, from, to) = (app.as_str(), from.to_string(), to.to_string());
        say(json!({"result": result, "app": app, "from": from, "to": to, "previous": previous}))?;
    }
    match taken {
        None => bail!("there is no rule from `{from}` to `{to}` in app `{app}`"),
        Some(before) if table.output == Output::Text => say(format!("revoked: {}", what(&about, &before)))?,
        Some(_) => {}
    }
    Ok(Outcome::Done)
}

/// The rule that stood there; `None` when there was none.
async fn take_back(
    table: &Table,
    about: &About,
    spot: &Spot,
    asked: &mut bool,
) -> anyhow::Result<Option<Result<Rule, Fault>>> {
    for attempt in 0..MAX_ATTEMPTS {
        let own = table.get(&spot.key).await?;
        let before = Before::read(spot, own.as_ref());
        let Some(rule) = &before.rule else { return Ok(None) };
        let question = format!("revoke {} in app `{}`\n{}", what(about, rule), about.app, whom(about));
        if about.is_open() && !*asked && !confirm(&question)? {
            bail!("nothing was written");
        }
        *asked = true;
        if table.remove(spot, &before).await? {
            return Ok(before.rule);
        }
        pause(attempt).await;
    }
    bail!("somebody else keeps changing this rule; nothing was written, try again")
}

fn what(about: &About, rule: &Result<Rule, Fault>) -> String {
    match rule {
        Ok(rule) => in_words(&about.from, &about.to, rule),
        Err(_) => format!("the rule from {} to {}", about.from, about.to),
    }
}

/// Who wins is decided by chance, so both must not come again at the same moment.
async fn pause(attempt: u32) {
    tokio::time::sleep(
        Duration::from_millis(10 << attempt.min(6)) + Duration::from_millis(u64::from(std::process::id() % 17)),
    )
    .await;
}

fn report(
    table: &Table,
    result: &str,
    about: &About,
    rule: &Rule,
    replaced: Option<Result<&Rule, Fault>>,
    notices: &[String],
) -> anyhow::Result<Outcome> {
    match table.output {
        Output::Text => {
            say(format!("{result}: {}", in_words(&about.from, &about.to, rule)))?;
            match &replaced {
                Some(Ok(before)) => say(format!("  it was: {}", in_words(&about.from, &about.to, before)))?,
                Some(Err(fault)) => say(format!("  what was there could not be understood: {fault}"))?,
                None => {}
            }
            for notice in notices {
                say(format!("  note: {notice}"))?;
            }
        }
        Output::Json => {
            let previous = replaced.and_then(Result::ok).map(|before| Row::new(about, before));
            let notice = (!notices.is_empty()).then(|| notices.join("; "));
            say(json!({"result": result, "rule": Row::new(about, rule), "previous": previous, "notice": notice}))?;
        }
    }
    Ok(Outcome::Done)
}

fn consequence(about: &About, effect: Effect) -> String {
    match effect {
        Effect::Allow => format!("this opens a door: {}", whom(about)),
        Effect::Deny => format!("this shuts a door: {}", whom(about)),
    }
}

/// Whom a rule with a pattern is about.
fn whom(about: &About) -> String {
    let side = |pattern: &Pattern, verb: &str| match pattern {
        Pattern::Everyone => format!("everybody {verb}"),
        Pattern::Prefix(prefix) => format!("everybody whose id starts with {prefix} {verb}"),
        Pattern::Exact(id) => id.clone(),
    };
    match (&about.from, &about.to) {
        (Pattern::Exact(caller), to) => format!("{caller} calling {}", side(to, "").trim_end()),
        (from, Pattern::Exact(callee)) => format!("{} {callee}", side(from, "calling")),
        (from, _) => format!("{} anybody", side(from, "calling")),
    }
}

/// Says what will be done; on a terminal it asks.
pub(crate) fn confirm(what: &str) -> anyhow::Result<bool> {
    tell(what);
    let mut screen = std::io::stderr();
    if !std::io::stdin().is_terminal() || !screen.is_terminal() {
        return Ok(true);
    }
    write!(screen, "Do it? [y/N] ")?;
    screen.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What stood at a spot before.
pub(crate) struct Before {
    /// As it is stored, for the condition of the write; of a pair the item without its key.
    stored: Option<AttributeValue>,
    /// What it said, where that could be understood.
    pub(crate) rule: Option<Result<Rule, Fault>>,
}

impl Before {
    pub(crate) fn read(spot: &Spot, own: Option<&Attributes>) -> Self {
        let stored = match &spot.entry {
            Some(_) => stored_at(spot, own).cloned(),
            None => own.map(|item| {
                let rule = item.iter().filter(|(name, _)| *name != PK && *name != SK);
                AttributeValue::M(rule.map(|(name, value)| (name.clone(), value.clone())).collect())
            }),
        };
        let rule = stored.clone().map(|value| match value {
            AttributeValue::M(map) => item::read_rule(map),
            _ => Err(Fault("it is no map".to_owned())),
        });
        Self { stored, rule }
    }

    /// The pair's item is as it was.
    fn pair_condition(&self, expression: &mut Expression) -> String {
        let Some(AttributeValue::M(stored)) = &self.stored else {
            let pk = expression.name(PK);
            return format!("attribute_not_exists({pk})");
        };
        let known = ["effect", "media", "hours", "expires_at", "note", "updated_at", "updated_by"];
        let names =
            stored.keys().map(String::as_str).chain(known.into_iter().filter(|name| !stored.contains_key(*name)));
        let each = names.map(|name| {
            let placeholder = expression.name(name);
            match stored.get(name) {
                Some(value) => format!("{placeholder} = {}", expression.value(value.clone())),
                None => format!("attribute_not_exists({placeholder})"),
            }
        });
        each.collect::<Vec<_>>().join(" AND ")
    }

    /// The entry of a list is as it was.
    fn entry_condition(&self, list: &str, entry: &str, expression: &mut Expression) -> String {
        match &self.stored {
            Some(value) => format!("{list}.{entry} = {}", expression.value(value.clone())),
            None => format!("attribute_exists({list}) AND attribute_not_exists({list}.{entry})"),
        }
    }
}

impl Table {
    /// Writes a rule if what stands there is still what was read.
    async fn put(&self, spot: &Spot, rule: &Rule, own: Option<&Attributes>, before: &Before) -> anyhow::Result<bool> {
        let mut expression = Expression::default();
        let rule = item::write_rule(rule);
        let (update, condition) = match &spot.entry {
            None => {
                let condition = before.pair_condition(&mut expression);
                let gone = match &before.stored {
                    Some(AttributeValue::M(stored)) => {
                        stored.keys().filter(|name| !rule.contains_key(*name)).cloned().collect()
                    }
                    _ => Vec::new(),
                };
                let set: Vec<_> = rule
                    .into_iter()
                    .map(|(name, value)| format!("{} = {}", expression.name(&name), expression.value(value)))
                    .collect();
                let remove: Vec<_> = gone.iter().map(|name| expression.name(name)).collect();
                let remove = if remove.is_empty() { String::new() } else { format!(" REMOVE {}", remove.join(", ")) };
                (format!("SET {}{remove}", set.join(", ")), condition)
            }
            Some((list, entry)) => {
                let name = expression.name(list);
                match own.and_then(|item| item.get(*list)) {
                    Some(AttributeValue::M(_)) => {
                        let at = expression.name(entry);
                        let condition = before.entry_condition(&name, &at, &mut expression);
                        (format!("SET {name}.{at} = {}", expression.value(AttributeValue::M(rule))), condition)
                    }
                    Some(_) => bail!(
                        "`{list}` of this item is no map, so nothing can be added to it; see `callgatectl doctor`"
                    ),
                    None => {
                        let map = AttributeValue::M([(entry.clone(), AttributeValue::M(rule))].into());
                        (format!("SET {name} = {}", expression.value(map)), format!("attribute_not_exists({name})"))
                    }
                }
            }
        };
        self.change(Change { key: &spot.key, update, condition: Some(condition), expression }).await
    }

    /// Takes a rule away if it is still the one that was read.
    async fn remove(&self, spot: &Spot, before: &Before) -> anyhow::Result<bool> {
        let mut expression = Expression::default();
        let Some((list, entry)) = &spot.entry else {
            let condition = before.pair_condition(&mut expression);
            return self.delete(&spot.key, condition, expression).await;
        };
        let (list, entry) = (expression.name(list), expression.name(entry));
        let condition = before.entry_condition(&list, &entry, &mut expression);
        let update = format!("REMOVE {list}.{entry}");
        self.change(Change { key: &spot.key, update, condition: Some(condition), expression }).await
    }
}
