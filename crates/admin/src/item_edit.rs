//! Changes values of one item, on the condition that none of them changed since it was read.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update as TransactUpdate};
use callgate::store::item::{Attributes, Key, PK, SK};
use callgate_core::EpochSeconds;

use crate::error::{Error, Result};
use crate::history::{BulkChange, ChangedValue, Place};
use crate::move_party::is_same_item;
use crate::rules::{Author, retry_pause};
use crate::table::Table;
use crate::table::batch::{MAX_ATTEMPTS, unix_time};
use crate::table::items::{Expression, Update, is_empty};

/// New values of an item.
pub(crate) struct ItemEdit<'a> {
    pub(crate) key: &'a Key,
    /// The item as it was read. `None` if there was none.
    pub(crate) item: Option<&'a Attributes>,
    /// The places, with their new values. `None` removes what is there.
    pub(crate) values: Vec<(Place, Option<AttributeValue>)>,
    /// The moment at which the party of the item must not have expired.
    pub(crate) not_expired_at: Option<EpochSeconds>,
    /// Another attribute that must not have changed.
    pub(crate) unchanged: Option<&'static str>,
}

/// The request that makes an edit.
enum Write<'a> {
    Put { key: &'a Key, attributes: Attributes, condition: String, expression: Expression },
    Update(Update<'a>),
    Delete { key: &'a Key, condition: String, expression: Expression },
}

impl<'a> ItemEdit<'a> {
    /// Replaces the whole item.
    pub(crate) fn replace(key: &'a Key, item: Option<&'a Attributes>, new: Option<Attributes>) -> Self {
        let value = new.map(|new| AttributeValue::M(without_key(&new)));
        Self { key, item, values: vec![(Place::Item, value)], not_expired_at: None, unchanged: None }
    }

    /// Removes what is in these places.
    pub(crate) fn remove(key: &'a Key, item: Option<&'a Attributes>, places: impl IntoIterator<Item = Place>) -> Self {
        let values = places.into_iter().map(|place| (place, None)).collect();
        Self { key, item, values, not_expired_at: None, unchanged: None }
    }

    /// Replaces everything in a party's item but its note. The party has expired, so nothing else in it has an effect, and must
    /// not have one again.
    pub(crate) fn replace_expired(key: &'a Key, item: Option<&'a Attributes>, mut attributes: Attributes) -> Self {
        if let Some(note) = item.and_then(|item| item.get("note")) {
            attributes.entry("note".to_owned()).or_insert_with(|| note.clone());
        }
        Self::replace(key, item, Some(attributes))
    }

    /// The attributes of an item that has only these values.
    pub(crate) fn attributes_of(values: &[(Place, Option<AttributeValue>)]) -> Result<Attributes> {
        apply(None, values)
    }

    /// The request, and what it changes. `None` if there is nothing to change. An item in which nothing is left is deleted, unless
    /// it is replaced as a whole.
    fn request(self) -> Result<Option<(Write<'a>, Vec<ChangedValue>)>> {
        let Self { key, item, values, not_expired_at, unchanged } = self;
        let changed = |place: Place, before, after| ChangedValue { key: key.clone(), place, before, after };
        let whole = |item: Option<&Attributes>| item.map(|item| AttributeValue::M(without_key(item)));
        let after = match values.as_slice() {
            [(Place::Item, None)] => None,
            [(Place::Item, Some(AttributeValue::M(new)))] => Some(new.clone()),
            _ => Some(apply(item, &values)?),
        };
        let is_whole = matches!(values.as_slice(), [(Place::Item, _)]);
        let is_left = |after: &Attributes| {
            let with_key = key.attributes().into_iter().chain(after.clone()).collect();
            is_whole || !is_empty(&with_key, unix_time())
        };
        let mut expression = Expression::default();
        let Some(after) = after.filter(is_left) else {
            if item.is_none() {
                return Ok(None);
            }
            let condition = expression.unchanged(item);
            let change = changed(Place::Item, whole(item), None);
            return Ok(Some((Write::Delete { key, condition, expression }, vec![change])));
        };
        if is_whole {
            let condition = expression.unchanged(item);
            let change = changed(Place::Item, whole(item), Some(AttributeValue::M(after.clone())));
            return Ok(Some((Write::Put { key, attributes: after, condition, expression }, vec![change])));
        }
        let places = values.iter().map(|(place, _)| place.recorded(item)).fold(Vec::new(), |mut places, place| {
            if !places.contains(&place) {
                places.push(place);
            }
            places
        });
        let changes =
            places.into_iter().map(|place| changed(place.clone(), place.value_in(item), place.value_in(Some(&after))));
        let changes: Vec<_> = changes.filter(|change| change.before != change.after).collect();
        if changes.is_empty() {
            return Ok(None);
        }
        let (action, mut conditions) = update(item, values, &mut expression);
        conditions.extend(not_expired_at.map(|at| expression.not_expired(at)));
        conditions.extend(unchanged.map(|name| expression.same(item.unwrap_or(&Attributes::new()), name)));
        let condition = Some(conditions.join(" AND "));
        Ok(Some((Write::Update(Update { key, action, condition, expression }), changes)))
    }
}

impl Write<'_> {
    fn into_item(self, table: &str) -> Result<TransactWriteItem> {
        let item = TransactWriteItem::builder();
        Ok(match self {
            Self::Put { key, attributes, condition, expression } => item.put(
                Put::builder()
                    .table_name(table)
                    .set_item(Some(key.attributes().into_iter().chain(attributes).collect()))
                    .condition_expression(condition)
                    .set_expression_attribute_names(expression.names())
                    .set_expression_attribute_values(expression.values())
                    .build()?,
            ),
            Self::Update(Update { key, action, condition, expression }) => item.update(
                TransactUpdate::builder()
                    .table_name(table)
                    .set_key(Some(key.attributes()))
                    .update_expression(action)
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(expression.names())
                    .set_expression_attribute_values(expression.values())
                    .build()?,
            ),
            Self::Delete { key, condition, expression } => item.delete(
                Delete::builder()
                    .table_name(table)
                    .set_key(Some(key.attributes()))
                    .condition_expression(condition)
                    .set_expression_attribute_names(expression.names())
                    .set_expression_attribute_values(expression.values())
                    .build()?,
            ),
        }
        .build())
    }
}

impl Table {
    /// Makes an edit and writes its change item, both or neither. `false` when something changed since it was read; nothing is
    /// written then.
    ///
    /// # Errors
    /// [`Error::InvalidItem`] when a list is not a map of rules, or why the table cannot be written to.
    pub(crate) async fn edit(&self, edit: ItemEdit<'_>, author: &Author) -> Result<bool> {
        self.edit_all(vec![edit], Vec::new(), |changes| author.records_of(changes, None)).await
    }

    /// Makes an edit as a part of a larger change, with a change item for each value that `is_recorded`.
    pub(crate) async fn edit_in_bulk(
        &self,
        edit: ItemEdit<'_>,
        bulk: &BulkChange,
        is_recorded: impl Fn(&Place) -> bool,
    ) -> Result<bool> {
        let records = |changes: Vec<ChangedValue>| {
            let is_whole = |change: &ChangedValue| change.place == Place::Item;
            let parts = changes.into_iter().flat_map(|it| if is_whole(&it) { vec![it] } else { it.parts() });
            let recorded = parts.filter(|part| is_whole(part) || is_recorded(&part.place));
            recorded.map(|part| bulk.author().record_of(&part)).collect()
        };
        self.edit_all(vec![edit], Vec::new(), records).await
    }

    /// Replaces an item as a part of a larger change, whatever it is now, together with its change item.
    pub(crate) async fn replace_in_bulk(&self, key: &Key, new: &Attributes, bulk: &BulkChange) -> Result<()> {
        for attempt in 0..MAX_ATTEMPTS {
            let stored = self.get(key).await?;
            if stored.as_ref().is_some_and(|stored| is_same_item(stored, new))
                || self.edit_in_bulk(ItemEdit::replace(key, stored.as_ref(), Some(new.clone())), bulk, |_| true).await?
            {
                return Ok(());
            }
            tokio::time::sleep(retry_pause(attempt)).await;
        }
        Err(Error::Conflict(format!("other writers keep changing `{}`", key.pk)))
    }

    /// Makes an edit that is not recorded by itself, because it is a part of a larger change.
    pub(crate) async fn edit_unrecorded(&self, edit: ItemEdit<'_>) -> Result<bool> {
        self.edit_all(vec![edit], Vec::new(), |_| Vec::new()).await
    }

    /// Makes edits of several items at once, on further conditions. `records` returns the change items for what is changed.
    pub(crate) async fn edit_all(
        &self,
        edits: Vec<ItemEdit<'_>>,
        checks: Vec<TransactWriteItem>,
        records: impl FnOnce(Vec<ChangedValue>) -> Vec<Attributes>,
    ) -> Result<bool> {
        let (mut items, mut changes, mut shrunk) = (checks, Vec::new(), Vec::new());
        for edit in edits {
            let (key, removes) = (edit.key, edit.values.iter().any(|(_, new)| new.is_none()));
            let Some((write, changed)) = edit.request()? else { continue };
            if removes && matches!(write, Write::Update(_)) {
                shrunk.push(key);
            }
            items.push(write.into_item(self.name())?);
            changes.extend(changed);
        }
        if changes.is_empty() {
            return Ok(true);
        }
        for record in records(changes) {
            let mut expression = Expression::default();
            let put = Put::builder()
                .table_name(self.name())
                .condition_expression(format!("attribute_not_exists({})", expression.name(PK)))
                .set_expression_attribute_names(expression.names())
                .set_item(Some(record));
            items.push(TransactWriteItem::builder().put(put.build()?).build());
        }
        if !self.transact(items).await? {
            return Ok(false);
        }
        // Another writer may have removed the rest of the item at the same time.
        for key in shrunk {
            self.delete_empty(key).await?;
        }
        Ok(true)
    }
}

/// The item, without its key, with the new values.
fn apply(item: Option<&Attributes>, values: &[(Place, Option<AttributeValue>)]) -> Result<Attributes> {
    let mut after = item.map(without_key).unwrap_or_default();
    for (place, new) in values {
        match place {
            Place::Item => return Err(Error::InvalidItem("an item cannot be replaced and changed at once".to_owned())),
            Place::Attribute(name) => {
                match new {
                    Some(new) => after.insert(name.clone(), new.clone()),
                    None => after.remove(name),
                };
            }
            Place::Entry(list, entry) => {
                let entries = after.entry(list.clone()).or_insert_with(|| AttributeValue::M(Attributes::new()));
                let AttributeValue::M(entries) = entries else {
                    return Err(Error::InvalidItem(format!(
                        "`{list}` of this item is not a map, so no rule can be added to it; see `callgatectl doctor`"
                    )));
                };
                match new {
                    Some(new) => entries.insert(entry.clone(), new.clone()),
                    None => entries.remove(entry),
                };
            }
            Place::Member(set, member) => {
                let members = after.entry(set.clone()).or_insert_with(|| AttributeValue::Ss(Vec::new()));
                let AttributeValue::Ss(members) = members else {
                    return Err(Error::InvalidItem(format!(
                        "`{set}` of this item is not a set of strings, so it cannot be changed; see `callgatectl doctor`"
                    )));
                };
                members.retain(|it| it != member);
                if new.is_some() {
                    members.push(member.clone());
                }
                if members.is_empty() {
                    after.remove(set);
                }
            }
        }
    }
    Ok(after)
}

/// The update expression for an item with new values, and its conditions.
fn update(
    item: Option<&Attributes>,
    values: Vec<(Place, Option<AttributeValue>)>,
    expression: &mut Expression,
) -> (String, Vec<String>) {
    let empty = Attributes::new();
    let stored = item.unwrap_or(&empty);
    let (mut actions, mut conditions) = (Vec::new(), Vec::new());
    // The lists that do not exist yet.
    let mut new_lists = BTreeMap::<String, Attributes>::new();
    let mut names = BTreeMap::<String, String>::new();
    for (place, new) in values {
        match place {
            Place::Item => {}
            Place::Attribute(name) => {
                conditions.push(expression.same(stored, &name));
                let path = expression.name(&name);
                actions.push(assignment(path, new, expression));
            }
            Place::Entry(list, entry) => {
                let Some(AttributeValue::M(entries)) = stored.get(&list) else {
                    new_lists.entry(list).or_default().extend(new.map(|new| (entry, new)));
                    continue;
                };
                let name = names.entry(list.clone()).or_insert_with(|| expression.name(&list)).clone();
                let path = format!("{name}.{}", expression.name(&entry));
                conditions.push(match entries.get(&entry) {
                    Some(value) => format!("{path} = {}", expression.value(value.clone())),
                    None => format!("attribute_not_exists({path})"),
                });
                actions.push(assignment(path, new, expression));
            }
            Place::Member(set, member) => {
                let name = expression.name(&set);
                let is_member = format!("contains({name}, {})", expression.value(AttributeValue::S(member.clone())));
                let value = expression.value(AttributeValue::Ss(vec![member]));
                if new.is_some() {
                    conditions.push(format!("(attribute_not_exists({name}) OR NOT {is_member})"));
                    actions.push(("ADD", format!("{name} {value}")));
                } else {
                    conditions.push(is_member);
                    actions.push(("DELETE", format!("{name} {value}")));
                }
            }
        }
    }
    for (list, entries) in new_lists {
        let name = expression.name(&list);
        conditions.push(format!("attribute_not_exists({name})"));
        actions.push(assignment(name, Some(AttributeValue::M(entries)), expression));
    }
    // An item that was deleted meanwhile has no such list, to which an entry could be added.
    conditions.extend(names.into_values().map(|name| format!("attribute_exists({name})")));
    let mut clauses = BTreeMap::<&str, Vec<String>>::new();
    for (word, action) in actions {
        clauses.entry(word).or_default().push(action);
    }
    let clauses: Vec<_> = clauses.into_iter().map(|(word, parts)| format!("{word} {}", parts.join(", "))).collect();
    (clauses.join(" "), conditions)
}

/// The clause of an update expression, and the action in it, that gives a place a value or removes it.
fn assignment(path: String, new: Option<AttributeValue>, expression: &mut Expression) -> (&'static str, String) {
    match new {
        Some(new) => ("SET", format!("{path} = {}", expression.value(new))),
        None => ("REMOVE", path),
    }
}

/// The attributes of an item without its key.
pub(crate) fn without_key(item: &Attributes) -> Attributes {
    let attributes = item.iter().filter(|(name, _)| *name != PK && *name != SK);
    attributes.map(|(name, value)| (name.clone(), value.clone())).collect()
}
