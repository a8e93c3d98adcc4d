//! Reads what is stored for an app or a party.

use std::cmp::Reverse;

use callgate::store::item::{self, Attributes, Key};
use callgate_core::{App, AppKey, Block, EpochSeconds, Groups, ParseError, Party, PartyId, Pattern, Rule, Status};

use crate::error::Result;
use crate::rule_row::RuleRow;
use crate::stored_rule::{StoredRow, StoredRule, rows_of, rules_of};
use crate::table::Table;

/// How many scans read the table at once.
const SEGMENTS: u16 = 4;

/// An app or a party as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredItem {
    /// The app.
    pub app: AppKey,
    /// The party. `None` for the app itself.
    pub party: Option<PartyId>,
    /// The item without its rules, or why it cannot be parsed. Every call of an invalid item is refused.
    pub summary: Result<ItemSummary, ParseError>,
    /// The rules for callers: to anyone in the app, or to the party. Most specific first.
    pub incoming: Vec<StoredRule>,
    /// The rules for callees: of anyone in the app, or of the party.
    pub outgoing: Vec<StoredRule>,
    /// The rules of the party to single callees, which are stored with the callees. Empty for the app itself.
    pub outgoing_pairs: Vec<StoredRule>,
}

/// A rule or a block of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRule {
    /// The rule as a row.
    pub row: RuleRow,
    /// The rule, or why it cannot be parsed. A block is a rule that denies every call of its caller.
    pub rule: Result<Rule, ParseError>,
}

/// An item without its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemSummary {
    /// Whether the app or party takes part in calls.
    pub status: Status,
    /// The groups that the party belongs to.
    pub groups: Groups,
    /// The block of the party's own calls.
    pub blocked: Option<Block>,
    /// A comment for people.
    pub note: Option<String>,
    /// The moment from which a party counts as absent.
    pub expires_at: Option<EpochSeconds>,
}

impl From<App> for ItemSummary {
    fn from(App { status, callers: _, destinations: _, note }: App) -> Self {
        Self { status, note, ..Self::default() }
    }
}

impl From<Party> for ItemSummary {
    fn from(Party { status, incoming: _, outgoing: _, groups, blocked, note, expires_at }: Party) -> Self {
        Self { status, groups, blocked, note, expires_at }
    }
}

impl Table {
    /// Reads an app's item. `None` when nothing is stored for the app itself; its parties may have rules all the same.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn stored_app(&self, app: &AppKey) -> Result<Option<StoredItem>> {
        let Some(item) = self.get(&Key::app(app)).await? else { return Ok(None) };
        let (incoming, outgoing) = (rules_in([&item], "callers"), rules_in([&item], "destinations"));
        let summary = item::read_app(item).map(ItemSummary::from);
        let outgoing_pairs = Vec::new();
        Ok(Some(StoredItem { app: app.clone(), party: None, summary, incoming, outgoing, outgoing_pairs }))
    }

    /// Reads a party's item, and the rules of single callers to it and of it to single callees. `None` when nothing is stored for
    /// the party; rules to or from a pattern may match it all the same.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn stored_party(&self, app: &AppKey, id: PartyId) -> Result<Option<StoredItem>> {
        let key = Key::party(app, &id);
        let called = self.pairs_of_caller(app, &id).await?;
        let (items, called) = tokio::try_join!(self.query(&key), self.get_many(&called))?;
        if items.is_empty() && called.is_empty() {
            return Ok(None);
        }
        let (incoming, outgoing) = (rules_in(&items, "incoming"), rules_in(&items, "outgoing"));
        let mut outgoing_pairs: Vec<_> = called.iter().filter_map(rules_of).flatten().collect();
        outgoing_pairs.sort_by(|one, other| one.to.cmp(&other.to));
        let own = items.into_iter().find(|item| key.is_of(item)).map(item::read_party).transpose();
        let summary = own.map(|own| own.map_or_else(ItemSummary::default, ItemSummary::from));
        Ok(Some(StoredItem { app: app.clone(), party: Some(id), summary, incoming, outgoing, outgoing_pairs }))
    }

    /// The rules of the app that match a party for which nothing is stored: as a caller, and as a callee.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn app_rules_for(&self, app: &AppKey, id: &PartyId) -> Result<Vec<StoredRule>> {
        let Some(StoredItem { incoming, outgoing, .. }) = self.stored_app(app).await? else { return Ok(Vec::new()) };
        let matches = |stored: &StoredRule| Pattern::from_stored(&stored.entry).matches(id, &Groups::new());
        Ok(incoming.into_iter().chain(outgoing).filter(matches).collect())
    }

    /// Reads the rules and blocks of a list (the attribute `list`) in an app, sorted. For that, it scans the whole table.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn stored_list(&self, app: &AppKey, list: &str) -> Result<Vec<ListedRule>> {
        let mut listed = Vec::new();
        let mut pages = self.scan(SEGMENTS);
        while let Some(page) = pages.recv().await {
            for item in page? {
                let rows = rows_of(&item).into_iter();
                let rows =
                    rows.filter(|stored| stored.row.app == app.as_str() && stored.row.list.as_deref() == Some(list));
                listed.extend(rows.map(|StoredRow { row, rule, .. }| ListedRule { row, rule }));
            }
        }
        listed.sort_by(|ListedRule { row: one, .. }, ListedRule { row: other, .. }| {
            (&one.from, &one.to).cmp(&(&other.from, &other.to))
        });
        Ok(listed)
    }
}

/// The rules of a list, the most specific first. Pair items count as incoming.
fn rules_in<'a>(items: impl IntoIterator<Item = &'a Attributes>, list: &str) -> Vec<StoredRule> {
    let all = items.into_iter().filter_map(rules_of).flatten();
    let mut rules: Vec<_> = all.filter(|rule| rule.list.unwrap_or("incoming") == list).collect();
    rules.sort_by_cached_key(|rule| {
        let is_to = matches!(list, "outgoing" | "destinations");
        let other = Pattern::from_stored(if is_to { &rule.to } else { &rule.from }.as_str());
        (Reverse(other.specificity()), other.to_string())
    });
    rules
}
