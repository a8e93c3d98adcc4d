//! `forget` and `move`: what they change, and that no call is permitted meanwhile that neither the rules before nor those after
//! permit.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callgate::store::item;
use callgate_core::{AppKey, Call, Effect, MediaSet, PartyId, Permissions, decide};
use serde_json::{Map, Value, json};

use crate::import_safety::attributes;
use crate::proxy::{Treatment, start_proxy};
use crate::random::Random;
use crate::support::{Run, ServerHandle, TABLE, TestServer, split_words, tool_at};

const APPS: [&str; 2] = ["shop", "store"];
const IDS: [&str; 5] = ["100", "101", "110", "200", "900"];
const PATTERNS: [&str; 8] = ["*", "1*", "10*", "@a", "@b", "100", "101", "110"];
const NOW: i64 = 1_795_500_000;

impl Random {
    fn stored_rule(&mut self) -> Value {
        let effect = self.one(&["allow", "deny"]);
        let mut rule =
            json!({"effect": {"S": effect}, "updated_at": {"N": "1700000000"}, "updated_by": {"S": "another"}});
        match self.below(6) {
            0 => rule["expires_at"] = json!({"N": self.one(&["1700000000", "1900000000"])}),
            1 => rule["disabled"] = json!({"BOOL": true}),
            2 => rule["media"] = json!({"SS": ["audio"]}),
            _ => {}
        }
        rule
    }

    fn list(&mut self) -> Value {
        let count = self.below(4);
        let entries: Map<String, Value> =
            (0..count).map(|_| (self.one(&PATTERNS).to_owned(), json!({"M": self.stored_rule()}))).collect();
        json!({"M": entries})
    }

    /// The items of an app. Most calls are decided by several rules.
    fn items(&mut self, app: &str) -> Vec<Value> {
        let mut items = Vec::new();
        if self.below(4) > 0 {
            let (callers, destinations) = (self.list(), self.list());
            items.push(json!({"pk": {"S": format!("APP#{app}")}, "sk": {"S": "APP"}, "callers": callers,
                "destinations": destinations, "note": {"S": "n"}}));
        }
        for id in ["100", "101", "110"] {
            let pk = json!({"S": format!("PARTY#{app}#{id}")});
            if self.below(4) > 0 {
                let mut item =
                    json!({"pk": pk, "sk": {"S": "PARTY"}, "incoming": self.list(), "outgoing": self.list()});
                match self.below(6) {
                    0 => item["status"] = json!({"S": "suspended"}),
                    1 => item["blocked"] = json!({"M": {}}),
                    2 | 3 => item["groups"] = json!({"SS": [self.one(&["a", "b"])]}),
                    _ => {}
                }
                items.push(item);
            }
            for caller in ["100", "101", "110"] {
                if self.below(4) == 0 {
                    let mut item = self.stored_rule();
                    item["pk"] = pk.clone();
                    item["sk"] = json!({"S": format!("CALLER#{caller}")});
                    items.push(item);
                }
            }
        }
        items
    }
}

/// The calls of all apps that are permitted by these items.
fn permitted(items: &[Value]) -> BTreeSet<String> {
    let item = |pk: &str, sk: &str| items.iter().find(|it| it["pk"]["S"] == pk && it["sk"]["S"] == sk).map(attributes);
    let mut permitted = BTreeSet::new();
    for app in APPS {
        let app_item = item(&format!("APP#{app}"), "APP").map(item::read_app).transpose();
        let party = |id: &str| item(&format!("PARTY#{app}#{id}"), "PARTY").map(item::read_party).transpose();
        let parties = IDS.map(|id| (id, party(id)));
        for ((caller, caller_item), (callee, callee_item)) in
            parties.iter().flat_map(|one| parties.iter().map(move |other| (one, other)))
        {
            let pair = item(&format!("PARTY#{app}#{callee}"), &format!("CALLER#{caller}"));
            let pair = pair.map(item::read_pair).transpose();
            let permissions = Permissions { app: &app_item, caller: caller_item, callee: callee_item, pair: &pair };
            for video in [false, true] {
                let id = |text| PartyId::new(text, None).unwrap();
                let media = MediaSet { audio: true, video };
                let call = Call { app: AppKey::new(app).unwrap(), caller: id(caller), callee: id(callee), media };
                if decide(&call, permissions, NOW).effect() == Effect::Allow {
                    permitted.insert(format!("{app}: {caller} to {callee}, video {video}"));
                }
            }
        }
    }
    permitted
}

