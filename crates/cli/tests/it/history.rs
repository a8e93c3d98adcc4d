//! The history: every change is in it, with the values before and after, and none without what it describes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::proxy::{Treatment, start_proxy};
use crate::random::Random;
use crate::support::{Run, TABLE, TempFolder, TestServer, csv, split_words, tool_at};

/// One command of each kind that changes a single thing, after which something is left.
pub(crate) const COMMANDS: [&str; 14] = [
    "allow --app shop --from a --to b --note first",
    "deny --app shop --from a --to b --note second --yes",
    "allow --app shop --from '+7*' --to b --yes",
    "allow --app shop --from a --to '+9*' --yes",
    "deny --app shop --from '+8*' --to '*' --yes",
    "deny --app shop --from '*' --to '+882*' --yes",
    "disable --app shop --from '+8*' --to '*' --yes",
    "block --app shop a --until 2099-01-01 --yes",
    "suspend --app shop b --note holiday",
    "suspend --app shop --yes",
    "group add --app shop @sales b",
    "group add --app shop @support b",
    "resume --app shop --yes",
    "allow --app 'a#b%' --from a --to b",
];

/// Commands that take some of it away.
pub(crate) const REMOVALS: [&str; 8] = [
    "revoke --app shop --from a --to b",
    "revoke --app shop --from '+7*' --to b --yes",
    "revoke --app shop --from a --to '+9*' --yes",
    "revoke --app shop --from '*' --to '+882*' --yes",
    "unblock --app shop a",
    "resume --app shop b --no-note",
    "group remove --app shop @sales b",
    "group remove --app shop @support b",
];

/// Items by their keys.
type Items = BTreeMap<(String, String), Value>;

/// The items that the changes come to, one after the other, on an empty table. Each has to begin with what is there.
fn replayed(changes: &[Value]) -> Vec<Value> {
    let mut items = Items::new();
    for change in changes {
        items = after(items, change).unwrap_or_else(|why| panic!("{why}: {change}"));
    }
    listed(items)
}

/// The same for changes of concurrent writers. The id of a change has the time at which it was sent, and one that was sent earlier may
/// be written later if what is stored is the same again. So for each item, an order is searched in which each change begins with what is
/// there.
fn replayed_in_any_order(changes: &[Value]) -> Vec<Value> {
    let mut of_item = BTreeMap::<_, Vec<Value>>::new();
    for change in changes {
        let key = |value: &Value| ["pk", "sk"].map(|name| value["M"][name].to_string());
        let values = change["values"]["L"].as_array().unwrap();
        for key_of_one in values.iter().map(key).collect::<BTreeSet<_>>() {
            let values: Vec<_> = values.iter().filter(|value| key(value) == key_of_one).collect();
            of_item.entry(key_of_one).or_default().push(json!({"values": {"L": values}}));
        }
    }
    let ends = of_item.values().map(|changes| {
        let rest: Vec<_> = changes.iter().collect();
        end(&Items::new(), &rest, &mut HashSet::new())
            .unwrap_or_else(|| panic!("in no order do these begin with what is there: {changes:#?}"))
    });
    listed(ends.flatten().collect())
}

/// The items after all these changes, in the first order that is possible. `dead` has the ends that are known not to be.
fn end(items: &Items, rest: &[&Value], dead: &mut HashSet<(String, Vec<*const Value>)>) -> Option<Items> {
    if rest.is_empty() {
        return Some(items.clone());
    }
    let name = (format!("{items:?}"), rest.iter().map(|change| std::ptr::from_ref(*change)).collect());
    if dead.contains(&name) {
        return None;
    }
    assert!(dead.len() < 100_000, "too many orders were tried: {rest:#?}");
    // A command deletes an item in which nothing is left, and the history does not record that.
    let deleted = items.values().any(|item| !is_left(item)).then(Items::new);
    let mut tried: Vec<&Value> = Vec::new();
    for (at, change) in rest.iter().enumerate() {
        if tried.contains(change) {
            continue;
        }
        tried.push(change);
        let others = [&rest[..at], &rest[at + 1..]].concat();
        for before in [Some(items), deleted.as_ref()].into_iter().flatten() {
            let Ok(items) = after(before.clone(), change) else { continue };
            if let Some(items) = end(&items, &others, dead) {
                return Some(items);
            }
        }
    }
    dead.insert(name);
    None
}

