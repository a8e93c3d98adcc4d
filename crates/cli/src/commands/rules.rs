//! `allow`, `deny`, `revoke`: one rule, said once.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::bail;
use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, PK, SK};
use callgate_core::{Effect, EpochSeconds, Hours, ParseError, Pattern, Rule, Window};
use clap::Args;
use serde_json::json;

use crate::connection::{Options as Connection, Output, Table, now};
use crate::dialled::DialPlanWarning;
use crate::items::{Change, Expression};
use crate::moment;
use crate::outcome::{Outcome, usage};
use crate::redundancy::why_redundant;
use crate::say::{print_line, print_note};
use crate::statement::{Row, RuleLocation, RuleTarget, in_words, parse_media, same, stored_at};

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
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    parties: Parties,
    /// Take --from and --to letter by letter, as doctor shows them, for what no spelling of today leads to
    #[arg(long)]
    exactly: bool,
    /// Ask no question before a rule that is about more than one party
    #[arg(long, short)]
    yes: bool,
}

impl RevokeArgs {
    /// Where the rule may stand: of two parties also in a list, where somebody else's tool put it.
    fn locations(&self, table: &Table) -> anyhow::Result<(RuleTarget, Vec<RuleLocation>)> {
        if !self.exactly {
            let target = self.parties.target(table)?;
            let location = target.location()?;
            return Ok((target, vec![location]));
        }
        let Parties { app, from, to } = &self.parties;
        let app = Table::app(app)?;
        Ok((
            RuleTarget { app: app.clone(), from: Pattern::from_stored(from), to: Pattern::from_stored(to) },
            RuleLocation::as_stored(&app, from, to),
        ))
    }
}

/// A rule to write.
#[derive(Debug, Clone, Args)]
pub(crate) struct RuleArgs {
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
    fn target(&self, table: &Table) -> anyhow::Result<RuleTarget> {
        Ok(RuleTarget { app: Table::app(&self.app)?, from: table.pattern(&self.from)?, to: table.pattern(&self.to)? })
    }
}

