//! Long work: it goes on after the answer, shows how far it is, can be cancelled, and its result is kept for a reload.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callgate_core::EpochSeconds;
use maud::{Markup, html};
use tokio::sync::watch;

use super::page::PageError;
use crate::exit::hint;
use crate::time::now;

/// The last jobs of a kind, by their numbers. `D` is what a job works on, `T` its result.
#[derive(Debug)]
pub(super) struct Jobs<D, T> {
    /// The most jobs that are kept.
    limit: usize,
    kept: Mutex<Kept<D, T>>,
}

#[derive(Debug)]
struct Kept<D, T> {
    last: u64,
    jobs: VecDeque<Arc<Job<D, T>>>,
}

/// Work that runs or has ended. It may be followed by more work on the same data.
#[derive(Debug)]
pub(super) struct Job<D, T> {
    pub(super) id: u64,
    pub(super) started_at: EpochSeconds,
    pub(super) data: D,
    state: Mutex<State<T>>,
}

/// Where a job is.
#[derive(Debug)]
pub(super) enum State<T> {
    Running(Progress),
    Ended(Arc<T>),
    Failed(String),
    Cancelled,
}

// Not derived, because that would ask for a result that can be cloned.
impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Running(progress) => Self::Running(progress.clone()),
            Self::Ended(result) => Self::Ended(Arc::clone(result)),
            Self::Failed(why) => Self::Failed(why.clone()),
            Self::Cancelled => Self::Cancelled,
        }
    }
}

/// Why work has no result.
#[derive(Debug)]
pub(super) enum Failure {
    Cancelled,
    Error(String),
}

impl From<callgate_admin::Error> for Failure {
    fn from(error: callgate_admin::Error) -> Self {
        let hint = hint(&error).map(|hint| format!("; {hint}")).unwrap_or_default();
        Self::Error(format!("{error}{hint}"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<callgate_admin::Error>() {
            Ok(error) => error.into(),
            Err(error) => Self::Error(format!("{error:#}")),
        }
    }
}

impl<D: Send + Sync + 'static, T: Send + Sync + 'static> Jobs<D, T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::new(Kept { last: 0, jobs: VecDeque::new() }) }
    }

    /// Starts a job. The oldest one that has ended is forgotten if there are too many.
    ///
    /// # Errors
    /// [`PageError::busy`] if that many jobs are running.
    pub(super) fn start<F>(&self, data: D, work: impl FnOnce(Arc<Job<D, T>>, Progress) -> F) -> Result<u64, PageError>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let job = {
            let mut kept = lock(&self.kept);
            if kept.jobs.len() >= self.limit {
                let Some(oldest) = kept.jobs.iter().position(|job| !job.is_running()) else {
                    return Err(PageError::busy(
                        "Other work of this kind is still running. Wait until it ends, or cancel it.",
                    ));
                };
                kept.jobs.remove(oldest);
            }
            kept.last += 1;
            let state = Mutex::new(State::Cancelled);
            let job = Arc::new(Job { id: kept.last, started_at: now(), data, state });
            kept.jobs.push_back(Arc::clone(&job));
            job
        };
        let id = job.id;
        job.run(work);
        Ok(id)
    }

    /// The job with a number, if it is still kept.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Job<D, T>>> {
        lock(&self.kept).jobs.iter().find(|job| job.id == id).cloned()
    }

    /// The job that was started last.
    pub(super) fn last(&self) -> Option<Arc<Job<D, T>>> {
        lock(&self.kept).jobs.back().cloned()
    }

    /// Forgets a job.
    pub(super) fn forget(&self, id: u64) {
        lock(&self.kept).jobs.retain(|job| job.id != id);
    }
}

