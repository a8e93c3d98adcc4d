//! Reads the rules of the table page by page, so that a table with a million rules can be listed.
//!
//! A page reads a limited number of items, and may so find few rules, or none, and still have a next page. If the filter names
//! an app and a party, only the items are read that can hold its rules.

use std::collections::BTreeSet;

use callgate::store::item::{Attributes, Key};
use callgate_core::{AppKey, Door, EpochSeconds, ParseError, PartyId, Pattern, PhoneRegion, Rule, has_expired};

use crate::cursor::Cursor;
use crate::error::Result;
use crate::find::Needle;
use crate::item_kind::{ItemKind, key_of, pair_key, party_key};
use crate::rule_row::RuleRow;
use crate::rule_target::RuleLocation;
use crate::stored_rule::{StoredRow, expiry_of, rows_of};
use crate::table::Table;
use crate::table::index::parties_prefix;
use crate::table::pages::ItemPage;
use crate::table::scan::Filter;

/// The most requests of a page. DynamoDB reads at most 1 MB for each, and some items are large.
const MAX_REQUESTS: usize = 4;

/// Which rules are listed. Each value that is given must match.
#[derive(Debug, Clone, Default)]
pub struct RuleFilter {
    /// The app.
    pub app: Option<AppKey>,
    /// The callers, as the rule has them: a party, or a pattern.
    pub from: Option<RuleSide>,
    /// The callees, as the rule has them.
    pub to: Option<RuleSide>,
    /// The callers or the callees.
    pub party: Option<RuleSide>,
    /// `allow`, `deny` or `block`.
    pub effect: Option<String>,
    /// The name of the list.
    pub list: Option<String>,
    /// A part of an id, a pattern, a list or a note.
    pub text: Option<Needle>,
    /// Whether the rule can decide calls.
    pub state: Option<RuleState>,
    /// Whether the whole table is searched, even if the items are known that usually hold such rules.
    pub everywhere: bool,
}

/// The callers or the callees of a rule, in the forms in which they may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSide {
    forms: BTreeSet<String>,
    /// Whether each form is an id, even if it looks like a pattern.
    is_party: bool,
}

impl RuleSide {
    /// Parses a party or a pattern as a person typed it. The text itself counts too, because something may be stored in another
    /// form than callgate's own.
    #[must_use]
    pub fn new(text: &str, region: Option<PhoneRegion>) -> Self {
        let exact = text.trim().to_owned();
        let canonical = Pattern::new(&exact, region).ok().map(|pattern| pattern.to_string());
        Self { forms: canonical.into_iter().chain([exact]).collect(), is_party: false }
    }

    /// One party.
    #[must_use]
    pub fn party(id: &PartyId) -> Self {
        Self { forms: [id.to_string()].into(), is_party: true }
    }

    fn is(&self, text: &str) -> bool {
        self.forms.contains(text)
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        let is_id = |text: &&str| self.is_party || matches!(Pattern::from_stored(*text), Pattern::Exact(_));
        self.forms.iter().map(String::as_str).filter(is_id)
    }
}

/// Whether a rule can decide calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleState {
    /// It decides calls, if its media and hours match.
    InEffect,
    /// It is switched off.
    Disabled,
    /// It has expired, or the party that holds it has.
    Expired,
    /// It cannot be parsed, and so refuses the calls that it matches.
    Invalid,
}

impl RuleState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::InEffect, Self::Disabled, Self::Expired, Self::Invalid];

    /// The state in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InEffect => "in effect",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
        }
    }
}

/// A stored rule or block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRule {
    /// Where it is stored.
    pub location: RuleLocation,
    /// The rule as a row, with its own conditions only.
    pub row: RuleRow,
    /// The rule, or why it cannot be parsed. A block is a rule that denies every call of its caller.
    pub rule: Result<Rule, ParseError>,
    /// When the party expires that holds the rule, and the rule with it.
    pub party_expires_at: Option<EpochSeconds>,
    /// Whether it can decide calls.
    pub state: RuleState,
}

