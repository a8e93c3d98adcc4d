//! `doctor`: what stands in the table and does not mean what somebody thought.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::IsTerminal as _;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, EXPIRES_AT, Key, PK, SK};
use callgate_core::{
    App, AppKey, DialPlan, Effect, EpochSeconds, Fault, Found, IdError, Party, PartyId, Pattern, Rule, Status,
};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::connection::{Options as Connection, Output, Table, now};
use crate::items::{Change, Expression, Named, canonical, keys};
use crate::moment::{self, MILLISECONDS_FROM};
use crate::outcome::Outcome;
use crate::shadow::{Surroundings, idle};
use crate::statement::{About, in_words};
use crate::stored::{Stored, rules_of};

/// How many scans read the table at once.
const SEGMENTS: u16 = 4;

/// A strongly consistent read costs one unit for each of these.
const UNIT_BYTES: usize = 4 * 1024;

/// Fewer known parties than these say nothing about what most of them are.
const MIN_PARTIES: usize = 20;

/// Every attribute that some item has.
const KNOWN: [&str; 8] = [PK, SK, "status", "callers", "incoming", "outgoing", "note", EXPIRES_AT];

/// What to do about what is found.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Mend what has one safe mend: expired rules go, moments in milliseconds become seconds
    #[arg(long)]
    fix: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Finding {
    app: String,
    /// The rule or the item.
    r#where: String,
    /// One stable word.
    kind: &'static str,
    what: String,
    why: String,
    /// The command that mends it.
    mend: Option<String>,
    fixable: bool,
}

