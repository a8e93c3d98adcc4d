//! `show`: what stands in the table for an app or a party, what cannot be understood included.

use std::cmp::Reverse;
use std::io;

use anyhow::bail;
use callgate::store::item::{self, Attributes, Key};
use callgate_core::{App, AppKey, EpochSeconds, ParseError, Party, PartyId, Rule, Status, has_expired};
use serde_json::{Value, json};

use crate::connection::{Options as Connection, Output, Table, now};
use crate::moment;
use crate::outcome::Outcome;
use crate::say::{print_line, visible};
use crate::statement::{Row, in_words};
use crate::status::PartyArgs;
use crate::stored::{StoredRule, rules_of};

/// Shows an app or a party.
pub(crate) async fn run(whom: &PartyArgs, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let app = Table::app(&whom.app)?;
    let shown = match whom.party.as_deref().map(|text| table.party(text)).transpose()? {
        None => Shown::app(&table, &app).await?,
        Some(id) => Shown::party(&table, &app, id).await?,
    };
    match table.output {
        Output::Text => shown.as_text()?,
        Output::Json => print_line(shown.as_json())?,
    }
    // Calls are refused because of it, which nobody must overlook.
    Ok(if shown.item.is_ok() { Outcome::Done } else { Outcome::Failed })
}

/// An app or a party with its rules.
struct Shown {
    app: AppKey,
    /// None of an app itself.
    party: Option<PartyId>,
    item: Result<Item, ParseError>,
    /// Who may call: anybody here, or the party.
    incoming: Vec<StoredRule>,
    /// Whom the party may call.
    outgoing: Vec<StoredRule>,
}

/// What an item says besides its rules.
#[derive(Default)]
struct Item {
    status: Status,
    note: Option<String>,
    expires_at: Option<EpochSeconds>,
}

impl From<App> for Item {
    fn from(App { status, note, .. }: App) -> Self {
        Self { status, note, expires_at: None }
    }
}

impl From<Party> for Item {
    fn from(Party { status, note, expires_at, .. }: Party) -> Self {
        Self { status, note, expires_at }
    }
}

impl Shown {
    async fn app(table: &Table, app: &AppKey) -> anyhow::Result<Self> {
        let Some(item) = table.get(&Key::app(app)).await? else {
            bail!("nothing is stored for app `{app}` itself; its parties may have rules all the same");
        };
        let incoming = rules([&item], "callers");
        let item = item::read_app(item).map(Item::from);
        Ok(Self { app: app.clone(), party: None, item, incoming, outgoing: Vec::new() })
    }

    async fn party(table: &Table, app: &AppKey, id: PartyId) -> anyhow::Result<Self> {
        let key = Key::party(app, &id);
        let items = table.query(&key).await?;
        if items.is_empty() {
            bail!(
                "nothing is stored for party `{id}` of app `{app}`; callers' rules to prefixes may reach it all the same"
            );
        }
        let (incoming, outgoing) = (rules(&items, "incoming"), rules(&items, "outgoing"));
        let own = items.into_iter().find(|item| key.is_of(item)).map(item::read_party).transpose();
        let item = own.map(|own| own.map_or_else(Item::default, Item::from));
        Ok(Self { app: app.clone(), party: Some(id), item, incoming, outgoing })
    }

    fn as_text(&self) -> io::Result<()> {
        let Self { app, party, incoming, outgoing, .. } = self;
        let name = party.as_ref().map_or_else(|| format!("app {app}"), |id| format!("party {id} of app {app}"));
        match &self.item {
            Ok(Item { status, note, expires_at }) => {
                print_line(format!("{name}: {}{}", status.as_str(), expiry(*expires_at)))?;
                if let Some(note) = note {
                    print_line(format!("  note: {}", visible(note)))?;
                }
            }
            Err(fault) => {
                print_line(format!(
                    "{name}: cannot be understood, so every call of it is refused: {}",
                    visible(&fault.0)
                ))?;
            }
        }
        if party.is_none() {
            return say_rules("who may call anybody here", incoming);
        }
        say_rules("who may call it", incoming)?;
        say_rules("whom it may call (rules to single parties stand with those parties)", outgoing)
    }

    fn as_json(&self) -> Value {
        let item = self.item.as_ref().ok();
        let mut shown = json!({
            "app": self.app.as_str(), "status": item.map(|it| it.status.as_str()),
            "note": item.and_then(|it| it.note.as_deref()),
        });
        let mut add = |name: &str, value| shown.as_object_mut().and_then(|it| it.insert(name.to_owned(), value));
        if let Err(ParseError(why)) = &self.item {
            add("fault", json!(why));
        }
        match &self.party {
            None => {
                add("callers", rows(&self.incoming));
            }
            Some(id) => {
                add("party", json!(id.as_str()));
                add("expires_at", json!(item.and_then(|it| it.expires_at).map(moment::format)));
                add("incoming", rows(&self.incoming));
                add("outgoing", rows(&self.outgoing));
            }
        }
        shown
    }
}

fn expiry(expires_at: Option<EpochSeconds>) -> String {
    match expires_at {
        None => String::new(),
        Some(at) if has_expired(Some(at), now()) => {
            format!(", expired at {}, so it counts as absent", moment::format(at))
        }
        Some(at) => format!(", until {}", moment::format(at)),
    }
}

/// The rules of a list, the longest first; pairs are about who may call.
fn rules<'a>(items: impl IntoIterator<Item = &'a Attributes>, list: &str) -> Vec<StoredRule> {
    let all = items.into_iter().filter_map(rules_of).flatten();
    let mut rules: Vec<_> = all.filter(|rule| rule.list.unwrap_or("incoming") == list).collect();
    rules.sort_by_cached_key(|rule| {
        let other = if list == "outgoing" { &rule.to } else { &rule.from };
        (other.ends_with('*'), Reverse(if other.ends_with('*') { other.len() } else { 0 }), other.clone())
    });
    rules
}

fn say_rules(heading: &str, rules: &[StoredRule]) -> io::Result<()> {
    print_line(format!("{heading}:"))?;
    if rules.is_empty() {
        print_line("  no rules")?;
    }
    for StoredRule { from, to, rule, .. } in rules {
        match rule {
            Ok(rule) => print_line(format!("  {}{}{}", in_words(from, to, rule), expired(rule), written(rule)))?,
            Err(fault) => {
                print_line(format!(
                    "  {} to {}: cannot be understood: {}",
                    visible(from),
                    visible(to),
                    visible(&fault.0)
                ))?;
            }
        }
    }
    Ok(())
}

fn expired(rule: &Rule) -> &'static str {
    if has_expired(rule.expires_at, now()) { " [expired]" } else { "" }
}

fn written(rule: &Rule) -> String {
    match (&rule.updated_by, rule.updated_at) {
        (Some(by), Some(at)) => format!(" [{}, {}]", visible(by), moment::format(at)),
        _ => String::new(),
    }
}

/// As `import` takes them, with who wrote them and when; of what was not understood what is wrong with it.
fn rows(rules: &[StoredRule]) -> Value {
    let row = |StoredRule { app, from, to, rule, .. }: &StoredRule| match rule {
        Ok(rule) => {
            let mut row = json!(Row::of(app, from, to, rule));
            if let Some(row) = row.as_object_mut() {
                row.insert("updated_at".to_owned(), json!(rule.updated_at.map(moment::format)));
                row.insert("updated_by".to_owned(), json!(rule.updated_by));
            }
            row
        }
        Err(fault) => json!({"app": app, "from": from, "to": to, "fault": fault.0}),
    };
    rules.iter().map(row).collect()
}
