//! `replay`: which answers a file of rules would change.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use callgate::store::item::{self, Key};
use callgate_admin::time;
use callgate_core::{AppKey, Call, Effect, EpochSeconds, MediaSet, PartyId, Permissions, decide};
use serde_json::{Value, json};

use crate::proxy::{Treatment, start_proxy};
use crate::random::Random;
use crate::random_tables::{Items, PARTIES, Tables, now, restore, stored};
use crate::support::{Run, TempFolder, TestServer, split_words, tool_at};

/// A line of the log: a call of 100 ms with audio that was refused, at a time in RFC 3339.
fn line(at: &str, caller: &str, callee: &str) -> Value {
    json!({
        "timestamp": at, "level": "info", "message": "decision", "hook": "OnCallEvent", "decision": "deny",
        "reason": "no_rule", "door": null, "rule": null, "app": "shop", "caller": caller, "callee": callee,
        "media": ["audio"], "call_id": null, "request_id": "r", "cold_start": false, "store_ms": 1.0, "total_ms": 100.0,
        "units": 4.0, "status": 403,
    })
}

/// The line with other members.
fn with(mut line: Value, members: &Value) -> Value {
    line.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    line
}

/// A table, a log and a file of rules.
struct Replay {
    server: TestServer,
    folder: TempFolder,
    log: Vec<Value>,
    rules: &'static str,
}

impl Replay {
    /// Over a table that these commands have written.
    fn over(commands: &[&str], log: Vec<Value>, rules: &'static str) -> Self {
        let server = TestServer::with_table();
        for command in commands {
            server.run(&format!("{command} --yes")).succeeds();
        }
        Self { server, folder: TempFolder::new(), log, rules }
    }

    fn run(&self, options: &str) -> Run {
        let log = self.log.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let log = self.folder.write("calls.log", &log);
        let rules = self.folder.write("rules.csv", self.rules);
        self.server.run(&format!("replay --with {} --log {} {options}", rules.display(), log.display()))
    }

