//! `doctor --fix`: what has one safe mend, each only if it still stands as it was read.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{EXPIRES_AT, Key};
use callgate_core::EpochSeconds;

use crate::connection::Table;
use crate::items::{Change, Expression};

/// The one safe mend of a finding.
#[derive(Debug, Clone)]
pub(super) struct Fix {
    pub(super) key: Key,
    /// The list and the entry; none, and it is about the item itself.
    pub(super) entry: Option<(&'static str, String)>,
    /// What must still stand there.
    pub(super) expected: AttributeValue,
    pub(super) action: Action,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Remove,
    SetExpiry(EpochSeconds),
}

impl Table {
    /// `false` when something else stands there by now.
    pub(super) async fn mend(&self, fix: &Fix, writer: &str, now: EpochSeconds) -> anyhow::Result<bool> {
        let Fix { key, entry, expected, action } = fix;
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
                // A party's item does not say who wrote it; a rule does.
                if entry.is_some() || key.sk.starts_with("CALLER#") {
                    attributes.push(("updated_at", AttributeValue::N(now.to_string())));
                    attributes.push(("updated_by", AttributeValue::S(writer.to_owned())));
                }
                let place = entry.map(|entry| format!("{entry}.")).unwrap_or_default();
                let set: Vec<_> = attributes
                    .into_iter()
                    .map(|(name, value)| format!("{place}{} = {}", expression.name(name), expression.value(value)))
                    .collect();
                let condition = format!("{place}{} = {expected}", expression.name(EXPIRES_AT));
                (format!("SET {}", set.join(", ")), condition)
            }
        };
        self.change(Change { key, update, condition: Some(condition), expression }).await
    }
}