/// Whether something is left in an item that means something.
fn is_left(item: &Value) -> bool {
    let is_empty = |(name, value): (&String, &Value)| {
        ["pk", "sk"].contains(&name.as_str()) || *value == json!({"M": {}}) || *value == json!({"S": "active"})
    };
    !item.as_object().unwrap().iter().all(is_empty)
}

/// The items after a change, or why it does not begin with what is there.
fn after(mut items: Items, change: &Value) -> Result<Items, String> {
    let check = |is: Option<&Value>, before: Option<&Value>| {
        if is == before { Ok(()) } else { Err(format!("{is:?} is there, not {before:?}")) }
    };
    for value in change["values"]["L"].as_array().unwrap() {
        let value = &value["M"];
        let text = |name: &str| value[name]["S"].as_str().map(str::to_owned);
        let key = (text("pk").unwrap(), text("sk").unwrap());
        let [before, mut after] = ["before", "after"].map(|name| value.get(name).cloned());
        let Some(attribute) = text("attribute") else {
            let whole = |value: Value| with_sorted_sets(value["M"].clone());
            check(items.remove(&key).as_ref(), before.map(whole).as_ref())?;
            items.extend(after.map(|after| (key, whole(after))));
            continue;
        };
        let item = items.entry(key.clone()).or_insert_with(|| json!({})).as_object_mut().unwrap();
        let (place, name) = match (text("entry"), text("member")) {
            (Some(entry), _) => {
                let list = item.get_mut(&attribute).and_then(|list| list["M"].as_object_mut());
                (list.ok_or("the list is not there")?, entry)
            }
            (None, Some(member)) => {
                let set = item.entry(&attribute).or_insert_with(|| json!({"SS": []}));
                let members = set["SS"].as_array_mut().unwrap();
                let count = members.len();
                members.retain(|it| *it != json!(member));
                if (count > members.len(), after.is_none()) != (before.is_some(), before.is_some()) {
                    return Err("the member is not as before".to_owned());
                }
                members.extend(after.map(|_| json!(member)));
                after = (!members.is_empty()).then(|| with_sorted_sets(json!({"x": set}))["x"].clone());
                match after {
                    Some(after) => _ = item.insert(attribute, after),
                    None => _ = item.remove(&attribute),
                }
                continue;
            }
            (None, None) => (item, attribute),
        };
        check(place.get(&name), before.as_ref())?;
        match after {
            Some(after) => _ = place.insert(name, after),
            None => _ = place.remove(&name),
        }
    }
    Ok(items)
}

/// The items as a table lists them.
fn listed(items: Items) -> Vec<Value> {
    let with_key = |((pk, sk), mut item): ((String, String), Value)| {
        item["pk"] = json!({"S": pk});
        item["sk"] = json!({"S": sk});
        item
    };
    items.into_iter().map(with_key).collect()
}

fn with_sorted_sets(mut item: Value) -> Value {
    for value in item.as_object_mut().unwrap().values_mut() {
        if let Some(members) = value.get_mut("SS") {
            members.as_array_mut().unwrap().sort_by_key(ToString::to_string);
        }
    }
    item
}

/// The stored items, with sorted sets.
fn stored(server: &TestServer) -> Vec<Value> {
    server.stored().into_iter().map(with_sorted_sets).collect()
}

#[track_caller]
fn check(server: &TestServer, what: &str) {
    assert_eq!(replayed(&server.changes()), stored(server), "{what}");
}

