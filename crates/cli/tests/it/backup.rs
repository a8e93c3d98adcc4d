//! `backup` and `restore`.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, TABLE, TempFolder, TestServer, tool};

/// Items of every kind, with everything that they can have, and some that other programs have written.
fn items() -> Vec<Value> {
    let rule = |effect: &str| {
        json!({"M": {"effect": {"S": effect}, "media": {"SS": ["video", "audio"]}, "hours": {"L": [{"S": "Mon 09:00-18:00 UTC"}]},
            "expires_at": {"N": "4070908800"}, "disabled": {"BOOL": true}, "list": {"S": "spam"}, "note": {"S": "=1, \"a\"\n\u{1b}"},
            "updated_at": {"N": "1700000000"}, "updated_by": {"S": "another user"}}})
    };
    vec![
        json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "status": {"S": "suspended"}, "note": {"S": "closed"},
            "callers": {"M": {"+1*": rule("deny"), "@sales": rule("allow")}}, "destinations": {"M": {"+882*": rule("deny")}}}),
        json!({"pk": {"S": "APP#way%232"}, "sk": {"S": "APP"}, "callers": {"M": {}}}),
        json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "PARTY"}, "groups": {"SS": ["sales", "night"]},
            "incoming": {"M": {"*": rule("allow")}}, "outgoing": {"M": {"+7*": {"M": {"effect": {"S": "alow"}}}}},
            "blocked": {"M": {"note": {"S": "x"}, "updated_by": {"S": "y"}}}, "expires_at": {"N": "4070908800"},
            "colour": {"L": [{"NULL": true}, {"B": "AP8="}, {"NS": ["2", "10"]}, {"BS": ["AQ==", "AA=="]}, {"M": {}}]}}),
        json!({"pk": {"S": "PARTY#shop#gone"}, "sk": {"S": "PARTY"}, "expires_at": {"N": "1700000000"}, "status": {"S": "on"}}),
        json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "CALLER#PPP009"}, "effect": {"S": "allow"}, "updated_by": {"S": "z"}}),
        json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "CALLER#broken"}, "effect": {"N": "1"}}),
    ]
}

fn foreign() -> Value {
    json!({"pk": {"S": "ORDER#1"}, "sk": {"S": "x"}, "total": {"N": "5"}})
}

/// The stored items, with sorted sets.
fn stored(server: &TestServer) -> Vec<Value> {
    fn sort(value: &mut Value) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| match (name.as_str(), value) {
                ("SS" | "NS" | "BS", Value::Array(set)) => set.sort_by_key(Value::to_string),
                (_, value) => sort(value),
            }),
            Value::Array(values) => values.iter_mut().for_each(sort),
            _ => {}
        }
    }
    let mut items = server.stored();
    items.iter_mut().for_each(sort);
    items
}

fn server_with(items: &[Value]) -> TestServer {
    let server = TestServer::with_table();
    for item in items {
        server.put(item);
    }
    server
}

fn run(server: &TestServer, command: &str, file: &Path, options: &[&str]) -> Run {
    Run::of(server.tool().arg(command).arg(file).args(options))
}

