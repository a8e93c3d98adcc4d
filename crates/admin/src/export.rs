//! Exports the rules of the table, sorted.

use std::collections::BTreeSet;
use std::fmt;

use callgate::store::item::{self, Attributes, Key};
use callgate_core::{AppKey, Block, EpochSeconds, ParseError, PhoneRegion, Rule, Status, has_expired};

use crate::error::{Error, Result};
use crate::item_kind::{ItemKind, keys};
use crate::number_mistake::mistake;
use crate::rule_file::{Format, read_back};
use crate::rule_row::{BLOCK, RuleRow, deny_all};
use crate::rule_target::RuleLocation;
use crate::sorted_rules::{Insertion, SortedRule, SortedRules};
use crate::stored_rule::{BLOCKED, StoredRule, block_of, expiry_of, rules_of, unusual_place};
use crate::table::Table;
use crate::wording::{escape, is_same_rule, rule_text};

/// The rules of the table, sorted by app, caller and callee. They are in a temporary file.
#[derive(Debug)]
pub struct Export {
    rules: SortedRules,
    left_out: Vec<LeftOut>,
    /// The groups that parties belong to, as app and name.
    members: BTreeSet<(String, String)>,
    /// The groups that exported rules name.
    named: BTreeSet<(String, String)>,
    expired: u64,
    unusual: u64,
}

/// An item or a rule that cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// An item whose key is not one of callgate's.
    UnknownItem {
        /// The partition key. Empty when it is not text.
        pk: String,
        /// The sort key. Empty when it is not text.
        sk: String,
    },
    /// An app or a party whose item decides calls by more than its rules.
    Item {
        /// The app's key.
        app: String,
        /// The party's id. Empty for the app itself.
        party: String,
        /// What a file cannot contain.
        reason: String,
    },
    /// The members of a group that a rule of the file names.
    Group {
        /// The app's key.
        app: String,
        /// The group's name.
        group: String,
    },
    /// A rule that a file cannot represent.
    Rule {
        /// The app's key.
        app: String,
        /// The callers' pattern.
        from: String,
        /// The callees' pattern.
        to: String,
        /// Where it is stored, in words. Empty if it is the usual place for these parties.
        place: String,
        /// Why the rule is left out.
        reason: String,
    },
}

/// The item or the rule and why it is left out, on one line.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownItem { pk, sk } => write!(f, "{:?}: its key is not one of callgate's", (pk, sk)),
            Self::Item { app, party, reason } if party.is_empty() => {
                write!(f, "app {}: {}", escape(app), escape(reason))
            }
            Self::Item { app, party, reason } => {
                write!(f, "{} in app {}: {}", escape(party), escape(app), escape(reason))
            }
            Self::Group { app, group } => {
                write!(f, "the members of @{} in app {}: rules of the file name this group", escape(group), escape(app))
            }
            Self::Rule { app, from, to, place, reason } => {
                write!(f, "{} to {} in app {}{place}: {}", escape(from), escape(to), escape(app), escape(reason))
            }
        }
    }
}