#[test]
fn every_command_writes_what_it_changes_into_the_history() {
    let server = TestServer::with_table();
    for (number, command) in COMMANDS.iter().chain(&REMOVALS).enumerate() {
        server.run(command).succeeds();
        check(&server, command);
        let changes = server.changes();
        assert_eq!(changes.len(), number + 1, "{command}");
        assert!(changes.iter().any(|change| change["command"]["S"] == json!(*command)), "{command}: {changes:?}");
    }
    // What changes nothing is not a change.
    let count = server.changes().len();
    for command in ["allow --app shop --from z --to z", "allow --app shop --from z --to z", "suspend --app shop --yes"]
    {
        server.run(command).succeeds();
    }
    for command in ["suspend --app shop --yes", "group remove --app shop @none b", "block --app shop q --yes"] {
        server.run(command).succeeds();
    }
    server.run("unblock --app shop z").exits_with(1);
    assert_eq!(server.changes().len(), count + 3);
    check(&server, "at the end");
}

#[test]
fn a_change_is_kept_for_400_days_or_as_long_as_asked() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    server.run("allow --app shop --from a --to c --keep 10").succeeds();
    let days = |change: &Value| {
        let seconds = |value: &Value| value["N"].as_str().unwrap().parse::<i64>().unwrap();
        let updated_at = &change["values"]["L"][0]["M"]["after"]["M"]["updated_at"];
        (seconds(&change["expires_at"]) - seconds(updated_at)) / 86_400
    };
    assert_eq!(server.changes().iter().map(days).collect::<Vec<_>>(), [400, 10]);
    // The options that say where the table is are not a part of the command.
    assert_eq!(server.changes()[1]["command"]["S"], "allow --app shop --from a --to c");
    server.run("allow --app shop --from a --to c --keep 0").exits_with(2);
}

#[test]
fn the_history_prints_values_and_filters_by_party_and_time() {
    let server = TestServer::with_table();
    for command in COMMANDS {
        server.run(command).succeeds();
    }
    let run = server.run("history --app shop").succeeds();
    for line in [
        "  + allow a to b (first)",
        "  - allow a to b (first)",
        "  + deny a to b (second)",
        "  + deny +8* to *, disabled",
        "  + block a, until 2099-01-01 00:00 UTC",
        "  + the status of party `b` of app `shop`: suspended",
        "  + the note of party `b` of app `shop`: holiday",
        "  + group @sales of party `b` of app `shop`: member",
        "  - the status of app `shop`: suspended",
        "  + the status of app `shop`: active",
    ] {
        assert!(run.stdout.lines().any(|it| it == line), "{line}: {run:?}");
    }
    run.does_not_print("not in the history");
    let about = |party: &str| {
        let history = server.json(&format!("history --app shop {party}"));
        let commands =
            history["changes"].as_array().unwrap().iter().map(|it| it["command"].as_str().unwrap().to_owned());
        commands.collect::<Vec<_>>()
    };
    assert_eq!(about("a"), [COMMANDS[0], COMMANDS[1], COMMANDS[3], COMMANDS[7]]);
    assert_eq!(about("b"), [COMMANDS[0], COMMANDS[1], COMMANDS[2], COMMANDS[8], COMMANDS[10], COMMANDS[11]]);
    server.run("history --app shop c").succeeds().prints("no changes about c in app shop");
    server.run("history --app shop --since 1h").succeeds().prints("+ allow a to b (first)");
    server.run("history --app shop --since 2099-01-01").exits_with(2).prints("is in the future");
    server.run("history --app shop z --since 1h").succeeds().prints("no changes about z in app shop since");
    server.run("history --app 'a#b%'").succeeds().prints("+ allow a to b");
    server.run("history --app shop '+7*'").exits_with(2).prints("`callgatectl history --app shop` has all changes");
}