/// The one safe mend of a finding.
#[derive(Debug, Clone)]
struct Fix {
    key: Key,
    /// The list and the entry; none, and it is about the item itself.
    entry: Option<(&'static str, String)>,
    /// What must still stand there.
    expected: AttributeValue,
    action: Action,
    said: String,
}

#[derive(Debug, Clone)]
enum Action {
    Remove,
    SetExpiry(EpochSeconds),
}

/// Looks at every item.
pub(crate) async fn run(options: &Options, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let mut doctor = Doctor { plan: table.plan.clone(), now: now(), ..Doctor::default() };
    let mut pages = table.scan(SEGMENTS);
    while let Some(page) = pages.recv().await {
        for item in page? {
            doctor.take(&item);
        }
    }
    doctor.look_around();
    let mut mended = Vec::new();
    if options.fix {
        for fix in &doctor.fixes {
            if table.mend(fix).await? {
                mended.push(fix.said.clone());
            }
        }
        // What was changed meanwhile stays a finding.
        doctor.findings.retain(|finding| !(finding.fixable && mended.contains(&fixed(finding))));
    }
    doctor.findings.sort();
    doctor.findings.dedup();
    report(&table, &doctor, &mended);
    Ok(if doctor.findings.is_empty() { Outcome::Done } else { Outcome::Findings })
}

fn report(table: &Table, doctor: &Doctor, mended: &[String]) {
    let Doctor { findings, items, rules, .. } = doctor;
    if table.output == Output::Json {
        println!("{}", json!({"findings": findings, "mended": mended, "items": items, "rules": rules}));
        return;
    }
    let (bold, plain) = if is_colourful() { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    for what in mended {
        println!("mended: {what}");
    }
    for finding in findings {
        let Finding { r#where, kind, what, why, mend, fixable, .. } = finding;
        println!("{bold}{kind}: {where}{plain}\n  {what}\n  {why}");
        if let Some(mend) = mend {
            println!("  mend: {mend}");
        }
        if *fixable {
            println!("  or:   callgatectl doctor --fix");
        }
    }
    let count = findings.len();
    println!("{items} items and {rules} rules looked at, {count} findings");
}

/// Colour is for people who look at a terminal and have not asked for none.
fn is_colourful() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn fixed(finding: &Finding) -> String {
    format!("{}: {}", finding.kind, finding.r#where)
}

/// What was seen so far. Apps and parties are kept for what their rules mean to others, and so are pairs.
#[derive(Default)]
struct Doctor {
    plan: DialPlan,
    now: EpochSeconds,
    items: u64,
    rules: u64,
    findings: Vec<Finding>,
    fixes: Vec<Fix>,
    apps: HashMap<String, Found<App>>,
    parties: HashMap<(String, String), Found<Party>>,
    /// Every id that is named anywhere in an app.
    ids: HashMap<String, BTreeSet<String>>,
    /// The rules that can be understood and match somebody.
    sound: Vec<(About, Rule, bool)>,
    /// How many rules stand at each party.
    loads: BTreeMap<(String, String), u64>,
}

impl Doctor {
    fn take(&mut self, item: &Attributes) {
        self.items += 1;
        let (Some(named), Some(rules)) = (Named::of(item), rules_of(item)) else {
            let place = keys(item).map_or_else(|| "an item".to_owned(), |(pk, sk)| format!("item `{pk}`, `{sk}`"));
            self.find(Finding {
                app: String::new(),
                r#where: place,
                kind: "foreign_item",
                what: "its key is none of callgate's".to_owned(),
                why: "the function never reads it; a rule in it has no effect".to_owned(),
                mend: Some(delete_command(item)),
                fixable: false,
            });
            return;
        };
        self.size(&named, item);
        match &named {
            Named::App(app) => {
                self.whole(&named, item::read_app(item.clone()).err());
                self.attributes(&named, item, &["callers"]);
                self.apps.insert(app.clone(), item::read_app(item.clone()).map(Some));
            }
            Named::Party(app, id) => {
                self.party(&named, app, id, item);
            }
            Named::Pair(app, callee, caller) => {
                for id in [callee, caller] {
                    self.ids.entry(app.clone()).or_default().insert(id.clone());
                }
            }
        }
        let (pk, sk) = keys(item).unwrap_or_default();
        let key = Key { pk: pk.to_owned(), sk: sk.to_owned() };
        for stored in rules {
            self.rules += 1;
            let value = match stored.list {
                Some(list) => item.get(list).and_then(|it| it.as_m().ok()).and_then(|map| map.get(&stored.entry)),
                None => None,
            };
            self.rule(&key, item, value, &stored);
        }
    }

    fn party(&mut self, named: &Named, app: &str, id: &str, item: &Attributes) {
        let found = item::read_party(item.clone());
        self.whole(named, found.as_ref().err().cloned());
        self.attributes(named, item, &["incoming", "outgoing", EXPIRES_AT]);
        self.canonical_id(app, id, &place(named), Some(delete_command(item)));
        self.ids.entry(app.to_owned()).or_default().insert(id.to_owned());
        if let (Ok(party), Some(expires_at)) = (&found, item.get(EXPIRES_AT)) {
            let key = keys(item).map(|(pk, sk)| Key { pk: pk.to_owned(), sk: sk.to_owned() });
            if let (Some(key), Some(at)) = (key, party.expires_at) {
                self.expiry(app, &place(named), &key, None, expires_at, at, true);
            }
        }
        self.parties.insert((app.to_owned(), id.to_owned()), found.map(Some));
    }

    /// An item that cannot be understood as a whole refuses every call it is read for.
    fn whole(&mut self, named: &Named, fault: Option<Fault>) {
        let Some(fault) = fault else { return };
        self.find(Finding {
            app: named.app().to_owned(),
            r#where: place(named),
            kind: "invalid_record",
            what: fault.0,
            why: "the function refuses every call it reads this item for, as `invalid_record`".to_owned(),
            mend: (matches!(named, Named::App(_) | Named::Party(..)))
                .then(|| format!("{}, if its status is what is wrong", resume_command(named))),
            fixable: false,
        });
    }

    fn attributes(&mut self, named: &Named, item: &Attributes, own: &[&str]) {
        let common = [PK, SK, "status", "note"];
        for name in item.keys().filter(|name| !common.contains(&name.as_str()) && !own.contains(&name.as_str())) {
            let why = if name == EXPIRES_AT {
                "DynamoDB deletes the whole item at that moment, rules and suspension included".to_owned()
            } else if KNOWN.contains(&name.as_str()) {
                "the function ignores it here: such rules belong to another item".to_owned()
            } else {
                "the function ignores it; a misspelt name looks like this".to_owned()
            };
            self.findings.push(Finding {
                app: named.app().to_owned(),
                r#where: place(named),
                kind: "unknown_attribute",
                what: format!("`{name}` is no attribute of such an item"),
                why,
                mend: Some(remove_attribute_command(item, name)),
                fixable: false,
            });
        }
    }

    fn size(&mut self, named: &Named, item: &Attributes) {
        let bytes: usize = item.iter().map(|(name, value)| name.len() + bytes_of(value)).sum();
        let units = bytes.div_ceil(UNIT_BYTES);
        if units > 1 {
            self.find(Finding {
                app: named.app().to_owned(),
                r#where: place(named),
                kind: "too_big",
                what: format!("it is about {} KB long", bytes.div_ceil(1024)),
                why: format!(
                    "every call that reads it costs {units} read units instead of 1; DynamoDB takes 400 KB at most"
                ),
                mend: Some(format!("{}, then revoke rules that a shorter prefix can say", show_command(named))),
                fixable: false,
            });
        }
    }

    /// An id that no call can have.
    fn canonical_id(&mut self, app: &str, id: &str, place: &str, mend: Option<String>) -> bool {
        if canonical(id, &self.plan).is_some() {
            return true;
        }
        let what = match PartyId::new(id, &self.plan) {
            Ok(other) => format!("`{id}` is not how calls name it: under this dial plan they say `{other}`"),
            Err(error) => format!("`{id}` {error}"),
        };
        self.find(Finding {
            app: app.to_owned(),
            r#where: place.to_owned(),
            kind: "never_matches",
            what,
            why: "no call can match it, so it has no effect".to_owned(),
            mend,
            fixable: false,
        });
        false
    }

    fn rule(&mut self, key: &Key, item: &Attributes, value: Option<&AttributeValue>, stored: &Stored) {
        let Stored { app, from, to, list, entry, rule } = stored;
        let place = format!("rule from `{from}` to `{to}` of app `{app}`");
        let revoke =
            format!("callgatectl revoke --exactly --app {} --from {} --to {}", quote(app), quote(from), quote(to));
        *self.loads.entry((app.clone(), if *list == Some("outgoing") { from } else { to }.clone())).or_default() += 1;
        let rule = match rule {
            Ok(rule) => rule,
            Err(fault) => {
                let kind =
                    if fault.0.ends_with("is no attribute of a rule") { "unknown_attribute" } else { "invalid_record" };
                self.find(Finding {
                    app: app.clone(),
                    r#where: place,
                    kind,
                    what: fault.0.clone(),
                    why: "the function refuses every call it matches, as `invalid_record`".to_owned(),
                    mend: Some(format!("{revoke}, then say it again")),
                    fixable: false,
                });
                return;
            }
        };
        let spot = list.map(|list| (list, entry.clone()));
        let own_expiry = match value {
            Some(AttributeValue::M(map)) => map.get(EXPIRES_AT),
            _ => item.get(EXPIRES_AT),
        };
        if let (Some(expected), Some(at)) = (own_expiry, expires_at_of(own_expiry)) {
            // Of an entry the whole rule must still be what it was when it is removed.
            let is_expired = at <= self.now;
            let whole = if is_expired { value.unwrap_or(expected) } else { expected };
            self.expiry(app, &place, key, spot.clone(), whole, at, false);
            if is_expired {
                return;
            }
        }
        let say = format!(
            "{revoke} && callgatectl {} --app {} --from {} --to {}",
            rule.effect.as_str(),
            quote(app),
            quote(from),
            quote(to)
        );
        let whole_party_is_off = list.is_some() && *list != Some("callers");
        let mut is_sound = true;
        for side in [from, to] {
            // Of a party's own list the party itself has been looked at already.
            let is_own = whole_party_is_off && side == if *list == Some("incoming") { to } else { from };
            let is_fine = if side.ends_with('*') {
                self.canonical_prefix(app, side, &place, Some(say.clone()))
            } else if is_own {
                canonical(side, &self.plan).is_some()
            } else {
                self.canonical_id(app, side, &place, Some(say.clone()))
            };
            is_sound = is_sound && is_fine;
        }
        if self.never_opens(rule) {
            self.find(Finding {
                app: app.clone(),
                r#where: place.clone(),
                kind: "never_opens",
                what: match &rule.hours {
                    Some(hours) if !hours.windows().is_empty() => format!("none of {hours} comes before it expires"),
                    _ => "its `hours` hold no window".to_owned(),
                },
                why: "it never applies, so it has no effect".to_owned(),
                mend: Some(revoke.clone()),
                fixable: false,
            });
            return;
        }
        if list.is_some() && *list != Some("callers") && !entry.ends_with('*') {
            self.find(Finding {
                app: app.clone(),
                r#where: place,
                kind: "misplaced",
                what: format!("it stands in a list (`{}`), where only patterns belong", list.unwrap_or_default()),
                why: "it counts at one door only, and every call of the party reads it".to_owned(),
                mend: Some(say),
                fixable: false,
            });
        }
        if is_sound && let Ok(key) = AppKey::new(app) {
            let about = About { app: key, from: Pattern::from_stored(from), to: Pattern::from_stored(to) };
            self.sound.push((about, rule.clone(), list.is_some()));
        }
    }

    /// A prefix that no number under this dial plan starts with, or only short ones.
    fn canonical_prefix(&mut self, app: &str, pattern: &str, place: &str, mend: Option<String>) -> bool {
        let stored = Pattern::from_stored(pattern);
        let said = Pattern::new(pattern, &self.plan);
        if said.as_ref().ok() != Some(&stored) {
            let what = match said {
                Ok(other) => format!("`{pattern}` is not how calls spell it: they say `{other}`"),
                Err(error) => format!("`{pattern}` {error}"),
            };
            self.find(Finding {
                app: app.to_owned(),
                r#where: place.to_owned(),
                kind: "never_matches",
                what,
                why: "no call can match it, so it has no effect".to_owned(),
                mend,
                fixable: false,
            });
            return false;
        }
        let Pattern::Prefix(prefix) = stored else { return true };
        let Some((instead, is_long)) = international_prefix(&prefix, &self.plan) else { return true };
        self.find(Finding {
            app: app.to_owned(),
            r#where: place.to_owned(),
            kind: "never_matches",
            what: format!("under this dial plan numbers that were dialled as {prefix}… start with {instead}…"),
            why: if is_long {
                "no call can match it, so it has no effect".to_owned()
            } else {
                "only numbers of fewer than 8 digits can match it".to_owned()
            },
            mend: mend.map(|mend| {
                let (revoke, say) = mend.split_once(" && ").unwrap_or((&mend, ""));
                format!("{revoke} && {}", say.replace(&quote(pattern), &quote(&format!("{instead}*"))))
            }),
            fixable: false,
        });
        !is_long
    }

    #[expect(clippy::too_many_arguments, reason = "where it stands, what stands there, and what it means")]
    fn expiry(
        &mut self,
        app: &str,
        place: &str,
        key: &Key,
        entry: Option<(&'static str, String)>,
        expected: &AttributeValue,
        at: EpochSeconds,
        is_party: bool,
    ) {
        let (kind, what, why, action) = if at >= MILLISECONDS_FROM {
            let seconds = at / 1_000;
            let what = format!("`expires_at` is {at}: milliseconds, for {}", moment::format(seconds));
            let why = "it is read as seconds, so it never expires".to_owned();
            ("milliseconds", what, why, Action::SetExpiry(seconds))
        } else if at <= self.now {
            let what = format!("it expired at {}", moment::format(at));
            let why = match (is_party, &entry) {
                (true, _) => "the party counts as absent: its rules and its suspension have no effect",
                (false, Some(_)) => "it has no effect, and DynamoDB never deletes an entry of a list",
                (false, None) => "it has no effect; DynamoDB deletes it within some days",
            };
            ("expired", what, why.to_owned(), Action::Remove)
        } else {
            return;
        };
        let finding =
            Finding { app: app.to_owned(), r#where: place.to_owned(), kind, what, why, mend: None, fixable: true };
        let said = fixed(&finding);
        self.find(finding);
        self.fixes.push(Fix { key: key.clone(), entry, expected: expected.clone(), action, said });
    }

    fn never_opens(&self, rule: &Rule) -> bool {
        let Some(hours) = &rule.hours else { return false };
        if hours.windows().is_empty() {
            return true;
        }
        let week = self.now.saturating_add(8 * 24 * 60 * 60);
        let Some(end) = rule.expires_at.filter(|&end| end < week) else { return false };
        !hours.contain(self.now) && !hours.edges(self.now, end - 1).any(|edge| hours.contain(edge))
    }

    fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// What a rule means depends on the others.
    fn look_around(&mut self) {
        let mut found = Vec::new();
        for (about, rule, is_listed) in &self.sound {
            let place = format!("rule from `{}` to `{}` of app `{}`", about.from, about.to, about.app);
            let revoke = format!(
                "callgatectl revoke --app {} --from {} --to {}",
                quote(about.app.as_str()),
                quote(&about.from.to_string()),
                quote(&about.to.to_string())
            );
            let misplaced = *is_listed && matches!((&about.from, &about.to), (Pattern::Exact(_), Pattern::Exact(_)));
            let finding = |kind, what, why| Finding {
                app: about.app.to_string(),
                r#where: place.clone(),
                kind,
                what,
                why,
                mend: Some(revoke.clone()),
                fixable: false,
            };
            if !misplaced && let Some(why) = idle(about, rule, &self.around(about), self.now) {
                let kind =
                    if why.contains("denies") && rule.effect == Effect::Allow { "contradicted" } else { "shadowed" };
                found.push(finding(kind, format!("{} cannot change any answer", in_words(about, rule)), why));
            }
            for pattern in [&about.from, &about.to] {
                if let Some((share, all)) = self.share(about.app.as_str(), pattern) {
                    let what =
                        format!("`{pattern}` is so short that it covers {share} of the {all} parties known here");
                    let why = "whoever reads it may think of a few; `*` says everyone".to_owned();
                    found.push(finding("short_prefix", what, why));
                }
            }
        }
        for ((app, id), party) in &self.parties {
            let rules = self.loads.get(&(app.clone(), id.clone())).copied().unwrap_or(0);
            let is_suspended = matches!(party, Ok(Some(party)) if party.status == Status::Suspended);
            if is_suspended && rules > 0 {
                found.push(Finding {
                    app: app.clone(),
                    r#where: format!("party `{id}` of app `{app}`"),
                    kind: "suspended",
                    what: format!("it is suspended and has {rules} rules"),
                    why: "none of its rules has an effect until it is resumed".to_owned(),
                    mend: Some(format!("callgatectl resume --app {} {}", quote(app), quote(id))),
                    fixable: false,
                });
            }
        }
        self.findings.append(&mut found);
    }

    /// What stands around a rule, as if nobody were suspended: that is a finding of its own.
    fn around(&self, about: &About) -> Surroundings {
        let app = about.app.as_str();
        let party = |pattern: &Pattern| -> Found<Party> {
            let Pattern::Exact(id) = pattern else { return Ok(None) };
            let found = self.parties.get(&(app.to_owned(), id.clone())).cloned().unwrap_or(Ok(None));
            found.map(|party| party.map(|party| Party { status: Status::Active, ..party }))
        };
        let found = self.apps.get(app).cloned().unwrap_or(Ok(None));
        Surroundings {
            app: found.map(|app| app.map(|app| App { status: Status::Active, ..app })),
            caller: party(&about.from),
            callee: party(&about.to),
            pair: Ok(None),
        }
    }

    /// How many parties a prefix covers, and of how many, where these are most.
    fn share(&self, app: &str, pattern: &Pattern) -> Option<(usize, usize)> {
        let Pattern::Prefix(prefix) = pattern else { return None };
        let ids = self.ids.get(app).filter(|ids| ids.len() >= MIN_PARTIES)?;
        let covered = ids.range(prefix.clone()..).take_while(|id| id.starts_with(prefix.as_str())).count();
        (covered * 2 > ids.len()).then_some((covered, ids.len()))
    }
}

fn expires_at_of(value: Option<&AttributeValue>) -> Option<EpochSeconds> {
    value?.as_n().ok()?.parse().ok()
}

/// What numbers that start so become under the dial plan, and whether that holds for all of them.
fn international_prefix(prefix: &str, plan: &DialPlan) -> Option<(String, bool)> {
    const LONGEST: usize = 15;
    if !prefix.bytes().all(|byte| byte.is_ascii_digit()) || prefix.len() >= LONGEST {
        return None;
    }
    let padding = "0".repeat(LONGEST - prefix.len());
    let id: Result<PartyId, IdError> = PartyId::new(&format!("{prefix}{padding}"), plan);
    let id = id.ok().filter(|id| !id.as_str().starts_with(prefix))?;
    let instead = id.as_str().strip_suffix(padding.as_str())?;
    Some((instead.to_owned(), prefix.len() >= 8))
}

fn place(named: &Named) -> String {
    match named {
        Named::App(app) => format!("app `{app}`"),
        Named::Party(app, id) => format!("party `{id}` of app `{app}`"),
        Named::Pair(app, callee, caller) => format!("rule from `{caller}` to `{callee}` of app `{app}`"),
    }
}

fn show_command(named: &Named) -> String {
    match named {
        Named::App(app) => format!("callgatectl show --app {}", quote(app)),
        Named::Party(app, id) | Named::Pair(app, id, _) => {
            format!("callgatectl show --app {} {}", quote(app), quote(id))
        }
    }
}

fn resume_command(named: &Named) -> String {
    show_command(named).replacen(" show ", " resume ", 1)
}

fn delete_command(item: &Attributes) -> String {
    format!("aws dynamodb delete-item --table-name TABLE --key {}", quote(&key_json(item)))
}

fn remove_attribute_command(item: &Attributes, name: &str) -> String {
    format!(
        "aws dynamodb update-item --table-name TABLE --key {} --update-expression 'REMOVE #n' \
         --expression-attribute-names {}",
        quote(&key_json(item)),
        quote(&json!({"#n": name}).to_string())
    )
}

fn key_json(item: &Attributes) -> String {
    let (pk, sk) = keys(item).unwrap_or_default();
    json!({"pk": {"S": pk}, "sk": {"S": sk}}).to_string()
}

/// As a shell takes it as one word.
fn quote(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.,:/@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// About what `DynamoDB` counts, `DynamoDB` Developer Guide, "Item sizes and formats".
fn bytes_of(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().div_ceil(2) + 1,
        AttributeValue::B(blob) => blob.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number.len().div_ceil(2) + 1).sum(),
        AttributeValue::Bs(blobs) => blobs.iter().map(|blob| blob.as_ref().len()).sum(),
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + bytes_of(value)).sum::<usize>(),
        AttributeValue::M(map) => 3 + map.iter().map(|(name, value)| 1 + name.len() + bytes_of(value)).sum::<usize>(),
        _ => 1,
    }
}

impl Table {
    /// `false` when something else stands there by now.
    async fn mend(&self, fix: &Fix) -> anyhow::Result<bool> {
        let mut expression = Expression::default();
        let expected = expression.value(fix.expected.clone());
        let expires_at = expression.name(EXPIRES_AT);
        match (&fix.entry, &fix.action) {
            (None, Action::Remove) => self.delete(&fix.key, format!("{expires_at} = {expected}"), expression).await,
            (None, Action::SetExpiry(at)) => {
                let at = expression.value(AttributeValue::N(at.to_string()));
                let (update, condition) =
                    (format!("SET {expires_at} = {at}"), Some(format!("{expires_at} = {expected}")));
                self.change(Change { key: &fix.key, update, condition, expression }).await
            }
            (Some((list, entry)), Action::Remove) => {
                // DynamoDB refuses names that are not used.
                expression.names.clear();
                let (list, entry) = (expression.name(list), expression.name(entry));
                let (update, condition) =
                    (format!("REMOVE {list}.{entry}"), Some(format!("{list}.{entry} = {expected}")));
                self.change(Change { key: &fix.key, update, condition, expression }).await
            }
            (Some((list, entry)), Action::SetExpiry(at)) => {
                let (list, entry) = (expression.name(list), expression.name(entry));
                let at = expression.value(AttributeValue::N(at.to_string()));
                let path = format!("{list}.{entry}.{expires_at}");
                let (update, condition) = (format!("SET {path} = {at}"), Some(format!("{path} = {expected}")));
                self.change(Change { key: &fix.key, update, condition, expression }).await
            }
        }
    }
}
