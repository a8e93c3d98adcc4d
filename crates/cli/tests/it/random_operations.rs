//! Four writers run random commands at the same time, over connections that fail, while the hook is asked all the time. No
//! call is ever permitted that no rule ever allowed, or that a rule denies which no command removes.
//!
//! A longer run: `CALLGATE_RANDOM_OPERATIONS=500 CALLGATE_RANDOM_SEED=7 cargo test -p callgatectl --test it random_operations`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::proxy::{Treatment, start_proxy};
use crate::random::Random;
use crate::serve::{ServeProcess, status};
use crate::support::{Run, TestServer, split_words, tool_at};

/// The number of writers.
const WRITERS: u64 = 4;

/// A rule of app `shop` that may be written, and a condition.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    is_allow: bool,
    from: &'static str,
    to: &'static str,
    is_video_only: bool,
}

const CALLERS: [&str; 5] = ["+11", "+12", "+21", "+31", "anonymous"];
const CALLEES: [&str; 4] = ["b1", "b2", "c1", "c2"];
const CALLER_PATTERNS: [&str; 6] = ["*", "+*", "+1*", "+2*", "+11*", "+3*"];
const CALLEE_PATTERNS: [&str; 4] = ["b*", "c*", "b1*", "c2*"];

impl Rule {
    fn random(random: &mut Random, is_allow: bool) -> Self {
        let (from, to) = match random.below(4) {
            0 => (random.one(&CALLERS), random.one(&CALLEES)),
            1 => (random.one(&CALLER_PATTERNS), random.one(&CALLEES)),
            2 => (random.one(&CALLERS), random.one(&CALLEE_PATTERNS)),
            _ => (random.one(&CALLER_PATTERNS), "*"),
        };
        Self { is_allow, from, to, is_video_only: is_allow && random.one_in(4) }
    }

    fn has_same_place(&self, other: &Self) -> bool {
        (self.from, self.to) == (other.from, other.to)
    }

    /// Whether it matches an audio call.
    fn matches(&self, caller: &str, callee: &str) -> bool {
        !(self.is_allow && self.is_video_only) && matches(self.from, caller) && matches(self.to, callee)
    }

    /// Whether this rule can decide a call at a door where the other rule denies it.
    fn overrides(&self, deny: &Self) -> bool {
        let is_pair = |rule: &Self| !rule.from.ends_with('*') && !rule.to.ends_with('*');
        let wins = |pattern: &str, other: &str| pattern.trim_end_matches('*').len() > other.trim_end_matches('*').len();
        match (deny.from.ends_with('*'), deny.to) {
            // Door `app`: only the app's rules count.
            (true, "*") => self.to == "*" && self.from.ends_with('*') && wins(self.from, deny.from),
            (true, _) => is_pair(self) || (self.to == deny.to && wins(self.from, deny.from)),
            (false, to) if to.ends_with('*') => is_pair(self) || (self.from == deny.from && wins(self.to, deny.to)),
            // A pair item is the most specific rule of both doors.
            _ => false,
        }
    }

    fn row(&self) -> String {
        let (effect, media) = (self.effect(), if self.is_video_only { "video" } else { "" });
        format!("shop,{},{},{effect},{media}\n", self.from, self.to)
    }

    fn effect(&self) -> &'static str {
        if self.is_allow { "allow" } else { "deny" }
    }

    fn parties(&self) -> String {
        format!("--app shop --from '{}' --to '{}'", self.from, self.to)
    }
}

fn matches(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => id.starts_with(prefix),
        None => pattern == id,
    }
}

/// The rules of one run.
struct Plan {
    /// Denies that are stored all the time: no command removes them, and every file contains them.
    kept: Vec<Rule>,
    /// The rules that commands and files write, at other places.
    written: Vec<Rule>,
}

