//! Groups: adds parties to a group, removes them, and lists them.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, Key};
use callgate_core::{AppKey, EpochSeconds, PartyId, Pattern, has_expired, is_group_name};

use crate::error::{Error, Result};
use crate::history::Place;
use crate::item_edit::ItemEdit;
use crate::item_kind::ItemKind;
use crate::rules::Author;
use crate::stored_rule::{StoredRule, expiry_of, rules_of};
use crate::table::Table;
use crate::table::scan::Filter;
use crate::table::size::check_size;

/// The attribute with the groups of a party.
pub(crate) const GROUPS: &str = "groups";

/// How many scans read the table at once.
const SEGMENTS: u16 = 4;

/// The name of a group, without the `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupName(String);

impl GroupName {
    /// Parses a name as people write it, with or without the `@`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for any other name.
    pub fn parse(text: &str) -> Result<Self> {
        let name = text.trim();
        let name = name.strip_prefix('@').unwrap_or(name);
        if is_group_name(name) {
            return Ok(Self(name.to_owned()));
        }
        Err(Error::InvalidInput(format!(
            "`{text}` is not a valid name of a group: it has 1 to 64 of the characters a-z, 0-9, `_` and `-`, as in `@sales`"
        )))
    }

    /// The pattern that matches the parties of this group.
    #[must_use]
    pub fn pattern(&self) -> Pattern {
        Pattern::Group(self.0.clone())
    }
}

/// A party to add to a group, or to remove from it. [`Table::write_membership`] writes it.
#[derive(Debug, Clone)]
pub struct MembershipChange {
    /// Whether the party is in the group already, or is not in it already.
    pub is_unchanged: bool,
    /// When the party expires, if it does.
    pub party_expires_at: Option<EpochSeconds>,
    /// Whether the party has expired. It counts as absent then, so the group replaces everything in its item but the note.
    pub is_party_expired: bool,
    group: GroupName,
    is_added: bool,
    planned_at: EpochSeconds,
    key: Key,
    item: Option<Attributes>,
}

impl MembershipChange {
    /// The key of the party's item.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// The parties of a group, and the rules that name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// The ids of its parties, sorted.
    pub members: Vec<String>,
    /// The rules from it or to it, sorted.
    pub rules: Vec<StoredRule>,
}

impl Table {
    /// Compares the groups of a party with what is stored now. Writes nothing.
    ///
    /// # Errors
    /// [`Error::InvalidItem`] when the groups of the party cannot be parsed, or why the table cannot be read.
    pub async fn plan_membership(
        &self,
        app: &AppKey,
        party: &PartyId,
        group: &GroupName,
        is_added: bool,
        now: EpochSeconds,
    ) -> Result<MembershipChange> {
        let key = Key::party(app, party);
        let item = self.get(&key).await?;
        let party_expires_at = item.as_ref().and_then(expiry_of);
        let is_party_expired = has_expired(party_expires_at, now);
        let is_member = match item.as_ref().filter(|_| !is_party_expired).and_then(|item| item.get(GROUPS)) {
            None => false,
            Some(AttributeValue::Ss(groups)) => groups.contains(&group.0),
            Some(_) => {
                return Err(Error::InvalidItem(format!(
                    "`{GROUPS}` of party `{party}` is not a set of strings, so it cannot be changed; see `callgatectl doctor`"
                )));
            }
        };
        let is_unchanged = is_member == is_added;
        let group = group.clone();
        Ok(MembershipChange {
            is_unchanged,
            party_expires_at,
            is_party_expired,
            group,
            is_added,
            planned_at: now,
            key,
            item,
        })
    }

    /// Adds the party to the group, or removes it. An item in which nothing is left is deleted. `false` when another writer did so
    /// meanwhile, or the party expired; nothing is written then, so plan it again.
    ///
    /// # Errors
    /// [`Error::InvalidItem`] when the item would be too big, or why the table cannot be written to.
    pub async fn write_membership(&self, change: &MembershipChange, author: &Author) -> Result<bool> {
        let MembershipChange { group: GroupName(group), is_added, is_party_expired, planned_at, key, item, .. } =
            change;
        let item = item.as_ref();
        let place = Place::Member(GROUPS.to_owned(), group.clone());
        if !is_added {
            return self.edit(ItemEdit::remove(key, item, [place]), author).await;
        }
        let mut attributes = item.cloned().filter(|_| !is_party_expired).unwrap_or_default();
        let groups = attributes.entry(GROUPS.to_owned()).or_insert_with(|| AttributeValue::Ss(Vec::new()));
        if let AttributeValue::Ss(groups) = groups {
            groups.push(group.clone());
        }
        check_size(key, &attributes, "this group")?;
        let edit = if *is_party_expired {
            let groups = AttributeValue::Ss(vec![group.clone()]);
            ItemEdit::replace_expired(key, item, [(GROUPS.to_owned(), groups)].into())
        } else {
            let values = vec![(place, Some(AttributeValue::S(group.clone())))];
            ItemEdit { key, item, values, not_expired_at: Some(*planned_at), unchanged: None }
        };
        self.edit(edit, author).await
    }

    /// Finds the parties of a group that have not expired, and the rules that name it. Reads the whole table.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn group(&self, app: &AppKey, group: &GroupName, now: EpochSeconds) -> Result<Group> {
        let (pattern, mut found) = (group.pattern(), Group::default());
        let mut pages = self.scan_where(SEGMENTS, Some(Filter::by_app(app)));
        while let Some(page) = pages.recv().await {
            for item in page? {
                match ItemKind::of(&item) {
                    Some(ItemKind::Party(of, id)) if of == app.as_str() => {
                        let is_expired = has_expired(expiry_of(&item), now);
                        let is_member =
                            matches!(item.get(GROUPS), Some(AttributeValue::Ss(it)) if it.contains(&group.0));
                        found.members.extend((is_member && !is_expired).then_some(id));
                    }
                    Some(ItemKind::App(of)) if of == app.as_str() => {}
                    _ => continue,
                }
                let rules = rules_of(&item).unwrap_or_default().into_iter().filter(|stored| {
                    let (from, to) = stored.patterns();
                    from == pattern || to == pattern
                });
                found.rules.extend(rules);
            }
        }
        found.members.sort_unstable();
        found.rules.sort_by(|one, other| (&one.from, &one.to, one.list).cmp(&(&other.from, &other.to, other.list)));
        Ok(found)
    }
}
