//! Finds items and rules that have no effect or refuse calls by mistake, and applies fixes. No fix changes the answer to any call.
//!
//! [`Table::inspect`] returns a [`Report`], [`Table::fix`] applies the [`Fix`] of a finding:
//!
//! ```no_run
//! # async fn example(table: &callgate_admin::Table, author: &callgate_admin::Author) -> callgate_admin::Result<()> {
//! for finding in table.inspect(author.at).await?.findings {
//!     if let Some(fix) = &finding.fix {
//!         let is_fixed = table.fix(fix, author).await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A new kind of finding starts as a variant of [`FindingKind`]. Its check goes into the `*_checks` module for an item,
//! a rule, an id, a time, or the whole table.

use callgate::store::item::Attributes;
use callgate_core::EpochSeconds;

pub use self::finding::{Finding, FindingKind};
pub use self::fix::Fix;
use self::table_checks::Contents;
use crate::error::Result;
use crate::item_kind::ItemKind;
use crate::stored_rule::rules_of;
use crate::table::Table;

pub(crate) mod commands;
mod finding;
mod fix;
mod id_checks;
mod item_checks;
mod rule_checks;
mod rule_store;
mod table_checks;
mod time_checks;

/// How many scans read the table at once. Each of them keeps some pages in memory.
const SEGMENTS: u16 = 2;

/// The result of an inspection.
#[derive(Debug, Clone)]
pub struct Report {
    /// The findings, sorted by app, location and kind.
    pub findings: Vec<Finding>,
    /// The number of items that were inspected.
    pub items: u64,
    /// The number of rules in them.
    pub rules: u64,
}

impl Table {
    /// Inspects every item and every rule of the table. Writes nothing.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn inspect(&self, now: EpochSeconds) -> Result<Report> {
        let mut inspector = Inspector::new(self, now)?;
        let mut pages = self.scan(SEGMENTS);
        while let Some(page) = pages.recv().await {
            page?.iter().try_for_each(|item| inspector.inspect(item))?;
        }
        inspector.finish()
    }
}

/// Inspects items one by one, and then all of them together.
struct Inspector<'a> {
    table: &'a Table,
    now: EpochSeconds,
    items: u64,
    rules: u64,
    findings: Vec<Finding>,
    contents: Contents,
}

impl<'a> Inspector<'a> {
    fn new(table: &'a Table, now: EpochSeconds) -> Result<Self> {
        Ok(Self { table, now, items: 0, rules: 0, findings: Vec::new(), contents: Contents::new()? })
    }

    fn inspect(&mut self, item: &Attributes) -> Result<()> {
        self.items += 1;
        let (Some(kind), Some(rules)) = (ItemKind::of(item), rules_of(item)) else {
            self.findings.push(item_checks::foreign_item(self.table, item));
            return Ok(());
        };
        self.check_item(&kind, item);
        for stored in &rules {
            self.rules += 1;
            self.check_rule(item, stored)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Report> {
        let Self { table, now, items, rules, mut findings, contents } = self;
        findings.extend(contents.check(table.name(), now)?);
        findings.sort_by(Finding::cmp);
        findings.dedup();
        Ok(Report { findings, items, rules })
    }
}
