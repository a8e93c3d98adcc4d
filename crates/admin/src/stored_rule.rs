//! The rules of an item, as they are stored.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, EXPIRES_AT};
use callgate_core::{Block, Door, EpochSeconds, ParseError, Pattern, Rule};

use crate::item_kind::ItemKind;
use crate::rule_row::{RuleRow, deny_all};
use crate::rule_target::{door_of_list, usual_door};

/// A rule, its callers and callees as they are stored, and its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRule {
    /// The app's key.
    pub app: String,
    /// The callers' pattern.
    pub from: String,
    /// The callees' pattern.
    pub to: String,
    /// The list that holds it: `callers`, `destinations`, `incoming` or `outgoing`. `None` for a pair item.
    pub list: Option<&'static str>,
    /// The entry's key in the list. Empty for a pair item.
    pub entry: String,
    /// The rule, or why it could not be parsed.
    pub rule: Result<Rule, ParseError>,
}

impl StoredRule {
    /// The door whose list holds the rule. `None` for a pair item, which decides at the doors of both parties.
    #[must_use]
    pub fn door(&self) -> Option<Door> {
        self.list.map(door_of_list)
    }

    /// The callers and callees that it matches. Only the entry of a list can be a pattern: the party that the list belongs
    /// to, and both parties of a pair item, are ids, even if they end in `*`.
    #[must_use]
    pub fn patterns(&self) -> (Pattern, Pattern) {
        let Self { app: _, from, to, list: _, entry, rule: _ } = self;
        let exact = |id: &String| Pattern::Exact(id.clone());
        match self.door() {
            None => (exact(from), exact(to)),
            Some(Door::App) => (Pattern::from_stored(entry), Pattern::Everyone),
            Some(Door::Destination) => (Pattern::Everyone, Pattern::from_stored(entry)),
            Some(Door::Caller) => (exact(from), Pattern::from_stored(entry)),
            Some(Door::Callee) => (Pattern::from_stored(entry), exact(to)),
        }
    }

    /// The rule as a row. For a rule that could not be parsed, it contains only the parties.
    #[must_use]
    pub fn row(&self) -> RuleRow {
        let Self { app, from, to, rule, .. } = self;
        match rule {
            Ok(rule) => RuleRow::of(app, from, to, rule),
            Err(_) => RuleRow::invalid(app, from, to),
        }
    }
}

/// Whether a rule between these two is stored at this door (`None`: as a pair item) if no door is given.
pub(crate) fn is_usual_door(from: &str, to: &str, door: Option<Door>) -> bool {
    // An app's lists hold only rules to everyone, or from everyone.
    usual_door(from, to) == door
        && (door != Some(Door::App) || to == "*")
        && (door != Some(Door::Destination) || from == "*")
}

/// Where a rule is stored, in words that follow its parties. Empty if it is the usual place for them.
pub(crate) fn unusual_place(from: &str, to: &str, door: Option<Door>) -> String {
    match door {
        _ if is_usual_door(from, to, door) => String::new(),
        Some(door) => format!(", door `{}`", door.as_str()),
        None => ", pair item".to_owned(),
    }
}

/// The rules of an item, which expire with their party. `None` when its key is not one of callgate's.
#[must_use]
pub fn rules_of(item: &Attributes) -> Option<Vec<StoredRule>> {
    let mut rules = own_rules_of(item)?;
    if let (Some(at), Some(ItemKind::Party(..))) = (expiry_of(item), ItemKind::of(item)) {
        for rule in rules.iter_mut().filter_map(|stored| stored.rule.as_mut().ok()) {
            rule.expires_at = Some(rule.expires_at.map_or(at, |own| own.min(at)));
        }
    }
    Some(rules)
}

/// The rules of an item with their own conditions only. `None` when its key is not one of callgate's.
pub(crate) fn own_rules_of(item: &Attributes) -> Option<Vec<StoredRule>> {
    Some(match ItemKind::of(item)? {
        ItemKind::Pair(app, to, from) => {
            let rule = item::read_pair(item.clone());
            vec![StoredRule { app, from, to, list: None, entry: String::new(), rule }]
        }
        ItemKind::App(app) => {
            let callers = entries(item, "callers")
                .map(|(from, rule)| listed(app.clone(), from.clone(), "*".to_owned(), "callers", from, rule));
            let destinations = entries(item, "destinations")
                .map(|(to, rule)| listed(app.clone(), "*".to_owned(), to.clone(), "destinations", to, rule));
            callers.chain(destinations).collect()
        }
        ItemKind::Party(app, id) => {
            let incoming = entries(item, "incoming")
                .map(|(from, rule)| listed(app.clone(), from.clone(), id.clone(), "incoming", from, rule));
            let outgoing = entries(item, "outgoing")
                .map(|(to, rule)| listed(app.clone(), id.clone(), to.clone(), "outgoing", to, rule));
            incoming.chain(outgoing).collect()
        }
    })
}

