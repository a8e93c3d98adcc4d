//! Searches parties page by page: first by their id and its beginning, with the index, and then in the table for notes, groups,
//! other parts of ids, and the parties that only rules name.

use std::collections::{BTreeMap, BTreeSet};

use callgate::store::item::{self, Attributes, Key};
use callgate_core::{AppKey, ParseError, PartyId};

use crate::cursor::Cursor;
use crate::error::Result;
use crate::find::Needle;
use crate::item_kind::{ItemKind, key_of, party_key};
use crate::rule_page::PageLimits;
use crate::show::ItemSummary;
use crate::table::Table;
use crate::table::index::parties_prefix;
use crate::table::scan::Filter;

/// The most requests of a page.
const MAX_REQUESTS: usize = 8;

/// The most keys of the index that are read at once. Their items are read in one request.
const MAX_KEYS: usize = 100;

/// The name of the table's part of the list, in a cursor.
const TABLE: &str = "table";

/// The name of the table in a cursor if the index cannot be used.
const TABLE_WITHOUT_INDEX: &str = "table without index";

/// Which parties are listed.
#[derive(Debug, Clone, Default)]
pub struct PartyFilter {
    /// The app. Without one, the parties of all apps are listed.
    pub app: Option<AppKey>,
    /// The apps in which ids are searched if no app is given.
    pub known_apps: Vec<AppKey>,
    /// An id or a number in any spelling, its beginning, or a part of an id, a group or a note.
    pub text: Option<Needle>,
}

/// A party that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundParty {
    /// The app's key.
    pub app: String,
    /// The party's id.
    pub id: String,
    /// Its item without the rules, or why it cannot be parsed. `None` for a party that only rules between two parties name.
    pub item: Option<Result<ItemSummary, ParseError>>,
}

/// A part of the parties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyPage {
    /// The parties. One that only rules name may be on several pages.
    pub parties: Vec<FoundParty>,
    /// How many items were read for this page.
    pub items_read: usize,
    /// Whether the page has come to the part of the list that is found by reading the whole table.
    pub reads_table: bool,
    /// Where the next page begins. `None` if there is nothing more to read.
    pub next: Option<Cursor>,
}

impl PartyFilter {
    fn apps(&self) -> Vec<&AppKey> {
        self.app.as_ref().map_or_else(|| self.known_apps.iter().collect(), |app| vec![app])
    }

    /// The beginnings of the ids that are searched with the index.
    fn beginnings(&self) -> BTreeSet<&str> {
        self.text.iter().flat_map(Needle::forms).collect()
    }

    /// The beginnings of the partition keys that are searched with the index, sorted.
    fn prefixes(&self) -> BTreeSet<String> {
        match (&self.text, &self.app) {
            (None, Some(app)) => [parties_prefix(app)].into(),
            (None, None) => ["PARTY#".to_owned()].into(),
            (Some(_), _) => {
                let beginnings = self.beginnings();
                let apps = self.apps().into_iter().map(parties_prefix);
                let all =
                    apps.flat_map(|app| beginnings.iter().map(move |it| format!("{app}{it}")).collect::<Vec<_>>());
                let all: BTreeSet<_> = all.collect();
                // One that begins with another finds nothing more.
                let is_own = |prefix: &&String| !all.iter().any(|it| it != *prefix && prefix.starts_with(it.as_str()));
                all.iter().filter(is_own).cloned().collect()
            }
        }
    }

    /// Whether the index finds a party that has an item.
    fn is_in_index(&self, app: &str, id: &str) -> bool {
        if self.text.is_none() {
            return true;
        }
        self.apps().iter().any(|it| it.as_str() == app) && self.beginnings().iter().any(|it| id.starts_with(it))
    }

    /// Whether it is the party whose id was typed, which is the first one that is listed.
    fn is_exact(&self, app: &str, id: &str) -> bool {
        let is_id = |needle: &Needle| needle.id().is_some_and(|exact| exact.as_str() == id);
        self.text.as_ref().is_some_and(is_id) && self.apps().iter().any(|it| it.as_str() == app)
    }

    fn is_of_app(&self, app: &str) -> bool {
        self.app.as_ref().is_none_or(|it| it.as_str() == app)
    }

    /// Whether the text is in the id of a party that has no item.
    fn names(&self, id: &str) -> bool {
        self.text.as_ref().is_none_or(|needle| needle.is_in_id(id))
    }

    /// Whether a party with an item is found, but was not found with the index.
    fn finds(&self, app: &str, id: &str, item: &Attributes, has_index: bool) -> bool {
        let is_found = self.is_of_app(app) && self.text.as_ref().is_none_or(|needle| needle.is_in_party(id, item));
        is_found && !self.is_exact(app, id) && !(has_index && self.is_in_index(app, id))
    }
}

