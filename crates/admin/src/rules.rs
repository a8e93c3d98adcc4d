//! Writes and revokes single rules, on the condition that the stored rule did not change since it was read.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, Key, PK, SK};
use callgate_core::{Door, EpochSeconds, ParseError, ParsedItem, Party, PartyId, Rule, has_expired};

use crate::edit::RuleEdit;
use crate::error::{Error, Result};
use crate::exceptions::Exceptions;
use crate::history::Place;
use crate::item_edit::ItemEdit;
use crate::prefix_warning::PrefixWarning;
use crate::redundancy::{Context, why_redundant};
use crate::rule_target::{RuleLocation, RuleOwner, RuleTarget};
use crate::stored_rule::read_entry;
use crate::table::Table;
use crate::table::size::check_size;
use crate::wording::is_same_rule;

/// The attributes of a stored rule. A pair item is only replaced if none of them changed since it was read.
pub(crate) const RULE_ATTRIBUTES: [&str; 9] =
    ["effect", "media", "hours", "expires_at", "disabled", "list", "note", "updated_at", "updated_by"];

/// The author of a change, its time and its command. Every rule has the first two as `updated_by` and `updated_at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The AWS identity, or the user of the machine.
    pub name: String,
    /// The moment of the change.
    pub at: EpochSeconds,
    /// The command as it was typed, for the history.
    pub command: String,
    /// How many days the history keeps the change.
    pub keep_days: u16,
}

impl Author {
    /// Adds the author to a rule.
    pub(crate) fn sign(&self, rule: Rule) -> Rule {
        Rule { updated_at: Some(self.at), updated_by: Some(self.name.clone()), ..rule }
    }
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
    /// The prefixes that numbers do not have in this region, in words.
    pub prefix_warning: Option<String>,
    /// The rules that allow some of the calls that this rule denies.
    pub exceptions: Exceptions,
    /// When the party that holds the rule expires, if it does.
    pub party_expires_at: Option<EpochSeconds>,
    /// Whether that party has expired. It counts as absent then, so the rule replaces everything in its item but the note.
    pub is_party_expired: bool,
    /// Whether the item is a party's. One that cannot be parsed refuses its calls whatever its expiry.
    may_expire: bool,
    planned_at: EpochSeconds,
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

    /// The doors at which the rule decides.
    #[must_use]
    pub fn doors(&self) -> Vec<Door> {
        self.location.doors()
    }

    /// Whether the stored rule has another effect, or cannot be parsed.
    #[must_use]
    pub fn changes_effect(&self) -> bool {
        self.previous().is_some_and(|previous| previous.map_or(true, |it| it.effect != self.rule.effect))
    }

    /// Whether the same rule is stored already.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        matches!(self.previous(), Some(Ok(previous)) if is_same_rule(previous, &self.rule))
    }

    /// Whether this very change is stored already, which is so when the answer to a write was lost.
    #[must_use]
    pub fn is_written_by(&self, author: &Author) -> bool {
        let is_author = |rule: &Rule| {
            rule.updated_at == Some(author.at) && rule.updated_by.as_deref() == Some(author.name.as_str())
        };
        self.is_unchanged() && matches!(self.previous(), Some(Ok(previous)) if is_author(previous))
    }

    /// Whether the same rule was stored when the other change was planned.
    #[must_use]
    pub fn has_same_previous(&self, other: &Self) -> bool {
        self.previous.is_same(&other.previous)
    }

    /// Checks that the item is not too big with the rule in it, given the rule as it is stored.
    fn check_size(&self, rule: &Attributes) -> Result<()> {
        let RuleChange { location: RuleLocation { key, entry }, item, is_party_expired, .. } = self;
        let Some((list, entry)) = entry else { return check_size(key, rule, "this rule") };
        let mut attributes = item.clone().filter(|_| !is_party_expired).unwrap_or_default();
        let rules = attributes.entry((*list).to_owned()).or_insert_with(|| AttributeValue::M(Attributes::new()));
        if let AttributeValue::M(rules) = rules {
            rules.insert(entry.clone(), AttributeValue::M(rule.clone()));
        }
        check_size(key, &attributes, "this rule")
    }
}

/// A stored rule to revoke. [`Table::delete_rule`] deletes it.
#[derive(Debug, Clone)]
pub struct Revocation {
    location: RuleLocation,
    item: Option<Attributes>,
    previous: PreviousRule,
    rule: Result<Rule, ParseError>,
}

