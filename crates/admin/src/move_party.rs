//! Gives a party another id: copies its item and every rule that names it, then deletes the originals. At no moment a call is
//! permitted that neither the rules before nor the rules after permit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, Key, PK, SK};
use callgate_core::{AppKey, Effect, PartyId, Rule};

use crate::error::{Error, Result};
use crate::history::BulkCounts;
use crate::mentions::{Mention, Mentions, for_each, wait_for_caches};
use crate::rule_row::RuleRow;
use crate::rule_target::RuleLocation;
use crate::rules::Author;
use crate::table::Table;
use crate::table::items::{Expression, Update, is_same_value};
use crate::table::size::{MAX_ITEM_BYTES, size_of_entry};

/// The beginning of the note of the rules that refuse calls between the two ids during a move.
const MARK: &str = "callgatectl move: ";

/// Everything to copy from one id to another, and then to delete.
#[derive(Debug, Clone)]
pub struct PartyMove {
    app: AppKey,
    from: PartyId,
    to: PartyId,
    source: Mentions,
    /// The rules of the other id that are there already, by location.
    target: Mentions,
    copies: Vec<Copy>,
    /// The party's item under the new id.
    item: Option<Attributes>,
    /// The rules of an earlier move that was interrupted, which refuse calls between the two ids.
    marks: Vec<Mention>,
}

/// A rule under the new id.
#[derive(Debug, Clone)]
struct Copy {
    location: RuleLocation,
    value: AttributeValue,
    source: Mention,
    is_there: bool,
}

impl PartyMove {
    /// Whether nothing is stored about the party, and nothing is left of an earlier move.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.source.item.is_none() && self.source.rules.is_empty() && self.marks.is_empty()
    }

    /// Whether the party has an own item, with its status, groups, block, note and lists.
    #[must_use]
    pub fn has_item(&self) -> bool {
        self.source.item.is_some()
    }

    /// The rules that are stored elsewhere and name the party: as they are, and under the new id.
    #[must_use]
    pub fn rules(&self) -> Vec<(RuleRow, RuleRow)> {
        let renamed = |row: RuleRow| {
            let side = |id: String| if id == self.from.as_str() { self.to.to_string() } else { id };
            RuleRow { from: side(row.from), to: side(row.to), ..row }
        };
        self.source.rules.iter().map(|rule| (rule.row(), renamed(rule.row()))).collect()
    }

    /// The rules that the new id has already, and keeps.
    #[must_use]
    pub fn kept(&self) -> Vec<RuleRow> {
        let is_copy = |rule: &&Mention| self.copies.iter().any(|copy| copy.location == rule.location);
        self.target.rules.iter().filter(|rule| !is_copy(rule)).map(Mention::row).collect()
    }
}

impl Table {
    /// Finds everything that is stored about a party and compares it with what is stored about the new id. Scans the table, and
    /// writes nothing.
    ///
    /// # Errors
    /// [`Error::InvalidItem`] when a rule or the item of the new id differs from what would be written, when there are rules
    /// between the two ids, or when an item would become too large. Or why the table cannot be read.
    pub async fn plan_party_move(&self, app: &AppKey, from: &PartyId, to: &PartyId) -> Result<PartyMove> {
        if from == to {
            return Err(Error::InvalidInput(format!("both ids are `{from}`")));
        }
        let (mut source, mut target) = tokio::try_join!(self.mentions(app, from), self.mentions(app, to))?;
        let is_between = |rule: &Mention| {
            let sides = [rule.stored.from.as_str(), rule.stored.to.as_str()];
            sides.contains(&from.as_str()) && sides.contains(&to.as_str())
        };
        let (marks, between): (Vec<_>, Vec<_>) =
            source.rules.iter().filter(|rule| is_between(rule)).cloned().partition(is_mark);
        // Lists of the two parties name the other id without being among the rules of others.
        let own = [(&source.item, to), (&target.item, from)];
        let own = own.into_iter().find_map(|(item, other)| own_rule_for(item.as_ref()?, other));
        if let Some(rule) = between.first().map(Mention::row).map(|row| row.text()).or(own) {
            return Err(Error::InvalidItem(format!(
                "there is a rule between the two ids, which would be a rule from `{to}` to itself: {rule}; revoke it first"
            )));
        }
        // A rule for another spelling of the id matches no call, and stays.
        let names = |rule: &Mention, id: &PartyId| match &rule.location.entry {
            Some((_, entry)) => entry == id.as_str(),
            None => [&rule.stored.from, &rule.stored.to].into_iter().any(|side| side == id.as_str()),
        };
        source.rules.retain(|rule| names(rule, from) && !is_between(rule));
        target.rules.retain(|rule| !is_between(rule));
        let copies: Vec<_> = source.rules.iter().filter_map(|rule| copy_of(app, from, to, rule, &target)).collect();
        let item = source.item.as_ref().map(|item| renamed_item(app, from, to, item));
        let plan =
            PartyMove { app: app.clone(), from: from.clone(), to: to.clone(), source, target, copies, item, marks };
        plan.check()?;
        Ok(plan)
    }