#[test]
fn what_another_program_writes_is_printed() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    server.run("allow --app shop --from '+7*' --to c --yes").succeeds();
    server.run("suspend --app shop d").succeeds();
    server.run("block --app shop e --yes").succeeds();
    server.run("history --app shop").succeeds().does_not_print("not in the history");
    let pair = |effect: &str| json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": effect}});
    server.put(&pair("deny"));
    let mut party = server.stored().into_iter().find(|item| item["pk"]["S"] == "PARTY#shop#c").unwrap();
    party["incoming"]["M"]["+8*"] = json!({"M": {"effect": {"S": "allow"}}});
    server.put(&party);
    for id in ["d", "e"] {
        let key = json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "PARTY"}});
        server.request("DeleteItem", &json!({"TableName": TABLE, "Key": key}));
    }
    let run = server.run("history --app shop").succeeds();
    let unrecorded: Vec<_> = run.stdout.lines().skip_while(|line| !line.starts_with("not in the history")).collect();
    assert_eq!(
        unrecorded,
        [
            "not in the history, so another program wrote it:",
            "  - allow a to b",
            "  + deny a to b",
            "  + allow +8* to c",
            "  - the status of party `d` of app `shop`: suspended",
            "  - block e",
        ]
    );
    let of_c = server.json("history --app shop c");
    assert_eq!(of_c["unrecorded"].as_array().unwrap().len(), 1, "{of_c}");
    // An import, and rules that expire, are not another program.
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    server.run("revoke --app shop --from a --to b").succeeds();
    server.run("allow --app shop --from '+7*' --to c --yes").succeeds();
    server.pipe("import -", "app,from,to,effect\nshop,a,b,deny\nshop,+8*,c,deny\nshop,+7*,c,deny\n").succeeds();
    server.run("history --app shop").succeeds().does_not_print("not in the history");
    let expired = json!({"effect": {"S": "allow"}, "expires_at": {"N": "1767225600"}});
    let change = json!({"pk": {"S": "HISTORY#shop"}, "sk": {"S": "2099-01-01T00:00:00.000000Z#0"}, "by": {"S": "x"},
        "command": {"S": "allow"}, "values": {"L": [{"M": {"pk": {"S": "PARTY#shop#x"}, "sk": {"S": "CALLER#y"},
        "after": {"M": expired}}}]}});
    server.put(&change);
    server.run("history --app shop").succeeds().does_not_print("not in the history");
}

