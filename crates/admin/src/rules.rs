//! Writes and revokes single rules, on the condition that the stored rule did not change since it was read.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, Key, PK, SK};
use callgate_core::{EpochSeconds, ParseError, ParsedItem, Party, PartyId, Rule};

use crate::dial_plan_warning::DialPlanWarning;
use crate::error::{Error, Result};
use crate::redundancy::{Context, why_redundant};
use crate::rule_target::{RuleLocation, RuleOwner, RuleTarget};
use crate::table::Table;
use crate::table::items::{Expression, Update};
use crate::wording::is_same_rule;

/// The attributes of a stored rule. A pair item is only replaced if none of them changed since it was read.
pub(crate) const RULE_ATTRIBUTES: [&str; 7] =
    ["effect", "media", "hours", "expires_at", "note", "updated_at", "updated_by"];

/// The author of a change and its time. Stored with every rule as `updated_by` and `updated_at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The AWS identity, or the user of the machine.
    pub name: String,
    /// The moment of the change.
    pub at: EpochSeconds,
}

/// A rule to write, with the rule that is stored now. [`Table::write_rule`] writes it.
#[derive(Debug, Clone)]
pub struct RuleChange {
    /// The callers and callees of the rule.
    pub target: RuleTarget,
    /// The rule to write.
    pub rule: Rule,
    /// Why the rule cannot change any decision, as things are now.
    pub redundant: Option<String>,
    /// The patterns that the dial plan rewrites, in words.
    pub dial_plan_warning: Option<String>,
    location: RuleLocation,
    item: Option<Attributes>,
    previous: PreviousRule,
}

impl RuleChange {
    /// The rule that is stored now, or why it could not be parsed. `None` when there is none.
    #[must_use]
    pub fn previous(&self) -> Option<Result<&Rule, &ParseError>> {
        self.previous.rule()
    }

    /// Whether the same rule is stored already.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        matches!(self.previous(), Some(Ok(previous)) if is_same_rule(previous, &self.rule))
    }
}

/// A stored rule to revoke. [`Table::delete_rule`] deletes it.
#[derive(Debug, Clone)]
pub struct Revocation {
    location: RuleLocation,
    previous: PreviousRule,
    rule: Result<Rule, ParseError>,
}

impl Revocation {
    /// The stored rule, or why it could not be parsed.
    ///
    /// # Errors
    /// Why the rule could not be parsed. It can be revoked all the same.
    pub fn rule(&self) -> Result<&Rule, &ParseError> {
        self.rule.as_ref()
    }
}

impl Table {
    /// Compares a rule with what is stored now, and checks what it would change. Writes nothing.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when no item can hold such a rule, or why the table cannot be read.
    pub async fn plan_rule(&self, target: RuleTarget, rule: Rule, now: EpochSeconds) -> Result<RuleChange> {
        let owner = target.owner()?;
        let location = target.location_in(&owner);
        let (context, item) = Box::pin(self.rule_context(&target, &owner)).await?;
        let redundant = why_redundant(&target, &rule, &context, now).map(|it| it.why);
        let dial_plan_warning = DialPlanWarning::for_target(&target, self.dial_plan()).map(|(_, text)| text);
        let previous = PreviousRule::of(&location, item.as_ref());
        Ok(RuleChange { target, rule, redundant, dial_plan_warning, location, item, previous })
    }

