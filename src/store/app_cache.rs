//! Keeps the apps that were read, for a while and within a limit of memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use callgate_core::{App, AppKey, ParseError, ParsedItem, Pattern, Rule, Rules};

/// The most apps that are kept, because a request may name any app.
const MAX_APPS: usize = 32;

/// The most memory that the kept apps may take together, in bytes: two apps of the largest size that DynamoDB allows. The
/// smallest sandbox has 128 MB, of which a call takes up to 70 if all its items have that size
/// (`docs/src/measurements/reliability.md`, "Memory").
const MAX_MEMORY: usize = 8 * 1024 * 1024;

/// The apps that were read most recently. Calls that run at the same time share it.
#[derive(Debug)]
pub(super) struct AppCache {
    reusable: Duration,
    apps: Mutex<HashMap<AppKey, CachedApp>>,
}

#[derive(Debug)]
struct CachedApp {
    app: Arc<ParsedItem<App>>,
    memory: usize,
    read_at: (SystemTime, Instant),
}

impl AppCache {
    /// Keeps an app for this long at most. Zero keeps none.
    pub(super) fn new(reusable: Duration) -> Self {
        Self { reusable, apps: Mutex::default() }
    }

    /// The app's item, if it was read recently enough to be reused. Otherwise it is forgotten, so that its memory is
    /// free when it is read again.
    pub(super) fn get(&self, key: &AppKey, now: SystemTime) -> Option<Arc<ParsedItem<App>>> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = apps.get(key)?;
        if self.is_fresh(cached, now) {
            return Some(Arc::clone(&cached.app));
        }
        apps.remove(key);
        None
    }

    /// Keeps an app that was just read, unless it is larger than the whole cache. The apps that were read first make
    /// room for it, stale ones before all others.
    pub(super) fn insert(&self, key: &AppKey, app: ParsedItem<App>, read_at: SystemTime) -> Arc<ParsedItem<App>> {
        let app = Arc::new(app);
        if self.reusable.is_zero() {
            return app;
        }
        let memory = memory_of(&app);
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        // The one that was read earlier, possibly by a call at the same time.
        apps.remove(key);
        if memory > MAX_MEMORY {
            return app;
        }
        if !has_room(&apps, memory) {
            apps.retain(|_, cached| self.is_fresh(cached, read_at));
        }
        while !has_room(&apps, memory) {
            let first = apps.iter().min_by_key(|(_, cached)| cached.read_at.1).map(|(key, _)| key.clone());
            let Some(first) = first else { break };
            apps.remove(&first);
        }
        let cached = CachedApp { app: Arc::clone(&app), memory, read_at: (read_at, Instant::now()) };
        apps.insert(key.clone(), cached);
        app
    }

    /// Checks both clocks: wall time keeps running while Lambda freezes the process; monotonic time cannot be set back.
    fn is_fresh(&self, cached: &CachedApp, now: SystemTime) -> bool {
        let (read_at, monotonic) = cached.read_at;
        let reusable = cache_duration(self.reusable, read_at);
        now.duration_since(read_at).is_ok_and(|age| age < reusable) && monotonic.elapsed() < reusable
    }
}

fn has_room(apps: &HashMap<AppKey, CachedApp>, memory: usize) -> bool {
    let used: usize = apps.values().map(|cached| cached.memory).sum();
    apps.len() < MAX_APPS && used + memory <= MAX_MEMORY
}

/// How long an app's item is reused: up to a quarter less than is configured, by the nanosecond it was read in.
///
/// Sandboxes that Lambda started together would otherwise keep reading the one key of the app in the same second, which
/// at 100,000 calls per second is more than DynamoDB allows for one key (`docs/src/measurements/scale.md`).
fn cache_duration(app_cache: Duration, read_at: SystemTime) -> Duration {
    let part = read_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    app_cache.saturating_sub(app_cache / 4 * (part / 1_000_000) / 1_000)
}

