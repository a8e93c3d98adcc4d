//! The items of the table as they would be after an import.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, Key};
use callgate_core::{AppKey, EpochSeconds, Rule, has_expired};

use super::Import;
use crate::error::Result;
use crate::rule_row::block_of_rule;
use crate::sorted_rules::SortedRule;
use crate::stored_rule::{BLOCKED, expiry_of, rows_of};

/// What an import would make of an item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Proposal {
    /// The item stays as it is.
    Unchanged,
    /// The item would have these attributes. `None` if it would not exist.
    Item(Option<Attributes>),
}

impl Import {
    /// The item of an app as it would be after the import at this moment. With `is_replaced`, rules of the file's apps, or of its
    /// list, are removed if they are not in the file. Nothing is read from the table or written to it.
    ///
    /// A list that is not a map stays as it is. The import would fail at it, and its calls are refused.
    pub(crate) fn propose(
        &self,
        app: &AppKey,
        key: &Key,
        item: Option<&Attributes>,
        is_replaced: bool,
        now: EpochSeconds,
    ) -> Result<Proposal> {
        let (rules, removes) = {
            let data = self.lock();
            let rules = data.rules.rules_of_item(&key.pk, &key.sk)?;
            (rules, is_replaced && data.rules.contains_app(app.as_str())?)
        };
        if rules.is_empty() && !removes {
            return Ok(Proposal::Unchanged);
        }
        let is_over = key.sk == "PARTY" && has_expired(item.and_then(expiry_of), now);
        let mut proposed = item.cloned();
        if is_over && !rules.is_empty() {
            // None of the old rules may apply again.
            let note = item.and_then(|item| item.get("note").cloned());
            let note = note.map(|note| ("note".to_owned(), note));
            proposed = Some(key.attributes().into_iter().chain(note).collect());
        } else if removes {
            let is_in_file = |list: &str, entry: &str| {
                rules
                    .iter()
                    .any(|SortedRule { key: [_, _, of_list, of_entry], .. }| of_list == list && of_entry == entry)
            };
            let stored = item.map(rows_of).unwrap_or_default();
            for row in stored.iter().filter(|it| self.may_remove(&it.row) && !is_in_file(it.list, &it.entry)) {
                remove(&mut proposed, row.list, &row.entry);
            }
        }
        for SortedRule { key: [_, _, list, entry], row, .. } in rules {
            put(&mut proposed, key, &list, entry, &row.rule()?);
        }
        Ok(Proposal::Item(proposed))
    }
}

/// Removes a rule from an item.
fn remove(item: &mut Option<Attributes>, list: &str, entry: &str) {
    match (item.as_mut(), list) {
        (_, "") => *item = None,
        (Some(item), BLOCKED) => {
            item.remove(BLOCKED);
        }
        (Some(item), list) => {
            if let Some(AttributeValue::M(rules)) = item.get_mut(list) {
                rules.remove(entry);
            }
        }
        (None, _) => {}
    }
}

/// Writes a rule to an item, which is created if it does not exist.
fn put(item: &mut Option<Attributes>, key: &Key, list: &str, entry: String, rule: &Rule) {
    if list.is_empty() {
        *item = Some(key.attributes().into_iter().chain(item::write_rule(rule)).collect());
        return;
    }
    let item = item.get_or_insert_with(|| key.attributes());
    if list == BLOCKED {
        item.insert(BLOCKED.to_owned(), AttributeValue::M(item::write_block(&block_of_rule(rule))));
        return;
    }
    let rules = item.entry(list.to_owned()).or_insert_with(|| AttributeValue::M(HashMap::new()));
    if let AttributeValue::M(rules) = rules {
        rules.insert(entry, AttributeValue::M(item::write_rule(rule)));
    }
}