fn scan(server: ServerHandle) -> Vec<Value> {
    let mut items = server.request("Scan", &json!({"TableName": TABLE}))["Items"].as_array().unwrap().clone();
    items.sort_by_key(|item| (item["pk"].to_string(), item["sk"].to_string()));
    items
}

/// What a run through a proxy wrote.
#[derive(Default)]
struct Watched {
    /// What was permitted after each write, by functions that use the app's item as it is, or as it was up to [`CACHE`] before.
    states: Vec<BTreeSet<String>>,
    /// The items after the last write.
    items: Vec<Value>,
    /// The former items of apps, and when they were replaced.
    former_apps: Vec<(Instant, Vec<Value>)>,
}

/// How long functions keep an app's item in the tests that give the tool this time.
const CACHE: Duration = Duration::from_secs(1);

impl Watched {
    fn written(&mut self, at: Instant, items: Vec<Value>) {
        let apps = |items: &[Value]| items.iter().filter(|item| item["sk"]["S"] == "APP").cloned().collect::<Vec<_>>();
        if apps(&self.items) != apps(&items) {
            self.former_apps.push((at, apps(&self.items)));
        }
        let mut state = permitted(&items);
        for (_, apps) in self.former_apps.iter().filter(|(until, _)| *until + CACHE > at) {
            let others = items.iter().filter(|item| item["sk"]["S"] != "APP");
            state.extend(permitted(&others.chain(apps).cloned().collect::<Vec<_>>()));
        }
        self.states.push(state);
        self.items = items;
    }
}

/// Runs a command through a proxy that records what is permitted after each write, and refuses the writes from number
/// `refused_from` on, as if the tool had been killed there.
fn run_watched(server: &TestServer, arguments: &str, refused_from: Option<usize>) -> (Run, Watched) {
    let watched = Watched { items: server.stored(), ..Watched::default() };
    let (watched, count) = (Arc::new(Mutex::new(watched)), AtomicUsize::new(0));
    let (writes, handle) = (Arc::clone(&watched), server.handle());
    let keeps_apps = arguments.contains("--app-cache-seconds");
    let url = start_proxy(server.address, move |request| {
        if !request.is_write() {
            return Treatment::Forward;
        }
        let mut writes = writes.lock().unwrap();
        if refused_from.is_some_and(|from| count.fetch_add(1, Ordering::SeqCst) >= from) {
            return Treatment::refuse("AccessDeniedException");
        }
        let at = Instant::now();
        let response = request.send(request.operation().unwrap(), &request.json());
        writes.written(at, scan(handle));
        if !keeps_apps {
            writes.former_apps.clear();
        }
        Treatment::Respond(response)
    });
    let run = Run::of(tool_at(&url).args(split_words(arguments)));
    let watched = std::mem::take(&mut *watched.lock().unwrap());
    (run, watched)
}

fn table_of(items: &[Value]) -> TestServer {
    let server = TestServer::with_table();
    for item in items {
        server.put(item);
    }
    server
}

/// Items without empty lists, and without the items in which nothing is left.
fn with_content(items: &[Value]) -> Vec<Value> {
    let mut items = items.to_vec();
    for item in &mut items {
        let is_empty = |value: &Value| value["M"].as_object().is_some_and(Map::is_empty);
        let lists = ["callers", "destinations", "incoming", "outgoing"];
        item.as_object_mut().unwrap().retain(|name, value| !lists.contains(&name.as_str()) || !is_empty(value));
    }
    items.retain(|item| item.as_object().unwrap().len() > 2);
    items
}

