//! What the permission table says about a call: one `BatchGetItem` a decision, inside a deadline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::types::{ConsumedCapacity, KeysAndAttributes, ReturnConsumedCapacity};
use callgate_core::{App, AppKey, Call, Found, Party, Records, Rule};

use item::{Attributes, Key};

mod checksum;
pub mod client;
pub mod item;

/// Apps kept in memory at most: whoever asks names the app, and may name any.
const MAX_CACHED_APPS: usize = 1_024;

/// The first pause before keys are asked for again that DynamoDB left unprocessed; each further one is twice as long.
const UNPROCESSED_BACKOFF: Duration = Duration::from_millis(10);

/// The longest a start waits for the connection. A handshake with DynamoDB takes some milliseconds.
const OPENING: Duration = Duration::from_millis(500);

/// A key nothing is ever stored under: ours start with `APP#` or `PARTY#`.
const NOBODY: &str = "-";

/// How and where to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The permission table.
    pub table: String,
    /// Strongly consistent reads, which see every write that has been answered.
    pub strong_reads: bool,
    /// How long an app's item may be reused.
    pub app_cache: Duration,
    /// The whole time a decision may spend reading, retries included.
    pub deadline: Duration,
}

/// The permission table, read.
#[derive(Debug)]
pub struct Store {
    client: Client,
    settings: Settings,
    apps: Mutex<HashMap<AppKey, CachedApp>>,
}

#[derive(Debug)]
struct CachedApp {
    app: Arc<Found<App>>,
    read_at: SystemTime,
}

/// What was found about a call.
#[derive(Debug)]
pub struct Lookup {
    app: Arc<Found<App>>,
    caller: Found<Party>,
    /// `None` when the callee is the caller.
    callee: Option<Found<Party>>,
    pair: Found<Rule>,
    /// Read capacity units consumed.
    pub units: f64,
}

impl Lookup {
    /// As the decision takes it.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records {
            app: &self.app,
            caller: &self.caller,
            callee: self.callee.as_ref().unwrap_or(&self.caller),
            pair: &self.pair,
        }
    }
}

/// Why nobody can say what the table says.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It took too long.
    #[error("DynamoDB did not answer within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// DynamoDB refused, failed or could not be reached, and trying again did not help.
    #[error("{0}")]
    Failed(String),
    /// DynamoDB kept leaving keys unprocessed, which is how it throttles a batch.
    #[error("DynamoDB left keys unprocessed until the deadline: the table is throttled")]
    Unprocessed,
    /// The answer does not hold what was asked for.
    #[error("DynamoDB's answer cannot be used: {0}")]
    BadAnswer(&'static str),
}