impl Table {
    /// Reads all rules, or those of some apps or of a list, with several scans at once. Leaves out the rules that have expired,
    /// and those that an import of a file in this format would store in another place, or read differently.
    ///
    /// # Errors
    /// Why the table cannot be read, or [`Error::Local`] when the temporary file cannot be written.
    pub async fn export(
        &self,
        apps: &[AppKey],
        list: Option<&str>,
        format: Format,
        segments: u16,
        now: EpochSeconds,
    ) -> Result<Export> {
        let mut export = Export {
            rules: SortedRules::new()?,
            left_out: Vec::new(),
            members: BTreeSet::new(),
            named: BTreeSet::new(),
            expired: 0,
            unusual: 0,
        };
        let is_listed = |rule: &ExportedRule| list.is_none() || rule.row.list.as_deref() == list;
        let mut pages = self.scan(segments);
        while let Some(page) = pages.recv().await {
            for item in page? {
                let (pk, sk) = keys(&item).unwrap_or_default();
                let (Some(kind), Some(rules)) = (ItemKind::of(&item), rules_of(&item)) else {
                    if list.is_none() {
                        export.left_out.push(LeftOut::UnknownItem { pk: pk.to_owned(), sk: sk.to_owned() });
                    }
                    continue;
                };
                let (ItemKind::App(app) | ItemKind::Party(app, _) | ItemKind::Pair(app, ..)) = &kind;
                if !apps.is_empty() && apps.iter().all(|it| it.as_str() != app) {
                    continue;
                }
                let refusal = refusal(&kind, &item, now);
                // Without the item, the rules of an invalid item would decide calls.
                let is_invalid = refusal.as_ref().is_some_and(|(_, is_invalid)| *is_invalid);
                let key = Key { pk: pk.to_owned(), sk: sk.to_owned() };
                let block = match (&kind, block_of(&item)) {
                    (ItemKind::Party(app, id), Some(Ok(block))) => {
                        let expires_at = [block.expires_at, expiry_of(&item)].into_iter().flatten().min();
                        Some(ExportedRule::of_block(app, id, &Block { expires_at, ..block }, &key))
                    }
                    _ => None,
                };
                let rules = rules.into_iter().map(|stored| ExportedRule::new(stored, &key)).chain(block);
                let mut has_rules = false;
                for rule in rules.filter(is_listed) {
                    has_rules = true;
                    if !is_invalid {
                        export.add(&rule, format, self.phone_region(), now)?;
                    }
                }
                export.add_members(&kind, &item, now);
                // Of a list, only the rules are wanted.
                let refusal = refusal.filter(|_| list.is_none() || (has_rules && is_invalid));
                if let Some((reason, _)) = refusal {
                    let (app, party) = match kind {
                        ItemKind::App(app) => (app, String::new()),
                        ItemKind::Party(app, party) | ItemKind::Pair(app, party, _) => (app, party),
                    };
                    export.left_out.push(LeftOut::Item { app, party, reason });
                }
            }
        }
        let groups = export.named.intersection(&export.members);
        let groups = groups.map(|(app, group)| LeftOut::Group { app: app.clone(), group: group.clone() });
        export.left_out.extend(groups);
        export.left_out.sort();
        Ok(export)
    }
}

impl Export {
    /// Calls `take` with every rule. Stops at its first error.
    ///
    /// # Errors
    /// The error of `take`, or [`Error::Local`] when the temporary file cannot be read.
    pub fn for_each<E: From<Error>>(&self, mut take: impl FnMut(RuleRow) -> Result<(), E>) -> Result<(), E> {
        self.rules.for_each(|SortedRule { row, .. }| take(row))
    }

    /// The items and rules that are left out, sorted.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The number of rules that have expired, and so are left out without changing any decision.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// The number of rules that an import accepts only with `exactly`, because an id looks like a number but is not one, or no
    /// number has the prefix.
    #[must_use]
    pub fn unusual(&self) -> u64 {
        self.unusual
    }

    /// Adds the groups that a party belongs to.
    fn add_members(&mut self, kind: &ItemKind, item: &Attributes, now: EpochSeconds) {
        let ItemKind::Party(app, _) = kind else { return };
        let Some(Ok(party)) = item.get("groups").map(|_| item::read_party(item.clone())) else { return };
        if !has_expired(party.expires_at, now) {
            self.members.extend(party.groups.iter().map(|group| (app.clone(), group.clone())));
        }
    }