impl Revocation {
    fn edit(&self) -> ItemEdit<'_> {
        let Self { location: RuleLocation { key, entry }, item, .. } = self;
        match entry {
            None => ItemEdit::replace(key, item.as_ref(), None),
            Some((list, entry)) => {
                ItemEdit::remove(key, item.as_ref(), [Place::Entry((*list).to_owned(), entry.clone())])
            }
        }
    }

    /// The stored rule, or why it could not be parsed.
    ///
    /// # Errors
    /// Why the rule could not be parsed. It can be revoked all the same.
    pub fn rule(&self) -> Result<&Rule, &ParseError> {
        self.rule.as_ref()
    }

    /// The doors at which the rule decides.
    #[must_use]
    pub fn doors(&self) -> Vec<Door> {
        self.location.doors()
    }

    /// Whether the same rule was stored when the other revocation was planned.
    #[must_use]
    pub fn has_same_previous(&self, other: &Self) -> bool {
        self.previous.is_same(&other.previous)
    }
}

impl Table {
    /// Applies an edit to the rule that is stored now, or to a new one, and checks what it would change. Writes nothing.
    ///
    /// `door` chooses between two possible lists: with [`Door::App`], a rule from one caller to `*` goes into the app's list,
    /// and without a door into the caller's.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when no item can hold such a rule, or why the table cannot be read.
    pub async fn plan_rule(
        &self,
        target: RuleTarget,
        door: Option<Door>,
        edit: &RuleEdit,
        now: EpochSeconds,
    ) -> Result<RuleChange> {
        if let (Some(door), false) = (door, target.has_pattern()) {
            return Err(Error::InvalidInput(format!(
                "a rule between two parties decides at doors `caller` and `callee`, so it cannot be written for door `{}` \
                 alone; leave the door out",
                door.as_str()
            )));
        }
        let owner = target.owner_at(door)?;
        let location = target.location_in(&owner);
        let (context, item) = Box::pin(self.rule_context(&target, &owner)).await?;
        let party = match &owner {
            RuleOwner::Caller(_) => &context.caller,
            RuleOwner::Callee(_) => &context.callee,
            RuleOwner::App | RuleOwner::Destination | RuleOwner::Pair(..) => &Ok(None),
        };
        let may_expire = matches!(owner, RuleOwner::Caller(_) | RuleOwner::Callee(_)) && party.is_ok();
        let valid_party = party.as_ref().ok().and_then(Option::as_ref);
        let party_expires_at = valid_party.and_then(|party| party.expires_at);
        let is_party_expired = has_expired(party_expires_at, now);
        let previous = PreviousRule::of(&location, item.as_ref().filter(|_| !is_party_expired));
        let rule = edit.apply(previous.rule().and_then(Result::ok), now);
        // A disabled rule has no effect, which is not news.
        let redundant =
            why_redundant(&target, &owner, &rule, &context, now).filter(|_| !rule.disabled).map(|it| it.why);
        let prefix_warning = PrefixWarning::for_target(&target, self.phone_region()).map(|(_, text)| text);
        let exceptions =
            self.exceptions(&location, &target, &rule, item.as_ref().filter(|_| !is_party_expired), now).await;
        Ok(RuleChange {
            target,
            rule,
            redundant,
            prefix_warning,
            exceptions,
            party_expires_at,
            is_party_expired,
            may_expire,
            planned_at: now,
            location,
            item,
            previous,
        })
    }

    /// Switches a stored rule on or off, in a plan. Writes nothing. `None` when there is no such rule.
    ///
    /// # Errors
    /// [`Error::InvalidItem`] when the rule cannot be parsed, or why the table cannot be read.
    pub async fn plan_switch(
        &self,
        target: &RuleTarget,
        location: &RuleLocation,
        is_disabled: bool,
        now: EpochSeconds,
    ) -> Result<Option<RuleChange>> {
        self.plan_update(target, location, now, |rule| Rule { disabled: is_disabled, ..rule }).await
    }

    /// Changes the expiry of a stored rule, in a plan. Writes nothing. `None` when there is no such rule.
    ///
    /// # Errors
    /// As for [`Self::plan_switch`].
    pub async fn plan_expiry(
        &self,
        target: &RuleTarget,
        location: &RuleLocation,
        expires_at: Option<EpochSeconds>,
        now: EpochSeconds,
    ) -> Result<Option<RuleChange>> {
        self.plan_update(target, location, now, |rule| Rule { expires_at, ..rule }).await
    }

