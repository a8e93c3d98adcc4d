//! Decides logged calls again, by the rules of the table and by those that it would have after an import.
//!
//! Each app, each party and each rule between two parties is read once, however many calls it decides.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use callgate::store::item::{self, Attributes, Key};
use callgate_core::{
    App, AppKey, Call, Decision, Effect, EpochSeconds, ParseError, ParsedItem, Party, PartyId, Permissions, Rule,
    decide,
};
use tokio::task::JoinSet;

use crate::decision_log::Decided;
use crate::error::{Error, Result};
use crate::import::{Import, Proposal};
use crate::item_kind::keys;
use crate::table::Table;
use crate::wording::decision_text;

mod calls;

use calls::LoggedAnswer;
pub use calls::{LoggedCalls, MAX_CALLS, NotReplayed};

/// How many items one request reads: the most that `BatchGetItem` takes.
const BATCH: usize = 100;

/// How many requests are sent at once.
const CONCURRENCY: usize = 16;

/// The result of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// The pairs with calls whose answer would be another one, the most frequent first.
    pub flips: Vec<Flip>,
    /// The number of calls that were decided again.
    pub calls: u64,
    /// The number of logged answers that the table repeats.
    pub repeated: u64,
    /// How logged answers differ from those of the table as it is, the most frequent first.
    pub differences: Vec<LogDifference>,
    /// The number of calls that have no answer in the log, because their permissions could not be read.
    pub unanswered: u64,
    /// The logged decisions that were not decided again.
    pub not_replayed: NotReplayed,
}

/// A caller and a callee, and their calls whose answer would change in the same direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flip {
    /// The app's key.
    pub app: String,
    /// The caller's canonical id.
    pub caller: String,
    /// The callee's canonical id.
    pub callee: String,
    /// The number of these calls.
    pub count: u64,
    /// When the first of them was made.
    pub first: EpochSeconds,
    /// When the last of them was made.
    pub last: EpochSeconds,
    /// The answer to the last one by the table as it is.
    pub before: Answer,
    /// The answer to the last one as it would be.
    pub after: Answer,
}

/// A decision, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the call goes through.
    pub effect: Effect,
    /// The stable word for the reason.
    pub reason: &'static str,
    /// The reason in words.
    pub because: String,
}

/// Answers in the log that are not those of the table as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDifference {
    /// What was decided.
    pub logged: Decided,
    /// Why, in the word of the log.
    pub logged_reason: String,
    /// What the table decides.
    pub effect: Effect,
    /// Why.
    pub reason: &'static str,
    /// The number of calls.
    pub count: u64,
}

impl ReplayReport {
    /// The number of calls whose answer would be another one.
    #[must_use]
    pub fn flipped(&self, after: Effect) -> u64 {
        self.flips.iter().filter(|flip| flip.after.effect == after).map(|flip| flip.count).sum()
    }

    /// The number of logged answers that the table does not repeat.
    #[must_use]
    pub fn differing(&self) -> u64 {
        self.differences.iter().map(|difference| difference.count).sum()
    }
}

impl Table {
    /// Decides each call at its time, by the table as it is and as it would be if the file was imported at `now`. With
    /// `is_replaced`, that import removes the other rules of the file's apps, or of its list.
    ///
    /// The rules of all parties of the calls are kept in memory until the end.
    ///
    /// # Errors
    /// Why the table or the temporary file of the rules cannot be read.
    pub async fn replay(
        &self,
        calls: LoggedCalls,
        import: Import,
        is_replaced: bool,
        now: EpochSeconds,
    ) -> Result<ReplayReport> {
        let proposer = Proposer { import, is_replaced, now };
        let permissions = self.read_all(&calls, proposer).await?;
        let decided = tokio::task::spawn_blocking(move || permissions.replay(&calls));
        decided.await.map_err(|error| Error::Local(error.to_string()))
    }