/// Runs a command over random tables: to its end, and interrupted after every number of writes and then repeated. At every
/// moment, what is permitted must be permitted before or after it, and the end must be `expected`.
fn check_random(seed: u64, arguments: &str, other_app: bool, expected: impl Fn(&[Value]) -> Vec<Value>) {
    let mut random = Random(seed);
    let mut permitting = 0;
    for table in 0..8 {
        let mut items = random.items("shop");
        if other_app {
            items.extend(random.items("store"));
        }
        let server = table_of(&items);
        let before = server.stored();
        let after = with_content(&expected(&before));
        let either: BTreeSet<_> = permitted(&before).union(&permitted(&after)).cloned().collect();
        permitting += either.len();
        let (run, watched) = run_watched(&server, arguments, None);
        run.succeeds();
        assert_eq!(with_content(&server.stored()), after, "table {table}");
        let check = |watched: &Watched, what: &str| {
            for (number, state) in watched.states.iter().enumerate() {
                assert!(state.is_subset(&either), "table {table}, {what}, write {number}: {before:#?}");
            }
        };
        check(&watched, "whole");
        let writes = watched.states.len();
        for refused_from in [random.below(writes.max(1)), random.below(writes.max(1))] {
            let server = table_of(&items);
            let (run, watched) = run_watched(&server, arguments, Some(refused_from));
            assert!(writes == 0 || run.code == 1, "{run:?}");
            check(&watched, &format!("{refused_from} writes"));
            let (run, watched) = run_watched(&server, arguments, None);
            run.succeeds();
            check(&watched, &format!("again after {refused_from} writes"));
            assert_eq!(with_content(&server.stored()), after, "table {table}, again after {refused_from} writes");
        }
    }
    assert!(permitting > 20, "too few calls are permitted to check anything");
}

/// The items without everything about a party.
fn without(items: &[Value], party: &str) -> Vec<Value> {
    let pk = format!("PARTY#shop#{party}");
    let kept = items.iter().filter(|item| item["pk"]["S"] != pk && item["sk"]["S"] != format!("CALLER#{party}"));
    kept.cloned()
        .map(|mut item| {
            for list in ["callers", "destinations", "incoming", "outgoing"] {
                if let Some(Value::Object(entries)) = item.get_mut(list).and_then(|list| list.get_mut("M")) {
                    entries.remove(party);
                }
            }
            item
        })
        .collect()
}

#[test]
fn forgetting_a_party_permits_nothing_in_between() {
    check_random(1, "forget --app shop 100 --yes", false, |before| without(before, "100"));
}

/// The items under another id, in the order of their keys.
fn renamed(items: &[Value], from: &str, to: &str) -> Vec<Value> {
    let side = |text: &str| if text == from { to.to_owned() } else { text.to_owned() };
    let mut renamed: Vec<_> = items
        .iter()
        .cloned()
        .map(|mut item| {
            if let Some(id) = item["pk"]["S"].as_str().unwrap().strip_prefix("PARTY#shop#") {
                item["pk"] = json!({"S": format!("PARTY#shop#{}", side(id))});
            }
            if let Some(id) = item["sk"]["S"].as_str().unwrap().strip_prefix("CALLER#") {
                item["sk"] = json!({"S": format!("CALLER#{}", side(id))});
            }
            for list in ["callers", "destinations", "incoming", "outgoing"] {
                if let Some(Value::Object(entries)) = item.get_mut(list).and_then(|list| list.get_mut("M"))
                    && let Some(rule) = entries.remove(from)
                {
                    entries.insert(to.to_owned(), rule);
                }
            }
            item
        })
        .collect();
    renamed.sort_by_key(|item| (item["pk"].to_string(), item["sk"].to_string()));
    renamed
}

#[test]
fn moving_a_party_permits_nothing_in_between() {
    check_random(2, "move --app shop 100 --to-party 200 --yes", false, |before| renamed(before, "100", "200"));
}

/// Whether the new app was empty or not, it has exactly what the old one had.
fn with_other_app(items: &[Value]) -> Vec<Value> {
    let of_shop = items.iter().filter(|item| {
        let pk = item["pk"]["S"].as_str().unwrap();
        pk == "APP#shop" || pk.starts_with("PARTY#shop#")
    });
    let mut moved: Vec<_> = of_shop
        .cloned()
        .map(|mut item| {
            item["pk"] = json!({"S": item["pk"]["S"].as_str().unwrap().replace("#shop", "#store")});
            item
        })
        .collect();
    moved.sort_by_key(|item| (item["pk"].to_string(), item["sk"].to_string()));
    moved
}

#[test]
fn moving_an_app_permits_nothing_in_between() {
    check_random(3, "move --app shop --to-app store --yes", false, with_other_app);
}

#[test]
fn moving_an_app_over_another_permits_nothing_in_between() {
    check_random(4, "move --app shop --to-app store --yes", true, with_other_app);
}