impl<D: Send + Sync + 'static, T: Send + Sync + 'static> Job<D, T> {
    /// Starts work, unless work on this job is under way.
    pub(super) fn run<F>(self: Arc<Self>, work: impl FnOnce(Arc<Self>, Progress) -> F)
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let progress = Progress::default();
        {
            let mut state = lock(&self.state);
            if matches!(*state, State::Running(_)) {
                return;
            }
            *state = State::Running(progress.clone());
        }
        let work = tokio::spawn(work(Arc::clone(&self), progress));
        tokio::spawn(async move {
            let state = match work.await {
                Ok(Ok(result)) => State::Ended(Arc::new(result)),
                Ok(Err(Failure::Cancelled)) => State::Cancelled,
                Ok(Err(Failure::Error(why))) => State::Failed(why),
                Err(error) => State::Failed(error.to_string()),
            };
            *lock(&self.state) = state;
        });
    }

    pub(super) fn state(&self) -> State<T> {
        lock(&self.state).clone()
    }

    fn is_running(&self) -> bool {
        matches!(*lock(&self.state), State::Running(_))
    }

    /// Asks the work to end.
    pub(super) fn cancel(&self) {
        if let State::Running(progress) = &*lock(&self.state) {
            progress.0.is_cancelled.send_replace(true);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far work is, and whether it is to end. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    done: AtomicU64,
    /// 0 if it is not known.
    total: AtomicU64,
    /// What is done now.
    text: Mutex<String>,
    is_cancelled: watch::Sender<bool>,
}

impl Progress {
    /// Begins a part of the work. Without a total, it is not known how far it is.
    pub(super) fn begin(&self, text: impl Into<String>, total: Option<u64>) {
        *lock(&self.0.text) = text.into();
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total.unwrap_or_default(), Ordering::Relaxed);
    }

    pub(super) fn set_done(&self, done: u64) {
        self.0.done.store(done, Ordering::Relaxed);
    }

    pub(super) fn add(&self, more: u64) {
        self.0.done.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        *self.0.is_cancelled.borrow()
    }

    /// Ends when the work is to end.
    pub(super) async fn cancelled(&self) {
        // The sender is in `self`, so that it cannot be closed.
        let _ = self.0.is_cancelled.subscribe().wait_for(|is_cancelled| *is_cancelled).await;
    }

    /// Runs what can be ended at any moment.
    pub(super) async fn unless_cancelled<R, E>(&self, work: impl Future<Output = Result<R, E>>) -> Result<R, Failure>
    where
        Failure: From<E>,
    {
        tokio::select! {
            result = work => result.map_err(Failure::from),
            () = self.cancelled() => Err(Failure::Cancelled),
        }
    }

    /// The progress as a page shows it, with a button that cancels the work.
    pub(super) fn markup(&self, cancel: &str) -> Markup {
        let (done, total) = (self.0.done.load(Ordering::Relaxed), self.0.total.load(Ordering::Relaxed));
        let percent = done.min(total).saturating_mul(100).checked_div(total);
        let text = lock(&self.0.text).clone();
        html! {
            p role="status" { (text) @if let Some(percent) = percent { ": " (percent) " %" } }
            progress aria-label=(text) value=[percent] max="100" {}
            form class="actions" method="post" action=(cancel) {
                button disabled[self.is_cancelled()] { @if self.is_cancelled() { "Cancelling" } @else { "Cancel" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ended<T: Send + Sync + 'static>(job: &Job<(), T>) -> State<T> {
        loop {
            match job.state() {
                State::Running(_) => tokio::task::yield_now().await,
                state => return state,
            }
        }
    }

    #[tokio::test]
    async fn a_job_ends_with_its_result_or_is_cancelled() {
        let jobs = Jobs::<(), u32>::new(2);
        let done = jobs.start((), |_, _| async { Ok(7) }).unwrap();
        assert!(matches!(ended(&jobs.get(done).unwrap()).await, State::Ended(result) if *result == 7));
        let endless = jobs
            .start((), |_, progress| async move {
                progress.unless_cancelled(std::future::pending::<Result<u32, Failure>>()).await
            })
            .unwrap();
        let job = jobs.get(endless).unwrap();
        assert!(matches!(job.state(), State::Running(_)));
        job.cancel();
        assert!(matches!(ended(&job).await, State::Cancelled));
    }

    #[tokio::test]
    async fn the_oldest_job_that_has_ended_is_forgotten() {
        let jobs = Jobs::<(), ()>::new(2);
        let endless = || jobs.start((), |_, _| std::future::pending());
        let first = endless().unwrap();
        let second = jobs.start((), |_, _| async { Err(Failure::Error("no".to_owned())) }).unwrap();
        assert!(matches!(ended(&jobs.get(second).unwrap()).await, State::Failed(why) if why == "no"));
        let third = endless().unwrap();
        assert!(jobs.get(first).is_some() && jobs.get(second).is_none());
        assert_eq!(jobs.last().unwrap().id, third);
        assert!(endless().is_err(), "both are running");
    }
}
