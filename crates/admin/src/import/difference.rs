//! The differences between the rules of a file and those of the table.

use super::Import;
use crate::error::{Error, Result};
use crate::rule_row::RuleRow;
use crate::rules::Author;

/// How many rules [`OtherRules`] names.
const MAX_NAMED: usize = 20;

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
        previous: Box<RuleRow>,
    },
    /// The rule is not in the file, and the file replaces the rules of its apps.
    Removed(RuleRow),
}

impl Difference {
    /// The rule of the file, or the one that is removed.
    #[must_use]
    pub fn rule(&self) -> &RuleRow {
        let (Self::Added(rule) | Self::Changed { rule, .. } | Self::Removed(rule)) = self;
        rule
    }
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

impl DifferenceCounts {
    /// The number of rules to write.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.added + self.changed
    }
}

/// How the table differs from a file that has just replaced its rules, because other writers changed them meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherRules {
    /// The first 20 rules that are not in the file.
    pub others: Vec<RuleRow>,
    /// The first 20 rules of the file that are missing in the table, or differ there.
    pub missing: Vec<RuleRow>,
    /// How many there are of both.
    pub counts: DifferenceCounts,
}

impl Import {
    /// Calls `take` with every planned difference, in the table's order: additions and changes, then removals. Stops at its
    /// first error.
    ///
    /// # Errors
    /// The error of `take`, or why the temporary file cannot be read.
    pub fn for_each_difference<E: From<Error>>(
        &self,
        mut take: impl FnMut(Difference) -> Result<(), E>,
    ) -> Result<(), E> {
        let (plan, data) = (self.planned()?, self.lock());
        for is_removal in [false, true] {
            plan.for_each_group(&data, |group| {
                let differences = group.iter().filter_map(super::plan::Change::difference);
                differences
                    .filter(|difference| matches!(difference, Difference::Removed(_)) == is_removal)
                    .try_for_each(&mut take)
            })?;
            if plan.counts.removed == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Compares the table with the file again, after the file has replaced its rules.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn look_again(&mut self, author: &Author) -> Result<OtherRules> {
        self.plan(true, author).await?;
        let mut found = OtherRules { counts: self.counts(), ..OtherRules::default() };
        if found.counts.removed + found.counts.written() > 0 {
            self.for_each_difference(|difference| {
                let (list, rule) = match difference {
                    Difference::Added(rule) | Difference::Changed { rule, .. } => (&mut found.missing, rule),
                    Difference::Removed(rule) => (&mut found.others, rule),
                };
                if list.len() < MAX_NAMED {
                    list.push(rule);
                }
                Ok::<_, Error>(())
            })?;
        }
        Ok(found)
    }
}