    async fn plan_update(
        &self,
        target: &RuleTarget,
        location: &RuleLocation,
        now: EpochSeconds,
        update: impl FnOnce(Rule) -> Rule,
    ) -> Result<Option<RuleChange>> {
        let item = self.get(&location.key).await?;
        let party = item.clone().filter(|_| location.key.sk == "PARTY").map(item::read_party).transpose();
        let may_expire = location.key.sk == "PARTY" && party.is_ok();
        let party_expires_at = party.ok().flatten().and_then(|party| party.expires_at);
        if has_expired(party_expires_at, now) {
            return Ok(None);
        }
        let previous = PreviousRule::of(location, item.as_ref());
        let rule = match previous.rule() {
            None => return Ok(None),
            Some(Ok(rule)) => update(rule.clone()),
            Some(Err(error)) => {
                return Err(Error::InvalidItem(format!(
                    "the rule cannot be parsed, and is invalid whether it is disabled or not: {error}; write it again, or \
                     revoke it"
                )));
            }
        };
        let exceptions = self.exceptions(location, target, &rule, item.as_ref(), now).await;
        Ok(Some(RuleChange {
            target: target.clone(),
            rule,
            redundant: None,
            prefix_warning: None,
            exceptions,
            party_expires_at,
            is_party_expired: false,
            may_expire,
            planned_at: now,
            location: location.clone(),
            item,
            previous,
        }))
    }

    /// Writes a planned rule. `false` when the stored rule changed meanwhile; nothing is written then, so plan it again.
    ///
    /// # Errors
    /// [`Error::InvalidItem`] when the item's list is not a list of rules or the item would be too big, or why the table cannot be
    /// written to.
    pub async fn write_rule(&self, change: &RuleChange, author: &Author) -> Result<bool> {
        let RuleChange { rule, location, item, is_party_expired, may_expire, planned_at, .. } = change;
        let rule = item::write_rule(&author.sign(rule.clone()));
        change.check_size(&rule)?;
        let (key, item) = (&location.key, item.as_ref());
        let edit = match &location.entry {
            None => ItemEdit::replace(key, item, Some(rule)),
            Some((list, entry)) if *is_party_expired => {
                let rules = AttributeValue::M([(entry.clone(), AttributeValue::M(rule))].into());
                ItemEdit::replace_expired(key, item, [((*list).to_owned(), rules)].into())
            }
            Some((list, entry)) => ItemEdit {
                key,
                item,
                values: vec![(Place::Entry((*list).to_owned(), entry.clone()), Some(AttributeValue::M(rule)))],
                // Another writer may have set an expiry, or this one may be over by now.
                not_expired_at: may_expire.then_some(*planned_at),
                unchanged: None,
            },
        };
        self.edit(edit, author).await
    }

    /// Reads the rule at a location, to revoke it. `None` when there is none.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn plan_revocation(&self, location: RuleLocation) -> Result<Option<Revocation>> {
        let item = self.get(&location.key).await?;
        let previous = PreviousRule::of(&location, item.as_ref());
        let rule = previous.rule().map(|rule| rule.cloned().map_err(Clone::clone));
        Ok(rule.map(|rule| Revocation { location, item, previous, rule }))
    }

    /// Deletes a rule, and its item if nothing else is in it. `false` when the rule changed meanwhile; nothing is deleted then, so
    /// plan it again.
    ///
    /// # Errors
    /// Why the table cannot be written to.
    pub async fn delete_rule(&self, revocation: &Revocation, author: &Author) -> Result<bool> {
        self.edit(revocation.edit(), author).await
    }

    /// Deletes a rule as [`Self::delete_rule`] does, as a part of a larger change.
    pub(crate) async fn delete_rule_unrecorded(&self, revocation: &Revocation) -> Result<bool> {
        self.edit_unrecorded(revocation.edit()).await
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
            RuleOwner::App | RuleOwner::Destination => app,
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
        let parsed = stored.as_ref().map(read_entry);
        Self { stored, parsed }
    }

    fn rule(&self) -> Option<Result<&Rule, &ParseError>> {
        self.parsed.as_ref().map(Result::as_ref)
    }

    /// Whether both are the same rule by the same author. A set is stored in no order, so parsed rules are compared.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.parsed, &other.parsed) {
            (Some(Ok(one)), Some(Ok(other))) => one == other,
            _ => self.stored == other.stored,
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
            disabled: true,
            list: Some(String::new()),
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