    /// Writes a planned rule. `false` when the stored rule changed meanwhile; nothing is written then, so plan it again.
    ///
    /// # Errors
    /// [`Error::InvalidItem`] when the item's list is not a list of rules, or why the table cannot be written to.
    pub async fn write_rule(&self, change: &RuleChange, author: &Author) -> Result<bool> {
        let RuleChange { rule, location, item, previous, .. } = change;
        let rule = Rule { updated_at: Some(author.at), updated_by: Some(author.name.clone()), ..rule.clone() };
        let rule = item::write_rule(&rule);
        let mut expression = Expression::default();
        let (update, condition) = match &location.entry {
            None => {
                let condition = previous.pair_condition(&mut expression);
                let gone: Vec<_> = match &previous.stored {
                    Some(AttributeValue::M(stored)) => {
                        stored.keys().filter(|name| !rule.contains_key(*name)).cloned().collect()
                    }
                    _ => Vec::new(),
                };
                let set: Vec<_> = rule
                    .into_iter()
                    .map(|(name, value)| format!("{} = {}", expression.name(&name), expression.value(value)))
                    .collect();
                let remove: Vec<_> = gone.iter().map(|name| expression.name(name)).collect();
                let remove = if remove.is_empty() { String::new() } else { format!(" REMOVE {}", remove.join(", ")) };
                (format!("SET {}{remove}", set.join(", ")), condition)
            }
            Some((list, entry)) => {
                let name = expression.name(list);
                match item.as_ref().and_then(|item| item.get(*list)) {
                    Some(AttributeValue::M(_)) => {
                        let at = expression.name(entry);
                        let condition = previous.entry_condition(&name, &at, &mut expression);
                        (format!("SET {name}.{at} = {}", expression.value(AttributeValue::M(rule))), condition)
                    }
                    Some(_) => {
                        return Err(Error::InvalidItem(format!(
                            "`{list}` of this item is not a map, so no rule can be added to it; see `callgatectl doctor`"
                        )));
                    }
                    None => {
                        let map = AttributeValue::M([(entry.clone(), AttributeValue::M(rule))].into());
                        (format!("SET {name} = {}", expression.value(map)), format!("attribute_not_exists({name})"))
                    }
                }
            }
        };
        self.update(Update { key: &location.key, action: update, condition: Some(condition), expression }).await
    }

    /// Reads the rule at a location, to revoke it. `None` when there is none.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn plan_revocation(&self, location: RuleLocation) -> Result<Option<Revocation>> {
        let item = self.get(&location.key).await?;
        let previous = PreviousRule::of(&location, item.as_ref());
        let rule = previous.rule().map(|rule| rule.cloned().map_err(Clone::clone));
        Ok(rule.map(|rule| Revocation { location, previous, rule }))
    }

    /// Deletes a rule. `false` when it changed meanwhile; nothing is deleted then, so plan it again.
    ///
    /// # Errors
    /// Why the table cannot be written to.
    pub async fn delete_rule(&self, revocation: &Revocation) -> Result<bool> {
        let Revocation { location, previous, .. } = revocation;
        let mut expression = Expression::default();
        let Some((list, entry)) = &location.entry else {
            let condition = previous.pair_condition(&mut expression);
            return self.delete(&location.key, condition, expression).await;
        };
        let (list, entry) = (expression.name(list), expression.name(entry));
        let condition = previous.entry_condition(&list, &entry, &mut expression);
        let update = format!("REMOVE {list}.{entry}");
        self.update(Update { key: &location.key, action: update, condition: Some(condition), expression }).await
    }

    /// The permissions that decide whether a rule has an effect, and the item the rule belongs to.
    async fn rule_context(&self, target: &RuleTarget, owner: &RuleOwner) -> Result<(Context, Option<Attributes>)> {
        let (caller, callee) = owner.parties();
        let party = async |id: Option<&PartyId>| match id {
            Some(id) => self.get(&Key::party(&target.app, id)).await,
            None => Ok(None),
        };
        let pair = async || match owner {
            RuleOwner::Pair(caller, callee) => self.get(&Key::pair(&target.app, caller, callee)).await,
            _ => Ok(None),
        };
        let app_key = Key::app(&target.app);
        let (app, caller, callee, pair) = tokio::try_join!(self.get(&app_key), party(caller), party(callee), pair())?;
        let parsed =
            |item: &Option<Attributes>| -> ParsedItem<Party> { item.clone().map(item::read_party).transpose() };
        let context = Context {
            app: app.clone().map(item::read_app).transpose(),
            caller: parsed(&caller),
            callee: parsed(&callee),
            pair: pair.clone().map(item::read_pair).transpose(),
        };
        let item = match owner {
            RuleOwner::App => app,
            RuleOwner::Caller(_) => caller,
            RuleOwner::Callee(_) => callee,
            RuleOwner::Pair(..) => pair,
        };
        Ok((context, item))
    }
}

