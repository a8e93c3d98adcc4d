//! `show`: what stands in the table for an app or a party.

use std::cmp::Reverse;

use anyhow::bail;
use callgate::store::item::{self, Attributes, Key};
use callgate_core::{App, AppKey, EpochSeconds, Fault, Found, Party, PartyId, Pattern, Rule, Rules};
use serde_json::{Value, json};

use crate::connection::{Options as Connection, Output, Table, now};
use crate::items::Named;
use crate::moment;
use crate::outcome::Outcome;
use crate::statement::{About, Row, in_words};
use crate::status::Whom;

/// A rule with whom it is about, in its place or not understood.
type Line = (About, Result<Rule, Fault>);

/// Shows an app or a party.
pub(crate) async fn run(whom: &Whom, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let app = Table::app(&whom.app)?;
    match whom.party.as_deref().map(|text| table.party(text)).transpose()? {
        None => show_app(&table, &app).await,
        Some(id) => show_party(&table, &app, &id).await,
    }
}

async fn show_app(table: &Table, key: &AppKey) -> anyhow::Result<Outcome> {
    let found: Found<App> = table.get(&Key::app(key)).await?.map(item::read_app).transpose();
    let app = match found {
        Ok(Some(app)) => app,
        Ok(None) => bail!("nothing is stored for app `{key}` itself; its parties may have rules all the same"),
        Err(fault) => bail!("app `{key}` cannot be understood, and refuses every call: {fault}"),
    };
    let callers = lines(&app.callers, |from| About { app: key.clone(), from, to: Pattern::Everyone });
    match table.output {
        Output::Text => {
            println!("app {key}: {}", app.status.as_str());
            print_note(app.note.as_deref());
            print_rules("who may call anybody here", &callers);
        }
        Output::Json => println!(
            "{}",
            json!({"app": key.as_str(), "status": app.status.as_str(), "note": app.note, "callers": rows(&callers)})
        ),
    }
    Ok(Outcome::Done)
}

async fn show_party(table: &Table, app: &AppKey, id: &PartyId) -> anyhow::Result<Outcome> {
    let key = Key::party(app, id);
    let items = table.query(&key).await?;
    if items.is_empty() {
        bail!(
            "nothing is stored for party `{id}` of app `{app}`; callers' rules to prefixes may reach it all the same"
        );
    }
    let (own, pairs): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| key.is_of(item));
    let found: Found<Party> = own.into_iter().next().map(item::read_party).transpose();
    let party = match found {
        Ok(party) => party.unwrap_or_default(),
        Err(fault) => {
            bail!("party `{id}` of app `{app}` cannot be understood, and every call of it is refused: {fault}")
        }
    };
    let exact = || Pattern::Exact(id.to_string());
    let mut incoming = pair_lines(app, id, pairs);
    incoming.extend(lines(&party.incoming, |from| About { app: app.clone(), from, to: exact() }));
    let outgoing = lines(&party.outgoing, |to| About { app: app.clone(), from: exact(), to });
    print_party(table, app, id, &party, &incoming, &outgoing);
    Ok(Outcome::Done)
}

fn print_party(table: &Table, app: &AppKey, id: &PartyId, party: &Party, incoming: &[Line], outgoing: &[Line]) {
    match table.output {
        Output::Text => {
            println!("party {id} of app {app}: {}{}", party.status.as_str(), expiry(party.expires_at));
            print_note(party.note.as_deref());
            print_rules("who may call it", incoming);
            print_rules("whom it may call (rules to single parties stand with those parties)", outgoing);
        }
        Output::Json => println!(
            "{}",
            json!({
                "app": app.as_str(), "party": id.as_str(), "status": party.status.as_str(), "note": party.note,
                "expires_at": party.expires_at.map(moment::format), "incoming": rows(incoming), "outgoing": rows(outgoing),
            })
        ),
    }
}

fn expiry(expires_at: Option<EpochSeconds>) -> String {
    match expires_at {
        None => String::new(),
        Some(at) if at <= now() => format!(", expired at {}: counts as absent", moment::format(at)),
        Some(at) => format!(", until {}", moment::format(at)),
    }
}

fn pair_lines(app: &AppKey, callee: &PartyId, pairs: Vec<Attributes>) -> Vec<Line> {
    let line = |item: Attributes| {
        let Some(Named::Pair(_, _, caller)) = Named::of(&item) else { return None };
        let about = About { app: app.clone(), from: Pattern::Exact(caller), to: Pattern::Exact(callee.to_string()) };
        Some((about, item::read_pair(item)))
    };
    pairs.into_iter().filter_map(line).collect()
}

/// The rules of a list, the longest first.
fn lines(rules: &Rules, about: impl Fn(Pattern) -> About) -> Vec<Line> {
    let mut sorted: Vec<_> = rules.iter().collect();
    sorted.sort_by_cached_key(|(pattern, _)| {
        let text = pattern.to_string();
        (!matches!(pattern, Pattern::Exact(_)), Reverse(text.len()), text)
    });
    sorted.into_iter().map(|(pattern, rule)| (about(pattern.clone()), rule.cloned().map_err(Clone::clone))).collect()
}

fn print_note(note: Option<&str>) {
    if let Some(note) = note {
        println!("  note: {note}");
    }
}

fn print_rules(heading: &str, rules: &[Line]) {
    println!("{heading}:");
    if rules.is_empty() {
        println!("  no rules");
    }
    for (about, rule) in rules {
        match rule {
            Ok(rule) => println!("  {}{}{}", in_words(about, rule), expired(rule), written(rule)),
            Err(fault) => println!("  {} to {}: cannot be understood: {fault}", about.from, about.to),
        }
    }
}

fn expired(rule: &Rule) -> &'static str {
    if rule.expires_at.is_some_and(|at| at <= now()) { " [expired]" } else { "" }
}

fn written(rule: &Rule) -> String {
    match (&rule.updated_by, rule.updated_at) {
        (Some(by), Some(at)) => format!(" [{by}, {}]", moment::format(at)),
        _ => String::new(),
    }
}

/// As `import` takes them, with who wrote them and when; of what was not understood what is wrong with it.
fn rows(rules: &[Line]) -> Value {
    let row = |(about, rule): &Line| match rule {
        Ok(rule) => {
            let mut row = json!(Row::new(about, rule));
            if let Some(row) = row.as_object_mut() {
                row.insert("updated_at".to_owned(), json!(rule.updated_at.map(moment::format)));
                row.insert("updated_by".to_owned(), json!(rule.updated_by));
            }
            row
        }
        Err(fault) => {
            json!({"app": about.app.as_str(), "from": about.from.to_string(), "to": about.to.to_string(), "fault": fault.0})
        }
    };
    rules.iter().map(row).collect()
}