fn found(app: String, id: String, item: Attributes) -> FoundParty {
    FoundParty { app, id, item: Some(item::read_party(item).map(ItemSummary::from)) }
}

impl Table {
    /// Reads the item of a party without its rules. `None` if it has none.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn party_summary(
        &self,
        app: &AppKey,
        id: &PartyId,
    ) -> Result<Option<std::result::Result<ItemSummary, ParseError>>> {
        let item = self.get(&Key::party(app, id)).await?;
        Ok(item.map(|item| item::read_party(item).map(ItemSummary::from)))
    }

    /// Reads a page of the parties that a filter finds, from the beginning or from a cursor of the page before.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn party_page(
        &self,
        filter: &PartyFilter,
        start: Option<&Cursor>,
        limits: PageLimits,
    ) -> Result<PartyPage> {
        let prefixes = filter.prefixes();
        let mut page = PartyPage { parties: Vec::new(), items_read: 0, reads_table: false, next: None };
        // A cursor of another filter means the first page.
        let is_own =
            |at: &&Cursor| [TABLE, TABLE_WITHOUT_INDEX].contains(&at.stage.as_str()) || prefixes.contains(&at.stage);
        let mut at = start.filter(is_own).cloned();
        if at.is_none() {
            Box::pin(self.find_exact(filter, &mut page)).await?;
        }
        let mut requests = 0;
        loop {
            let Cursor { stage, key: after, rule: _ } = match at.take() {
                Some(at) => at,
                None => Cursor::start_of(prefixes.first().map_or(TABLE, String::as_str)),
            };
            let following = || prefixes.iter().find(|it| **it > stage).map_or(TABLE, String::as_str);
            let start_of = |stage: &str| Some(Cursor::start_of(stage));
            let after_key = |key| Some(Cursor { key: Some(key), ..Cursor::start_of(&stage) });
            at = if prefixes.contains(&stage) {
                match self.find_in_index(filter, &stage, after.as_ref(), &mut page, limits).await? {
                    Ok(Some(key)) => after_key(key),
                    Ok(None) => start_of(following()),
                    Err(_) => start_of(TABLE_WITHOUT_INDEX),
                }
            } else {
                let has_index = stage != TABLE_WITHOUT_INDEX;
                self.find_in_table(filter, after.as_ref(), has_index, &mut page, limits).await?.and_then(after_key)
            };
            requests += 1;
            let is_full = page.parties.len() >= limits.found || page.items_read >= limits.items;
            if at.is_none() || is_full || requests >= MAX_REQUESTS {
                page.next = at;
                return Ok(page);
            }
        }
    }

    /// Finds the party whose id the text is, in each app, even if only rules name it.
    async fn find_exact(&self, filter: &PartyFilter, page: &mut PartyPage) -> Result<()> {
        let Some(id) = filter.text.as_ref().and_then(Needle::id) else { return Ok(()) };
        for app in filter.apps() {
            let key = Key::party(app, id);
            let caller = Key::pair(app, id, id).sk;
            let prefix = parties_prefix(app);
            let (item, callers, callees) = tokio::try_join!(
                self.get(&key),
                self.pair_page(&key.pk, None, 1),
                self.index_page(&caller, &prefix, None, 1)
            )?;
            page.items_read += 1;
            let is_named = !callers.items.is_empty() || callees.is_ok_and(|callees| !callees.keys.is_empty());
            match item {
                Some(item) => page.parties.push(found(app.to_string(), id.to_string(), item)),
                None if is_named => {
                    page.parties.push(FoundParty { app: app.to_string(), id: id.to_string(), item: None });
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Adds the parties whose partition keys begin with a text. Returns the last key, if there are more. The inner error is why
    /// the index cannot be used.
    async fn find_in_index(
        &self,
        filter: &PartyFilter,
        prefix: &str,
        after: Option<&Key>,
        page: &mut PartyPage,
        limits: PageLimits,
    ) -> Result<std::result::Result<Option<Key>, String>> {
        let limit = limits.found.saturating_sub(page.parties.len()).clamp(1, MAX_KEYS);
        let keys = match self.index_page("PARTY", prefix, after, limit).await? {
            Ok(keys) => keys,
            Err(why) => return Ok(Err(why)),
        };
        page.items_read += keys.keys.len();
        let mut parties: Vec<_> = self
            .get_many(&keys.keys)
            .await?
            .into_iter()
            .filter_map(|item| {
                let Some(ItemKind::Party(app, id)) = ItemKind::of(&item) else { return None };
                (!filter.is_exact(&app, &id)).then(|| found(app, id, item))
            })
            .collect();
        parties.sort_by(|one, other| (&one.app, &one.id).cmp(&(&other.app, &other.id)));
        page.parties.extend(parties);
        Ok(Ok(keys.last))
    }

    /// Adds the parties of a part of the table that the index does not find. Returns the last key, if there are more.
    async fn find_in_table(
        &self,
        filter: &PartyFilter,
        after: Option<&Key>,
        has_index: bool,
        page: &mut PartyPage,
        limits: PageLimits,
    ) -> Result<Option<Key>> {
        page.reads_table = true;
        let condition = filter.app.as_ref().map_or_else(Filter::without_history, Filter::by_app);
        let room = limits.found.saturating_sub(page.parties.len()).max(1);
        let left = limits.items.saturating_sub(page.items_read);
        let limit = if filter.text.is_none() { left.min(2 * MAX_KEYS) } else { left };
        let read = self.scan_page(condition, after, limit).await?;
        page.items_read += read.items_read;
        let known: BTreeSet<_> = page.parties.iter().map(|party| (party.app.clone(), party.id.clone())).collect();
        let previous = after.and_then(|after| ItemKind::of(&after.attributes()));
        let (mut parties, mut named, mut last) = (BTreeMap::new(), BTreeSet::new(), read.last);
        let mut items = read.items.into_iter();
        while let Some(item) = items.next() {
            let key = key_of(&item);
            match ItemKind::of(&item) {
                Some(ItemKind::Party(app, id)) if filter.finds(&app, &id, &item, has_index) => {
                    parties.insert((app.clone(), id.clone()), found(app, id, item));
                }
                Some(ItemKind::Pair(app, callee, caller)) if filter.is_of_app(&app) => {
                    // The pair items of a callee follow each other.
                    let is_previous =
                        matches!(&previous, Some(ItemKind::Pair(of, id, _)) if (of, id) == (&app, &callee));
                    let ids = [(!is_previous).then_some(callee), Some(caller)].into_iter().flatten();
                    let ids = ids.map(|id| (app.clone(), id));
                    named.extend(ids.filter(|it| filter.names(&it.1) && !known.contains(it)));
                }
                _ => {}
            }
            if parties.len() + named.len() >= room && (items.len() > 0 || last.is_some()) {
                last = key;
                break;
            }
        }
        // One with an item is found by it.
        let keys: Vec<_> = named.iter().map(|(app, id)| party_key(app, id)).collect();
        for item in self.get_many(&keys).await? {
            if let Some(ItemKind::Party(app, id)) = ItemKind::of(&item) {
                named.remove(&(app, id));
            }
        }
        parties
            .extend(named.into_iter().map(|(app, id)| ((app.clone(), id.clone()), FoundParty { app, id, item: None })));
        page.parties.extend(parties.into_values());
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(app: Option<&str>, known: &[&str], text: &str) -> PartyFilter {
        let app = app.map(|app| AppKey::new(app).unwrap());
        let known_apps = known.iter().map(|app| AppKey::new(app).unwrap()).collect();
        let region = Some("RU".parse().unwrap());
        PartyFilter { app, known_apps, text: (!text.is_empty()).then(|| Needle::new(text, region)) }
    }

    #[test]
    fn ids_are_searched_in_every_form_and_app() {
        let check = |filter: &PartyFilter, expected: &[&str]| {
            assert_eq!(filter.prefixes().iter().map(String::as_str).collect::<Vec<_>>(), expected, "{filter:?}");
        };
        check(&filter(Some("shop"), &["office"], ""), &["PARTY#shop#"]);
        check(&filter(None, &["office", "shop"], ""), &["PARTY#"]);
        check(&filter(Some("a#b%"), &[], "PPP"), &["PARTY#a%23b%25#PPP"]);
        check(&filter(None, &["shop", "office"], "PPP"), &["PARTY#office#PPP", "PARTY#shop#PPP"]);
        check(
            &filter(Some("shop"), &[], "8 (495) 123-45-67"),
            &["PARTY#shop#+74951234567", "PARTY#shop#8 (495) 123-45-67", "PARTY#shop#84951234567"],
        );
        // Every id that begins with 8495 begins with 8.
        check(&filter(Some("shop"), &[], "8"), &["PARTY#shop#8"]);
    }

    #[test]
    fn the_table_adds_what_the_index_does_not_find() {
        let item = |note: &str| {
            Attributes::from([("note".to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(note.to_owned()))])
        };
        let all = filter(Some("shop"), &[], "");
        assert!(!all.finds("shop", "PPP001", &item(""), true));
        assert!(all.finds("shop", "PPP001", &item(""), false));
        assert!(!all.finds("office", "PPP001", &item(""), false));
        let some = filter(Some("shop"), &[], "PPP");
        for (id, note, expected) in
            [("PPP001", "", false), ("xPPP1", "", true), ("ppp001", "", true), ("a", "the ppp", true), ("a", "", false)]
        {
            assert_eq!(some.finds("shop", id, &item(note), true), expected, "{id} {note}");
        }
    }
}