impl RuleArgs {
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
pub(crate) async fn write(effect: Effect, said: &RuleArgs, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let now = now();
    let target = said.parties.target(&table)?;
    let owner = target.owner()?;
    let location = target.location_of(&owner);
    let rule = said.rule(effect, now)?;
    let mut asked = said.yes;
    let mut writer = None;
    for attempt in 0..MAX_ATTEMPTS {
        let (around, own) = Box::pin(table.around(&target, &owner)).await?;
        let before = PreviousRule::read(&location, own.as_ref());
        let why_redundant = why_redundant(&target, &rule, &around, now)
            .map(|why| format!("as things stand, this rule cannot change any answer: {why}"));
        let dialled = DialPlanWarning::for_target(&target, &table.plan).map(|(_, note)| note);
        let notices: Vec<_> = dialled.into_iter().chain(why_redundant).collect();
        if matches!(&before.rule, Some(Ok(before)) if same(before, &rule)) {
            return report(&table, "unchanged", &target, &rule, None, &notices);
        }
        let will = format!(
            "{} in app `{}`\n{}",
            in_words(&target.from, &target.to, &rule),
            target.app,
            consequence(&target, effect)
        );
        if target.has_pattern() && !asked && !confirm(&will)? {
            bail!("nothing was written");
        }
        asked = true;
        if writer.is_none() {
            writer = Some(table.writer().await);
        }
        let rule = Rule { updated_at: Some(now), updated_by: writer.clone(), ..rule.clone() };
        if table.put(&location, &rule, own.as_ref(), &before).await? {
            let replaced = before.rule.as_ref().map(|it| it.as_ref().map_err(Clone::clone));
            let result = if replaced.is_some() { "replaced" } else { "written" };
            return report(&table, result, &target, &rule, replaced, &notices);
        }
        pause(attempt).await;
    }
    bail!("somebody else keeps changing this rule; nothing was written, try again")
}

/// Takes a rule back.
pub(crate) async fn revoke(revoked: &RevokeArgs, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let (target, locations) = revoked.locations(&table)?;
    let mut asked = revoked.yes;
    let mut taken = None;
    for location in &locations {
        if let Some(before) = take_back(&table, &target, location, &mut asked).await? {
            taken = Some(before);
        }
    }
    let RuleTarget { app, from, to } = &target;
    let result = if taken.is_some() { "revoked" } else { "absent" };
    if table.output == Output::Json {
        let previous = taken.as_ref().and_then(|it| it.as_ref().ok()).map(|rule| Row::new(&target, rule));
        let (app, from, to) = (app.as_str(), from.to_string(), to.to_string());
        print_line(json!({"result": result, "app": app, "from": from, "to": to, "previous": previous}))?;
    }
    match taken {
        None => bail!("there is no rule from `{from}` to `{to}` in app `{app}`"),
        Some(before) if table.output == Output::Text => print_line(format!("revoked: {}", what(&target, &before)))?,
        Some(_) => {}
    }
    Ok(Outcome::Done)
}

/// The rule that stood there; `None` when there was none.
async fn take_back(
    table: &Table,
    target: &RuleTarget,
    location: &RuleLocation,
    asked: &mut bool,
) -> anyhow::Result<Option<Result<Rule, ParseError>>> {
    for attempt in 0..MAX_ATTEMPTS {
        let own = table.get(&location.key).await?;
        let before = PreviousRule::read(location, own.as_ref());
        let Some(rule) = &before.rule else { return Ok(None) };
        let question = format!("revoke {} in app `{}`\n{}", what(target, rule), target.app, whom(target));
        if target.has_pattern() && !*asked && !confirm(&question)? {
            bail!("nothing was written");
        }
        *asked = true;
        if table.remove(location, &before).await? {
            return Ok(before.rule);
        }
        pause(attempt).await;
    }
    bail!("somebody else keeps changing this rule; nothing was written, try again")
}

fn what(target: &RuleTarget, rule: &Result<Rule, ParseError>) -> String {
    match rule {
        Ok(rule) => in_words(&target.from, &target.to, rule),
        Err(_) => format!("the rule from {} to {}", target.from, target.to),
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
    target: &RuleTarget,
    rule: &Rule,
    replaced: Option<Result<&Rule, ParseError>>,
    notices: &[String],
) -> anyhow::Result<Outcome> {
    match table.output {
        Output::Text => {
            print_line(format!("{result}: {}", in_words(&target.from, &target.to, rule)))?;
            match &replaced {
                Some(Ok(before)) => print_line(format!("  it was: {}", in_words(&target.from, &target.to, before)))?,
                Some(Err(fault)) => print_line(format!("  what was there could not be understood: {fault}"))?,
                None => {}
            }
            for notice in notices {
                print_line(format!("  note: {notice}"))?;
            }
        }
        Output::Json => {
            let previous = replaced.and_then(Result::ok).map(|before| Row::new(target, before));
            let notice = (!notices.is_empty()).then(|| notices.join("; "));
            print_line(
                json!({"result": result, "rule": Row::new(target, rule), "previous": previous, "notice": notice}),
            )?;
        }
    }
    Ok(Outcome::Done)
}

fn consequence(target: &RuleTarget, effect: Effect) -> String {
    match effect {
        Effect::Allow => format!("this opens a door: {}", whom(target)),
        Effect::Deny => format!("this shuts a door: {}", whom(target)),
    }
}

/// Describes the parties that a rule with a pattern is about.
fn whom(target: &RuleTarget) -> String {
    let side = |pattern: &Pattern, verb: &str| match pattern {
        Pattern::Everyone => format!("everybody {verb}"),
        Pattern::Prefix(prefix) => format!("everybody whose id starts with {prefix} {verb}"),
        Pattern::Exact(id) => id.clone(),
    };
    match (&target.from, &target.to) {
        (Pattern::Exact(caller), to) => format!("{caller} calling {}", side(to, "").trim_end()),
        (from, Pattern::Exact(callee)) => format!("{} {callee}", side(from, "calling")),
        (from, _) => format!("{} anybody", side(from, "calling")),
    }
}

/// Says what will be done; on a terminal it asks.
pub(crate) fn confirm(what: &str) -> anyhow::Result<bool> {
    print_note(what);
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
pub(crate) struct PreviousRule {
    /// As it is stored, for the condition of the write; of a pair the item without its key.
    stored: Option<AttributeValue>,
    /// What it said, where that could be understood.
    pub(crate) rule: Option<Result<Rule, ParseError>>,
}

impl PreviousRule {
    pub(crate) fn read(location: &RuleLocation, own: Option<&Attributes>) -> Self {
        let stored = match &location.entry {
            Some(_) => stored_at(location, own).cloned(),
            None => own.map(|item| {
                let rule = item.iter().filter(|(name, _)| *name != PK && *name != SK);
                AttributeValue::M(rule.map(|(name, value)| (name.clone(), value.clone())).collect())
            }),
        };
        let rule = stored.clone().map(|value| match value {
            AttributeValue::M(map) => item::read_rule(map),
            _ => Err(ParseError("it is no map".to_owned())),
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
    async fn put(
        &self,
        location: &RuleLocation,
        rule: &Rule,
        own: Option<&Attributes>,
        before: &PreviousRule,
    ) -> anyhow::Result<bool> {
        let mut expression = Expression::default();
        let rule = item::write_rule(rule);
        let (update, condition) = match &location.entry {
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
        self.change(Change { key: &location.key, update, condition: Some(condition), expression }).await
    }

    /// Takes a rule away if it is still the one that was read.
    async fn remove(&self, location: &RuleLocation, before: &PreviousRule) -> anyhow::Result<bool> {
        let mut expression = Expression::default();
        let Some((list, entry)) = &location.entry else {
            let condition = before.pair_condition(&mut expression);
            return self.delete(&location.key, condition, expression).await;
        };
        let (list, entry) = (expression.name(list), expression.name(entry));
        let condition = before.entry_condition(&list, &entry, &mut expression);
        let update = format!("REMOVE {list}.{entry}");
        self.change(Change { key: &location.key, update, condition: Some(condition), expression }).await
    }
}