impl PageRule {
    /// The callers and callees that it matches. Only the entry of a list can be a pattern, as for
    /// [`StoredRule::patterns`](crate::StoredRule::patterns).
    #[must_use]
    pub fn patterns(&self) -> (Pattern, Pattern) {
        let [from, to] = [&self.row.from, &self.row.to].map(|id| Pattern::Exact(id.clone()));
        match &self.location.entry {
            None => (from, to),
            Some((_, entry)) => match self.location.door() {
                _ if self.location.is_block() => (from, Pattern::Everyone),
                Some(Door::App) => (Pattern::from_stored(entry), Pattern::Everyone),
                Some(Door::Destination) => (Pattern::Everyone, Pattern::from_stored(entry)),
                Some(Door::Caller) => (from, Pattern::from_stored(entry)),
                Some(Door::Callee) | None => (Pattern::from_stored(entry), to),
            },
        }
    }
}

/// How much a page reads and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// The most rules or parties of a page.
    pub found: usize,
    /// The number of items after which nothing more is read.
    pub items: usize,
}

/// What was read for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Every place in which such rules can be stored.
    Places,
    /// The places in which the rules of a party are usually stored. An entry for it in the list of another party, which was
    /// written with a door, is not among them.
    PlacesOfParty,
    /// The whole table, page by page.
    Table,
}

/// A part of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePage {
    /// The rules, in the order of the table.
    pub rules: Vec<PageRule>,
    /// How many items were read for this page.
    pub items_read: usize,
    /// What is read.
    pub reading: Reading,
    /// Where the next page begins. `None` if there is nothing more to read.
    pub next: Option<Cursor>,
}

/// A part of the table to read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// The items with these keys, which are sorted.
    Items(Vec<Key>),
    /// The pair items of a callee, by the partition key of its items.
    PairsOfCallee(String),
    /// The pair items of a caller, by their sort key and the beginning of their partition keys.
    PairsOfCaller(String, String),
    /// All items, or those of an app.
    Table(Option<AppKey>),
}

impl Source {
    /// The name in a cursor.
    fn stage(&self) -> String {
        match self {
            Self::Items(_) => "items".to_owned(),
            Self::PairsOfCallee(pk) => format!("to {pk}"),
            Self::PairsOfCaller(sk, _) => format!("from {sk}"),
            Self::Table(_) => "table".to_owned(),
        }
    }
}

impl RuleFilter {
    /// The parts of the table that can hold such rules.
    fn sources(&self) -> (Reading, Vec<Source>) {
        let Self { app, from, to, party, everywhere, .. } = self;
        let table = (Reading::Table, vec![Source::Table(app.clone())]);
        let Some(app) = app.as_ref().filter(|_| !everywhere) else { return table };
        let callers: Vec<_> = from.iter().flat_map(RuleSide::ids).collect();
        let callees: Vec<_> = to.iter().flat_map(RuleSide::ids).collect();
        let parties: Vec<_> = party.iter().flat_map(RuleSide::ids).collect();
        let mut keys = vec![Key::app(app)];
        keys.extend([&callers, &callees, &parties].into_iter().flatten().map(|id| party_key(app.as_str(), id)));
        let (callers, callees) = if from.is_some() && to.is_some() {
            let pairs = callers.iter().flat_map(|caller| callees.iter().map(move |callee| (caller, callee)));
            keys.extend(pairs.map(|(caller, callee)| pair_key(app.as_str(), caller, callee)));
            (Vec::new(), Vec::new())
        } else if callers.is_empty() && callees.is_empty() {
            (parties.clone(), parties)
        } else {
            (callers, callees)
        };
        let is_complete = from.is_some() && to.is_some();
        if !is_complete && callers.is_empty() && callees.is_empty() {
            return table;
        }
        keys.sort_by(|one, other| (&one.pk, &one.sk).cmp(&(&other.pk, &other.sk)));
        keys.dedup();
        let prefix = parties_prefix(app);
        let sources = [Source::Items(keys)].into_iter();
        let sources = sources.chain(callees.iter().map(|id| Source::PairsOfCallee(party_key(app.as_str(), id).pk)));
        let sources = sources
            .chain(callers.iter().map(|id| Source::PairsOfCaller(pair_key(app.as_str(), id, id).sk, prefix.clone())));
        let reading = if is_complete { Reading::Places } else { Reading::PlacesOfParty };
        (reading, sources.collect())
    }

