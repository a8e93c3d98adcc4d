//! Finds items and rules by a part of an id, a pattern, a list or a note.

use std::collections::BTreeSet;

use callgate::store::item::Attributes;
use callgate_core::text::fold;
use callgate_core::{AppKey, PartyId, Pattern, PhoneRegion};
use serde::Serialize;

use crate::error::Result;
use crate::item_kind::{ItemKind, keys};
use crate::prefix_warning::PrefixWarning;
use crate::rule_row::RuleRow;
use crate::stored_rule::{StoredRule, block_of, own_rules_of, unusual_place};
use crate::table::Table;
use crate::table::scan::Filter;

/// The text to find, in all forms in which it may be stored.
#[derive(Debug, Clone)]
pub struct Needle {
    /// As it was typed.
    exact: String,
    /// The forms in which an id or the beginning of a number is stored, if they differ.
    canonical: Vec<String>,
    /// In lower case.
    lower: String,
    /// The party that it names, if it is a valid id.
    id: Option<PartyId>,
}

/// What holds the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Found {
    /// An app, by its key or its note.
    App {
        /// The app's key.
        app: String,
        /// The app's note.
        note: Option<String>,
    },
    /// A party, by its id, a group or its note.
    Party {
        /// The app's key.
        app: String,
        /// The party's id.
        party: String,
        /// Its groups.
        groups: Vec<String>,
        /// Its note.
        note: Option<String>,
    },
    /// A rule, or the block of a caller, by a pattern, a list or its note.
    Rule {
        /// Where it is stored, in words. Empty if it is the usual place for its parties.
        place: String,
        /// The rule.
        rule: RuleRow,
    },
}

impl Needle {
    /// Parses the text to find: any part of an id, a pattern, a list or a note, or a number in another spelling.
    #[must_use]
    pub fn new(text: &str, region: Option<PhoneRegion>) -> Self {
        let exact = text.trim().to_owned();
        let as_id = Pattern::new(&exact, region);
        // The beginning of a number has the digits that were typed, or those of the region's numbers.
        let as_prefix = Pattern::new(&format!("{exact}*"), region);
        let replaced = as_prefix.as_ref().ok().and_then(|pattern| PrefixWarning::for_pattern(pattern, region));
        let replaced = replaced.filter(PrefixWarning::is_mistake).map(|warning| warning.replacement);
        let ids = [as_id, as_prefix].into_iter().flatten().filter_map(|pattern| match pattern {
            Pattern::Exact(id) | Pattern::Prefix(id) => Some(id),
            Pattern::Everyone | Pattern::Group(_) => None,
        });
        let canonical: BTreeSet<_> = ids.chain(replaced).filter(|id| *id != exact).collect();
        let (lower, id) = (fold(&exact).to_lowercase(), PartyId::required(&exact, region).ok());
        Self { lower, exact, canonical: canonical.into_iter().collect(), id }
    }

    /// The other forms in which ids are compared with it.
    #[must_use]
    pub fn canonical(&self) -> &[String] {
        &self.canonical
    }

    pub(crate) fn is_in_id(&self, id: &str) -> bool {
        self.canonical.iter().any(|form| id.contains(form)) || id.contains(&self.exact) || self.is_in_text(id)
    }