    fn report(&self, options: &str, code: i32) -> Value {
        let run = self.run(&format!("{options} --output json")).exits_with(code);
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// The flips, in short: `+` for a call that would be permitted, the parties, and how many calls.
    #[track_caller]
    fn flips(&self, options: &str, expected: &[&str]) {
        let report = self.report(options, if expected.is_empty() { 0 } else { 4 });
        let flips = report["flips"].as_array().unwrap().iter().map(|flip| {
            let sign = if flip["after"]["decision"] == "allow" { "+" } else { "-" };
            let [app, caller, callee] = ["app", "caller", "callee"].map(|name| flip[name].as_str().unwrap());
            format!("{sign} {app} {caller} {callee} {}", flip["count"])
        });
        assert_eq!(flips.collect::<Vec<_>>(), expected, "{report:#}");
    }
}

const AT: &str = "2026-11-24T10:00:00.500000Z";

#[test]
fn the_pairs_whose_answer_flips_are_printed_with_both_reasons() {
    let later = "2026-11-24T12:00:00.500000Z";
    let permitted = json!({"decision": "allow", "reason": "pair_rule"});
    let log = vec![
        line(AT, "PPP009", "PPP005"),
        line(later, "PPP009", "PPP005"),
        with(line(AT, "PPP001", "PPP002"), &permitted),
        line(AT, "PPP001", "PPP003"),
        // As it was before the rule between PPP001 and PPP003 was removed.
        with(line(AT, "PPP001", "PPP003"), &permitted),
    ];
    let replay = Replay::over(
        &["allow --app shop --from PPP001 --to PPP002"],
        log,
        "app,from,to,effect\nshop,*,PPP005,allow\nshop,PPP001,*,deny\n",
    );
    let text = "permitted: PPP009 to PPP005 in app shop, 2 calls, from 2026-11-24 10:00 UTC to 2026-11-24 12:00 UTC\n\
                \u{20} now:       no_rule (no rule applies at any door)\n\
                \u{20} with file: callee_rule (the rule `*` at door callee allows the call)\n\
                2 of 5 calls would be answered differently: 2 permitted, 0 refused\n\
                the table as it is repeats 4 of 5 logged answers\n\
                \u{20} 1 call: pair_rule then, no_rule now, so refused\n";
    // The rule between these two decides before the file's rule of PPP001 at the door of the caller, but not at the app's.
    let run = replay.run("").exits_with(4);
    assert_eq!(run.stdout, text, "{run:?}");
    let report = replay.report("", 4);
    let expected = json!({"app": "shop", "caller": "PPP009", "callee": "PPP005", "count": 2, "first": "2026-11-24T10:00:00Z",
        "last": "2026-11-24T12:00:00Z",
        "before": {"decision": "deny", "reason": "no_rule", "because": "no rule applies at any door"},
        "after": {"decision": "allow", "reason": "callee_rule",
            "because": "the rule `*` at door callee allows the call"}});
    assert_eq!(report["flips"], json!([expected]));
    assert_eq!((&report["calls"], &report["repeated"]), (&json!(5), &json!(4)));
    let difference = json!({"logged": {"decision": "allow", "reason": "pair_rule"},
        "now": {"decision": "deny", "reason": "no_rule"}, "count": 1});
    assert_eq!(report["differences"], json!([difference]));
}

#[test]
fn without_a_flip_the_exit_code_is_0() {
    let replay = Replay::over(
        &["allow --app shop --from PPP009 --to PPP005"],
        vec![with(line(AT, "PPP009", "PPP005"), &json!({"decision": "allow", "reason": "pair_rule"}))],
        "app,from,to,effect\nshop,*,PPP005,allow\n",
    );
    replay
        .run("")
        .exits_with(0)
        .prints("none of 1 call would be answered differently\n")
        .prints("the table as it is repeats 1 of 1 logged answer\n");
    assert_eq!(replay.server.items().len(), 1, "replay writes nothing");
}

/// Expiry and hours are those of the call, and its media too.
#[test]
fn each_call_is_decided_at_its_time_and_with_its_media() {
    let log = vec![
        line("2026-11-24T09:59:59.000000Z", "PPP009", "PPP005"), // Tuesday
        line("2026-11-24T10:00:00.000000Z", "PPP009", "PPP005"), // began before 10:00
        line("2026-11-24T10:00:00.100000Z", "PPP009", "PPP005"),
        line("2026-11-29T12:00:00.100000Z", "PPP009", "PPP005"), // Sunday
        with(line("2026-11-24T12:00:00.100000Z", "PPP009", "PPP005"), &json!({"media": ["audio", "video"]})),
        line("2099-11-24T12:00:00.100000Z", "PPP009", "PPP005"),
    ];
    let replay = Replay::over(
        &[],
        log,
        "app,from,to,effect,media,hours,expires_at\nshop,PPP009,PPP005,allow,audio,Mon-Fri 10:00-18:00 UTC,2099-01-01T00:00:00Z\n",
    );
    replay.flips("", &["+ shop PPP009 PPP005 1"]);
    assert_eq!(replay.report("", 4)["flips"][0]["first"], "2026-11-24T10:00:00Z");
    replay.flips("--since 2026-11-25", &[]);
    replay.flips("--until '2026-11-24 10:00:00 UTC'", &[]);
}

/// A party that has expired today had not at the time of the call. An import replaces it.
#[test]
fn parties_that_have_expired_since_are_as_an_import_leaves_them() {
    let replay = Replay::over(
        &[],
        vec![
            line("2001-01-01T00:00:00.500000Z", "PPP009", "PPP005"),
            line("2026-11-24T10:00:00.500000Z", "PPP009", "PPP005"),
            line("2001-01-01T00:00:00.500000Z", "PPP009", "PPP006"),
        ],
        "app,from,to,effect\nshop,+7*,PPP005,allow\n",
    );
    let everyone = json!({"M": {"*": {"M": {"effect": {"S": "allow"}}}}});
    for party in ["PPP005", "PPP006"] {
        replay.server.put(&json!({"pk": {"S": format!("PARTY#shop#{party}")}, "sk": {"S": "PARTY"},
            "incoming": everyone, "expires_at": {"N": "1000000000"}}));
    }
    replay.flips("", &["- shop PPP009 PPP005 1"]);
    replay.flips("--replace", &["- shop PPP009 PPP005 1", "- shop PPP009 PPP006 1"]);
}

#[test]
fn with_replace_other_rules_and_blocks_of_the_files_apps_are_gone() {
    let in_app = |app: &str| json!({"app": app});
    let log = vec![
        line(AT, "PPP009", "PPP005"),
        line(AT, "PPP001", "PPP005"),
        line(AT, "PPP002", "PPP005"),
        line(AT, "PPP003", "PPP005"),
        with(line(AT, "PPP009", "PPP005"), &in_app("store")),
        with(line(AT, "PPP009", "PPP005"), &in_app("never stored")),
    ];
    let replay = Replay::over(
        &[
            "allow --app shop --from PPP009 --to PPP005",
            "allow --app shop --from '*' --to '*'",
            "block --app shop PPP001 --list spam",
            "block --app shop PPP002",
            "allow --app store --from PPP009 --to PPP005",
            "suspend --app shop PPP003",
        ],
        log,
        "app,from,to,effect\nshop,*,PPP005,allow\n",
    );
    replay.flips("", &[]);
    replay.flips("--replace", &["+ shop PPP001 PPP005 1", "+ shop PPP002 PPP005 1"]);
    // Of the list, the file keeps nothing.
    replay.flips("--list spam --replace", &["+ shop PPP001 PPP005 1"]);
    let empty = Replay { rules: "app,from,to,effect\n", ..replay };
    empty.flips("--replace --app shop", &["- shop PPP009 PPP005 1"]);
    empty.flips("--app shop", &[]);
    empty.run("--replace").exits_with(1).prints("names no app whose rules would be replaced");
}

#[test]
fn the_apps_own_lists_groups_blocks_and_calls_to_oneself_count() {
    let log = vec![
        line(AT, "PPP009", "PPP009"),
        line(AT, "PPP009", "PPP005"),
        line(AT, "anonymous", "PPP005"),
        line(AT, "+881600", "PPP005"),
        line(AT, "PPP005", "+900123"),
    ];
    let commands = ["group add --app shop @staff PPP009 PPP005"];
    let replay = Replay::over(
        &commands,
        log.clone(),
        "app,from,to,effect\nshop,@staff,*,allow\nshop,*,+900*,deny\nshop,*,PPP005,allow\n",
    );
    replay.flips(
        "",
        &["+ shop +881600 PPP005 1", "+ shop PPP009 PPP005 1", "+ shop anonymous PPP005 1", "+ shop PPP009 PPP009 1"],
    );
    let commands = ["allow --app shop --from '*' --to '*'"];
    let rules = "app,from,to,effect\nshop,PPP009,*,block\nshop,+881*,*,deny\nshop,anonymous,PPP005,deny\n";
    Replay::over(&commands, log, rules).flips(
        "",
        &["- shop +881600 PPP005 1", "- shop PPP009 PPP005 1", "- shop anonymous PPP005 1", "- shop PPP009 PPP009 1"],
    );
}

#[test]
fn what_is_not_decided_again_is_counted() {
    let unparsed = json!({"app": null, "caller": null, "callee": null, "media": null});
    let log = vec![
        line(AT, "PPP009", "PPP005"),
        with(with(line(AT, "x", "y"), &unparsed), &json!({"reason": "bad_signature"})),
        with(with(line(AT, "x", "y"), &unparsed), &json!({"reason": "source_not_allowed"})),
        with(line(AT, "x", "y"), &json!({"media": null})),
        line(AT, "+7 495 1", "PPP005"),
        line(AT, "PPP009", "sip:PPP005@example.com"),
        with(line(AT, "PPP009", "PPP005"), &json!({"app": "\u{202e}shop"})),
        with(line(AT, "PPP009", "PPP006"), &json!({"decision": "error", "reason": "store_unavailable", "status": 503})),
        json!({"timestamp": AT, "level": "warn", "message": "rejected", "status": 404}),
        json!("START RequestId: r Version: 1"),
    ];
    let replay = Replay::over(&[], log, "app,from,to,effect\nshop,*,PPP006,allow\n");
    let report = replay.report("", 4);
    assert_eq!(report["calls"], 2);
    assert_eq!((&report["repeated"], &report["unanswered"]), (&json!(1), &json!(1)));
    let expected = json!({"other_lines": 2, "not_from_wcs": 2, "incomplete": 1, "invalid_ids": 3});
    assert_eq!(report["not_replayed"], expected);
    replay
        .run("")
        .prints("the table as it is repeats 1 of 1 logged answer\n")
        .prints("  1 call had no answer: permissions could not be read\n")
        .prints("not decided again: 2 lines, not a decision\n")
        .prints("not decided again: 2 lines, a request that was not from WCS\n")
        .prints("not decided again: 1 line, without a caller, a callee or media\n")
        .prints("not decided again: 3 lines, with an id that no call can have\n");
}

#[test]
fn a_masked_log_is_refused() {
    let rules = "app,from,to,effect\nshop,*,P005,allow\n";
    let short = line(AT, "P009", "P005");
    let masked = with(short.clone(), &json!({"masked": true}));
    let replay = Replay::over(&[], vec![line(AT, "PPP001", "PPP002"), masked], rules);
    replay.run("").exits_with(1).prints("only the last four characters of each id (LogParties=masked)");
    // Extensions may be as short.
    Replay::over(&[], vec![short], rules).flips("", &["+ shop P009 P005 1"]);
}

/// The file is checked before the log and the table are read.
#[test]
fn a_file_with_problems_is_refused_as_import_refuses_it() {
    let rules = "app,from,to,effect,expires_at\nshop,a*,b*,allow,\nshop,1.5E+10,PPP005,allow,\nshop,PPP009,PPP005,alow,\n\
                 shop,PPP001,PPP005,allow,2001-01-01T00:00:00Z\n";
    let replay = Replay::over(&[], vec![], rules);
    let import = |options: &str| {
        let file = replay.folder.write("rules.csv", rules);
        replay.server.run(&format!("import {} {options}", file.display())).exits_with(1)
    };
    for options in ["", "--app shop", "--app store", "--exactly", "--list spam", "--format ndjson"] {
        let problems = |run: Run, last: &str| run.stderr.replace(last, "");
        assert_eq!(
            problems(replay.run(options).exits_with(1), "no call was decided"),
            problems(import(options), "nothing was written"),
            "{options}"
        );
    }
    assert_eq!(replay.report("", 1)["count"], 4);
    replay.server.run("replay --with - --log -").exits_with(2).prints("only one of --with and --log");
    replay.server.run("replay --with /nonexistent --log -").exits_with(1).prints("`/nonexistent` cannot be opened");
}

/// Each item is read once, however many calls it decides, by batches of up to 100 keys.
#[test]
fn each_key_is_requested_once() {
    let mut random = Random(15);
    let mut log = Vec::new();
    for _ in 0..2_000 {
        let app = random.one(&["shop", "store"]);
        let [caller, callee] = [40, 300].map(|ids| format!("PPP{:03}", random.below(ids)));
        log.push(with(line(AT, &caller, &callee), &json!({"app": app})));
    }
    let replay = Replay::over(&["allow --app shop --from '*' --to '*'"], log, "app,from,to,effect\nstore,*,*,allow\n");
    let requested = Arc::<Mutex<HashMap<String, u64>>>::default();
    let recorded = Arc::clone(&requested);
    let url = start_proxy(replay.server.address, move |request| {
        assert_eq!(request.operation(), Some("BatchGetItem"));
        let keys = request.json()["RequestItems"]["permissions"]["Keys"].as_array().unwrap().clone();
        assert!(keys.len() <= 100);
        for key in keys {
            *recorded.lock().unwrap().entry(key.to_string()).or_default() += 1;
        }
        Treatment::Forward
    });
    replay.run("").exits_with(4);
    let [rules, log] = ["rules.csv", "calls.log"].map(|name| replay.folder.path().join(name).display().to_string());
    let mut command = tool_at(&url);
    Run::of(command.args(split_words(&format!("replay --with {rules} --log {log}"))))
        .exits_with(4)
        .prints("of 2000 calls");
    let expected: std::collections::BTreeSet<String> = replay
        .log
        .iter()
        .flat_map(|line| {
            let text = |name: &str| line[name].as_str().unwrap();
            let app = AppKey::new(text("app")).unwrap();
            let [caller, callee] = ["caller", "callee"].map(|name| PartyId::new(text(name), None).unwrap());
            [Key::app(&app), Key::party(&app, &caller), Key::party(&app, &callee), Key::pair(&app, &caller, &callee)]
        })
        .map(|Key { pk, sk }| json!({"pk": {"S": pk}, "sk": {"S": sk}}).to_string())
        .collect();
    let requested = requested.lock().unwrap();
    assert!(requested.values().all(|&times| times == 1));
    assert_eq!(requested.len(), expected.len());
    assert!(requested.keys().all(|key| expected.contains(key)));
}

/// The decision of a call by the items of a table, and its reason.
fn decided(items: &Items, call: &Call, at: EpochSeconds) -> (Effect, &'static str) {
    let item = |key: Key| items.get(&(key.pk, key.sk)).cloned();
    let Call { app, caller, callee, .. } = call;
    let permissions = (
        item(Key::app(app)).map(item::read_app).transpose(),
        item(Key::party(app, caller)).map(item::read_party).transpose(),
        item(Key::party(app, callee)).map(item::read_party).transpose(),
        item(Key::pair(app, caller, callee)).map(item::read_pair).transpose(),
    );
    let (app, caller, callee, pair) = &permissions;
    let decision = decide(call, Permissions { app, caller, callee, pair }, at);
    (decision.effect(), decision.reason())
}

/// Random tables, files and calls: the answers are those that the calls get after the file is really imported.
#[test]
fn the_answers_are_those_after_an_import() {
    let (server, other, folder) = (TestServer::with_table(), TestServer::with_table(), TempFolder::new());
    let (mut imported, mut flipped) = (0, 0);
    for seed in 1..=6 {
        let now = now();
        let mut tables = Tables { random: Random(seed), now, odd: seed % 3 * 12 };
        restore(&server, &tables.table());
        restore(&other, &tables.table());
        // A file of valid rules, with blocks and with every condition.
        let rules = folder.write(&format!("{seed}.csv"), &other.run("export").stdout);
        let mut random = tables.random;
        let replaces = if random.percent(50) { "--replace" } else { "" };
        let list = if random.percent(30) { "--list spam" } else { "" };
        // A list takes only rules that name it, or no list.
        if !list.is_empty() {
            let text = std::fs::read_to_string(&rules).unwrap();
            let lines = text.lines().filter(|line| !line.contains("=1") && !line.contains("'@x"));
            let text = lines.collect::<Vec<_>>().join("\n");
            std::fs::write(&rules, text).unwrap();
        }
        let options = format!("{} {replaces} {list} --exactly", rules.display());

        let mut calls = Vec::new();
        for _ in 0..400 {
            let [caller, callee] = [(); 2].map(|()| PartyId::new(random.one(&PARTIES), None).unwrap());
            let app = AppKey::new(random.one(&["shop", "shop", "way#2", "none"])).unwrap();
            let media = MediaSet { audio: random.percent(80), video: random.percent(30) };
            let at = match random.below(4) {
                0 => now - 1_000_000 - i64::from(random.percent(50)),
                1 => now + 7_200 - i64::from(random.percent(50)),
                2 => now + 3 * 86_400 - i64::from(random.percent(50)),
                _ => now + i64::try_from(random.below(400 * 86_400)).unwrap() - 200 * 86_400,
            };
            let logged = if random.percent(50) { "allow" } else { "deny" };
            calls.push((Call { app, caller, callee, media }, at, logged));
        }
        let lines = calls.iter().map(|(call, at, logged)| {
            let line = line(&time::format(*at), call.caller.as_str(), call.callee.as_str());
            let members = json!({"app": call.app.as_str(), "media": call.media.words(), "decision": logged, "reason": "r",
                "total_ms": 0});
            with(line, &members).to_string()
        });
        let log = lines.collect::<Vec<_>>().join("\n");
        let log = folder.write("calls.log", &log);
        let run = server.run(&format!("replay --with {options} --log {} --output json", log.display()));
        let before = stored(&server).1;
        let import = server.run(&format!("import {options} --yes"));
        if import.code != 0 {
            // Not every table that another program wrote can be imported to.
            println!("seed {seed}: {}", import.stderr);
            continue;
        }
        imported += 1;
        let after = stored(&server).1;
        let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));