#[test]
fn forget_lists_what_it_deletes_and_where_traces_remain() {
    let server = TestServer::with_table();
    for rule in [
        "allow --app shop --from PPP009 --to PPP005",
        "deny --app shop --from PPP005 --to PPP009",
        "allow --app shop --from PPP009 --to '7*' --yes",
        "deny --app shop --from PPP009 --to '*' --door app --yes",
        "allow --app shop --from '*' --to PPP009 --door destination --yes",
        "allow --app shop --from PPP00 --to PPP005",
        "allow --app other --from PPP009 --to PPP005",
    ] {
        server.run(rule).succeeds();
    }
    let before = server.stored();
    let planned = server.run("forget --app shop 'sip:PPP009@x' --dry-run").succeeds();
    planned
        .prints("`sip:PPP009@x` is `PPP009`")
        .prints("reading the whole table")
        .prints("- allow PPP009 to PPP005 in app shop")
        .prints("- deny PPP005 to PPP009 in app shop")
        .prints("- allow PPP009 to 7* in app shop")
        .prints("- deny PPP009 to * in app shop")
        .prints("- allow * to PPP009 in app shop")
        .prints("would be deleted: its item with 1 rule, and 4 rules elsewhere")
        .prints("point-in-time recovery");
    assert_eq!(server.stored(), before);
    server
        .run("forget --app shop PPP009")
        .succeeds()
        .prints("forgotten: PPP009 in app shop: its item with 1 rule, and 4 rules elsewhere")
        .prints("WCS itself");
    let left = serde_json::to_string(&server.stored()).unwrap();
    assert_eq!(left.matches("PPP009").count(), 1, "{left}");
    server.run("check --app other --from PPP009 --to PPP005").succeeds();
    server.run("check --app shop --from PPP00 --to PPP005").succeeds();
    assert_eq!(server.json("forget --app shop PPP009")["result"], "absent");
    server.run("forget --app shop 'PPP*'").exits_with(2).prints("`PPP*` is a pattern, not one party");
    server.run("forget --app shop @sales").exits_with(2).prints("`@sales` is a group, not one party");
}

#[test]
fn a_rule_that_changes_meanwhile_is_not_forgotten() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from a --to b").succeeds();
    let handle = server.handle();
    let url = start_proxy(server.address, move |request| {
        if request.deletes() {
            let item = json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"}});
            handle.request("PutItem", &json!({"TableName": TABLE, "Item": item}));
        }
        Treatment::Forward
    });
    let run = Run::of(tool_at(&url).args(split_words("forget --app shop a --yes"))).exits_with(1);
    run.prints("not everything is deleted").prints("changed this rule meanwhile; it is now: allow a to b");
    assert_eq!(server.stored().len(), 1);
}

#[test]
fn a_party_is_not_moved_over_other_rules() {
    let server = TestServer::with_table();
    for rule in ["allow --app shop --from a --to x --note mine", "deny --app shop --from b --to x"] {
        server.run(rule).succeeds();
    }
    let before = server.stored();
    server
        .run("move --app shop a --to-party b --yes")
        .exits_with(1)
        .prints("`b` has another rule already: deny b to x in app shop")
        .prints("a copy of: allow a to x (mine) in app shop");
    server.run("deny --app shop --from a --to b").succeeds();
    server
        .run("move --app shop a --to-party b")
        .exits_with(1)
        .prints("a rule between the two ids")
        .prints("deny a to b");
    server.run("revoke --app shop --from a --to b").succeeds();
    assert_eq!(server.stored(), before);
    server.run("move --app shop a --to-party a").exits_with(2).prints("both ids are `a`");
    server.run("move --app shop a --to-party 'b*'").exits_with(2);
    server.run("move --app shop a").exits_with(2);
    server.run("move --app shop a --to-app b").exits_with(2);
    server.run("suspend --app shop a").succeeds();
    server.run("resume --app shop b").succeeds();
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "note": {"S": "another"}}));
    server.run("revoke --app shop --from b --to x").succeeds();
    server.run("move --app shop a --to-party b").exits_with(1).prints("`b` has an item of its own");
}