/// The memory that a parsed app takes, in bytes. A test compares it with the growth of a process.
fn memory_of(app: &ParsedItem<App>) -> usize {
    let parts = match app {
        Ok(None) => 0,
        Ok(Some(App { status: _, callers, destinations, note })) => {
            memory_of_rules(callers) + memory_of_rules(destinations) + memory_of_text(note.as_ref())
        }
        Err(ParseError(error)) => memory_of_text(Some(error)),
    };
    size_of::<CachedApp>() + size_of::<ParsedItem<App>>() + parts
}

fn memory_of_rules(rules: &Rules) -> usize {
    let memory_of_entry = |(pattern, rule): (&Pattern, Result<&Rule, &ParseError>)| {
        let pattern = match pattern {
            Pattern::Everyone => 0,
            Pattern::Prefix(text) | Pattern::Group(text) | Pattern::Exact(text) => memory_of_text(Some(text)),
        };
        let rule = match rule {
            Ok(rule) => memory_of_rule(rule),
            Err(ParseError(error)) => memory_of_text(Some(error)),
        };
        size_of::<(Pattern, Result<Rule, ParseError>)>() + pattern + rule
    };
    rules.iter().map(memory_of_entry).sum()
}

/// Only what the rule has outside its own struct.
fn memory_of_rule(rule: &Rule) -> usize {
    let Rule { effect: _, media: _, hours, expires_at: _, disabled: _, list, note, updated_at: _, updated_by } = rule;
    let hours = hours.as_ref().map_or(0, |hours| hours.list_sizes().map(allocation).sum());
    hours + [list, note, updated_by].into_iter().map(|text| memory_of_text(text.as_ref())).sum::<usize>()
}

fn memory_of_text(text: Option<&String>) -> usize {
    text.map_or(0, |text| allocation(text.capacity()))
}