    /// Copies everything to the new id and then deletes the originals. When it is interrupted, planning and doing it again
    /// completes it.
    ///
    /// The functions keep an app's item for `app_cache`; `announce` is called with the length of each wait for them.
    ///
    /// # Errors
    /// [`Error::Conflict`] when something changed since it was read, or why the table cannot be changed.
    pub async fn move_party(
        &self,
        plan: &PartyMove,
        author: &Author,
        app_cache: Duration,
        announce: impl Fn(Duration),
    ) -> Result<()> {
        let PartyMove { app, from, to, source, copies, .. } = plan;
        let changed = source.rules.len() as u64 + u64::from(source.item.is_some());
        let counts = BulkCounts { changed, more: changed, ..BulkCounts::default() };
        let bulk = self.begin_bulk(author, [(app.clone(), counts)], None).await?;
        let (allowing, others): (Vec<_>, Vec<_>) = copies.iter().partition(|copy| copy.source.allows());
        // Calls between the two ids would be decided by the rules of both while both have them.
        let marks = [(from, to), (to, from)].map(|(caller, callee)| (Key::pair(app, caller, callee), caller, callee));
        for (key, ..) in &marks {
            self.put_mark(key, plan, author).await?;
        }
        // The new id gets the rules that refuse its calls before the others,
        self.write_copies(&others).await?;
        if others.iter().any(|copy| copy.source.is_of_app()) {
            wait_for_caches(Instant::now(), app_cache, &announce).await;
        }
        if let Some(item) = &plan.item {
            self.put_copy(&Key::party(app, to), item).await?;
        }
        self.write_copies(&allowing).await?;
        // and the old id loses them after the others.
        let (allowing, others): (Vec<_>, Vec<_>) = source.rules.iter().partition(|rule| rule.allows());
        self.delete_mentions(&allowing).await?;
        if source.has_app_item {
            let is_removed_now = allowing.iter().any(|rule| rule.is_of_app());
            wait_for_caches(if is_removed_now { Instant::now() } else { source.read_at }, app_cache, &announce).await;
        }
        if let Some(item) = &source.item {
            self.delete_as_read(&Key::party(app, from), item).await?;
        }
        self.delete_mentions(&others).await?;
        for (key, ..) in &marks {
            if let Some(mark) = self.get(key).await? {
                self.delete_as_read(key, &mark).await?;
            }
        }
        self.complete_bulk(&bulk).await
    }

    /// Refuses calls between the two ids during the move.
    async fn put_mark(&self, key: &Key, PartyMove { from, to, .. }: &PartyMove, author: &Author) -> Result<()> {
        let rule = author.sign(Rule { note: Some(format!("{MARK}{from} becomes {to}")), ..Rule::new(Effect::Deny) });
        let mut expression = Expression::default();
        let condition = expression.unchanged(None);
        if self.replace(key, item::write_rule(&rule), condition, expression).await? {
            return Ok(());
        }
        match self.get(key).await? {
            Some(stored) if is_mark_item(&stored) => Ok(()),
            _ => Err(Error::Conflict(format!("another writer wrote a rule between `{from}` and `{to}` meanwhile"))),
        }
    }

    async fn write_copies(&self, copies: &[&Copy]) -> Result<()> {
        let missing: Vec<_> = copies.iter().filter(|copy| !copy.is_there).map(|copy| (*copy).clone()).collect();
        for_each(missing, |copy| {
            let table = self.clone();
            async move { table.write_copy(copy).await }
        })
        .await
    }

    async fn write_copy(&self, Copy { location, value, source, .. }: Copy) -> Result<()> {
        let key = &location.key;
        let Some((list, entry)) = &location.entry else {
            let AttributeValue::M(item) = value else { return Ok(()) };
            return self.put_copy(key, &item).await;
        };
        let mut expression = Expression::default();
        let (list_name, entry_name) = (expression.name(list), expression.name(entry));
        // The item with the original still has it, or another writer has changed it.
        let original = source.location.entry.as_ref().map(|(_, entry)| expression.name(entry)).unwrap_or_default();
        let condition = format!(
            "attribute_not_exists({list_name}.{entry_name}) AND {list_name}.{original} = {}",
            expression.value(value.clone())
        );
        let action = format!("SET {list_name}.{entry_name} = {}", expression.value(value.clone()));
        if self.update(Update { key, action, condition: Some(condition), expression }).await? {
            return Ok(());
        }
        let item = self.get(key).await?;
        match location.entry_of(item.as_ref()) {
            Some(stored) if is_same_value(stored, &value) => Ok(()),
            _ => Err(Error::Conflict(format!("another writer changed the lists of the item `{}` meanwhile", key.pk))),
        }
    }

