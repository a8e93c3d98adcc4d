//! Fixes that `doctor --fix` applies. A fix is only applied if what is stored did not change since it was read.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, TransactWriteItem};
use callgate::store::item::{self, Attributes, EXPIRES_AT, Key};
use callgate_core::{AppKey, Effect, EpochSeconds, ParsedItem, Party, PartyId, Rule, has_expired};

use crate::error::Result;
use crate::history::Place;
use crate::item_edit::ItemEdit;
use crate::redundancy::Candidate;
use crate::rule_target::RuleLocation;
use crate::rules::Author;
use crate::table::Table;
use crate::table::items::{Expression, is_same_value};

/// A fix that changes no answer. [`Table::fix`] applies it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix(pub(super) Action);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Deletes an item, if no attribute of it changed.
    Delete(Attributes),
    /// Removes an entry of a list, if nothing in it changed, and the item if nothing else is in it.
    Remove(RuleLocation, AttributeValue),
    /// Removes an attribute of an item, if it did not change, and the item if nothing else is in it.
    RemoveAttribute(Key, &'static str, AttributeValue),
    /// Moves a rule to its pair item.
    Move(Move),
}

/// A rule between two parties that is an entry of a list, and belongs into a pair item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Move {
    pub(super) app: AppKey,
    pub(super) caller: PartyId,
    pub(super) callee: PartyId,
    /// Whether it is in the caller's list `outgoing`, not in the callee's list `incoming`.
    pub(super) is_outgoing: bool,
    /// The entry as it was read.
    pub(super) entry: AttributeValue,
}

impl Table {
    /// Applies a fix. `false` when what is stored changed since the inspection; nothing is written then.
    ///
    /// # Errors
    /// Why the table cannot be read or written to.
    pub async fn fix(&self, Fix(action): &Fix, author: &Author) -> Result<bool> {
        let (key, place, read) = match action {
            Action::Delete(read) => {
                let key = super::commands::key_of(read);
                return self.edit(ItemEdit::replace(&key, Some(read), None), author).await;
            }
            Action::Move(it) => return Box::pin(self.move_rule(it, author)).await,
            Action::Remove(RuleLocation { entry: None, .. }, _) => return Ok(false),
            Action::Remove(RuleLocation { key, entry: Some((list, entry)) }, read) => {
                (key, Place::Entry((*list).to_owned(), entry.clone()), read)
            }
            Action::RemoveAttribute(key, name, read) => (key, Place::Attribute((*name).to_owned()), read),
        };
        let item = self.get(key).await?;
        if !place.value_in(item.as_ref()).is_some_and(|stored| is_same_value(&stored, read)) {
            return Ok(false);
        }
        self.edit(ItemEdit::remove(key, item.as_ref(), [place]), author).await
    }

    /// Moves a rule from a list to a pair item in one transaction. Reads the items again, because other rules matter too.
    async fn move_rule(&self, it: &Move, author: &Author) -> Result<bool> {
        let Move { app, caller, callee, is_outgoing, entry: _ } = it;
        let keys = [Key::party(app, caller), Key::party(app, callee), Key::pair(app, caller, callee)];
        let (caller_item, callee_item, pair) =
            tokio::try_join!(self.get(&keys[0]), self.get(&keys[1]), self.get(&keys[2]))?;
        let (key, item, other_key, other_item) = if *is_outgoing {
            (&keys[0], caller_item, &keys[1], callee_item)
        } else {
            (&keys[1], callee_item, &keys[0], caller_item)
        };
        let (Some(item), None) = (item, pair) else { return Ok(false) };
        let Some(rule) = it.moved_rule(&item, other_item.as_ref(), author.at) else { return Ok(false) };
        let pair = ItemEdit::replace(&keys[2], None, Some(item::write_rule(&author.sign(rule))));
        let entry = Place::Entry(it.list().to_owned(), it.entry_key().to_owned());
        // The pair item has the expiry of the party.
        let entry = ItemEdit { unchanged: Some(EXPIRES_AT), ..ItemEdit::remove(key, Some(&item), [entry]) };
        let mut check = Expression::default();
        let same_list = check.same(&other_item.unwrap_or_default(), it.other_list());
        let check = ConditionCheck::builder()
            .table_name(self.name())
            .set_key(Some(other_key.attributes()))
            .condition_expression(same_list)
            .set_expression_attribute_names(check.names())
            .set_expression_attribute_values(check.values());
        let check = TransactWriteItem::builder().condition_check(check.build()?).build();
        self.edit_all(vec![pair, entry], vec![check], |changes| author.records_of(changes, None)).await
    }
}

impl Move {
    fn list(&self) -> &'static str {
        if self.is_outgoing { "outgoing" } else { "incoming" }
    }

    fn other_list(&self) -> &'static str {
        if self.is_outgoing { "incoming" } else { "outgoing" }
    }

    fn entry_key(&self) -> &str {
        if self.is_outgoing { self.callee.as_str() } else { self.caller.as_str() }
    }

    /// The rule to write as a pair item, given the item with the entry and the item of the other party. `None` if the entry
    /// changed, or calls would be decided differently.
    fn moved_rule(&self, item: &Attributes, other_item: Option<&Attributes>, now: EpochSeconds) -> Option<Rule> {
        let entry = item.get(self.list())?.as_m().ok()?.get(self.entry_key())?;
        let party = item::read_party(item.clone()).ok()?;
        let rule = item::read_rule(entry.as_m().ok()?.clone()).ok().filter(|_| *entry == self.entry)?;
        let rule = Rule { expires_at: [rule.expires_at, party.expires_at].into_iter().flatten().min(), ..rule };
        let other: ParsedItem<Party> = other_item.cloned().map(item::read_party).transpose();
        let other = other.ok()?.unwrap_or_default();
        let (rules, id) =
            if self.is_outgoing { (&other.incoming, &self.caller) } else { (&other.outgoing, &self.callee) };
        let matching = rules.matching(id, &party.groups);
        let candidates: Vec<_> = matching.map(|(pattern, rule)| Candidate::new(pattern, rule)).collect();
        (!has_expired(rule.expires_at, now) && can_decide_at_both_doors(rule.effect, &candidates)).then_some(rule)
    }
}

/// Whether a rule of one party's list can decide at the other party's door too without changing any answer, given the rules
/// of the other party that match the call.
///
/// A deny refuses the call at either door. An allow may only replace rules that do not refuse the call. A deny for exactly
/// the same party goes before it.
pub(super) fn can_decide_at_both_doors(effect: Effect, others: &[Candidate<'_>]) -> bool {
    effect == Effect::Deny || others.iter().all(|other| !other.refuses() || (other.is_exact() && other.is_valid()))
}