impl Plan {
    fn random(random: &mut Random) -> Self {
        let mut kept: Vec<Rule> = Vec::new();
        while kept.len() < 5 {
            let rule = Rule::random(random, false);
            if !kept.iter().any(|other| other.has_same_place(&rule)) {
                kept.push(rule);
            }
        }
        let mut written = Vec::new();
        while written.len() < 14 {
            let is_allow = !random.one_in(3);
            let rule = Rule::random(random, is_allow);
            if !kept.iter().any(|other| other.has_same_place(&rule)) {
                written.push(rule);
            }
        }
        Self { kept, written }
    }

    /// The calls of app `shop` that must be refused all the time.
    fn refused_calls(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let calls = CALLERS.iter().flat_map(|caller| CALLEES.iter().map(move |callee| (*caller, *callee)));
        let is_refused = |caller: &str, callee: &str| {
            let allows: Vec<_> =
                self.written.iter().filter(|rule| rule.is_allow && rule.matches(caller, callee)).collect();
            let denies = |deny: &&Rule| deny.matches(caller, callee) && !allows.iter().any(|rule| rule.overrides(deny));
            allows.is_empty() || self.kept.iter().any(|deny| denies(&deny))
        };
        calls.filter(|(caller, callee)| is_refused(caller, callee)).map(|(from, to)| ("shop", from, to)).collect()
    }

    fn file(&self, random: &mut Random) -> String {
        let mut rules: Vec<&Rule> = self.kept.iter().collect();
        for rule in &self.written {
            if random.one_in(2) && !rules.iter().any(|other| other.has_same_place(rule)) {
                rules.push(rule);
            }
        }
        rules.iter().fold("app,from,to,effect,media\n".to_owned(), |text, rule| text + &rule.row())
    }
}

/// App `odd`, as other programs may write it. Its rules are only added to, and fixed by `doctor`. `*` may call each party
/// here, but for these calls.
const ODD_REFUSED_CALLS: [(&str, &str, &str); 9] = [
    ("odd", "+11", "expired"),
    ("odd", "expired", "other"),
    ("odd", "+11", "suspended"),
    ("odd", "+11", "invalid"),
    ("odd", "+11", "milliseconds"),
    ("odd", "+11", "year-9999"),
    ("odd", "+11", "in-list"),
    ("odd", "+11", "broken-rule"),
    ("odd", "+11", "seconds-of-a-date"),
];

fn put_odd_items(server: &TestServer) {
    let allow = json!({"M": {"effect": {"S": "allow"}}});
    let deny = |expires_at: &str| json!({"M": {"effect": {"S": "deny"}, "expires_at": {"N": expires_at}}});
    let party = |id: &str| json!({"pk": {"S": format!("PARTY#odd#{id}")}, "sk": {"S": "PARTY"}});
    let with = |id: &str, attributes: serde_json::Value| {
        let mut item = party(id);
        item.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
        server.put(&item);
    };
    let everyone = json!({"M": {"*": allow}});
    with("expired", json!({"incoming": everyone, "outgoing": everyone, "expires_at": {"N": "1767225600"}}));
    with("suspended", json!({"incoming": everyone, "status": {"S": "suspended"}}));
    with("invalid", json!({"incoming": everyone, "status": {"S": "on"}}));
    with("milliseconds", json!({"incoming": {"M": {"*": allow, "+1*": deny("1767225600000")}}}));
    with("year-9999", json!({"incoming": {"M": {"*": allow, "+1*": deny("253402128000")}}}));
    with("in-list", json!({"incoming": {"M": {"*": allow, "+11": {"M": {"effect": {"S": "deny"}}}}}}));
    with("broken-rule", json!({"incoming": {"M": {"*": allow, "+1*": {"M": {"effect": {"S": "denied"}}}}}}));
    // Read as seconds, this expired long ago, so only the app denies it.
    with("seconds-of-a-date", json!({"incoming": {"M": {"*": allow, "+1*": deny("20991231")}}}));
    server.put(&json!({
        "pk": {"S": "PARTY#odd#seconds-of-a-date"}, "sk": {"S": "CALLER#+11"}, "effect": {"S": "deny"},
    }));
}