/// How often a change of a rule is tried when other writers keep changing the same rule.
pub const MAX_ATTEMPTS: u32 = 10;

/// The pause before a change is tried again because another writer was faster. It differs between processes, so that two
/// of them do not try again at the same time.
#[must_use]
pub fn retry_pause(attempt: u32) -> Duration {
    Duration::from_millis(10 << attempt.min(6)) + Duration::from_millis(u64::from(std::process::id() % 17))
}

/// The rule that is stored before a change.
#[derive(Debug, Clone)]
struct PreviousRule {
    /// As it is stored, for the condition of the write. For a pair, the item without its key.
    stored: Option<AttributeValue>,
    parsed: Option<Result<Rule, ParseError>>,
}

impl PreviousRule {
    fn of(location: &RuleLocation, item: Option<&Attributes>) -> Self {
        let stored = match &location.entry {
            Some(_) => location.entry_of(item).cloned(),
            None => item.map(|item| {
                let rule = item.iter().filter(|(name, _)| *name != PK && *name != SK);
                AttributeValue::M(rule.map(|(name, value)| (name.clone(), value.clone())).collect())
            }),
        };
        let parsed = stored.clone().map(|value| match value {
            AttributeValue::M(map) => item::read_rule(map),
            _ => Err(ParseError("it is not a map".to_owned())),
        });
        Self { stored, parsed }
    }

    fn rule(&self) -> Option<Result<&Rule, &ParseError>> {
        self.parsed.as_ref().map(Result::as_ref)
    }

    /// The condition that the pair item did not change.
    fn pair_condition(&self, expression: &mut Expression) -> String {
        let Some(AttributeValue::M(stored)) = &self.stored else {
            let pk = expression.name(PK);
            return format!("attribute_not_exists({pk})");
        };
        let absent = RULE_ATTRIBUTES.into_iter().filter(|name| !stored.contains_key(*name));
        let names = stored.keys().map(String::as_str).chain(absent);
        let each = names.map(|name| {
            let placeholder = expression.name(name);
            match stored.get(name) {
                Some(value) => format!("{placeholder} = {}", expression.value(value.clone())),
                None => format!("attribute_not_exists({placeholder})"),
            }
        });
        each.collect::<Vec<_>>().join(" AND ")
    }

    /// The condition that the entry of the list did not change.
    fn entry_condition(&self, list: &str, entry: &str, expression: &mut Expression) -> String {
        match &self.stored {
            Some(value) => format!("{list}.{entry} = {}", expression.value(value.clone())),
            None => format!("attribute_exists({list}) AND attribute_not_exists({list}.{entry})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use callgate_core::{Effect, Hours, MediaSet};

    use super::*;

    /// A new attribute of a rule must be part of the condition, so that two writers cannot overwrite each other's changes.
    #[test]
    fn rule_attributes_are_all_attributes_that_are_written() {
        let rule = Rule {
            effect: Effect::Allow,
            media: Some(MediaSet { audio: true, video: false }),
            hours: Hours::parse("Mon 09:00-18:00 UTC").ok(),
            expires_at: Some(1),
            note: Some(String::new()),
            updated_at: Some(1),
            updated_by: Some(String::new()),
        };
        let attributes = item::write_rule(&rule);
        // A condition that is not stored would make an `allow` match more calls.
        assert_eq!(item::read_rule(attributes.clone()), Ok(rule));
        let mut written: Vec<_> = attributes.into_keys().collect();
        written.sort();
        let mut known = RULE_ATTRIBUTES.map(str::to_owned).to_vec();
        known.sort();
        assert_eq!(written, known);
    }
}
