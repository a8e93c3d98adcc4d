//! Imports files of rules: checks a whole file, compares it with the table, and writes it.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callgate::store::item::Key;
use callgate_core::{AppKey, EpochSeconds, has_expired};

use crate::error::{Error, Result};
use crate::prefix_warning::PrefixWarning;
use crate::rule_file::{FileRule, Problem, Problems, Reader};
use crate::rule_row::RuleRow;
use crate::sorted_rules::{Insertion, SortedRules};
use crate::table::Table;
use crate::time;

mod apply;
mod batches;
mod difference;
mod plan;
mod proposal;
mod steps;
mod write;

use plan::Plan;
pub(crate) use proposal::Proposal;
pub(crate) use steps::{covers, union};

pub(crate) use apply::wait;
pub use apply::{Applied, ApplyError, ImportControl, UnconfirmedRule};
pub use difference::{Difference, DifferenceCounts, OtherRules};

/// A valid file of rules, sorted and ready to be written to the table. Its rules are in a temporary file.
///
/// ```no_run
/// # async fn import(table: callgate_admin::Table, author: callgate_admin::Author) -> callgate_admin::Result<()> {
/// use std::time::Duration;
///
/// use callgate_admin::import::{Import, ImportControl};
/// use callgate_admin::rule_file::Reader;
///
/// let file = Reader::new(std::io::Cursor::new("app,from,to,effect\nshop,PPP009,PPP005,allow\n"), None, None);
/// let Ok(mut import) = Import::check(&table, file, author.at).await? else { return Ok(()) };
/// import.plan(false, &author).await?;
/// let control = ImportControl::default();
/// let running = control.clone();
/// let app_cache = Duration::from_secs(5);
/// let task = tokio::spawn(async move { import.apply(16, app_cache, &running, |_| ()).await });
/// println!("{} rules written so far", control.done());
/// control.stop();
/// # task.await.unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Import {
    table: Table,
    data: Arc<Mutex<Data>>,
    /// The only list whose rules are written and removed. `None` for rules of any list, and of none.
    list: Option<String>,
    warnings: Problems,
    plan: Option<Arc<Plan>>,
}

/// The rules that an import compares.
#[derive(Debug)]
struct Data {
    /// The file's rules, by item, list and entry.
    rules: SortedRules,
    /// The stored rules, sorted like the others.
    stored: SortedRules,
}

fn lock(data: &Mutex<Data>) -> MutexGuard<'_, Data> {
    data.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Import {
    /// Reads and checks a whole file. If its reader accepts the rules of one list only, the import writes and removes rules of
    /// this list only. The table is not read.
    ///
    /// The inner result is an import if every line is valid, otherwise the problems of the file.
    ///
    /// # Errors
    /// [`Error::Local`] when the file cannot be read.
    pub async fn check(
        table: &Table,
        reader: Reader<impl Read + Send + 'static>,
        now: EpochSeconds,
    ) -> Result<Result<Self, Problems>> {
        let table = table.clone();
        let checked = tokio::task::spawn_blocking(move || check(table, reader, now));
        checked.await.map_err(|error| Error::Local(error.to_string()))?
    }

    /// An import of no rules, which removes the rules and the blocks of a list from an app.
    ///
    /// # Errors
    /// [`Error::Local`] when the temporary file cannot be written.
    pub fn of_empty_list(table: &Table, app: &AppKey, list: &str) -> Result<Self> {
        let data = Data { rules: SortedRules::new()?, stored: SortedRules::new()? };
        data.rules.insert_app(app.as_str())?;
        let (table, data, list) = (table.clone(), Arc::new(Mutex::new(data)), Some(list.to_owned()));
        Ok(Self { table, data, list, warnings: Problems::default(), plan: None })
    }

    /// Whether the file names no app, so that it cannot replace the rules of one.
    ///
    /// # Errors
    /// [`Error::Local`] when the temporary file cannot be read.
    pub fn has_no_app(&self) -> Result<bool> {
        self.lock().rules.has_no_app()
    }

    /// The lines that are valid, but may have another meaning than intended.
    #[must_use]
    pub fn warnings(&self) -> &Problems {
        &self.warnings
    }

    /// The first apps of the file, in order.
    ///
    /// # Errors
    /// [`Error::Local`] when the temporary file cannot be read.
    pub fn apps(&self, limit: usize) -> Result<Vec<AppKey>> {
        let apps = lock(&self.data).rules.apps(limit)?;
        Ok(apps.iter().filter_map(|app| AppKey::new(app).ok()).collect())
    }

    /// The lines whose rule ends with its party, or replaces what is stored for a party that has expired. `None` before
    /// [`Self::plan`].
    #[must_use]
    pub fn notices(&self) -> Option<&Problems> {
        self.plan.as_ref().map(|plan| &plan.notices)
    }

    /// How many rules the import changes. All counts are 0 before [`Self::plan`].
    #[must_use]
    pub fn counts(&self) -> DifferenceCounts {
        self.plan.as_ref().map(|plan| plan.counts).unwrap_or_default()
    }

    /// The number of rules in the file.
    fn rule_count(&self) -> u64 {
        self.lock().rules.len()
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        lock(&self.data)
    }

    /// Whether the import may remove this stored rule.
    fn may_remove(&self, row: &RuleRow) -> bool {
        self.list.is_none() || row.list == self.list
    }

    fn planned(&self) -> Result<&Arc<Plan>> {
        self.plan.as_ref().ok_or_else(|| Error::Stopped("the import is not planned yet".to_owned()))
    }
}

