//! Fixes that are always safe. A fix is only applied if the stored value did not change since it was read.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::EXPIRES_AT;
use callgate_core::EpochSeconds;

use crate::error::Result;
use crate::rule_target::RuleLocation;
use crate::rules::Author;
use crate::table::Table;
use crate::table::items::{Expression, Update};

/// The safe fix of a finding. [`Table::fix`] applies it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// The item, or the entry of one of its lists.
    pub(super) location: RuleLocation,
    /// The value that must still be stored: the whole entry if it is removed, otherwise its `expires_at`.
    pub(super) expected: AttributeValue,
    pub(super) action: Action,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Removes the entry or deletes the item.
    Remove,
    /// Replaces `expires_at`.
    SetExpiry(EpochSeconds),
}

impl Table {
    /// Applies a fix. `false` when the stored value changed since the inspection; nothing is written then.
    ///
    /// # Errors
    /// Why the table cannot be written to.
    pub async fn fix(&self, fix: &Fix, author: &Author) -> Result<bool> {
        let Fix { location: RuleLocation { key, entry }, expected, action } = fix;
        let mut expression = Expression::default();
        let entry = entry.as_ref().map(|(list, entry)| format!("{}.{}", expression.name(list), expression.name(entry)));
        let expected = expression.value(expected.clone());
        let (update, condition) = match (action, entry) {
            (Action::Remove, None) => {
                let condition = format!("{} = {expected}", expression.name(EXPIRES_AT));
                return self.delete(key, condition, expression).await;
            }
            (Action::Remove, Some(entry)) => (format!("REMOVE {entry}"), format!("{entry} = {expected}")),
            (Action::SetExpiry(at), entry) => {
                let mut attributes = vec![(EXPIRES_AT, AttributeValue::N(at.to_string()))];
                // Rules have an author. A party's item does not.
                if entry.is_some() || key.sk.starts_with("CALLER#") {
                    attributes.push(("updated_at", AttributeValue::N(author.at.to_string())));
                    attributes.push(("updated_by", AttributeValue::S(author.name.clone())));
                }
                let path = entry.map(|entry| format!("{entry}.")).unwrap_or_default();
                let set: Vec<_> = attributes
                    .into_iter()
                    .map(|(name, value)| format!("{path}{} = {}", expression.name(name), expression.value(value)))
                    .collect();
                let condition = format!("{path}{} = {expected}", expression.name(EXPIRES_AT));
                (format!("SET {}", set.join(", ")), condition)
            }
        };
        self.update(Update { key, action: update, condition: Some(condition), expression }).await
    }
}