/// Runs commands one after the other, over a proxy of its own.
struct Writer {
    number: u64,
    random: Random,
    /// The URL of the proxy.
    proxy: String,
    /// The process to kill with a request of it.
    child: Arc<Mutex<Option<Pid>>>,
    folder: PathBuf,
    /// The commands of all writers so far, for the message of a failure.
    log: Arc<Mutex<Vec<String>>>,
}

impl Writer {
    fn new(server: &TestServer, number: u64, seed: u64, folder: &Path, log: &Arc<Mutex<Vec<String>>>) -> Self {
        let child = Arc::new(Mutex::new(None));
        let (to_kill, requests) = (Arc::clone(&child), Arc::new(AtomicU64::new(0)));
        let proxy = start_proxy(server.address, move |_| {
            let mut random = Random(seed ^ (number << 32) ^ requests.fetch_add(1, Ordering::SeqCst));
            random.number();
            match random.below(60) {
                0 => Treatment::LoseAnswer,
                1 => Treatment::LoseRequest,
                2 => Treatment::refuse("ProvisionedThroughputExceededException"),
                3 if random.one_in(2) => Treatment::refuse("AccessDeniedException"),
                4 => {
                    if let Some(pid) = *to_kill.lock().unwrap() {
                        let _ = kill(pid, Signal::SIGKILL);
                    }
                    if random.one_in(2) { Treatment::LoseAnswer } else { Treatment::LoseRequest }
                }
                _ => Treatment::Forward,
            }
        });
        let (folder, log) = (folder.to_owned(), Arc::clone(log));
        Self { number, random: Random(seed.wrapping_add(number)), proxy, child, folder, log }
    }

