//! Looks up the permissions of a call: one `BatchGetItem` per decision, within a deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::types::{ConsumedCapacity, KeysAndAttributes, ReturnConsumedCapacity};
use callgate_core::{App, Call, ParsedItem, Party, Permissions, Rule};

use app_cache::AppCache;
use item::{Attributes, Key};

mod app_cache;
mod checksum;
pub mod client;
pub mod item;

/// The first pause before a request for the keys that DynamoDB left unprocessed; each further one is twice as long.
const UNPROCESSED_BACKOFF: Duration = Duration::from_millis(10);

/// The longest a start waits for the connection. A handshake with DynamoDB takes some milliseconds.
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(500);

/// A key that never has an item, because the keys of items start with `APP#` or `PARTY#`.
const UNUSED_KEY: &str = "-";

/// How and where to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The permission table.
    pub table: String,
    /// Strongly consistent reads, which see every write that has been answered.
    pub strong_reads: bool,
    /// How long an app's item may be reused.
    pub app_cache: Duration,
    /// The longest time a decision may spend reading, retries included.
    pub deadline: Duration,
}

/// Reads the permission table, and keeps the apps for a while.
#[derive(Debug)]
pub struct Store {
    client: Client,
    settings: Settings,
    apps: AppCache,
}

/// The permissions of a call, as they are stored.
#[derive(Debug)]
pub struct Lookup {
    app: Arc<ParsedItem<App>>,
    caller: ParsedItem<Party>,
    /// `None` when the callee is the caller.
    callee: Option<ParsedItem<Party>>,
    pair: ParsedItem<Rule>,
    /// Read capacity units consumed.
    pub units: f64,
}

impl Lookup {
    /// The permissions as the decision takes them.
    #[must_use]
    pub fn permissions(&self) -> Permissions<'_> {
        Permissions {
            app: &self.app,
            caller: &self.caller,
            callee: self.callee.as_ref().unwrap_or(&self.caller),
            pair: &self.pair,
        }
    }
}

/// Why a lookup failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB did not answer before the deadline.
    #[error("DynamoDB did not answer within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// DynamoDB refused, failed or could not be reached, and retries did not help.
    #[error("{0}")]
    Failed(String),
    /// DynamoDB kept leaving keys unprocessed, which is how it throttles a batch.
    #[error("DynamoDB left keys unprocessed until the deadline: the table is throttled")]
    Unprocessed,
    /// The answer does not hold what was requested.
    #[error("DynamoDB's answer cannot be used: {0}")]
    BadAnswer(&'static str),
}

impl Store {
    /// Reads through this client; the function's is made by [`client::connect`].
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        Self { client, apps: AppCache::new(settings.app_cache), settings }
    }

    /// Opens the connection before the first call needs it, with a read that the function's role allows.
    ///
    /// # Errors
    /// When DynamoDB did not answer. A start goes on: the first call then opens the connection.
    pub async fn open_connection(&self) -> Result<(), StoreError> {
        let key = Key { pk: UNUSED_KEY.to_owned(), sk: UNUSED_KEY.to_owned() };
        let read = tokio::time::timeout(CONNECTION_TIMEOUT, self.request(vec![key.attributes()])).await;
        read.unwrap_or(Err(StoreError::Deadline(CONNECTION_TIMEOUT))).map(drop)
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

        let cached = self.apps.get(app, now);
        let mut keys = vec![&caller_key, &pair_key];
        // DynamoDB refuses a request that names a key twice.
        keys.extend((callee != caller).then_some(&callee_key));
        keys.extend(cached.is_none().then_some(&app_key));

        let (mut items, units) = self.batch_get(keys).await?;
        let mut take = |key: &Key| items.iter().position(|item| key.is_of(item)).map(|at| items.swap_remove(at));
        let lookup = Lookup {
            app: match cached {
                Some(cached) => cached,
                None => self.apps.insert(app, take(&app_key).map(item::read_app).transpose(), now),
            },
            caller: take(&caller_key).map(item::read_party).transpose(),
            callee: (callee != caller).then(|| take(&callee_key).map(item::read_party).transpose()),
            pair: take(&pair_key).map(item::read_pair).transpose(),
            units,
        };
        if items.is_empty() {
            Ok(lookup)
        } else {
            Err(StoreError::BadAnswer("it holds an item that was not requested"))
        }
    }

    /// The items that exist under these keys, and the capacity it took to read them. A key has no item only if the
    /// answer holds the table and does not leave the key unprocessed. Otherwise an item that was not read would look
    /// like a rule that does not exist.
    async fn batch_get(&self, mut keys: Vec<&Key>) -> Result<(Vec<Attributes>, f64), StoreError> {
        let started = Instant::now();
        let mut pause = UNPROCESSED_BACKOFF;
        let (mut items, mut units) = (Vec::with_capacity(keys.len()), 0.0);
        loop {
            let asked = keys.len();
            let answer = self.request(keys.iter().map(|key| key.attributes()).collect()).await?;
            units += answer.consumed_capacity().iter().filter_map(ConsumedCapacity::capacity_units).sum::<f64>();

            let unprocessed = self.only_table(answer.unprocessed_keys)?.map(|it| it.keys).unwrap_or_default();
            keys.retain(|key| unprocessed.iter().any(|left| key.is_of(left)));
            if keys.len() != unprocessed.len() {
                return Err(StoreError::BadAnswer("it leaves keys unprocessed that were not requested"));
            }
            match self.only_table(answer.responses)? {
                Some(read) => items.extend(read),
                None if keys.len() == asked => {}
                None => return Err(StoreError::BadAnswer("it does not hold the table")),
            }
            if keys.is_empty() {
                return Ok((items, units));
            }
            if started.elapsed() + pause >= self.settings.deadline {
                return Err(StoreError::Unprocessed);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// The part of an answer for the permission table, the only one that was requested.
    fn only_table<T>(&self, answer: Option<HashMap<String, T>>) -> Result<Option<T>, StoreError> {
        let table = self.settings.table.as_str();
        let name = table.rsplit('/').next().unwrap_or(table); // of an ARN
        let mut part = None;
        for (table_name, value) in answer.unwrap_or_default() {
            if part.is_some() || (table_name != table && table_name != name) {
                return Err(StoreError::BadAnswer("it holds a table that was not requested"));
            }
            part = Some(value);
        }
        Ok(part)
    }

    /// One `BatchGetItem` with the SDK's retries.
    async fn request(&self, keys: Vec<Attributes>) -> Result<BatchGetItemOutput, StoreError> {
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
}
