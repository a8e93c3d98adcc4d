//! Everything that is stored about one party of an app: its item, the pair items that it is a side of, and the entries that name
//! exactly it in the lists of the app and of other parties.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, Key};
use callgate_core::{AppKey, Effect, ParseError, PartyId, Pattern, PhoneRegion, Rule};
use tokio::task::JoinSet;

use crate::app_cache::max_age;
use crate::error::{Error, Result};
use crate::item_kind::{ItemKind, keys};
use crate::rule_row::RuleRow;
use crate::rule_target::RuleLocation;
use crate::rules::{MAX_ATTEMPTS, retry_pause};
use crate::stored_rule::{StoredRule, own_rules_of};
use crate::table::Table;
use crate::table::scan::Filter;
use crate::table::size::size_of_item;

/// The simultaneous scans, and the simultaneous requests that change items.
const SEGMENTS: u16 = 4;
const CONCURRENCY: usize = 16;

/// A rule that names a party: a pair item, or an entry of a list in another item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mention {
    pub(crate) stored: StoredRule,
    pub(crate) location: RuleLocation,
    /// The pair item, or the entry as it is stored.
    pub(crate) value: AttributeValue,
    /// The approximate size of the item that holds the entry.
    pub(crate) item_bytes: usize,
}

/// Everything that is stored about one party.
#[derive(Debug, Clone)]
pub(crate) struct Mentions {
    /// The party's own item.
    pub(crate) item: Option<Attributes>,
    /// The rules of others that name it, and its pair items. Sorted.
    pub(crate) rules: Vec<Mention>,
    /// Whether the app has an item, which functions keep for a while.
    pub(crate) has_app_item: bool,
    pub(crate) read_at: Instant,
}

impl Mention {
    pub(crate) fn row(&self) -> RuleRow {
        self.stored.row()
    }

    /// Whether it can permit a call. One that cannot be parsed refuses calls.
    pub(crate) fn allows(&self) -> bool {
        allows(&self.stored.rule)
    }

    pub(crate) fn is_of_app(&self) -> bool {
        self.location.key.sk == "APP"
    }
}

pub(crate) fn allows(rule: &Result<Rule, ParseError>) -> bool {
    matches!(rule, Ok(Rule { effect: Effect::Allow, .. }))
}

/// Whether a stored id or pattern is exactly this party, in any spelling.
fn names(text: &str, party: &PartyId, region: Option<PhoneRegion>) -> bool {
    text == party.as_str()
        || matches!(Pattern::from_stored(text), Pattern::Exact(_))
            && PartyId::new(text, region).is_ok_and(|id| id == *party)
}

impl Table {
    /// Reads everything that is stored about a party. Scans the table with strongly consistent reads.
    pub(crate) async fn mentions(&self, app: &AppKey, party: &PartyId) -> Result<Mentions> {
        let own_key = Key::party(app, party);
        let read_at = Instant::now();
        let mut mentions = Mentions { item: None, rules: Vec::new(), has_app_item: false, read_at };
        let mut pages = self.scan_where(SEGMENTS, Some(Filter::by_app(app)));
        while let Some(page) = pages.recv().await {
            for item in page? {
                if own_key.is_of(&item) {
                    mentions.item = Some(item);
                    continue;
                }
                mentions.has_app_item |= matches!(ItemKind::of(&item), Some(ItemKind::App(_)));
                mentions.rules.extend(mentions_in(&item, party, self.phone_region()));
            }
        }
        mentions.rules.sort_by_cached_key(|it| {
            (it.location.key.pk.clone(), it.location.key.sk.clone(), it.location.entry.clone())
        });
        Ok(mentions)
    }

    /// Deletes rules, several at once. One that is gone already counts as deleted.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a rule changed since it was read, or why the table cannot be changed.
    pub(crate) async fn delete_mentions(&self, rules: &[&Mention]) -> Result<()> {
        for_each(rules.iter().map(|it| (*it).clone()), |rule| {
            let table = self.clone();
            async move { table.delete_mention(&rule).await }
        })
        .await
    }

    async fn delete_mention(&self, rule: &Mention) -> Result<()> {
        for attempt in 0..MAX_ATTEMPTS {
            let Some(revocation) = self.plan_revocation(rule.location.clone()).await? else { return Ok(()) };
            if revocation.rule() != rule.stored.rule.as_ref() {
                let stored =
                    StoredRule { rule: revocation.rule().cloned().map_err(Clone::clone), ..rule.stored.clone() };
                let text = stored.row().text();
                return Err(Error::Conflict(format!("another writer changed this rule meanwhile; it is now: {text}")));
            }
            match self.delete_rule_unrecorded(&revocation).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if error.is_unanswered() && attempt == 0 => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(retry_pause(attempt)).await;
        }
        Err(Error::Conflict(format!("other writers keep changing `{}`", rule.location.key.pk)))
    }

    /// Deletes an item that is as it was read. One that is gone already counts as deleted.
    pub(crate) async fn delete_as_read(&self, key: &Key, item: &Attributes) -> Result<()> {
        for attempt in 0..2 {
            match self.delete_pair(key, item).await {
                Ok(true) => return Ok(()),
                Ok(false) => break,
                Err(error) if error.is_unanswered() && attempt == 0 => {}
                Err(error) => return Err(error),
            }
        }
        match self.get(key).await? {
            None => Ok(()),
            Some(_) => Err(Error::Conflict(format!("another writer changed the item `{}` meanwhile", key.pk))),
        }
    }
}

/// The rules of an item that name a party. In the party's own item, they are not looked for.
fn mentions_in(item: &Attributes, party: &PartyId, region: Option<PhoneRegion>) -> Vec<Mention> {
    let (Some((pk, sk)), Some(kind), Some(rules)) = (keys(item), ItemKind::of(item), own_rules_of(item)) else {
        return Vec::new();
    };
    let key = Key { pk: pk.to_owned(), sk: sk.to_owned() };
    let is_pair = matches!(kind, ItemKind::Pair(..));
    let rules = rules.into_iter().filter(|rule| {
        if is_pair {
            names(&rule.from, party, region) || names(&rule.to, party, region)
        } else {
            names(&rule.entry, party, region)
        }
    });
    let item_bytes = size_of_item(item);
    rules
        .filter_map(|stored| {
            let location =
                RuleLocation { key: key.clone(), entry: stored.list.map(|list| (list, stored.entry.clone())) };
            let value = if is_pair { AttributeValue::M(item.clone()) } else { location.entry_of(Some(item))?.clone() };
            Some(Mention { stored, location, value, item_bytes })
        })
        .collect()
}

/// Runs a task for each element, several at once. Stops at the first error.
pub(crate) async fn for_each<T, F>(elements: impl IntoIterator<Item = T>, task: impl Fn(T) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (mut elements, mut tasks) = (elements.into_iter(), JoinSet::new());
    let mut result = Ok(());
    loop {
        while result.is_ok() && tasks.len() < CONCURRENCY {
            let Some(element) = elements.next() else { break };
            tasks.spawn(task(element));
        }
        match tasks.join_next().await {
            None => return result,
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => result = result.and(Err(error)),
            Some(Err(error)) => result = result.and(Err(Error::Local(format!("a task failed: {error}")))),
        }
    }
}

/// Waits until no function uses an app's item that is older than `since`. `announce` is called with the length of the wait.
pub(crate) async fn wait_for_caches(since: Instant, app_cache: Duration, announce: &impl Fn(Duration)) {
    let rest = max_age(app_cache).saturating_sub(since.elapsed());
    if !rest.is_zero() {
        announce(rest);
        tokio::time::sleep(rest).await;
    }
}