    fn add(
        &mut self,
        exported: &ExportedRule,
        format: Format,
        region: Option<PhoneRegion>,
        now: EpochSeconds,
    ) -> Result<()> {
        let ExportedRule { row, rule, location, place } = exported;
        let reason = match exported.check(format, region) {
            Ok(()) if rule.as_ref().is_ok_and(|rule| has_expired(rule.expires_at, now)) => {
                self.expired += 1;
                return Ok(());
            }
            Ok(()) => {
                let is_unusual = [&row.from, &row.to].into_iter().any(|text| mistake(text, region).is_some());
                self.unusual += u64::from(is_unusual);
                let block = if location.is_block() { BLOCK } else { "" };
                match self.rules.insert([&row.app, &row.from, &row.to, block], row, 0)? {
                    Insertion::New | Insertion::Duplicate(_) => {
                        let groups = [&row.from, &row.to].into_iter().filter_map(|text| text.strip_prefix('@'));
                        self.named.extend(groups.map(|group| (row.app.clone(), group.to_owned())));
                        return Ok(());
                    }
                    Insertion::Conflict(_) => "the table changed during the export".to_owned(),
                }
            }
            Err(reason) => reason,
        };
        let RuleRow { app, from, to, .. } = row.clone();
        self.left_out.push(LeftOut::Rule { app, from, to, place: place.clone(), reason });
        Ok(())
    }
}

/// A stored rule or block, as a row of the file.
struct ExportedRule {
    row: RuleRow,
    rule: Result<Rule, ParseError>,
    location: RuleLocation,
    /// Where it is stored, in words, if that is not the usual place.
    place: String,
}

impl ExportedRule {
    fn new(stored: StoredRule, key: &Key) -> Self {
        let place = unusual_place(&stored.from, &stored.to, stored.door());
        // An empty note is none.
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let rule = |rule: Rule| Rule { note: text(rule.note), list: text(rule.list), ..rule };
        let stored = StoredRule { rule: stored.rule.map(rule), ..stored };
        let row = stored.row();
        let location = RuleLocation { key: key.clone(), entry: stored.list.map(|list| (list, stored.entry)) };
        Self { row, rule: stored.rule, location, place }
    }

    fn of_block(app: &str, caller: &str, block: &Block, key: &Key) -> Self {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let block = Block { note: text(&block.note), list: text(&block.list), ..block.clone() };
        Self {
            row: RuleRow::of_block(app, caller, &block),
            rule: Ok(deny_all(&block)),
            location: RuleLocation { key: key.clone(), entry: Some((BLOCKED, String::new())) },
            place: ", block".to_owned(),
        }
    }

    /// Checks that an import would store the same rule in the same place.
    fn check(&self, format: Format, region: Option<PhoneRegion>) -> Result<(), String> {
        let Self { row, rule, location, place: _ } = self;
        let rule = rule.as_ref().map_err(ToString::to_string)?;
        let read = read_back(format, row, region).map_err(|reason| format!("import would refuse it: {reason}"))?;
        if read.location != *location {
            let (read_from, read_to) = (read.target.from.to_string(), read.target.to.to_string());
            let place = match read.location.door() {
                _ if (&read_from, &read_to) != (&row.from, &row.to) => format!("from `{read_from}` to `{read_to}`"),
                Some(door) => format!("at door `{}`", door.as_str()),
                None => "as a pair item".to_owned(),
            };
            return Err(format!("import would store it {place}"));
        }
        if !is_same_rule(&read.rule, rule) {
            return Err(format!("import would store it as {}", rule_text(&row.from, &row.to, &read.rule)));
        }
        Ok(())
    }
}

/// Why calls are refused whatever the rules in the item are, and whether the item cannot be parsed. A file cannot contain that.
fn refusal(kind: &ItemKind, item: &Attributes, now: EpochSeconds) -> Option<(String, bool)> {
    let suspended = |status| (status == Status::Suspended).then(|| ("it is suspended".to_owned(), false));
    let result = match kind {
        ItemKind::App(_) => item::read_app(item.clone()).map(|app| suspended(app.status)),
        ItemKind::Party(..) => item::read_party(item.clone())
            .map(|party| suspended(party.status).filter(|_| !has_expired(party.expires_at, now))),
        ItemKind::Pair(..) => Ok(None),
    };
    let invalid = |error| Some((format!("{error}; its rules are left out too, because its calls are refused"), true));
    result.unwrap_or_else(invalid)
}