impl Store {
    /// A store over a client; see [`client::connect`] for the one the function uses.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        Self { client, settings, apps: Mutex::default() }
    }

    /// Opens the connection before the first call needs it, by a read the function's role may make.
    ///
    /// # Errors
    /// When DynamoDB did not answer, which a start survives: a call opens the connection just as well.
    pub async fn open_connection(&self) -> Result<(), StoreError> {
        let nobody = Key { pk: NOBODY.to_owned(), sk: NOBODY.to_owned() };
        let asked = tokio::time::timeout(OPENING, self.ask(vec![nobody.attributes()])).await;
        asked.unwrap_or(Err(StoreError::Deadline(OPENING))).map(drop)
    }

    /// Reads the caller's party, the callee's party, the pair and, unless it is still fresh, the app.
    ///
    /// # Errors
    /// When they could not all be read before the deadline.
    pub async fn look_up(&self, call: &Call, now: SystemTime) -> Result<Lookup, StoreError> {
        let deadline = self.settings.deadline;
        tokio::time::timeout(deadline, self.read(call, now)).await.unwrap_or(Err(StoreError::Deadline(deadline)))
    }

    async fn read(&self, call: &Call, now: SystemTime) -> Result<Lookup, StoreError> {
        let Call { app, caller, callee, .. } = call;
        let app_key = Key::app(app);
        let caller_key = Key::party(app, caller);
        let callee_key = Key::party(app, callee);
        let pair_key = Key::pair(app, caller, callee);

        let cached = self.cached_app(app, now);
        let mut keys = vec![caller_key.attributes(), pair_key.attributes()];
        // DynamoDB refuses a request that names a key twice.
        keys.extend((callee != caller).then(|| callee_key.attributes()));
        keys.extend(cached.is_none().then(|| app_key.attributes()));

        let (mut items, units) = self.batch_get(keys).await?;
        let mut take = |key: &Key| items.iter().position(|item| key.is_of(item)).map(|at| items.swap_remove(at));
        let lookup = Lookup {
            app: match cached {
                Some(cached) => cached,
                None => self.cache_app(app, take(&app_key).map(item::read_app).transpose(), now),
            },
            caller: take(&caller_key).map(item::read_party).transpose(),
            callee: (callee != caller).then(|| take(&callee_key).map(item::read_party).transpose()),
            pair: take(&pair_key).map(item::read_pair).transpose(),
            units,
        };
        // What is missing here would look like a rule that does not exist.
        if items.is_empty() {
            Ok(lookup)
        } else {
            Err(StoreError::BadAnswer("it holds an item that was not asked for"))
        }
    }

    /// The items that exist under these keys, and the capacity it took to read them.
    async fn batch_get(&self, keys: Vec<Attributes>) -> Result<(Vec<Attributes>, f64), StoreError> {
        let started = Instant::now();
        let mut pause = UNPROCESSED_BACKOFF;
        let (mut items, mut units) = (Vec::with_capacity(keys.len()), 0.0);
        let mut keys = Some(keys);
        while let Some(wanted) = keys.take().filter(|keys| !keys.is_empty()) {
            let mut answer = self.ask(wanted).await?;
            units += answer.consumed_capacity().iter().filter_map(ConsumedCapacity::capacity_units).sum::<f64>();
            let responses = answer.responses.take().ok_or(StoreError::BadAnswer("it has no `Responses`"))?;
            items.extend(responses.into_values().flatten());

            keys = answer.unprocessed_keys.and_then(|tables| tables.into_values().next()).map(|table| table.keys);
            if keys.as_ref().is_some_and(|keys| !keys.is_empty()) {
                if started.elapsed() + pause >= self.settings.deadline {
                    return Err(StoreError::Unprocessed);
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Ok((items, units))
    }

    async fn ask(&self, keys: Vec<Attributes>) -> Result<BatchGetItemOutput, StoreError> {
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(self.settings.strong_reads)
            .build()
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let request = self
            .client
            .batch_get_item()
            .request_items(&self.settings.table, wanted)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        request.send().await.map_err(|error| StoreError::Failed(client::describe(&error)))
    }

    /// The app's item, where it was read no longer ago than it may be reused.
    fn cached_app(&self, app: &AppKey, now: SystemTime) -> Option<Arc<Found<App>>> {
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = apps.get(app)?;
        // By the wall clock, which goes on while Lambda has the process frozen; set back, it makes the item stale.
        let age = now.duration_since(cached.read_at).ok()?;
        (age < reusable_for(self.settings.app_cache, cached.read_at)).then(|| Arc::clone(&cached.app))
    }

    fn cache_app(&self, key: &AppKey, app: Found<App>, read_at: SystemTime) -> Arc<Found<App>> {
        let app = Arc::new(app);
        if !self.settings.app_cache.is_zero() {
            let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
            if apps.len() >= MAX_CACHED_APPS {
                apps.clear();
            }
            apps.insert(key.clone(), CachedApp { app: Arc::clone(&app), read_at });
        }
        app
    }
}

/// How long an app's item is reused: up to a quarter less than it may be, by the nanosecond it was read in.
///
/// Sandboxes that Lambda started together would otherwise go on reading the one key of the app in the same second,
/// which at 100,000 calls a second is more than one key can be read (`docs/scale.md`).
fn reusable_for(app_cache: Duration, read_at: SystemTime) -> Duration {
    let part = read_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    app_cache.saturating_sub(app_cache / 4 * (part / 1_000_000) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_reused_for_three_quarters_of_its_time_at_least_and_never_longer() {
        let cache = Duration::from_secs(4);
        let reused = |nanos| reusable_for(cache, SystemTime::UNIX_EPOCH + Duration::new(7, nanos));
        assert_eq!(reused(0), cache);
        assert_eq!(reused(500_000_000), Duration::from_millis(3_500));
        assert!(reused(999_999_999) > Duration::from_secs(3));
        assert_eq!(reusable_for(Duration::ZERO, SystemTime::now()), Duration::ZERO);
    }
}