/// The list of an import in which a block is kept, which is the name of the attribute that holds it.
pub(crate) const BLOCKED: &str = "blocked";

/// The block in a party's item, or why it could not be parsed.
pub(crate) fn block_of(item: &Attributes) -> Option<Result<Block, ParseError>> {
    matches!(ItemKind::of(item)?, ItemKind::Party(..))
        .then(|| item.get(BLOCKED).cloned().map(item::read_block))
        .flatten()
}

/// A stored rule or block as a row.
pub(crate) struct StoredRow<'a> {
    /// The list that holds it: of an item's lists, or [`BLOCKED`]. Empty for a pair item.
    pub(crate) list: &'static str,
    /// The entry's key in the list.
    pub(crate) entry: String,
    /// What can be read of a rule that cannot be parsed: its parties, and the file or feed with which it came.
    pub(crate) row: RuleRow,
    pub(crate) rule: Result<Rule, ParseError>,
    /// The value of the entry. `None` for a pair item.
    pub(crate) value: Option<&'a AttributeValue>,
}

/// The rules and the block of an item as rows, with their own conditions only.
pub(crate) fn rows_of(item: &Attributes) -> Vec<StoredRow<'_>> {
    let rules = own_rules_of(item).unwrap_or_default().into_iter().map(|stored| {
        let list = stored.list.unwrap_or_default();
        let value = item.get(list).and_then(|list| list.as_m().ok()?.get(&stored.entry));
        let attributes = if list.is_empty() { Some(item) } else { value.and_then(|value| value.as_m().ok()) };
        let mut row = stored.row();
        if stored.rule.is_err() {
            row.list = attributes.and_then(list_of);
        }
        StoredRow { list, entry: stored.entry, row, rule: stored.rule, value }
    });
    let block = match (ItemKind::of(item), block_of(item)) {
        (Some(ItemKind::Party(app, id)), Some(block)) => {
            let value = item.get(BLOCKED);
            let list = || value.and_then(|block| block.as_m().ok()).and_then(list_of);
            let invalid = |_| RuleRow { list: list(), ..RuleRow::invalid(&app, &id, "*") };
            let row = block.as_ref().map_or_else(invalid, |block| RuleRow::of_block(&app, &id, block));
            Some(StoredRow {
                list: BLOCKED,
                entry: String::new(),
                row,
                rule: block.as_ref().map(deny_all).map_err(Clone::clone),
                value,
            })
        }
        _ => None,
    };
    rules.chain(block).collect()
}

/// The file or feed with which a rule came that cannot be parsed.
fn list_of(attributes: &Attributes) -> Option<String> {
    attributes.get("list")?.as_s().ok().cloned()
}

/// The `expires_at` of an item, if it is a number of seconds.
pub(crate) fn expiry_of(item: &Attributes) -> Option<EpochSeconds> {
    item.get(EXPIRES_AT)?.as_n().ok()?.parse().ok()
}

/// The rule in an entry of a list.
pub(crate) fn read_entry(value: &AttributeValue) -> Result<Rule, ParseError> {
    match value {
        AttributeValue::M(map) => item::read_rule(map.clone()),
        _ => Err(ParseError("it is not a map".to_owned())),
    }
}

fn entries(item: &Attributes, list: &str) -> impl Iterator<Item = (String, Result<Rule, ParseError>)> {
    let map = item.get(list).and_then(|value: &AttributeValue| value.as_m().ok());
    map.into_iter().flatten().map(|(key, value)| (key.clone(), read_entry(value)))
}

fn listed(
    app: String,
    from: String,
    to: String,
    list: &'static str,
    entry: String,
    rule: Result<Rule, ParseError>,
) -> StoredRule {
    StoredRule { app, from, to, list: Some(list), entry, rule }
}