/// Rules that the new id has already and that are in no one's way stay.
#[test]
fn a_moved_party_keeps_authors_and_gets_the_rules_of_its_new_id() {
    let server = TestServer::with_table();
    let mut rule = json!({"pk": {"S": "PARTY#shop#x"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"},
        "note": {"S": "mine"}, "updated_at": {"N": "1700000000"}, "updated_by": {"S": "another"}});
    server.put(&rule);
    server.run("allow --app shop --from y --to b").succeeds();
    let plan = server.run("move --app shop a --to-party b --dry-run").succeeds();
    plan.prints("- allow a to x (mine) in app shop\n+ allow b to x (mine) in app shop")
        .prints("= allow y to b in app shop");
    server.run("move --app shop a --to-party b").succeeds().prints("moved: a is b in app shop: 1 rule");
    let items = server.stored();
    assert_eq!(items.len(), 2, "{items:?}");
    rule["sk"] = json!({"S": "CALLER#b"});
    assert_eq!(items[1], rule);
    server.run("move --app shop a --to-party b").succeeds().prints("nothing is stored about a");
}

#[test]
fn an_app_is_moved_over_another_only_if_that_is_confirmed() {
    let server = TestServer::with_table();
    for rule in
        ["allow --app shop --from a --to b", "allow --app store --from x --to y", "allow --app store --from a --to b"]
    {
        server.run(rule).succeeds();
    }
    let before = server.stored();
    server.run("move --app shop --to-app store --dry-run").succeeds().prints("app `store` has 2 items already");
    server
        .run("move --app shop --to-app store")
        .exits_with(1)
        .prints("those that app `shop` does not have are DELETED")
        .prints("confirm with --yes");
    assert_eq!(server.stored(), before);
    assert_eq!(server.json("move --app shop --to-app store --yes")["replaced"], 2);
    server.run("check --app store --from a --to b").succeeds();
    server.run("check --app store --from x --to y").exits_with(3);
    assert_eq!(server.stored().len(), 1);
    server.run("move --app shop --to-app store").succeeds().prints("nothing is stored for app shop");
}

/// What is written to the old app while it is moved is not lost.
#[test]
fn rules_that_are_written_during_a_move_of_an_app_remain() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    let handle = server.handle();
    let url = start_proxy(server.address, move |request| {
        if request.operation() == Some("BatchWriteItem") && request.is_write() {
            let item = json!({"pk": {"S": "PARTY#shop#c"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"}});
            handle.request("PutItem", &json!({"TableName": TABLE, "Item": item}));
        }
        Treatment::Forward
    });
    let run = Run::of(tool_at(&url).args(split_words("move --app shop --to-app store --yes"))).exits_with(1);
    run.prints("remains in app shop: PARTY#shop#c CALLER#a").prints("which is suspended now");
    server.run("check --app shop --from a --to c").exits_with(3).prints("app_suspended");
    server.run("revoke --app shop --from a --to c").succeeds();
    server.run("move --app shop --to-app store").succeeds().prints("moved: app shop is app store");
    server.run("check --app store --from a --to b").succeeds();
    assert_eq!(server.stored().len(), 1);
}

/// The functions may use an older item of the app, so everything that permits more waits for them.
#[test]
fn functions_that_keep_an_app_permit_nothing_in_between() {
    let rule = |effect: &str| json!({"effect": {"S": effect}});
    let entry = |effect: &str| json!({"M": rule(effect)});
    let pair = |caller: &str, callee: &str, effect: &str| {
        let mut item = rule(effect);
        item["pk"] = json!({"S": format!("PARTY#shop#{callee}")});
        item["sk"] = json!({"S": format!("CALLER#{caller}")});
        item
    };
    let items = [
        json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"},
            "callers": {"M": {"100": entry("allow"), "101": entry("deny"), "900": entry("allow")}},
            "destinations": {"M": {"100": entry("deny")}}}),
        pair("100", "110", "deny"),
        pair("101", "110", "allow"),
        pair("110", "100", "allow"),
        pair("900", "110", "deny"),
    ];
    std::thread::scope(|scope| {
        for command in ["forget --app shop 100", "move --app shop 100 --to-party 200", "move --app shop --to-app store"]
        {
            let items = &items;
            scope.spawn(move || {
                let server = table_of(items);
                let before = permitted(&server.stored());
                let (run, watched) = run_watched(&server, &format!("{command} --yes --app-cache-seconds 1"), None);
                run.succeeds().prints("waiting ").prints("until no function uses older rules of the app");
                let either: BTreeSet<_> = before.union(&permitted(&server.stored())).cloned().collect();
                assert!(!either.is_empty() && watched.states.len() > 2);
                for (number, state) in watched.states.iter().enumerate() {
                    assert!(state.is_subset(&either), "{command}, write {number}: {state:?}, {either:?}");
                }
            });
        }
    });
}