    /// Reads every item that decides one of the calls.
    async fn read_all(&self, calls: &LoggedCalls, proposer: Proposer) -> Result<AllPermissions> {
        let mut all = AllPermissions {
            apps: std::iter::repeat_with(|| None).take(calls.apps.len()).collect(),
            parties: std::iter::repeat_with(|| None).take(calls.parties.len()).collect(),
            pairs: HashMap::new(),
        };
        let proposer = Arc::new(proposer);
        let mut keys = calls.keys();
        let mut reads = JoinSet::new();
        loop {
            while reads.len() < CONCURRENCY {
                let batch: Vec<_> = keys.by_ref().take(BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                let (table, proposer) = (self.clone(), Arc::clone(&proposer));
                reads.spawn(async move { table.read_batch(batch, &proposer).await });
            }
            let Some(read) = reads.join_next().await else { return Ok(all) };
            for item in read.map_err(|error| Error::Local(error.to_string()))?? {
                all.insert(item);
            }
        }
    }

    /// Reads some items, and what they would be after the import.
    async fn read_batch(&self, wanted: Vec<WantedItem>, proposer: &Proposer) -> Result<Vec<ReadItem>> {
        let requested: Vec<_> = wanted.iter().map(|it| it.key.clone()).collect();
        let mut items: HashMap<Key, Attributes> = HashMap::with_capacity(requested.len());
        for item in self.get_many(&requested).await? {
            if let Some((pk, sk)) = keys(&item) {
                items.insert(Key { pk: pk.to_owned(), sk: sk.to_owned() }, item);
            }
        }
        wanted
            .into_iter()
            .map(|WantedItem { place, app, key }| {
                let item = items.remove(&key);
                let proposal = proposer.propose(&app, &key, item.as_ref())?;
                Ok(match place {
                    Place::App(at) => ReadItem::App(at, BeforeAndAfter::parse(item, proposal, item::read_app)),
                    Place::Party(at) => ReadItem::Party(at, BeforeAndAfter::parse(item, proposal, item::read_party)),
                    Place::Pair(at) => ReadItem::Pair(at, BeforeAndAfter::parse(item, proposal, item::read_pair)),
                })
            })
            .collect()
    }
}

/// The import that is tried.
#[derive(Debug)]
struct Proposer {
    import: Import,
    is_replaced: bool,
    now: EpochSeconds,
}

impl Proposer {
    fn propose(&self, app: &AppKey, key: &Key, item: Option<&Attributes>) -> Result<Proposal> {
        self.import.propose(app, key, item, self.is_replaced, self.now)
    }
}

/// What an item is for: the app, the party or the pair with this number in [`LoggedCalls`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    App(u32),
    Party(u32),
    Pair(u32),
}

/// An item to read.
#[derive(Debug)]
struct WantedItem {
    place: Place,
    app: AppKey,
    key: Key,
}

/// An item that was read.
#[derive(Debug)]
enum ReadItem {
    App(u32, BeforeAndAfter<App>),
    Party(u32, BeforeAndAfter<Party>),
    Pair(u32, BeforeAndAfter<Rule>),
}

/// An item as it is, and as it would be.
#[derive(Debug)]
struct BeforeAndAfter<T> {
    before: ParsedItem<T>,
    /// `None` if it is the same.
    after: Option<ParsedItem<T>>,
}

impl<T> BeforeAndAfter<T> {
    fn parse(item: Option<Attributes>, proposal: Proposal, parse: fn(Attributes) -> Result<T, ParseError>) -> Self {
        let after = match proposal {
            Proposal::Unchanged => None,
            Proposal::Item(item) => Some(item.map(parse).transpose()),
        };
        Self { before: item.map(parse).transpose(), after }
    }

    fn after(&self) -> &ParsedItem<T> {
        self.after.as_ref().unwrap_or(&self.before)
    }

