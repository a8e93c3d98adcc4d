//! Deletes everything that is stored about a party, in an order that never permits a call meanwhile which neither the rules before
//! nor the rules after permit.

use std::time::{Duration, Instant};

use callgate::store::item::{self, Key};
use callgate_core::{AppKey, Party, PartyId, Status};

use crate::error::Result;
use crate::history::BulkCounts;
use crate::mentions::{Mention, Mentions, allows, wait_for_caches};
use crate::rule_row::RuleRow;
use crate::rules::Author;
use crate::stored_rule::own_rules_of;
use crate::table::Table;

/// Everything that is stored about a party, to delete.
#[derive(Debug, Clone)]
pub struct Forgetting {
    app: AppKey,
    party: PartyId,
    mentions: Mentions,
}

impl Forgetting {
    /// Whether nothing is stored about the party.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mentions.item.is_none() && self.mentions.rules.is_empty()
    }

    /// Whether the party has an own item, with its status, groups, block, note and the rules of [`Self::own_rules`].
    #[must_use]
    pub fn has_item(&self) -> bool {
        self.mentions.item.is_some()
    }

    /// The rules in the party's own item.
    #[must_use]
    pub fn own_rules(&self) -> Vec<RuleRow> {
        let rules = self.mentions.item.as_ref().and_then(own_rules_of).unwrap_or_default();
        let mut rows: Vec<_> = rules.iter().map(crate::StoredRule::row).collect();
        rows.sort_by(|one, other| (&one.from, &one.to).cmp(&(&other.from, &other.to)));
        rows
    }

    /// The rules between the party and one other, and those for exactly it in the lists of others.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleRow> {
        self.mentions.rules.iter().map(Mention::row).collect()
    }

    /// Whether something here refuses calls that may be permitted when it is gone.
    fn refuses(&self) -> bool {
        let is_harmless = |party: Party| {
            let rules = party.incoming.iter().chain(party.outgoing.iter());
            let has_deny = rules.into_iter().any(|(_, rule)| !allows(&rule.cloned().map_err(Clone::clone)));
            party.status == Status::Active && party.blocked.is_none() && party.groups.is_empty() && !has_deny
        };
        let item = self.mentions.item.clone();
        !self.mentions.rules.iter().all(Mention::allows)
            || !item.is_none_or(|it| item::read_party(it).is_ok_and(is_harmless))
    }
}

impl Table {
    /// Finds everything that is stored about a party. Scans the table, and writes nothing.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn plan_forgetting(&self, app: &AppKey, party: &PartyId) -> Result<Forgetting> {
        let mentions = self.mentions(app, party).await?;
        Ok(Forgetting { app: app.clone(), party: party.clone(), mentions })
    }

    /// Deletes what was found: first the rules of others that allow calls, then the party's own item, then all other rules. When
    /// it is interrupted, the calls that are permitted are permitted by the rules before or after it. Planned and done again, it
    /// deletes the rest.
    ///
    /// The functions keep an app's item for `app_cache`; `announce` is called with the length of the wait for them.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) when something changed since it was read, or why the table cannot be changed.
    pub async fn forget(
        &self,
        plan: &Forgetting,
        author: &Author,
        app_cache: Duration,
        announce: impl Fn(Duration),
    ) -> Result<()> {
        let Forgetting { app, party, mentions } = plan;
        // The history has only the command and the number: a copy of what is deleted would not be forgotten.
        let removed = mentions.rules.len() as u64 + u64::from(mentions.item.is_some());
        let counts = BulkCounts { removed, more: removed, ..BulkCounts::default() };
        let bulk = self.begin_bulk(author, [(app.clone(), counts)], None).await?;
        let (allowing, others): (Vec<_>, Vec<_>) = mentions.rules.iter().partition(|rule| rule.allows());
        self.delete_mentions(&allowing).await?;
        if mentions.has_app_item && plan.refuses() {
            // An earlier run, which left no trace, may have removed an allow of the app just before this one.
            let is_removed_now = allowing.iter().any(|rule| rule.is_of_app());
            let since = if is_removed_now { Instant::now() } else { mentions.read_at };
            wait_for_caches(since, app_cache, &announce).await;
        }
        if let Some(item) = &mentions.item {
            self.delete_as_read(&Key::party(app, party), item).await?;
        }
        self.delete_mentions(&others).await?;
        self.complete_bulk(&bulk).await
    }
}
