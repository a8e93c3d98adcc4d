//! `doctor`: what stands in the table and does not mean what somebody thought.
//!
//! `items` looks at an item as a whole, `rules` at each rule by itself, `others` at what a rule means among the others;
//! `finding` is what they report, and `mend` is what `--fix` does about it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use anstyle::Style;
use callgate::store::item::Attributes;
use callgate_core::{App, EpochSeconds, ParsedItem, Party, Rule};
use clap::Args;
use serde_json::json;

use self::finding::Finding;
use self::mend::Fix;
use crate::connection::{Options as Connection, Output, Table, now};
use crate::items::ItemKind;
use crate::outcome::Outcome;
use crate::say::{count, print_line, visible};
use crate::statement::RuleTarget;
use crate::stored::rules_of;

mod finding;
mod items;
mod mend;
mod others;
mod rules;

/// How many scans read the table at once.
const SEGMENTS: u16 = 4;

/// What to do about what is found.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Mend what has one safe mend: expired rules go, moments in milliseconds become seconds
    #[arg(long)]
    fix: bool,
}

/// Looks at every item.
pub(crate) async fn run(options: &Options, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let mut doctor = Doctor::new(table.clone(), now());
    let mut pages = table.scan(SEGMENTS);
    while let Some(page) = pages.recv().await {
        for item in page? {
            doctor.take(&item);
        }
    }
    doctor.look_around();
    let Doctor { items, rules, found, now, .. } = doctor;
    let (mut findings, mut mended) = (BTreeSet::new(), Vec::new());
    let writer = if options.fix { table.writer().await } else { String::new() };
    for (finding, fix) in found {
        match fix {
            // What was changed meanwhile stays a finding.
            Some(fix) if options.fix && table.mend(&fix, &writer, now).await? => mended.push(finding.title()),
            _ => {
                findings.insert(finding);
            }
        }
    }
    let outcome = if findings.is_empty() { Outcome::Done } else { Outcome::Findings };
    if table.output == Output::Json {
        print_line(json!({"findings": findings, "mended": mended, "items": items, "rules": rules}))?;
        return Ok(outcome);
    }
    for title in mended {
        print_line(format!("mended: {}", visible(&title)))?;
    }
    findings.iter().try_for_each(report)?;
    let seen = format!("{} and {} looked at", count(items, "item"), count(rules, "rule"));
    print_line(format!("{seen}, {}", count(findings.len() as u64, "finding")))?;
    Ok(outcome)
}

fn report(finding: &Finding) -> io::Result<()> {
    let bold = Style::new().bold();
    print_line(format!(
        "{bold}{}{bold:#}\n  {}\n  {}",
        visible(&finding.title()),
        visible(&finding.what),
        visible(&finding.why)
    ))?;
    if let Some(mend) = &finding.mend {
        print_line(format!("  mend: {}", visible(mend)))?;
    }
    Ok(())
}

/// What was seen so far. Apps and parties are kept for what their rules mean to others, and so are pairs.
struct Doctor {
    table: Table,
    now: EpochSeconds,
    items: u64,
    rules: u64,
    found: Vec<(Finding, Option<Fix>)>,
    apps: HashMap<String, ParsedItem<App>>,
    parties: HashMap<(String, String), ParsedItem<Party>>,
    /// Every id that is named anywhere in an app.
    ids: HashMap<String, BTreeSet<String>>,
    /// The rules that can be understood and match somebody, and whether they stand in a list.
    sound: Vec<(RuleTarget, Rule, bool)>,
    /// How many rules stand at each party.
    loads: BTreeMap<(String, String), u64>,
}

impl Doctor {
    fn new(table: Table, now: EpochSeconds) -> Self {
        Self {
            table,
            now,
            items: 0,
            rules: 0,
            found: Vec::new(),
            apps: HashMap::new(),
            parties: HashMap::new(),
            ids: HashMap::new(),
            sound: Vec::new(),
            loads: BTreeMap::new(),
        }
    }

    fn take(&mut self, item: &Attributes) {
        self.items += 1;
        let (Some(named), Some(rules)) = (ItemKind::of(item), rules_of(item)) else { return self.foreign(item) };
        self.item(&named, item);
        for stored in rules {
            self.rules += 1;
            self.rule(item, &stored);
        }
    }

    fn find(&mut self, finding: Finding) {
        self.found.push((finding, None));
    }
}