#[test]
fn a_backup_has_everything_and_a_restore_gives_it_back() {
    let server = server_with(&items());
    server.put(&foreign());
    let before = stored(&server);
    let folder = TempFolder::new();
    let file = folder.path().join("permissions.backup");
    run(&server, "backup", &file, &[])
        .succeeds()
        .prints("backed up: 6 items of table `permissions`")
        .prints("1 item not callgate's left out");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 8);
    let first = &lines[0];
    assert_eq!(
        (&first["callgate_backup"], &first["table"], &first["callgate"]),
        (&json!(1), &json!(TABLE), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert!(first["taken_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&lines[7]["items"], &lines[7]["foreign"]), (&json!(6), &json!(1)));
    assert!(lines[1..7].iter().all(|line| line["Item"]["pk"]["S"].is_string()));
    // Nothing differs.
    run(&server, "restore", &file, &["--replace"])
        .succeeds()
        .prints("0 items added, 0 changed, 0 removed, 6 unchanged");
    // Items are added, changed and removed.
    for key in [("APP#way%232", "APP"), ("PARTY#shop#gone", "PARTY")] {
        server.request("DeleteItem", &json!({"TableName": TABLE, "Key": {"pk": {"S": key.0}, "sk": {"S": key.1}}}));
    }
    server.run("resume --app shop").succeeds();
    server.run("allow --app shop --from PPP009 --to PPP005 --note changed").succeeds();
    server.run("allow --app new --from a --to b").succeeds();
    server.run("suspend --app new a").succeeds();
    let changed = stored(&server);
    let run_dry = run(&server, "restore", &file, &["--replace", "--dry-run"]).succeeds();
    run_dry
        .prints("+ app `way#2`\n")
        .prints("+ party `gone` of app `shop`\n")
        .prints("~ app `shop`\n")
        .prints("~ the rule from `PPP009` to `PPP005` of app `shop`\n")
        .prints("- the rule from `a` to `b` of app `new`\n")
        .prints("2 items would be added, 2 changed, 2 removed; 2 stay as they are, and 0 others");
    let question = run(&server, "restore", &file, &["--replace"]).exits_with(1);
    question
        .prints("the backup of table `permissions`, taken at 2")
        .prints("2 items would be removed; nothing was written; confirm with --yes");
    assert_eq!(stored(&server), changed);
    run(&server, "restore", &file, &["--replace", "--yes"])
        .succeeds()
        .prints("restored: 2 items added, 2 changed, 2 removed, 2 unchanged");
    assert_eq!(stored(&server), before);
    // Into another table, with its own items.
    let other = TestServer::with_table();
    other.run("allow --app new --from a --to b").succeeds();
    let own = stored(&other);
    run(&other, "restore", &file, &[]).succeeds().prints("6 items added, 0 changed, 0 removed, 0 unchanged");
    let mut all = [own, before.into_iter().filter(|item| item["pk"]["S"] != "ORDER#1").collect()].concat();
    all.sort_by_key(|item: &Value| (item["pk"].to_string(), item["sk"].to_string()));
    assert_eq!(stored(&other), all);
}

#[test]
#[cfg(unix)]
fn only_its_owner_can_read_a_backup_and_an_earlier_one_stays_until_it_is_complete() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = server_with(&items());
    let folder = TempFolder::new();
    let file = folder.write("permissions.backup", "the earlier one");
    let names = || std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect::<Vec<_>>();
    let url = start_proxy(server.address, |request| match request.operation() {
        Some("Scan") => Treatment::refuse("AccessDeniedException"),
        _ => Treatment::Forward,
    });
    let mut backup = crate::support::tool_at(&url);
    Run::of(backup.arg("backup").arg(&file)).exits_with(1).prints("refused by the test");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "the earlier one");
    assert_eq!(names(), ["permissions.backup"]);
    run(&server, "backup", &file, &[]).succeeds();
    assert_eq!(names(), ["permissions.backup"]);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    run(&server, "backup", Path::new("/dev/null"), &[])
        .exits_with(1)
        .prints("not a regular file; write - for standard output");
    run(&server, "backup", &folder.path().join("no/such/folder"), &[]).exits_with(1).prints("cannot be written");
}

#[test]
fn a_backup_goes_through_pipes() {
    let server = server_with(&items());
    let backup = server.run("backup -").succeeds().prints("backed up: 6 items");
    let other = TestServer::with_table();
    other.run("allow --app new --from a --to b").succeeds();
    other.pipe("restore - --replace", &backup.stdout).exits_with(1).prints("confirm with --yes");
    other.pipe("restore - --replace --yes", &backup.stdout).succeeds();
    assert_eq!(stored(&other), stored(&server));
}

#[test]
fn a_file_that_is_not_a_whole_backup_is_refused_before_anything_is_written() {
    let server = server_with(&items());
    let whole = server.run("backup -").succeeds().stdout;
    let other = TestServer::with_table();
    let check = |text: &str, why: &str| {
        other.pipe("restore - --yes", text).exits_with(1).prints(why).prints("nothing was written");
        assert!(other.stored().is_empty(), "{why}");
    };
    let lines: Vec<_> = whole.lines().collect();
    for count in 1..lines.len() {
        let part = lines[..count].join("\n") + "\n";
        check(&part, &format!("the backup is cut off after line {count}"));
        for missing in [1, 2] {
            let part = part.get(..part.len() - missing).unwrap();
            check(part, if count == 1 { "line 1" } else { "is cut off" });
        }
    }
    check("", "the file is empty");
    check("app,from,to,effect\nshop,a,b,allow\n", "line 1 is not the first line of a backup");
    check("{\"app\":\"shop\"}\n", "line 1 is not the first line of a backup");
    let rest = whole.split_once('\n').unwrap().1;
    check(rest, "line 1 is not the first line of a backup");
    check(&whole.replace("\"callgate_backup\":1", "\"callgate_backup\":2"), "line 1 has format 2, and this version");
    let without = |number: usize| {
        let mut lines = lines.clone();
        lines.remove(number);
        lines.join("\n") + "\n"
    };
    check(&without(3), "line 7 counts 6 items, but the file has 5");
    check(&(whole.clone() + lines[1] + "\n"), "line 9 follows the last line");
    check(&(lines[..2].join("\n") + "\n" + rest), "line 3 has an item that is there already");
    check(&whole.replacen("{\"S\":\"APP\"}", "{\"S\":\"APPS\"}", 1), "has an item whose key is not one of callgate's");
    check(&whole.replacen("{\"SS\":", "{\"XS\":", 1), "cannot be read: `");
    check(&whole.replacen("\"Item\"", "\"item\"", 1), "is neither an item nor the last line");
    other.run("restore /nonexistent/x").exits_with(1).prints("cannot be opened");
}

/// Many items that differ in every way between the table and the backup.
fn before_and_after() -> [Vec<Value>; 2] {
    let item = |party: usize, effect: &str| {
        json!({"pk": {"S": format!("PARTY#shop#p{party:03}")}, "sk": {"S": "PARTY"},
            "incoming": {"M": {"*": {"M": {"effect": {"S": effect}}}}}})
    };
    let app = json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "callers": {"M": {"+1*": {"M": {"effect": {"S": "deny"}}}}}});
    let before = (0..12).map(|party| item(party, if party % 3 == 0 { "allow" } else { "deny" })).chain([app]).collect();
    let after = (6..18).map(|party| item(party, if party % 2 == 0 { "allow" } else { "deny" })).collect();
    [before, after]
}

