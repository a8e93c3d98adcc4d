//! Writes a planned import to the table, phase by phase: one task builds requests, several send them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use callgate_core::AppKey;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::Import;
use super::batches::{PlannedRule, feed};
use super::plan::Plan;
use super::steps::Phase;
use super::write::{Failure, write_batches};
use crate::app_cache::max_age;
use crate::error::{Error, Result};
use crate::history::BulkChange;
use crate::rule_row::RuleRow;
use crate::table::batch::unix_time;

/// How long a wait may go on after the import is stopped.
const PAUSE: Duration = Duration::from_millis(100);

/// Reports the progress of a running import or restore, and stops it. Clones control the same one.
#[derive(Debug, Clone, Default)]
pub struct ImportControl(Arc<State>);

#[derive(Debug, Default)]
struct State {
    written: AtomicU64,
    removed: AtomicU64,
    is_stopped: AtomicBool,
}

impl ImportControl {
    /// The number of rules, or of items, that are written or removed so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        let Applied { written, removed } = self.applied();
        written + removed
    }

    /// Stops the import or restore. Requests that are under way are completed.
    pub fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.is_stopped.load(Ordering::Relaxed)
    }

    /// Counts items that a restore has written or removed.
    pub(crate) fn add_items(&self, items: u64) {
        self.0.written.fetch_add(items, Ordering::Relaxed);
    }

    fn applied(&self) -> Applied {
        let State { written, removed, is_stopped: _ } = &*self.0;
        Applied { written: written.load(Ordering::Relaxed), removed: removed.load(Ordering::Relaxed) }
    }

    pub(super) fn add<'a>(&self, rules: impl IntoIterator<Item = &'a PlannedRule>) {
        for rule in rules {
            let count = if rule.is_removal { &self.0.removed } else { &self.0.written };
            count.fetch_add(u64::from(rule.is_last), Ordering::Relaxed);
        }
    }
}

/// How many rules an import changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// The rules that were written.
    pub written: u64,
    /// The rules that were removed.
    pub removed: u64,
}

/// An import that was not completed. Importing the same file again completes it.
#[derive(Debug, thiserror::Error)]
#[error("{} of {total} rules are written", applied.written + applied.removed)]
pub struct ApplyError {
    /// The rules that are written and removed.
    pub applied: Applied,
    /// The number of rules to write and remove.
    pub total: u64,
    /// The first rule that is not confirmed to be written or removed.
    pub unconfirmed: Option<Box<UnconfirmedRule>>,
    /// The rules that were not removed because they changed meanwhile, as they are now.
    pub changed: Vec<RuleRow>,
    /// Why the import ended early. [`Error::Stopped`] when its [`ImportControl`] stopped it, [`Error::Conflict`] when rules
    /// changed meanwhile.
    #[source]
    pub error: Error,
}

/// A rule that a failed import did not write or remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnconfirmedRule {
    /// The line in the file. `None` for a rule that is not in it.
    pub line: Option<u64>,
    /// The rule.
    pub rule: RuleRow,
    /// Whether the error is about this rule.
    pub is_cause: bool,
}