/// Runs a command over a proxy that kills it with one of its requests, before or after the server gets it. Returns whether there was
/// such a request.
fn run_and_kill(server: &TestServer, arguments: &str, number: usize, forward: bool) -> bool {
    let (held, was_held) = std::sync::mpsc::channel();
    let requests = AtomicUsize::new(0);
    let url = start_proxy(server.address, move |_| {
        if requests.fetch_add(1, Ordering::SeqCst) == number {
            return Treatment::Hold { forward, held: held.clone() };
        }
        Treatment::Forward
    });
    let mut command = tool_at(&url);
    command.args(split_words(arguments)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    loop {
        if was_held.try_recv().is_ok() {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_command_that_is_killed_has_written_both_or_neither() {
    let prepared = [COMMANDS[0], COMMANDS[2], COMMANDS[7], COMMANDS[8], COMMANDS[10]];
    let commands = ["undo --app shop --yes", "revoke --app shop --from '+7*' --to b --yes"];
    for command in
        [COMMANDS[1], COMMANDS[3], COMMANDS[11], REMOVALS[0], REMOVALS[4], REMOVALS[5]].iter().chain(&commands)
    {
        for forward in [false, true] {
            for number in 0.. {
                assert!(number < 20, "{command}");
                let server = TestServer::with_table();
                for command in prepared {
                    server.run(command).succeeds();
                }
                let was_killed = run_and_kill(&server, command, number, forward);
                check(&server, &format!("{command}, killed with request {number}"));
                if !was_killed {
                    assert_eq!(server.changes().len(), prepared.len() + 1, "{command}");
                    break;
                }
            }
        }
    }
}

#[test]
fn an_import_that_is_killed_has_recorded_what_it_changed() {
    let folder = TempFolder::new();
    let rules = "app,from,to,effect\nshop,a,b,deny\nshop,+7*,b,deny\nshop,new,b,allow\n";
    let import = format!("import {} --replace --yes", folder.write("rules.csv", rules).display());
    for forward in [false, true] {
        for number in 0.. {
            assert!(number < 40);
            let server = TestServer::with_table();
            for rule in ["--from a --to b", "--from '+7*' --to b --yes", "--from c --to b", "--from '+9*' --to b --yes"]
            {
                server.run(&format!("allow --app shop {rule}")).succeeds();
            }
            let before = server.changes().len();
            let was_killed = run_and_kill(&server, &import, number, forward);
            // The new rule has no change of its own; every other one that differs from before has.
            let is_new = |item: &Value| item["sk"]["S"] == "CALLER#new";
            let stored: Vec<_> = stored(&server).into_iter().filter(|item| !is_new(item)).collect();
            let changes = server.changes();
            let (bulk, single): (Vec<_>, Vec<_>) = changes.into_iter().partition(|it| it.get("counts").is_some());
            assert_eq!(replayed(&single), stored, "killed with request {number}");
            assert!(bulk.len() == 1 || single.len() == before);
            let complete = |change: &Value| change["counts"]["M"]["complete"]["BOOL"] == json!(true);
            if !was_killed {
                assert!(bulk.iter().all(complete) && single.len() == before + 4, "{single:?}");
                break;
            }
        }
    }
}

/// The number of commands of each of the eight writers. `CALLGATE_HISTORY_COMMANDS` sets it for a longer run.
fn command_count() -> usize {
    std::env::var("CALLGATE_HISTORY_COMMANDS").ok().and_then(|it| it.parse().ok()).unwrap_or(8)
}

#[test]
fn eight_writers_lose_and_double_nothing() {
    let server = TestServer::with_table();
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (server, log) = (&server, Arc::clone(&log));
            scope.spawn(move || {
                let (child, requests) = (Arc::new(Mutex::new(None::<Pid>)), AtomicU64::new(0));
                let to_kill = Arc::clone(&child);
                let url = start_proxy(server.address, move |request| {
                    let mut random = Random((writer << 32) ^ requests.fetch_add(1, Ordering::SeqCst));
                    random.number();
                    match random.below(24) {
                        0 => Treatment::LoseAnswer,
                        1 => Treatment::LoseRequest,
                        2 if request.operation() == Some("TransactWriteItems") => cancel("TransactionConflict"),
                        3 if request.operation() == Some("TransactWriteItems") => cancel("ThrottlingError"),
                        4 => {
                            if let Some(pid) = *to_kill.lock().unwrap() {
                                let _ = kill(pid, Signal::SIGKILL);
                            }
                            if random.one_in(2) { Treatment::LoseAnswer } else { Treatment::LoseRequest }
                        }
                        _ => Treatment::Forward,
                    }
                });
                let mut random = Random(writer);
                for _ in 0..command_count() {
                    let command = *random.one(&[&COMMANDS[..], &REMOVALS[..]].concat().iter().collect::<Vec<_>>());
                    let mut process = tool_at(&url);
                    process
                        .args(split_words(command))
                        .stdin(Stdio::null())
                        .stdout(Stdio::piped())
                        .stderr(Stdio::piped());
                    let running = process.spawn().unwrap();
                    *child.lock().unwrap() = Some(Pid::from_raw(running.id().try_into().unwrap()));
                    let output = running.wait_with_output().unwrap();
                    *child.lock().unwrap() = None;
                    let run = Run::new(&output);
                    assert!(!run.stderr.contains("panicked"), "{run:?}");
                    log.lock().unwrap().push(format!("{writer} {}: {command}: {}", run.code, run.stderr));
                }
            });
        }
    });
    // What is left of an item by two removals at once means nothing.
    let expected: Vec<_> = replayed_in_any_order(&server.changes()).into_iter().filter(is_left).collect();
    let stored: Vec<_> = stored(&server).into_iter().filter(is_left).collect();
    assert_eq!(expected, stored, "{:#?}", log.lock().unwrap());
}

/// The answer of DynamoDB to a transaction that was canceled for this reason.
fn cancel(code: &str) -> Treatment {
    let reasons = json!([{"Code": code, "Message": "by the test"}, {"Code": "None"}]);
    let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons", "CancellationReasons": reasons});
    Treatment::answer("400 Bad Request", &body)
}

#[test]
fn a_transaction_that_conflicts_or_is_throttled_is_sent_again() {
    for code in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
        let server = TestServer::with_table();
        let count = AtomicUsize::new(0);
        let url = start_proxy(server.address, move |request| match request.operation() {
            Some("TransactWriteItems") if count.fetch_add(1, Ordering::SeqCst) < 2 => cancel(code),
            _ => Treatment::Forward,
        });
        for command in &COMMANDS[..4] {
            Run::of(tool_at(&url).args(split_words(command))).succeeds();
        }
        check(&server, code);
        assert_eq!(server.changes().len(), 4);
    }
    let server = TestServer::with_table();
    let url = start_proxy(server.address, |request| match request.operation() {
        Some("TransactWriteItems") => cancel("AccessDenied"),
        _ => Treatment::Forward,
    });
    let run = Run::of(tool_at(&url).args(split_words(COMMANDS[0])));
    run.exits_with(1).prints("cannot write to the table: AccessDenied: by the test");
}

