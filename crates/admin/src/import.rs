//! Imports files of rules: checks a whole file, compares it with the table, and writes it.

use std::io::Read;

use callgate::store::item::Key;
use callgate_core::{EpochSeconds, has_expired};

use crate::dial_plan_warning::DialPlanWarning;
use crate::error::{Error, Result};
use crate::item_kind::keys;
use crate::rule_file::{FileRule, Format, Problem, Reader};
use crate::rule_row::RuleRow;
use crate::sorted_rules::{Insertion, SortedRule, SortedRules};
use crate::stored_rule::{StoredRule, rules_of};
use crate::table::Table;
use crate::time;

mod apply;
mod difference;

pub use apply::{Applied, ApplyError, ImportControl};
pub use difference::{Difference, DifferenceCounts};

/// How many problems of a file are kept. Further ones are only counted.
const MAX_PROBLEMS: usize = 1_000;

/// How many scans read the table at once.
const SEGMENTS: u16 = 4;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The first 1,000 problems.
    pub first: Vec<Problem>,
    /// The number of all problems.
    pub count: u64,
}

/// A valid file of rules, sorted and ready to be written to the table. Its rules are in a temporary file.
///
/// ```no_run
/// # async fn import(table: callgate_admin::Table, author: callgate_admin::Author) -> callgate_admin::Result<()> {
/// use callgate_admin::import::{Import, ImportControl};
///
/// let file = std::io::Cursor::new("app,from,to,effect\nshop,PPP009,PPP005,allow\n");
/// let Ok(mut import) = Import::check(&table, file, None, author.at).await? else { return Ok(()) };
/// let control = ImportControl::default();
/// let running = control.clone();
/// let task = tokio::spawn(async move {
///     let counts = import.difference(|_| Ok::<_, callgate_admin::Error>(())).await;
///     (counts, import.apply(&author, 16, &running).await)
/// });
/// println!("{} rules written so far", control.done());
/// control.stop();
/// # task.await.unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Import {
    table: Table,
    /// The file's rules, by item, list and entry.
    rules: SortedRules,
    /// The rules to remove from the table, sorted like the others.
    removed: SortedRules,
    warnings: Vec<Problem>,
}

impl Import {
    /// Reads and checks a whole file. Without a format, the first character determines it. The table is not read.
    ///
    /// The inner result is an import if every line is valid, otherwise the problems of the file.
    ///
    /// # Errors
    /// [`Error::Local`] when the file cannot be read.
    pub async fn check(
        table: &Table,
        source: impl Read + Send + 'static,
        format: Option<Format>,
        now: EpochSeconds,
    ) -> Result<Result<Self, Problems>> {
        let table = table.clone();
        let checked = tokio::task::spawn_blocking(move || check(table, source, format, now));
        checked.await.map_err(|error| Error::Local(error.to_string()))?
    }

    /// The first 1,000 lines that are valid, but may have another meaning than intended.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The number of rules to write.
    #[must_use]
    pub fn rule_count(&self) -> u64 {
        self.rules.len()
    }

    /// The number of rules to remove from the table, which is 0 before [`Self::replace`].
    #[must_use]
    pub fn removed_count(&self) -> u64 {
        self.removed.len()
    }

    /// Finds the rules of the file's apps that are not in the file. They will be removed from the table.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn replace(&mut self) -> Result<()> {
        let mut pages = self.table.scan(SEGMENTS);
        while let Some(page) = pages.recv().await {
            for item in page? {
                let (Some(rules), Some((pk, sk))) = (rules_of(&item), keys(&item)) else { continue };
                for stored in &rules {
                    let [list, entry] = list_key(stored);
                    let key = [pk, sk, list, entry];
                    if self.rules.contains_app(&stored.app)? && !self.rules.contains(key)? {
                        self.removed.insert(key, &stored.row(), 0)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Calls `take` with every rule that will be removed. Stops at its first error.
    ///
    /// # Errors
    /// The error of `take`, or [`Error::Local`] when the temporary file cannot be read.
    pub fn for_each_removed<E: From<Error>>(&self, mut take: impl FnMut(RuleRow) -> Result<(), E>) -> Result<(), E> {
        self.removed.for_each(|SortedRule { key: _, row }| take(row))
    }
}

/// The last two parts of a stored rule's sort key.
fn list_key(stored: &StoredRule) -> [&str; 2] {
    [stored.list.unwrap_or_default(), &stored.entry]
}

fn check(
    table: Table,
    source: impl Read,
    format: Option<Format>,
    now: EpochSeconds,
) -> Result<Result<Import, Problems>> {
    let mut rules = SortedRules::new()?;
    let mut problems = Problems { first: Vec::new(), count: 0 };
    let mut warnings = Vec::new();
    let mut reader = Reader::new(source, format, table.dial_plan())?;
    while let Some(line) = reader.next_line()? {
        let FileRule { target, location, rule } = match line.rule {
            Ok(rule) => rule,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        let mut warn = |column: &str, value: String, reason: String| {
            if warnings.len() < MAX_PROBLEMS {
                warnings.push(Problem { line: line.number, column: column.to_owned(), value, reason });
            }
        };
        if let Some((side, reason)) = DialPlanWarning::for_target(&target, table.dial_plan()) {
            let value = if side == "from" { &target.from } else { &target.to }.to_string();
            warn(side, value, reason);
        }
        if let Some(over) = rule.expires_at.filter(|_| has_expired(rule.expires_at, now)) {
            let reason = "is in the past, so the rule has no effect; it is written all the same";
            warn("expires_at", time::format(over), reason.to_owned());
        }
        let (list, entry) = location.entry.as_ref().map_or(("", ""), |(list, entry)| (*list, entry.as_str()));
        let Key { pk, sk } = &location.key;
        let insertion = rules.insert([pk, sk, list, entry], &RuleRow::new(&target, &rule), line.number)?;
        if let Insertion::Conflict(other) = insertion {
            problems.extend([Problem {
                line: line.number,
                column: "from,to".to_owned(),
                value: format!("{},{}", target.from, target.to),
                reason: format!("differs from the rule for the same parties on line {other}"),
            }]);
        }
    }
    if problems.count > 0 {
        return Ok(Err(problems));
    }
    Ok(Ok(Import { table, rules, removed: SortedRules::new()?, warnings }))
}

impl Problems {
    fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            self.count += 1;
            if self.first.len() < MAX_PROBLEMS {
                self.first.push(problem);
            }
        }
    }
}