impl Import {
    /// Writes and removes what [`Self::plan`] found, with up to `concurrency` requests at once. At every moment, the table
    /// permits only calls that the rules before or the rules after the import permit. For that, it waits at some points until
    /// no function uses an older version of an app's item, which the function keeps for `app_cache`; `announce` is called
    /// with the length of each wait.
    ///
    /// # Errors
    /// How many rules are written, and why the others are not.
    pub async fn apply(
        &self,
        concurrency: u16,
        app_cache: Duration,
        control: &ImportControl,
        announce: impl Fn(Duration),
    ) -> Result<Applied, ApplyError> {
        let total = self.counts().written() + self.counts().removed;
        let failed =
            |unconfirmed, changed, error| ApplyError { applied: control.applied(), total, unconfirmed, changed, error };
        let plan = match self.planned() {
            Ok(plan) => plan,
            Err(error) => return Err(failed(None, Vec::new(), error)),
        };
        if total == 0 {
            return Ok(Applied::default());
        }
        let apps = plan.apps.iter().filter_map(|(app, counts)| Some((AppKey::new(app).ok()?, *counts)));
        let begun = self.table.begin_bulk(&plan.author, apps, plan.list.as_deref()).await;
        let bulk = begun.map_err(|error| failed(None, Vec::new(), error))?;
        let delay = max_age(app_cache);
        // An import that was ended a moment ago may have written these denies.
        let is_recent = plan.app_denied_at.is_some_and(|at| unix_time().saturating_sub(at) <= seconds(delay));
        let mut refused_at = is_recent.then_some(plan.read_at);
        for phase in Phase::ALL {
            if !plan.steps.contains_key(&phase) {
                continue;
            }
            if phase.may_permit() {
                // A removal leaves no trace, so an app's item may have changed just before it was read.
                let earlier = (phase != Phase::Allows && plan.has_app_rules).then_some(plan.read_at);
                if let Some(since) = refused_at.take().max(earlier) {
                    wait(delay.saturating_sub(since.elapsed()), control, &announce).await;
                }
            }
            let changed = match self.run(phase, plan, concurrency, control, &bulk).await {
                Ok(changed) => changed,
                Err(Failure { batch: _, unconfirmed, error }) => return Err(failed(unconfirmed, Vec::new(), error)),
            };
            if !changed.is_empty() {
                let error = Error::Conflict("rules changed meanwhile and were not removed".to_owned());
                return Err(failed(None, changed, error));
            }
            if control.is_stopped() && control.done() < total {
                return Err(failed(None, Vec::new(), Error::Stopped("the import was stopped".to_owned())));
            }
            if plan.app_refusals.contains(&phase) {
                refused_at = Some(Instant::now());
            }
        }
        self.table.complete_bulk(&bulk).await.map_err(|error| failed(None, Vec::new(), error))?;
        Ok(control.applied())
    }

    /// Runs one phase to its end. Returns the rules that changed meanwhile and were not removed.
    async fn run(
        &self,
        phase: Phase,
        plan: &Arc<Plan>,
        concurrency: u16,
        control: &ImportControl,
        bulk: &BulkChange,
    ) -> Result<Vec<RuleRow>, Failure> {
        let (queue, batches) = mpsc::channel(usize::from(concurrency).max(1));
        let batches = Arc::new(Mutex::new(batches));
        let mut writers = JoinSet::new();
        for _ in 0..concurrency.max(1) {
            writers.spawn(write_batches(self.table.clone(), Arc::clone(&batches), control.clone(), bulk.clone()));
        }
        drop(batches);
        let (data, plan) = (Arc::clone(&self.data), Arc::clone(plan));
        let feeder = tokio::task::spawn_blocking(move || feed(&super::lock(&data), &plan, phase, queue));
        let (mut changed, mut failure) = (Vec::new(), None::<Failure>);
        while let Some(result) = writers.join_next().await {
            match result.unwrap_or_else(|error| Err(Failure::of_task(&error))) {
                Ok(rules) => changed.extend(rules),
                Err(error) => {
                    control.stop();
                    // Batches are numbered in order, so the first one has the first rule that is not confirmed.
                    if failure.as_ref().is_none_or(|other| error.batch < other.batch) {
                        failure = Some(error);
                    }
                }
            }
        }
        let fed = feeder.await.unwrap_or_else(|error| Err(Failure::of_task(&error).error));
        match (failure, fed) {
            (Some(failure), _) => Err(failure),
            // When the writers have stopped, the feeder cannot send the rest. That is not another failure.
            (None, Err(Error::Stopped(_))) if control.is_stopped() => Ok(changed),
            (None, Err(error)) => Err(Failure { batch: u64::MAX, unconfirmed: None, error }),
            (None, Ok(())) => Ok(changed),
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Waits until the time is over or the import is stopped.
pub(crate) async fn wait(time: Duration, control: &ImportControl, announce: &impl Fn(Duration)) {
    if time.is_zero() {
        return;
    }
    announce(time);
    let end = Instant::now() + time;
    while !control.is_stopped() && Instant::now() < end {
        tokio::time::sleep(end.saturating_duration_since(Instant::now()).min(PAUSE)).await;
    }
}