#[test]
fn an_import_writes_a_summary_and_a_change_for_each_rule_up_to_a_thousand() {
    let server = TestServer::with_table();
    let rules = |effect: &str| {
        csv(0..1_050, |number| {
            if number < 60 { format!("shop,a,b{number},{effect}") } else { format!("shop,+{number}*,b,{effect}") }
        })
    };
    server.pipe("import - --list spam", &rules("deny")).succeeds();
    assert_eq!(server.changes().len(), 1);
    server.run("history --app shop").succeeds().prints("1050 added, 0 changed, 0 removed, list `spam`");
    server.pipe("import - --list spam", &rules("allow")).succeeds();
    let history = server.json("history --app shop");
    let changes = history["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1_002);
    let counts = json!({"added": 0, "changed": 1_050, "removed": 0, "more": 50, "complete": true});
    assert!(changes.iter().any(|change| change["counts"] == counts), "{:?}", changes.first());
    assert_eq!(changes.iter().filter(|change| change["counts"].is_null()).count(), 1_000);
    server.run("history --app shop").succeeds().prints("50 of these are not listed one by one");
    server.run("history --app shop").succeeds().does_not_print("not in the history");
    // Changing nothing is not a change.
    server.pipe("import - --list spam", &rules("allow")).succeeds().prints("1050 unchanged");
    assert_eq!(server.changes().len(), 1_002);
    server.run("revoke --app shop --list spam --yes").succeeds();
    server.run("history --app shop").succeeds().prints("0 added, 0 changed, 1050 removed, list `spam`; 50 of these");
    assert!(server.stored().is_empty());
}

#[test]
fn commands_that_change_much_are_in_the_history() {
    let folder = TempFolder::new();
    let backup = folder.path().join("backup");
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    server.run("allow --app shop --from '+7*' --to b --yes").succeeds();
    server.run(&format!("backup {}", backup.display())).succeeds().prints("4 items");
    server.run("move --app shop b --to-party c --yes").succeeds();
    server.run("forget --app shop a --yes").succeeds();
    server.run("move --app shop --to-app store --yes").succeeds();
    let count = server.changes().len();
    server.run(&format!("restore {} --replace --yes", backup.display())).succeeds();
    // The history before is kept, and that in the backup is there already. What is removed has changes of its own.
    let is_summary = |change: &&Value| change.get("counts").is_some();
    assert_eq!(server.changes().iter().filter(is_summary).count(), 4 + 2);
    assert!(server.changes().len() > count + 2);
    let run = server.run("history --app shop").succeeds();
    run.clone()
        .prints("move --app shop b --to-party c --yes\n")
        .prints("0 added, 2 changed, 0 removed; 2 of these are not");
    run.clone().prints("forget --app shop a --yes\n").prints("0 added, 0 changed, 1 removed; 1 of these is not");
    run.clone().prints("move --app shop --to-app store --yes\n").prints("restore ");
    run.does_not_print("not in the history");
    server.run("history --app store").succeeds().prints("move --app shop --to-app store --yes");
    // An empty table gets its history back.
    let other = TestServer::with_table();
    other.run(&format!("restore {} --yes", backup.display())).succeeds().prints("4 items added");
    other.run("history --app shop").succeeds().prints("+ allow a to b").does_not_print("not in the history");
    let shop = |item: &Value| item["values"]["L"].as_array().map_or(0, Vec::len);
    assert_eq!(other.changes().iter().map(shop).sum::<usize>(), 2);
}