#[test]
fn a_restore_that_is_killed_at_any_write_is_completed_by_running_it_again() {
    let [before, after] = before_and_after();
    let source = server_with(&after);
    let folder = TempFolder::new();
    let file = folder.path().join("backup");
    run(&source, "backup", &file, &[]).succeeds();
    let mut killed = 0;
    for at in 1.. {
        let server = server_with(&before);
        let writes = AtomicUsize::new(0);
        let (held, is_held) = mpsc::channel();
        let url = start_proxy(server.address, move |request| {
            if request.is_write() && writes.fetch_add(1, Ordering::SeqCst) + 1 == at {
                return Treatment::Hold { forward: at % 2 == 0, held: held.clone() };
            }
            Treatment::Forward
        });
        let mut restore = tool();
        restore.args(["--table", TABLE, "--endpoint-url", &url, "restore", "--replace", "--yes", "--concurrency", "1"]);
        let mut child =
            restore.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // It ends without that many writes, and the proxy with its sender stays.
        let end = loop {
            if let Ok(()) = is_held.try_recv() {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            std::thread::yield_now();
        };
        if let Some(status) = end {
            assert!(status.success() && stored(&server) == stored(&source));
            break;
        }
        killed += 1;
        run(&server, "restore", &file, &["--replace", "--yes"]).succeeds();
        assert_eq!(stored(&server), stored(&source), "killed at write {at}");
    }
    assert!(killed > 8, "{killed}");
}

#[test]
fn an_item_that_changes_during_a_restore_is_not_removed_unseen() {
    let [before, after] = before_and_after();
    let source = server_with(&after);
    let backup = source.run("backup -").succeeds().stdout;
    let server = server_with(&before);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let url = start_proxy(server.address, move |request| {
        if request.is_write() && !is_done.swap(true, Ordering::SeqCst) {
            for (key, sk) in [("PARTY#shop#p000", "PARTY"), ("PARTY#shop#late", "CALLER#a")] {
                request.send("UpdateItem", &json!({
                    "TableName": TABLE, "Key": {"pk": {"S": key}, "sk": {"S": sk}}, "UpdateExpression": "SET #n = :v",
                    "ExpressionAttributeNames": {"#n": "note"}, "ExpressionAttributeValues": {":v": {"S": "wanted"}},
                }));
            }
        }
        Treatment::Forward
    });
    let mut restore = crate::support::tool_at(&url);
    let run = Run::with_input(restore.args(["restore", "-", "--replace", "--yes"]), &backup).exits_with(1);
    run.prints("1 item was not removed, because another writer changed it meanwhile")
        .prints("run the same command again");
    assert!(server.stored().iter().any(|item| item["pk"]["S"] == "PARTY#shop#p000"));
    server.pipe("restore - --replace --yes", &backup).succeeds().prints("2 removed");
    assert_eq!(stored(&server), stored(&source));
}

#[test]
#[cfg(unix)]
fn an_interrupted_restore_names_how_many_items_it_wrote() {
    let [before, after] = before_and_after();
    let source = server_with(&after);
    let folder = TempFolder::new();
    let file = folder.path().join("backup");
    run(&source, "backup", &file, &[]).succeeds();
    let server = server_with(&before);
    let (held, is_held) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let url = start_proxy(server.address, move |request| {
        if request.is_write() {
            held.send(()).unwrap();
            let _ = may_go_on.lock().unwrap().recv();
        }
        Treatment::Forward
    });
    let mut restore = crate::support::tool_at(&url);
    restore.args(["restore", "--replace", "--yes", "--concurrency", "1"]).arg(&file);
    let child = restore.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    is_held.recv().unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().try_into().unwrap()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    // The signal may arrive after one of the next writes has begun.
    drop(go_on);
    let run = Run::new(&child.wait_with_output().unwrap()).exits_with(1);
    run.prints("interrupted: ").prints(" items are restored; until you run the same command again");
    Run::of(server.tool().args(["restore", "--replace", "--yes"]).arg(&file)).succeeds();
    assert_eq!(stored(&server), stored(&source));
}