    /// Whether every rule that is read is listed.
    fn is_plain(&self) -> bool {
        let Self { app: _, from, to, party, effect, list, text, state, everywhere: _ } = self;
        [from, to, party].iter().all(|side| side.is_none())
            && effect.is_none()
            && list.is_none()
            && text.is_none()
            && state.is_none()
    }

    fn matches(&self, rule: &PageRule) -> bool {
        let Self { app, from, to, party, effect, list, text, state, everywhere: _ } = self;
        let row = &rule.row;
        app.as_ref().is_none_or(|app| row.app == app.as_str())
            && from.as_ref().is_none_or(|from| from.is(&row.from))
            && to.as_ref().is_none_or(|to| to.is(&row.to))
            && party.as_ref().is_none_or(|party| party.is(&row.from) || party.is(&row.to))
            && effect.as_ref().is_none_or(|effect| row.effect == *effect)
            && list.as_ref().is_none_or(|list| row.list.as_ref() == Some(list))
            && state.is_none_or(|state| rule.state == state)
            && text.as_ref().is_none_or(|needle| needle.is_in_row(row))
    }
}

/// The rules of an item that match a filter, always in the same order.
fn rules_of_item(item: &Attributes, filter: &RuleFilter, now: EpochSeconds) -> Vec<PageRule> {
    let Some(key) = key_of(item) else { return Vec::new() };
    let party_expires_at = expiry_of(item).filter(|_| matches!(ItemKind::of(item), Some(ItemKind::Party(..))));
    let rules = rows_of(item).into_iter().map(|StoredRow { list, entry, row, rule, value: _ }| {
        let own = rule.as_ref().ok().and_then(|rule| rule.expires_at);
        let state = match &rule {
            Err(_) => RuleState::Invalid,
            Ok(_) if has_expired(own, now) || has_expired(party_expires_at, now) => RuleState::Expired,
            Ok(rule) if rule.disabled => RuleState::Disabled,
            Ok(_) => RuleState::InEffect,
        };
        let entry = (!list.is_empty()).then_some((list, entry));
        PageRule { location: RuleLocation { key: key.clone(), entry }, row, rule, party_expires_at, state }
    });
    let mut rules: Vec<_> = rules.filter(|rule| filter.matches(rule)).collect();
    rules.sort_by_cached_key(position);
    rules
}

/// The position of a rule in its item.
fn position(rule: &PageRule) -> (String, String) {
    let entry = rule.location.entry.clone().map(|(list, entry)| (list.to_owned(), entry));
    entry.unwrap_or_default()
}

/// The rules that were found for a page.
struct Found<'a> {
    filter: &'a RuleFilter,
    now: EpochSeconds,
    limit: usize,
    rules: Vec<PageRule>,
    /// The cursor after the last one.
    end: Option<Cursor>,
}

impl Found<'_> {
    /// Adds the rules of an item that come after a position. `false` if not all of them fit into the page.
    fn add(&mut self, stage: &str, item: &Attributes, after: Option<&(String, String)>) -> bool {
        let rules = rules_of_item(item, self.filter, self.now).into_iter();
        let mut rules = rules.skip_while(|rule| after.is_some_and(|after| position(rule) <= *after));
        let before = self.rules.len();
        self.rules.extend(rules.by_ref().take(self.limit.saturating_sub(before)));
        if let Some(last) = self.rules.last().filter(|_| self.rules.len() > before) {
            let (key, rule) = (Some(last.location.key.clone()), Some(position(last)));
            self.end = Some(Cursor { stage: stage.to_owned(), key, rule });
        }
        rules.next().is_none()
    }
}