/// What `malloc` of glibc takes for this many bytes.
fn allocation(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::store::item::{Attributes, read_app};

    fn cache() -> AppCache {
        AppCache::new(Duration::from_mins(1))
    }

    fn key(number: usize) -> AppKey {
        AppKey::new(&format!("app-{number}")).unwrap()
    }

    /// An app that takes about this much memory.
    fn app_of(memory: usize) -> App {
        App { note: Some("x".repeat(memory)), ..App::default() }
    }

    #[test]
    fn many_names_of_apps_cannot_fill_the_memory() {
        let cache = cache();
        let now = SystemTime::now();
        for number in 0..10 * MAX_APPS {
            cache.insert(&key(number), Ok(None), now);
            assert!(cache.apps.lock().unwrap().len() <= MAX_APPS);
            assert!(cache.get(&key(number), now).is_some());
        }
    }

    #[test]
    fn large_apps_cannot_fill_the_memory() {
        let cache = cache();
        let now = SystemTime::now();
        for number in 0..100 {
            let broken = Err(ParseError("x".repeat(MAX_MEMORY / 3 * (number % 3))));
            cache.insert(&key(number), if number % 2 == 0 { broken } else { Ok(Some(app_of(MAX_MEMORY / 5))) }, now);
            assert!(cache.apps.lock().unwrap().values().map(|cached| cached.memory).sum::<usize>() <= MAX_MEMORY);
            assert!(cache.get(&key(number), now).is_some());
        }
    }

    #[test]
    fn the_apps_that_were_read_first_make_room() {
        let cache = cache();
        let now = SystemTime::now();
        for number in 0..4 {
            cache.insert(&key(number), Ok(Some(app_of(MAX_MEMORY / 5))), now);
        }
        cache.insert(&key(0), Ok(Some(app_of(MAX_MEMORY / 5))), now);
        cache.insert(&key(4), Ok(Some(app_of(MAX_MEMORY / 5 * 2))), now);
        let kept = [0, 1, 2, 3, 4].map(|number| cache.get(&key(number), now).is_some());
        assert_eq!(kept, [true, false, false, true, true]);
    }

    #[test]
    fn an_app_that_is_larger_than_the_cache_is_used_and_not_kept() {
        let cache = cache();
        let now = SystemTime::now();
        cache.insert(&key(0), Ok(None), now);
        cache.insert(&key(1), Ok(Some(app_of(9))), now);
        let app = cache.insert(&key(1), Ok(Some(app_of(MAX_MEMORY))), now);
        assert_eq!(*app, Ok(Some(app_of(MAX_MEMORY))));
        assert!(cache.get(&key(1), now).is_none(), "it replaces what was read before");
        assert!(cache.get(&key(0), now).is_some());
    }

    #[test]
    fn stale_apps_make_room_first() {
        let cache = cache();
        let now = SystemTime::now();
        let before = now - Duration::from_secs(61);
        for number in 1..MAX_APPS {
            cache.insert(&key(number), Ok(None), before);
        }
        cache.insert(&key(0), Ok(None), now);
        cache.insert(&key(MAX_APPS), Ok(None), now);
        assert!(cache.get(&key(0), now).is_some());
        assert_eq!(cache.apps.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_an_app_stale() {
        let cache = cache();
        let now = SystemTime::now();
        for (at, is_reused) in [
            (now + Duration::from_secs(30), true),
            (now + Duration::from_secs(61), false),
            (now - Duration::from_secs(1), false),
        ] {
            cache.insert(&key(0), Ok(None), now);
            assert_eq!(cache.get(&key(0), at).is_some(), is_reused);
        }
    }

    #[test]
    fn an_app_is_reused_for_three_quarters_of_its_time_at_least_and_never_longer() {
        let cache = Duration::from_secs(4);
        let reused = |nanos| cache_duration(cache, SystemTime::UNIX_EPOCH + Duration::new(7, nanos));
        assert_eq!(reused(0), cache);
        assert_eq!(reused(500_000_000), Duration::from_millis(3_500));
        assert!(reused(999_999_999) > Duration::from_secs(3));
        assert_eq!(cache_duration(Duration::ZERO, SystemTime::now()), Duration::ZERO);
    }

    /// In a process of its own, because other tests would change the memory of this one.
    #[test]
    fn the_memory_of_an_app_is_what_a_process_grows_by() {
        let test = "store::app_cache::tests::growth_of_a_process";
        let program = std::env::current_exe().unwrap();
        let run = std::process::Command::new(program).args(["--ignored", "--exact", test]).output().unwrap();
        let printed = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && printed.contains("1 passed"), "{printed}");
    }

    /// Compares the two for 20 MB of each kind of rule that a list can have.
    #[test]
    #[ignore = "the test above runs it"]
    fn growth_of_a_process() {
        const RULES: usize = 2_000;
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let rule = |name: &str, value| {
            AttributeValue::M([("effect".to_owned(), text("deny")), (name.to_owned(), value)].into())
        };
        let kinds = [
            ("plain", rule("effect", text("allow"))),
            ("not a map", text("")),
            ("broken", rule("effect", text("?"))),
            ("with a note", rule("note", text(&"x".repeat(90)))),
            ("with hours", rule("hours", AttributeValue::L(vec![text("Mon 09:00-18:00 UTC"); 5]))),
        ];
        for (name, value) in kinds {
            let app = || {
                let callers = (0..RULES).map(|n| (format!("{n:x}*"), value.clone())).collect();
                let item = Attributes::from([("callers".to_owned(), AttributeValue::M(callers))]);
                Ok(Some(read_app(item).unwrap()))
            };
            let mut apps = vec![app()];
            let expected = memory_of(&apps[0]);
            let before = resident_bytes();
            apps.extend((0..20_000_000 / expected).map(|_| app()));
            let growth = (resident_bytes() - before) / (apps.len() - 1);
            println!("{name}: {growth}, estimated as {expected}");
            assert!((expected * 9 / 10..=expected * 11 / 10).contains(&growth), "{name}: {growth}, not {expected}");
            // Keeps it, so that the next kind needs new memory.
            std::mem::forget(apps);
        }
    }

    fn resident_bytes() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
    }
}