fn check(table: Table, mut reader: Reader<impl Read>, now: EpochSeconds) -> Result<Result<Import, Problems>> {
    let mut rules = SortedRules::new()?;
    let mut problems = Problems::default();
    let mut warnings = Problems::default();
    let exactly = reader.is_exact();
    if let Some(app) = reader.app() {
        rules.insert_app(app.as_str())?;
    }
    while let Some(line) = reader.next_line()? {
        warnings.extend(reader.take_comments());
        let file_rule = match line.rule {
            Ok(rule) => rule,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        let row = file_rule.row();
        let FileRule { target, location, rule } = file_rule;
        if let Some((side, reason)) = PrefixWarning::for_target(&target, table.phone_region()) {
            let value = if side == "from" { &target.from } else { &target.to }.to_string();
            warnings.add(Problem::new(line.number, side, value, reason));
        }
        if let Some(notice) = rule.hours.as_ref().and_then(|hours| time::zone_notice(hours, now)) {
            warnings.add(Problem::new(line.number, "hours", "", notice));
        }
        if let Some(over) = rule.expires_at.filter(|_| has_expired(rule.expires_at, now)) {
            let over = |reason| Problem::new(line.number, "expires_at", time::format(over), reason);
            if exactly {
                warnings.add(over("is in the past, so the rule has no effect; it is written all the same"));
            } else {
                problems.add(over("is in the past, so the rule would have no effect; remove it, or correct the time"));
            }
        }
        let (list, entry) = location.entry.as_ref().map_or(("", ""), |(list, entry)| (*list, entry.as_str()));
        let Key { pk, sk } = &location.key;
        let insertion = rules.insert([pk, sk, list, entry], &row, line.number)?;
        let parties = || format!("{},{}", target.from, target.to);
        match insertion {
            Insertion::New => {}
            Insertion::Duplicate(other) => {
                warnings.add(Problem::new(line.number, "from,to", parties(), format!("repeats line {other}")));
            }
            Insertion::Conflict(other) => {
                let reason = format!("differs from the rule for the same parties on line {other}");
                problems.add(Problem::new(line.number, "from,to", parties(), reason));
            }
        }
    }
    warnings.extend(reader.take_comments());
    if problems.count > 0 {
        return Ok(Err(problems));
    }
    let data = Data { rules, stored: SortedRules::new()? };
    let list = reader.list().map(str::to_owned);
    Ok(Ok(Import { table, data: Arc::new(Mutex::new(data)), list, warnings, plan: None }))
}