    /// Puts an item under a key that has none, or has the same item already.
    pub(crate) async fn put_copy(&self, key: &Key, item: &Attributes) -> Result<()> {
        let mut expression = Expression::default();
        let condition = expression.unchanged(None);
        let attributes: Attributes = item
            .iter()
            .filter(|(name, _)| *name != PK && *name != SK)
            .map(|(name, it)| (name.clone(), it.clone()))
            .collect();
        match self.replace(key, attributes, condition, expression).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // The next request shows whether the item was written.
            Err(error) if error.is_unanswered() => {}
            Err(error) => return Err(error),
        }
        match self.get(key).await? {
            Some(stored) if is_same_item(&stored, item) => Ok(()),
            Some(_) => Err(Error::Conflict(format!("another writer wrote the item `{}` meanwhile", key.pk))),
            None => Err(Error::Conflict(format!("the item `{}` could not be written; try again", key.pk))),
        }
    }
}

impl PartyMove {
    /// Checks that nothing of the new id would be replaced, and that every copy fits into its item.
    fn check(&self) -> Result<()> {
        let PartyMove { app, from: _, to, source: _, target, copies, item, marks: _ } = self;
        for copy in copies {
            let stored = target.rules.iter().find(|rule| rule.location == copy.location);
            if let Some(stored) = stored.filter(|_| !copy.is_there) {
                return Err(Error::InvalidItem(format!(
                    "`{to}` has another rule already: {}; it would be replaced by a copy of: {}; revoke one of them first",
                    stored.row().text(),
                    copy.source.row().text(),
                )));
            }
        }
        if let (Some(item), Some(stored)) = (item, &target.item)
            && !is_same_item(item, stored)
        {
            return Err(Error::InvalidItem(format!(
                "`{to}` has an item of its own in app `{app}`, with another status, group, block, note or rule in its lists; \
                 look at it with `callgatectl show`, and forget or empty it first"
            )));
        }
        let mut sizes = HashMap::<&Key, usize>::new();
        for Copy { location, value, source, .. } in copies.iter().filter(|copy| !copy.is_there) {
            let Some((_, entry)) = &location.entry else { continue };
            let size = sizes.entry(&location.key).or_insert(source.item_bytes);
            *size += size_of_entry(entry, value);
            if *size > MAX_ITEM_BYTES {
                return Err(Error::InvalidItem(format!(
                    "the item `{}` has no room for a copy of the rule of `{}` beside it, because an item may have 400 KB; remove \
                     rules from it first",
                    location.key.pk, self.from
                )));
            }
        }
        Ok(())
    }
}

fn is_mark(rule: &Mention) -> bool {
    matches!(&rule.value, AttributeValue::M(item) if is_mark_item(item))
}

fn is_mark_item(item: &Attributes) -> bool {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    text("effect").is_some_and(|effect| effect == "deny") && text("note").is_some_and(|note| note.starts_with(MARK))
}

/// The rule in the lists of an item that names exactly this party, in words.
fn own_rule_for(item: &Attributes, party: &PartyId) -> Option<String> {
    let rules = crate::stored_rule::own_rules_of(item)?;
    rules.iter().find(|rule| rule.entry == party.as_str()).map(|rule| rule.row().text())
}

/// The rule under the new id. `None` for one that is not stored under the party's canonical id, so that no call matches it.
fn copy_of(app: &AppKey, from: &PartyId, to: &PartyId, rule: &Mention, target: &Mentions) -> Option<Copy> {
    let location = if let Some((list, entry)) = &rule.location.entry {
        let entry = (entry == from.as_str()).then(|| to.to_string())?;
        RuleLocation { key: rule.location.key.clone(), entry: Some((list, entry)) }
    } else {
        let side = |id: &str| if id == from.as_str() { to.to_string() } else { id.to_owned() };
        let (caller, callee) = (side(&rule.stored.from), side(&rule.stored.to));
        RuleLocation { key: crate::item_kind::pair_key(app.as_str(), &caller, &callee), entry: None }
    };
    if location == rule.location {
        return None;
    }
    let stored = target.rules.iter().find(|stored| stored.location == location);
    let is_there = stored.is_some_and(|stored| match (&stored.value, &rule.value) {
        (AttributeValue::M(stored), AttributeValue::M(item)) if location.entry.is_none() => is_same_item(stored, item),
        (stored, value) => is_same_value(stored, value),
    });
    Some(Copy { location, value: rule.value.clone(), source: rule.clone(), is_there })
}

/// The party's item under the new id. Its rules for itself are for the new id.
fn renamed_item(app: &AppKey, from: &PartyId, to: &PartyId, item: &Attributes) -> Attributes {
    let mut renamed = item.clone();
    renamed.extend(Key::party(app, to).attributes());
    for list in ["incoming", "outgoing"] {
        if let Some(AttributeValue::M(entries)) = renamed.get_mut(list)
            && let Some(rule) = entries.remove(from.as_str())
        {
            entries.insert(to.to_string(), rule);
        }
    }
    renamed
}

/// Whether two items are the same, apart from their keys.
pub(crate) fn is_same_item(one: &Attributes, other: &Attributes) -> bool {
    let names = |item: &Attributes| item.keys().filter(|name| *name != PK && *name != SK).count();
    names(one) == names(other)
        && one
            .iter()
            .filter(|(name, _)| *name != PK && *name != SK)
            .all(|(name, value)| other.get(name).is_some_and(|other| is_same_value(value, other)))
}