    /// Whether there is no such item, before and after.
    fn is_absent(&self) -> bool {
        matches!((&self.before, self.after()), (Ok(None), Ok(None)))
    }
}

/// Every item that decides one of the calls, by the numbers in [`LoggedCalls`].
#[derive(Debug)]
struct AllPermissions {
    apps: Vec<Option<BeforeAndAfter<App>>>,
    parties: Vec<Option<BeforeAndAfter<Party>>>,
    /// Only pairs that have a rule. Most have none.
    pairs: HashMap<u32, BeforeAndAfter<Rule>>,
}

impl AllPermissions {
    fn insert(&mut self, item: ReadItem) {
        fn set<T>(items: &mut [Option<BeforeAndAfter<T>>], at: u32, item: BeforeAndAfter<T>) {
            let place = usize::try_from(at).ok().and_then(|at| items.get_mut(at));
            if let Some(place) = place.filter(|_| !item.is_absent()) {
                *place = Some(item);
            }
        }
        match item {
            ReadItem::App(at, item) => set(&mut self.apps, at, item),
            ReadItem::Party(at, item) => set(&mut self.parties, at, item),
            ReadItem::Pair(at, item) if !item.is_absent() => {
                self.pairs.insert(at, item);
            }
            ReadItem::Pair(..) => {}
        }
    }

    /// The permissions of a call before and after. `None` for the second if they are the same.
    fn of(&self, pair: u32, caller: u32, callee: u32, app: u32) -> (Permissions<'_>, Option<Permissions<'_>>) {
        fn at<T>(items: &[Option<BeforeAndAfter<T>>], at: u32) -> Option<&BeforeAndAfter<T>> {
            usize::try_from(at).ok().and_then(|at| items.get(at))?.as_ref()
        }
        fn before<T>(item: Option<&BeforeAndAfter<T>>) -> &ParsedItem<T> {
            item.map_or(&Ok(None), |item| &item.before)
        }
        fn after<T>(item: Option<&BeforeAndAfter<T>>) -> &ParsedItem<T> {
            item.map_or(&Ok(None), BeforeAndAfter::after)
        }
        fn changes<T>(item: Option<&BeforeAndAfter<T>>) -> bool {
            item.is_some_and(|item| item.after.is_some())
        }
        let app = at(&self.apps, app);
        let (caller, callee) = (at(&self.parties, caller), at(&self.parties, callee));
        let pair = self.pairs.get(&pair);
        let is_changed = changes(app) || changes(caller) || changes(callee) || changes(pair);
        let permissions =
            Permissions { app: before(app), caller: before(caller), callee: before(callee), pair: before(pair) };
        let changed = Permissions { app: after(app), caller: after(caller), callee: after(callee), pair: after(pair) };
        (permissions, is_changed.then_some(changed))
    }