        let mut expected = BTreeMap::<_, u64>::new();
        let (mut repeated, mut differences) = (0, BTreeMap::<_, u64>::new());
        for (call, at, logged) in &calls {
            let (effect, reason) = decided(&before, call, *at);
            if effect.as_str() == *logged {
                repeated += 1;
            } else {
                *differences.entry((effect.as_str().to_owned(), reason.to_owned())).or_default() += 1;
            }
            let (new, _) = decided(&after, call, *at);
            if new != effect {
                let [app, caller, callee] =
                    [call.app.as_str(), call.caller.as_str(), call.callee.as_str()].map(str::to_owned);
                *expected.entry((app, caller, callee, new.as_str().to_owned())).or_default() += 1;
            }
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let flips: BTreeMap<_, _> = report["flips"]
            .as_array()
            .unwrap()
            .iter()
            .map(|flip| {
                let key = (
                    text(&flip["app"]),
                    text(&flip["caller"]),
                    text(&flip["callee"]),
                    text(&flip["after"]["decision"]),
                );
                (key, flip["count"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(flips, expected, "seed {seed}: {options}");
        assert_eq!(run.code, if flips.is_empty() { 0 } else { 4 });
        assert_eq!(report["repeated"], repeated, "seed {seed}");
        let reported: BTreeMap<_, _> = report["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| ((text(&it["now"]["decision"]), text(&it["now"]["reason"])), it["count"].as_u64().unwrap()))
            .collect();
        assert_eq!(reported, differences, "seed {seed}");
        flipped += flips.len();
    }
    assert!(imported >= 4 && flipped > 100, "{imported} imports, {flipped} flips");
}