    pub(crate) fn is_in_text(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.lower)
    }

    fn is_in_rule(&self, stored: &StoredRule, owner: &[&str]) -> bool {
        // An item's own party is found as a party, unless it has no item.
        let sides =
            [&stored.from, &stored.to].into_iter().filter(|side| !owner.contains(&side.as_str()) && *side != "*");
        let rule = stored.rule.as_ref().ok();
        let texts = rule.into_iter().flat_map(|rule| [&rule.list, &rule.note]).flatten();
        sides.map(|side| self.is_in_id(side)).chain(texts.map(|text| self.is_in_text(text))).any(|found| found)
    }

    /// The forms in which an id or the beginning of one may be stored.
    pub(crate) fn forms(&self) -> impl Iterator<Item = &str> {
        self.canonical.iter().chain([&self.exact]).map(String::as_str)
    }

    /// The id of the party that the text names, if it is one.
    #[must_use]
    pub fn id(&self) -> Option<&PartyId> {
        self.id.as_ref()
    }

    /// Whether the id, a group or the note of a party holds the text.
    pub(crate) fn is_in_party(&self, id: &str, item: &Attributes) -> bool {
        let note = item.get("note").and_then(|note| note.as_s().ok());
        self.is_in_id(id)
            || note.is_some_and(|note| self.is_in_text(note))
            || groups_of(item).iter().any(|group| self.is_in_text(&format!("@{group}")))
    }

    /// Whether one of the parties, the list or the note of a row holds the text.
    pub(crate) fn is_in_row(&self, row: &RuleRow) -> bool {
        let mut sides = [&row.from, &row.to].into_iter().filter(|side| *side != "*");
        sides.any(|side| self.is_in_id(side))
            || [&row.list, &row.note].into_iter().flatten().any(|text| self.is_in_text(text))
    }

    /// Everything in an item that holds the text.
    fn find_in(&self, item: &Attributes) -> Vec<Found> {
        let Some(kind) = ItemKind::of(item) else { return Vec::new() };
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let note = || text("note");
        let is_in_note = note().is_some_and(|note| self.is_in_text(&note));
        let mut found = Vec::new();
        let mut owner = Vec::new();
        match &kind {
            ItemKind::App(app) if is_in_note || self.is_in_text(app) => {
                found.push(Found::App { app: app.clone(), note: note() });
            }
            ItemKind::Party(app, party) => {
                owner.push(party.as_str());
                if self.is_in_party(party, item) {
                    let (app, party) = (app.clone(), party.clone());
                    found.push(Found::Party { app, party, groups: groups_of(item), note: note() });
                }
                if let Some(Ok(block)) = block_of(item) {
                    let texts = [&block.list, &block.note].into_iter().flatten();
                    if texts.into_iter().any(|text| self.is_in_text(text)) {
                        found.push(Found::Rule { place: String::new(), rule: RuleRow::of_block(app, party, &block) });
                    }
                }
            }
            ItemKind::App(_) | ItemKind::Pair(..) => {}
        }
        let rules = own_rules_of(item).unwrap_or_default();
        let mut rules: Vec<_> = rules.into_iter().filter(|rule| self.is_in_rule(rule, &owner)).collect();
        rules.sort_by(|one, other| (&one.from, &one.to).cmp(&(&other.from, &other.to)));
        found.extend(rules.iter().map(|stored| Found::Rule {
            place: unusual_place(&stored.from, &stored.to, stored.door()),
            rule: stored.row(),
        }));
        found
    }
}

/// The groups of a party's item, sorted.
fn groups_of(item: &Attributes) -> Vec<String> {
    let mut groups = item.get("groups").and_then(|value| value.as_ss().ok()).cloned().unwrap_or_default();
    groups.sort();
    groups
}

impl Table {
    /// Scans the table, or the items of one app, and calls `take` with everything that holds the text. Each page is sorted.
    /// Returns how many there are. Stops at the first error of `take`.
    ///
    /// # Errors
    /// Why the table cannot be read, or the error of `take`.
    pub async fn find<E: From<crate::Error>>(
        &self,
        needle: &Needle,
        app: Option<&AppKey>,
        segments: u16,
        mut take: impl FnMut(Found) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut pages = self.scan_where(segments, app.map(Filter::by_app));
        let mut count = 0;
        while let Some(page) = pages.recv().await {
            let mut items = page.map_err(E::from)?;
            items.sort_by_cached_key(|item| keys(item).map(|(pk, sk)| (pk.to_owned(), sk.to_owned())));
            for found in items.iter().flat_map(|item| needle.find_in(item)) {
                count += 1;
                take(found)?;
            }
        }
        Ok(count)
    }
}