impl Table {
    /// Reads a page of the rules that match a filter, from the beginning or from a cursor of the page before. Blocks are rules
    /// too. Reads only the items that can hold them, if the filter names an app and a party or both sides; otherwise a part of
    /// the table.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn rule_page(
        &self,
        filter: &RuleFilter,
        start: Option<&Cursor>,
        limits: PageLimits,
        now: EpochSeconds,
    ) -> Result<RulePage> {
        let (reading, sources) = filter.sources();
        let mut found = Found { filter, now, limit: limits.found.max(1), rules: Vec::new(), end: None };
        let (mut items_read, mut requests) = (0, 0);
        let mut at = start.cloned();
        loop {
            // A cursor of another filter means the first page.
            at = at.filter(|at| sources.iter().any(|source| source.stage() == at.stage));
            let is_next = |source: &Source| at.as_ref().is_none_or(|at| source.stage() == at.stage);
            let Some(index) = sources.iter().position(is_next) else { break };
            let Some(source) = sources.get(index) else { break };
            let stage = source.stage();
            let Cursor { stage: _, key: after, rule } = at.take().unwrap_or_else(|| Cursor::start_of(&stage));
            if let (Some(key), Some(rule)) = (&after, &rule) {
                items_read += 1;
                if let Some(item) = self.get(key).await?
                    && !found.add(&stage, &item, Some(rule))
                {
                    return Ok(RulePage { rules: found.rules, items_read, reading, next: found.end });
                }
            }
            let left = limits.items.saturating_sub(items_read);
            let missing = found.limit.saturating_sub(found.rules.len()) + 1;
            // A few items may already be enough.
            let limit = if filter.is_plain() { left.min(missing << (2 * requests)) } else { left };
            let page = self.read_source(source, after.as_ref(), limit).await?;
            requests += 1;
            items_read += page.items_read;
            // The rule of a party to itself is among those of its callers already.
            let is_listed = |item: &Attributes| {
                let pk = key_of(item).map(|key| key.pk);
                let has_it = |it: &Source| matches!(it, Source::PairsOfCallee(callee) if Some(callee) == pk.as_ref());
                matches!(source, Source::PairsOfCaller(..)) && sources.iter().any(has_it)
            };
            for item in page.items.iter().filter(|item| !is_listed(item)) {
                if !found.add(&stage, item, None) {
                    return Ok(RulePage { rules: found.rules, items_read, reading, next: found.end });
                }
            }
            at = match page.last {
                Some(key) => Some(Cursor { key: Some(key), ..Cursor::start_of(&stage) }),
                None => sources.get(index + 1).map(|source| Cursor::start_of(&source.stage())),
            };
            if at.is_none() || items_read >= limits.items || requests >= MAX_REQUESTS {
                break;
            }
        }
        Ok(RulePage { rules: found.rules, items_read, reading, next: at })
    }

    /// Reads some items of a source, after a key.
    async fn read_source(&self, source: &Source, after: Option<&Key>, limit: usize) -> Result<ItemPage> {
        match source {
            Source::Items(keys) => {
                let is_left = |key: &&Key| after.is_none_or(|after| (&key.pk, &key.sk) > (&after.pk, &after.sk));
                let keys: Vec<_> = keys.iter().filter(is_left).cloned().collect();
                let mut items = self.get_many(&keys).await?;
                items.sort_by_cached_key(|item| key_of(item).map(|key| (key.pk, key.sk)));
                Ok(ItemPage { items, items_read: keys.len(), last: None })
            }
            Source::PairsOfCallee(pk) => self.pair_page(pk, after, limit).await,
            Source::PairsOfCaller(sk, prefix) => match self.index_page(sk, prefix, after, limit).await? {
                Ok(page) => {
                    let mut items = self.get_many(&page.keys).await?;
                    items.sort_by_cached_key(|item| key_of(item).map(|key| (key.pk, key.sk)));
                    Ok(ItemPage { items, items_read: page.keys.len(), last: page.last })
                }
                // Without the index, the rules are found page by page too, but with more of them.
                Err(_) => self.scan_page(Filter::by_key(sk, prefix), after, limit).await,
            },
            Source::Table(app) => {
                let filter = app.as_ref().map_or_else(Filter::without_history, Filter::by_app);
                self.scan_page(filter, after, limit).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;

    fn filter(from: &str, to: &str, party: &str) -> RuleFilter {
        let side = |text: &str| (!text.is_empty()).then(|| RuleSide::new(text, None));
        let app = AppKey::new("shop").ok();
        RuleFilter { app, from: side(from), to: side(to), party: side(party), ..RuleFilter::default() }
    }

    #[test]
    fn only_the_items_are_read_that_can_hold_the_rules() {
        let check = |filter: &RuleFilter, expected: &[&str]| {
            let (_, sources) = filter.sources();
            let texts = sources.iter().flat_map(|source| match source {
                Source::Items(keys) => keys.iter().map(|key| format!("{} {}", key.pk, key.sk)).collect(),
                source => vec![source.stage()],
            });
            assert_eq!(texts.collect::<Vec<_>>(), expected, "{filter:?}");
        };
        let app = "APP#shop APP";
        check(&filter("", "", ""), &["table"]);
        check(&filter("+7*", "", ""), &["table"]);
        check(&filter("", "*", ""), &["table"]);
        check(&filter("*", "*", ""), &[app]);
        check(&filter("a", "b", ""), &[app, "PARTY#shop#a PARTY", "PARTY#shop#b CALLER#a", "PARTY#shop#b PARTY"]);
        check(&filter("+7*", "b", ""), &[app, "PARTY#shop#b PARTY"]);
        check(&filter("a", "@sales", ""), &[app, "PARTY#shop#a PARTY"]);
        check(&filter("a", "", ""), &[app, "PARTY#shop#a PARTY", "from CALLER#a"]);
        check(&filter("", "b", ""), &[app, "PARTY#shop#b PARTY", "to PARTY#shop#b"]);
        check(&filter("", "", "b"), &[app, "PARTY#shop#b PARTY", "to PARTY#shop#b", "from CALLER#b"]);
        check(&filter("*", "", "b"), &[app, "PARTY#shop#b PARTY", "to PARTY#shop#b", "from CALLER#b"]);
        // Both as it is stored and as it was typed.
        check(
            &filter("", "", "+7 9"),
            &[
                app,
                "PARTY#shop#+7 9 PARTY",
                "PARTY#shop#+79 PARTY",
                "to PARTY#shop#+7 9",
                "to PARTY#shop#+79",
                "from CALLER#+7 9",
                "from CALLER#+79",
            ],
        );
        // The id of a party may look like a pattern.
        let party = PartyId::new("a*", None).ok().map(|id| RuleSide::party(&id));
        let of_party = [app, "PARTY#shop#a* PARTY", "to PARTY#shop#a*", "from CALLER#a*"];
        check(&RuleFilter { party, ..filter("", "", "") }, &of_party);
        check(&RuleFilter { everywhere: true, ..filter("a", "b", "") }, &["table"]);
        check(&RuleFilter { app: None, ..filter("a", "b", "") }, &["table"]);
    }

    fn text(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn rule(effect: &str, more: &[(&str, AttributeValue)]) -> AttributeValue {
        let effect = [("effect", text(effect))];
        let all = effect.iter().chain(more);
        AttributeValue::M(all.map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<HashMap<_, _>>())
    }

    fn party(lists: &[(&str, &[(&str, AttributeValue)])]) -> Attributes {
        let key = [("pk", text("PARTY#shop#b")), ("sk", text("PARTY"))];
        let lists = lists.iter().map(|(list, rules)| {
            let rules = rules.iter().map(|(entry, rule)| ((*entry).to_owned(), rule.clone()));
            (*list, AttributeValue::M(rules.collect()))
        });
        key.into_iter().chain(lists).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn a_page_ends_within_an_item_and_the_next_one_goes_on_there() {
        let entries: Vec<_> = (0..7).map(|number| (format!("p{number}"), rule("allow", &[]))).collect();
        let entries: Vec<_> = entries.iter().map(|(entry, rule)| (entry.as_str(), rule.clone())).collect();
        let item = party(&[("incoming", &entries), ("outgoing", &entries)]);
        let filter = RuleFilter::default();
        let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let mut found = Found { filter: &filter, now: 0, limit: 3, rules: Vec::new(), end: None };
            let is_complete = found.add("table", &item, after.as_ref());
            pages += 1;
            all.extend(found.rules.iter().map(position));
            if is_complete {
                break;
            }
            after = found.end.and_then(|end| end.rule);
        }
        let expected =
            ["incoming", "outgoing"].map(|list| (0..7).map(move |number| (list.to_owned(), format!("p{number}"))));
        assert_eq!(all, expected.into_iter().flatten().collect::<Vec<_>>());
        assert_eq!(pages, 5);
    }

    #[test]
    fn rules_are_found_by_their_state_effect_list_and_text() {
        let number = |number: &str| AttributeValue::N(number.to_owned());
        let item = party(&[(
            "incoming",
            &[
                ("on", rule("allow", &[("list", text("Crm"))])),
                ("off", rule("deny", &[("disabled", AttributeValue::Bool(true)), ("note", text("Night Shift"))])),
                ("past", rule("allow", &[("expires_at", number("1000000000"))])),
                ("wrong", rule("maybe", &[])),
            ],
        )]);
        let item: Attributes = item.into_iter().chain([("blocked".to_owned(), rule_without_effect())]).collect();
        let check = |filter: &RuleFilter, expected: &[&str]| {
            let rules = rules_of_item(&item, filter, 2_000_000_000);
            assert_eq!(rules.iter().map(|it| it.row.from.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
        };
        let all = RuleFilter::default;
        check(&all(), &["b", "off", "on", "past", "wrong"]);
        check(&RuleFilter { effect: Some("block".to_owned()), ..all() }, &["b"]);
        check(&RuleFilter { effect: Some("deny".to_owned()), ..all() }, &["off"]);
        check(&RuleFilter { list: Some("Crm".to_owned()), ..all() }, &["on"]);
        check(&RuleFilter { list: Some("crm".to_owned()), ..all() }, &[]);
        check(&RuleFilter { text: Some(Needle::new("night", None)), ..all() }, &["off"]);
        check(&RuleFilter { text: Some(Needle::new("PAS", None)), ..all() }, &["past"]);
        for (state, expected) in RuleState::ALL.into_iter().zip([&["b", "on"][..], &["off"], &["past"], &["wrong"]]) {
            check(&RuleFilter { state: Some(state), ..all() }, expected);
        }
        let of_other_app = RuleFilter { app: AppKey::new("office").ok(), ..all() };
        check(&of_other_app, &[]);
        let expired: Attributes =
            item.clone().into_iter().chain([("expires_at".to_owned(), number("1000000000"))]).collect();
        let rules = rules_of_item(&expired, &all(), 2_000_000_000);
        let states: Vec<_> = rules.iter().map(|rule| rule.state).collect();
        assert_eq!(
            states,
            [RuleState::Expired, RuleState::Expired, RuleState::Expired, RuleState::Expired, RuleState::Invalid]
        );
    }

    fn rule_without_effect() -> AttributeValue {
        AttributeValue::M(HashMap::new())
    }
}
