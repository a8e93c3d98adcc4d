//! Compares the rules of a file with those of the table.

use std::collections::HashMap;

use callgate::store::item::Key;

use super::{Import, list_key};
use crate::error::{Error, Result};
use crate::item_kind::keys;
use crate::rule_row::RuleRow;
use crate::sorted_rules::SortedRule;
use crate::stored_rule::{StoredRule, rules_of};
use crate::wording::is_same_rule;

/// The most items that `BatchGetItem` returns.
const PAGE: usize = 100;

/// A rule that an import would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The table has no such rule.
    Added(RuleRow),
    /// The table has another rule for these parties.
    Changed {
        /// The rule of the file.
        rule: RuleRow,
        /// The rule of the table.
        previous: RuleRow,
    },
    /// The rule is not in the file, and the file replaces the rules of its apps.
    Removed(RuleRow),
}

/// How many rules an import would change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DifferenceCounts {
    /// Rules that the table does not have.
    pub added: u64,
    /// Rules that differ from the table's.
    pub changed: u64,
    /// Rules that are not in the file.
    pub removed: u64,
    /// Rules that are in the table already.
    pub unchanged: u64,
}

impl Import {
    /// Compares the file with the table and calls `take` with every difference: additions and changes in the table's
    /// order, then removals. Stops at its first error. Writes nothing.
    ///
    /// # Errors
    /// The error of `take`, or why the table cannot be read.
    pub async fn difference<E: From<Error>>(
        &mut self,
        mut take: impl FnMut(Difference) -> Result<(), E>,
    ) -> Result<DifferenceCounts, E> {
        let mut counts = DifferenceCounts { removed: self.removed_count(), ..DifferenceCounts::default() };
        let mut last = Default::default();
        loop {
            let page = self.rules.page(&last, PAGE)?;
            let Some(SortedRule { key, .. }) = page.last() else { break };
            last = key.clone();
            let stored = self.stored_rules(&page).await?;
            for SortedRule { key, row } in page {
                let rule = row.rule()?;
                match stored.get(&key) {
                    Some(StoredRule { rule: Ok(previous), .. }) if is_same_rule(previous, &rule) => {
                        counts.unchanged += 1;
                    }
                    Some(previous) => {
                        counts.changed += 1;
                        take(Difference::Changed { rule: row, previous: previous.row() })?;
                    }
                    None => {
                        counts.added += 1;
                        take(Difference::Added(row))?;
                    }
                }
            }
        }
        self.for_each_removed(|row| take(Difference::Removed(row)))?;
        Ok(counts)
    }

    /// The rules in the items that a page of rules belongs to, by sort key.
    async fn stored_rules(&mut self, page: &[SortedRule]) -> Result<HashMap<[String; 4], StoredRule>> {
        let mut wanted: Vec<Key> = Vec::new();
        for SortedRule { key: [pk, sk, _, _], .. } in page {
            // The rules are sorted, so the rules of one item follow each other.
            if wanted.last().is_none_or(|last| last.pk != *pk || last.sk != *sk) {
                wanted.push(Key { pk: pk.clone(), sk: sk.clone() });
            }
        }
        let mut stored = HashMap::new();
        for item in self.table.get_many(&wanted).await? {
            let (Some(rules), Some((pk, sk))) = (rules_of(&item), keys(&item)) else { continue };
            for rule in rules {
                let [list, entry] = list_key(&rule);
                stored.insert([pk, sk, list, entry].map(str::to_owned), rule);
            }
        }
        Ok(stored)
    }
}
