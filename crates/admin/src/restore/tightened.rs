//! The items between the two steps of a restore, so that no call is permitted in between that both the stored items and the
//! backup refuse.
//!
//! The first step writes items that refuse what the stored ones or the new ones refuse: the denies of both, the allows that
//! are in both, suspended or blocked if one of the two is. So while it runs, the table only permits calls that the stored
//! items permit. The second step writes the new items. Each of its writes only adds allows and removes denies, so while it
//! runs, the table only permits calls that the new items permit.
//!
//! What a change of groups or of a party's expiry means depends on the rules of others. Such a party is suspended in between.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, EXPIRES_AT, PK, SK};
use callgate_core::{Block, Effect, Groups, Rule, Status};

use crate::import::{covers, union};
use crate::item_edit::without_key;
use crate::item_kind::ItemKind;
use crate::stored_rule::{BLOCKED, read_entry};
use crate::table::size::{MAX_ITEM_BYTES, size_of_item};

/// The item between the stored and the new one. `None` if there is none at that time.
pub(super) fn tightened(kind: &ItemKind, old: Option<&Attributes>, new: Option<&Attributes>) -> Option<Attributes> {
    let tightened = match kind {
        ItemKind::Pair(..) => {
            let rule = |item: Option<&Attributes>| item.map(|item| AttributeValue::M(without_key(item)));
            let rule = tightened_rule(rule(old).as_ref(), rule(new).as_ref());
            return rule.and_then(|rule| rule.as_m().ok().cloned()).map(|rule| with_key(rule, old, new));
        }
        ItemKind::App(_) => {
            let parsed = |stored: Option<&Attributes>| stored.cloned().map(item::read_app).transpose();
            match (parsed(old), parsed(new)) {
                // All calls of an invalid item are refused.
                (Err(_), _) => return old.cloned(),
                (_, Err(_)) => return new.cloned(),
                (Ok(one), Ok(other)) => {
                    let is_suspended = [one, other].into_iter().flatten().any(|app| app.status == Status::Suspended);
                    tightened_item(old, new, &["callers", "destinations"], is_suspended, None)
                }
            }
        }
        ItemKind::Party(..) => {
            let parsed = |stored: Option<&Attributes>| stored.cloned().map(item::read_party).transpose();
            match (parsed(old), parsed(new)) {
                (Err(_), _) => return old.cloned(),
                (_, Err(_)) => return new.cloned(),
                (Ok(one), Ok(other)) => {
                    let parties = [&one, &other].map(Option::as_ref);
                    let groups = parties.map(|party| party.map_or_else(Groups::default, |party| party.groups.clone()));
                    let expiries = parties.map(|party| party.and_then(|party| party.expires_at));
                    if groups[0] != groups[1] || expiries[0] != expiries[1] {
                        return Some(suspended(old, new));
                    }
                    let is_suspended = parties.into_iter().flatten().any(|party| party.status == Status::Suspended);
                    let blocks = parties.map(|party| party.and_then(|party| party.blocked.as_ref()));
                    tightened_item(old, new, &["incoming", "outgoing"], is_suspended, tightened_block(blocks))
                }
            }
        }
    };
    match tightened {
        // The rules of both together may be too many.
        Some(item) if size_of_item(&item) > MAX_ITEM_BYTES => Some(suspended(None, new.or(old))),
        other => other,
    }
}

/// The rules of both items, without the allows of only one.
fn tightened_item(
    old: Option<&Attributes>,
    new: Option<&Attributes>,
    lists: &[&str],
    is_suspended: bool,
    block: Option<Block>,
) -> Option<Attributes> {
    let mut item = old.cloned().unwrap_or_else(|| with_key(Attributes::new(), old, new));
    for list in lists {
        let entries = |item: Option<&Attributes>| item?.get(*list)?.as_m().ok().cloned();
        let (before, after) = (entries(old), entries(new));
        let names: BTreeSet<_> = before.iter().chain(&after).flat_map(|entries| entries.keys().cloned()).collect();
        let rules = names.into_iter().filter_map(|name| {
            let [before, after] = [&before, &after].map(|entries| entries.as_ref().and_then(|it| it.get(&name)));
            tightened_rule(before, after).map(|rule| (name, rule))
        });
        let rules: Attributes = rules.collect();
        if before.is_some() || !rules.is_empty() {
            item.insert((*list).to_owned(), AttributeValue::M(rules));
        }
    }
    if is_suspended {
        item.insert("status".to_owned(), AttributeValue::S(Status::Suspended.as_str().to_owned()));
    }
    if let Some(block) = block {
        item.insert(BLOCKED.to_owned(), AttributeValue::M(item::write_block(&block)));
    }
    // An item with nothing but its key is as good as none.
    (old.is_some() || item.len() > 2).then_some(item)
}

/// A block while one of the two lasts.
fn tightened_block(blocks: [Option<&Block>; 2]) -> Option<Block> {
    match blocks {
        [Some(one), Some(other)] => {
            let expires_at = one.expires_at.zip(other.expires_at).map(|(one, other)| one.max(other));
            Some(Block { expires_at, ..one.clone() })
        }
        [one, other] => one.or(other).cloned(),
    }
}

/// A rule that allows what both allow, or denies what one of the two denies. `None` when there is none.
fn tightened_rule(old: Option<&AttributeValue>, new: Option<&AttributeValue>) -> Option<AttributeValue> {
    // A rule that is switched off is as if it were absent.
    let parsed = |value: Option<&AttributeValue>| match value.map(read_entry) {
        Some(Ok(rule)) if rule.disabled => Ok(None),
        other => other.transpose(),
    };
    let (one, other) = match (parsed(old), parsed(new)) {
        // A rule that cannot be parsed refuses the calls that it matches.
        (Err(_), _) => return old.cloned(),
        (_, Err(_)) => return new.cloned(),
        (Ok(one), Ok(other)) => (one, other),
    };
    let is = |effect: Effect, rule: &Option<Rule>| rule.as_ref().is_some_and(|rule| rule.effect == effect);
    match (&one, &other) {
        (Some(one), Some(other)) if one.effect == other.effect => match one.effect {
            Effect::Deny if covers(one, other) => old.cloned(),
            Effect::Deny if covers(other, one) => new.cloned(),
            Effect::Deny => Some(AttributeValue::M(item::write_rule(&union(one, other)))),
            Effect::Allow if covers(other, one) => old.cloned(),
            Effect::Allow if covers(one, other) => new.cloned(),
            Effect::Allow => None,
        },
        _ if is(Effect::Deny, &other) => new.cloned(),
        _ if is(Effect::Allow, &one) => None,
        _ => old.cloned(),
    }
}

/// An item that refuses all calls.
fn suspended(old: Option<&Attributes>, new: Option<&Attributes>) -> Attributes {
    let mut item = old.cloned().unwrap_or_else(|| with_key(Attributes::new(), old, new));
    item.remove(EXPIRES_AT);
    item.insert("status".to_owned(), AttributeValue::S(Status::Suspended.as_str().to_owned()));
    item
}

fn with_key(mut attributes: Attributes, old: Option<&Attributes>, new: Option<&Attributes>) -> Attributes {
    let key = [PK, SK].into_iter().filter_map(|name| Some((name.to_owned(), old.or(new)?.get(name)?.clone())));
    attributes.extend(key);
    attributes
}