    /// Decides all calls.
    fn replay(&self, calls: &LoggedCalls) -> ReplayReport {
        let mut report = ReplayReport { not_replayed: calls.not_replayed, ..ReplayReport::default() };
        let mut flips: HashMap<(u32, bool), Flip> = HashMap::new();
        let mut differences: BTreeMap<(LoggedAnswer, Effect, &'static str), u64> = BTreeMap::new();
        for logged in &calls.calls {
            let Some((call, [app, caller, callee])) = calls.call(logged) else { continue };
            report.calls += 1;
            let (before, after) = self.of(logged.pair, caller, callee, app);
            let before = decide(&call, before, logged.at);
            match calls.answer(logged).map(|(decided, _)| decided) {
                Some(Decided::Allow) if before.effect() == Effect::Allow => report.repeated += 1,
                Some(Decided::Deny) if before.effect() == Effect::Deny => report.repeated += 1,
                Some(Decided::Allow | Decided::Deny) => {
                    *differences.entry((logged.answer, before.effect(), before.reason())).or_default() += 1;
                }
                Some(Decided::Error) | None => report.unanswered += 1,
            }
            let Some(after) = after.map(|after| decide(&call, after, logged.at)) else { continue };
            if after.effect() == before.effect() {
                continue;
            }
            let flip = flips.entry((logged.pair, after.effect() == Effect::Allow)).or_insert_with(|| Flip {
                app: call.app.as_str().to_owned(),
                caller: call.caller.to_string(),
                callee: call.callee.to_string(),
                count: 0,
                first: logged.at,
                last: logged.at,
                before: Answer::of(&before),
                after: Answer::of(&after),
            });
            flip.count += 1;
            flip.first = flip.first.min(logged.at);
            if logged.at > flip.last {
                (flip.last, flip.before, flip.after) = (logged.at, Answer::of(&before), Answer::of(&after));
            }
        }
        report.flips = flips.into_values().collect();
        report.flips.sort_by(|one, other| one.sort_key().cmp(&other.sort_key()));
        let difference = |((answer, effect, reason), count)| {
            let (logged, logged_reason) = calls.answers.get(usize::from(answer))?.clone();
            Some(LogDifference { logged, logged_reason, effect, reason, count })
        };
        report.differences = differences.into_iter().filter_map(difference).collect();
        report.differences.sort_by(|one, other| {
            let key = |it: &LogDifference| (Reverse(it.count), it.logged_reason.clone(), it.reason, it.logged);
            key(one).cmp(&key(other))
        });
        report
    }
}

impl Flip {
    /// The most frequent first, then the latest.
    fn sort_key(&self) -> impl Ord + '_ {
        (Reverse(self.count), Reverse(self.last), &self.app, &self.callee, &self.caller, self.after.effect)
    }
}

impl Answer {
    fn of(decision: &Decision<'_>) -> Self {
        Self { effect: decision.effect(), reason: decision.reason(), because: decision_text(decision) }
    }
}

impl LoggedCalls {
    /// The items that decide the calls, each once.
    fn keys(&self) -> impl Iterator<Item = WantedItem> + '_ {
        let numbered = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let apps = self.apps.iter().enumerate().map(move |(at, app)| WantedItem {
            place: Place::App(numbered(at)),
            app: app.clone(),
            key: Key::app(app),
        });
        let parties = self.parties.iter().enumerate().filter_map(move |(at, (app, id))| {
            let app = self.app(*app)?;
            Some(WantedItem { place: Place::Party(numbered(at)), app: app.clone(), key: Key::party(app, id) })
        });
        let pairs = self.pairs.iter().enumerate().filter_map(move |(at, &(caller, callee))| {
            let ((app, caller), (_, callee)) = (self.party(caller)?, self.party(callee)?);
            let app = self.app(*app)?;
            Some(WantedItem { place: Place::Pair(numbered(at)), app: app.clone(), key: Key::pair(app, caller, callee) })
        });
        apps.chain(parties).chain(pairs)
    }

    fn app(&self, at: u32) -> Option<&AppKey> {
        self.apps.get(usize::try_from(at).ok()?)
    }

    fn party(&self, at: u32) -> Option<&(u32, PartyId)> {
        self.parties.get(usize::try_from(at).ok()?)
    }

    /// A call, with the numbers of its app, its caller and its callee.
    fn call(&self, logged: &calls::CompactCall) -> Option<(Call, [u32; 3])> {
        let &(caller, callee) = self.pairs.get(usize::try_from(logged.pair).ok()?)?;
        let ((app, caller_id), (_, callee_id)) = (self.party(caller)?, self.party(callee)?);
        let call = Call {
            app: self.app(*app)?.clone(),
            caller: caller_id.clone(),
            callee: callee_id.clone(),
            media: logged.media,
        };
        Some((call, [*app, caller, callee]))
    }

    fn answer(&self, logged: &calls::CompactCall) -> Option<&(Decided, String)> {
        self.answers.get(usize::from(logged.answer))
    }
}