    /// Runs a command over the proxy. The exit code is -1 if it was killed.
    fn run(&self, arguments: &str) -> Run {
        let mut command = tool_at(&self.proxy);
        command.args(split_words(arguments)).env("APP_CACHE_SECONDS", "0");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        *self.child.lock().unwrap() = Some(Pid::from_raw(child.id().try_into().unwrap()));
        let output = child.wait_with_output().unwrap();
        // The number may belong to another process from now on.
        *self.child.lock().unwrap() = None;
        let run = Run::new(&output);
        self.log.lock().unwrap().push(format!("{} {}: {arguments}: {}", self.number, run.code, run.stderr));
        run
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(format!("{}-{name}", self.number));
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn operate(&mut self, plan: &Plan) {
        let rule = self.random.one(&plan.written);
        let run = match self.random.below(16) {
            0..=2 => {
                let media = if rule.is_video_only { " --media video" } else { "" };
                self.run(&format!("{} {}{media} --yes", rule.effect(), rule.parties()))
            }
            3 => self.run(&format!("revoke {} --yes", rule.parties())),
            4 => {
                let rules = plan.file(&mut self.random);
                self.run(&format!("import {} --yes", self.file("rules.csv", &rules)))
            }
            5 | 6 => {
                let rules = plan.file(&mut self.random);
                self.run(&format!("import {} --replace --yes", self.file("rules.csv", &rules)))
            }
            7 => self.run("doctor --fix"),
            8 => {
                let (command, id) = (self.random.one(&["suspend", "resume"]), self.random.one(&CALLEES));
                self.run(&format!("{command} --app shop {id}"))
            }
            9 => {
                // Only a complete file may replace the rules.
                let exported = self.run("export --app shop");
                if exported.code != 0 {
                    return;
                }
                self.run(&format!("import {} --replace --yes", self.file("exported.csv", &exported.stdout)))
            }
            11 => {
                let command = self.random.one(&["enable", "disable"]);
                self.run(&format!("{command} {} --yes", rule.parties()))
            }
            12 => {
                let (command, id) = (self.random.one(&["block", "unblock"]), self.random.one(&CALLERS));
                self.run(&format!("{command} --app shop {id}{}", if command == "block" { " --yes" } else { "" }))
            }
            13 => {
                let command = self.random.one(&["add", "remove"]);
                let (id, other) = (self.random.one(&CALLERS), self.random.one(&CALLERS));
                self.run(&format!("group {command} --app shop @team {id} {other}"))
            }
            14 => {
                // A group's deny refuses more calls, and overrides no deny.
                let command = self.random.one(&["deny", "revoke", "disable", "enable"]);
                self.run(&format!("{command} --app shop --from @team --to '*' --yes"))
            }
            10 => {
                let exported = self.run("export --app odd --format ndjson");
                if !matches!(exported.code, 0 | 1) {
                    return;
                }
                self.run(&format!("import {} --yes", self.file("odd.ndjson", &exported.stdout)))
            }
            _ => {
                let id = self.random.one(&["expired", "suspended", "invalid", "in-list", "other"]);
                let from = self.random.one(&["+2*", "+3*", "anonymous"]);
                self.run(&format!("allow --app odd --from '{from}' --to {id} --yes"))
            }
        };
        assert!(!run.stderr.contains("panicked"), "{run:?}");
    }
}

#[test]
fn no_call_is_permitted_that_no_rule_allowed() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (operations, seed) = (number("CALLGATE_RANDOM_OPERATIONS", 12), number("CALLGATE_RANDOM_SEED", 1));
    let plan = Plan::random(&mut Random(seed));
    let calls = [plan.refused_calls(), ODD_REFUSED_CALLS.to_vec()].concat();
    let server = TestServer::with_table();
    put_odd_items(&server);
    let folder = std::env::temp_dir().join(format!("callgatectl-random-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for rule in &plan.kept {
        server.run(&format!("deny {} --yes", rule.parties())).succeeds();
    }
    let hook = ServeProcess::over(&server, "0");
    let permits = |(app, caller, callee): (&str, &str, &str)| {
        let body = json!({"appKey": app, "caller": caller, "callee": callee, "hasAudio": true}).to_string();
        let answer = hook.post("/OnCallEvent", &body);
        assert!(["200", "403"].contains(&status(&answer)), "{answer}");
        status(&answer) == "200"
    };
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let (is_done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (plan, calls, log, is_done, asked, permits) = (&plan, &calls, &log, &is_done, &asked, &permits);
        let asking = scope.spawn(move || {
            // Each call at least once after the last command.
            let mut is_last = false;
            while !is_last {
                is_last = is_done.load(Ordering::SeqCst);
                for &call in calls {
                    asked.fetch_add(1, Ordering::SeqCst);
                    if permits(call) {
                        let log = log.lock().unwrap();
                        panic!("{call:?} is permitted, seed {seed}\nkept: {:#?}\n{}", plan.kept, log.join("\n"));
                    }
                }
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let mut writer = Writer::new(&server, number, seed, &folder, log);
                scope.spawn(move || (0..operations).for_each(|_| writer.operate(plan)))
            })
            .collect();
        let results: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_done.store(true, Ordering::SeqCst);
        asking.join().expect("a call was permitted");
        for result in results {
            result.expect("a writer failed");
        }
    });
    println!("{} calls were asked and refused, {} kinds of calls, seed {seed}", asked.into_inner(), calls.len());

    // The hook would have noticed: what a rule allows is permitted.
    server.run("allow --app open --from '*' --to '*' --yes").succeeds();
    assert!(permits(("open", "+11", "b1")));
    // Whatever was cut off, the next import completes.
    let rules = folder.join("kept.csv");
    fs::write(&rules, plan.kept.iter().fold("app,from,to,effect,media\n".to_owned(), |text, rule| text + &rule.row()))
        .unwrap();
    let import = format!("import {} --replace --yes", rules.to_str().unwrap());
    Run::of(server.tool().args(split_words(&import)).env("APP_CACHE_SECONDS", "0")).succeeds();
    let exported = server.run("export --app shop");
    assert_eq!(exported.stdout.lines().count(), plan.kept.len() + 1, "{exported:?}");
    fs::remove_dir_all(folder).unwrap();
}
