//! Imports that fail, that do not fit, or that meet other writers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use serde_json::json;

use crate::proxy::{Request, Treatment, start_proxy};
use crate::support::{Run, TABLE, TestServer, csv, split_words, tool, tool_at};

fn import(url: &str, arguments: &[&str], rules: &str) -> Run {
    let mut import = tool();
    import.args(["import", "-", "--table", TABLE, "--endpoint-url", url]).args(arguments);
    Run::with_input(&mut import, rules)
}

/// Imports rules through a proxy that refuses every write with one of them. Asserts that the error names the rule, and that
/// the printed number of written rules is true.
#[track_caller]
fn check_rejected_rule(row: fn(usize) -> String, text: &'static str, named: &str) {
    let server = TestServer::with_table();
    let url = start_proxy(server.address, move |request| {
        if request.is_write() && request.json().to_string().contains(text) {
            return Treatment::refuse_with("ValidationException", "one of the items is not valid");
        }
        Treatment::Forward
    });
    let run = import(&url, &["--concurrency", "1"], &csv(0..60, row)).exits_with(1);
    let run = run.prints(named).prints("cannot be written").prints("is not valid");
    let written = server.run("export").stdout.lines().count() - 1;
    assert!((1..60).contains(&written));
    run.prints(&format!("{written} of 60 rules are written"));
}

#[test]
fn a_rejected_rule_is_named_with_its_line() {
    check_rejected_rule(
        |number| format!("shop,caller{number:02},callee,allow"),
        "caller37",
        "error: line 39: allow caller37 to callee in app shop cannot be written",
    );
    check_rejected_rule(
        |number| format!("shop,+7{number:02}*,callee,allow"),
        "+741*",
        "error: line 43: allow +741* to callee in app shop cannot be written",
    );
}

#[test]
fn the_first_rule_that_is_not_confirmed_is_named() {
    let server = TestServer::with_table();
    let batches = Mutex::new(0);
    let url = start_proxy(server.address, move |request| {
        if request.operation() != Some("BatchWriteItem") || !request.is_write() {
            return Treatment::Forward;
        }
        let mut batches = batches.lock().unwrap();
        *batches += 1;
        match *batches {
            1 => Treatment::Forward,
            // Ten of the items are written.
            2 => {
                let mut all = request.json()["RequestItems"][TABLE].as_array().unwrap().clone();
                let rest = all.split_off(10);
                request.send("BatchWriteItem", &json!({"RequestItems": {TABLE: all}}));
                Treatment::answer("200 OK", &json!({"UnprocessedItems": {TABLE: rest}}))
            }
            _ => Treatment::refuse_with("AccessDeniedException", "no longer"),
        }
    });
    let rules = csv(0..60, |number| format!("shop,caller{number:02},callee,allow"));
    import(&url, &["--concurrency", "1"], &rules)
        .exits_with(1)
        .prints("35 of 60 rules are written")
        .prints("the first rule that is not confirmed: line 37: allow caller35 to callee in app shop");
    assert_eq!(server.items().len(), 35);
}

/// Rules of one list, with notes of 2,000 characters.
fn list(series: u8, count: usize) -> String {
    let note = "x".repeat(2_000);
    csv(0..count, |number| format!("shop,+{series}{number:05}*,PPP005,allow,{note}")).replacen(
        "effect",
        "effect,note",
        1,
    )
}

#[test]
fn a_list_that_does_not_fit_is_refused_before_the_first_write() {
    let server = TestServer::with_table();
    for arguments in ["import -", "import - --replace --yes"] {
        server
            .pipe(arguments, &list(1, 300))
            .exits_with(1)
            .prints("party `PPP005` of app `shop` would take")
            .prints("KB during the import, with its old and new rules together, and DynamoDB allows 400 KB")
            .prints("of the file's 300 rules for it would fit; nothing was written");
        assert!(server.items().is_empty());
    }
    server.pipe("import -", &list(1, 120)).succeeds();
    let before = server.items();
    // The new rules fit, but not together with the old ones that they replace.
    server.pipe("import - --replace --yes", &list(2, 120)).exits_with(1).prints("would fit; nothing was written");
    assert_eq!(server.items(), before);
    let note = "x".repeat(420_000);
    let text = format!("app,from,to,effect,note\nshop,a,b,allow,{note}\n");
    server.pipe("import -", &text).exits_with(1).prints("the rule from `a` to `b` of app `shop` would take 411 KB");
    assert_eq!(server.items(), before);
}

/// As many rules as the message says fit.
#[test]
fn as_many_rules_fit_as_the_refusal_says() {
    let refused = TestServer::with_table().pipe("import -", &list(1, 300)).exits_with(1);
    let fitting = refused.stderr.split(" of the file's").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let server = TestServer::with_table();
    server.pipe("import -", &list(1, fitting + 1)).exits_with(1).prints("would take 40");
    server.pipe("import -", &list(1, fitting)).succeeds();
    let item = server.stored()[0].clone();
    assert_eq!(item["incoming"]["M"].as_object().unwrap().len(), fitting);
    let allow = format!("allow --app shop --from '+9*' --to PPP005 --yes --note {}", "x".repeat(2_000));
    server.run(&allow).exits_with(1).prints(&format!("{fitting} rules would fit without it"));
    // Sizes are approximate, so DynamoDB may refuse a rule all the same.
    let proxy = start_proxy(server.address, |request| match request.operation() {
        Some("TransactWriteItems") => {
            Treatment::refuse_with("ValidationException", "Item size to update has exceeded the maximum allowed size")
        }
        _ => Treatment::Forward,
    });
    let short = split_words("allow --app shop --from '+9*' --to PPP005 --yes");
    Run::of(tool_at(&proxy).args(short))
        .exits_with(1)
        .prints("the item would be larger than the 400 KB that DynamoDB allows");
}

#[test]
fn a_party_that_has_expired_is_replaced_by_its_new_rules() {
    let server = TestServer::with_table();
    server.put(&json!({
        "pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "PARTY"}, "expires_at": {"N": "1700000000"},
        "status": {"S": "suspended"}, "note": {"S": "a guest"},
        "incoming": {"M": {"*": {"M": {"effect": {"S": "allow"}}}, "+7*": {"M": {"effect": {"S": "deny"}}}}},
    }));
    let rules = "app,from,to,effect\nshop,+7*,PPP005,deny\nshop,+74*,PPP005,allow\nshop,PPP005,+1*,allow\n";
    let run = server.pipe("import -", rules).succeeds().prints("3 rules written");
    run.prints("notice: line 2: party `PPP005` has expired; its former rules are removed");
    let effect = |effect: &str| json!({"M": {"effect": {"S": effect}}});
    assert_eq!(
        server.items(),
        [json!({
            "pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "PARTY"},
            "incoming": {"M": {"+7*": effect("deny"), "+74*": effect("allow")}},
            "outgoing": {"M": {"+1*": effect("allow")}}, "note": {"S": "a guest"},
        })]
    );
    server.run("check --app shop --from +749 --to PPP005").succeeds();
    server.run("check --app shop --from +79 --to PPP005").exits_with(3);
}

#[test]
fn a_rule_that_ends_with_its_party_is_named() {
    let server = TestServer::with_table();
    server.put(&json!({
        "pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "PARTY"}, "expires_at": {"N": "4070908800"},
        "incoming": {"M": {"+7*": {"M": {"effect": {"S": "deny"}}}}},
    }));
    let rules = "app,from,to,effect\nshop,+7*,PPP005,deny\nshop,+74*,PPP005,allow\n";
    let notice = "line 3: party `PPP005` expires at 2099-01-01 00:00 UTC, and this rule with it: allow +74* to PPP005";
    server.pipe("import -", rules).succeeds().prints("imported: 1 rule written, 1 unchanged").prints(notice);
    assert_eq!(server.items()[0]["expires_at"], json!({"N": "4070908800"}));
}

/// The old rules of the tests below, and the file that replaces them.
const OLD: &str =
    "app,from,to,effect\nshop,a,b,allow\nshop,c,b,allow\nshop,+7*,b,allow\nshop,+8*,b,allow\nshop,d,b,deny\n";
const NEW: &str = "app,from,to,effect\nshop,new,b,allow\n";

/// Starts a proxy that changes a pair and an entry of a list just before the first new rule is written.
fn start_with_other_writer(server: &TestServer) -> String {
    let is_done = AtomicBool::new(false);
    start_proxy(server.address, move |request| {
        if request.operation() == Some("BatchWriteItem") && !is_done.swap(true, Ordering::SeqCst) {
            change(request);
        }
        Treatment::Forward
    })
}

fn change(request: &Request) {
    let expression = |path: &str, sk: &str, names: serde_json::Value| {
        json!({
            "TableName": TABLE, "Key": {"pk": {"S": "PARTY#shop#b"}, "sk": {"S": sk}},
            "UpdateExpression": format!("SET {path} = :v"), "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {":v": {"S": "wanted after all"}},
        })
    };
    request.send("UpdateItem", &expression("#n", "CALLER#c", json!({"#n": "note"})));
    request.send("UpdateItem", &expression("#l.#e.#n", "PARTY", json!({"#l": "incoming", "#e": "+8*", "#n": "note"})));
}

#[test]
fn a_rule_that_changed_meanwhile_is_not_removed() {
    let server = TestServer::with_table();
    server.pipe("import -", OLD).succeeds();
    let url = start_with_other_writer(&server);
    let run = import(&url, &["--replace", "--yes"], NEW).exits_with(1).prints("2 rules changed meanwhile");
    run.prints("- allow c to b (wanted after all)")
        .prints("- allow +8* to b (wanted after all)")
        .prints("run the same command");
    // What did not change is removed, but no deny, because an allow is still there.
    let stored = server.run("export").succeeds().stdout;
    assert_eq!(
        stored.lines().skip(1).collect::<Vec<_>>(),
        [
            "shop,+8*,b,allow,,,,,,wanted after all",
            "shop,c,b,allow,,,,,,wanted after all",
            "shop,d,b,deny,,,,,,",
            "shop,new,b,allow,,,,,,"
        ]
    );
    server.pipe("import - --replace --yes", NEW).succeeds().prints("0 rules written, 3 removed, 1 unchanged");
}

#[test]
#[cfg(unix)]
fn on_a_terminal_an_import_asks_again_about_rules_that_changed() {
    let server = TestServer::with_table();
    server.pipe("import -", OLD).succeeds();
    let url = start_with_other_writer(&server);
    let file = std::env::temp_dir().join(format!("callgatectl-changed-{}.csv", std::process::id()));
    std::fs::write(&file, NEW).unwrap();
    let mut command = tool();
    command.args(["import", "--replace", "--table", TABLE, "--endpoint-url", &url]).arg(&file);
    let (code, shown) = crate::terminal::on_terminal(&mut command, "y\ny\n");
    std::fs::remove_file(file).unwrap();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches("Do it? [y/N]").count(), 2, "{shown}");
    let again = "3 rules not in the file will be removed";
    assert!(shown.contains("5 rules not in the file will be removed") && shown.contains(again), "{shown}");
    assert!(shown.contains("imported: 1 rule written, 5 removed"), "{shown}");
    assert_eq!(server.run("export").stdout.lines().count(), 2);
}

#[test]
fn the_second_of_two_replacing_imports_names_the_rules_of_the_first() {
    let server = TestServer::with_table();
    server.pipe("import -", OLD).succeeds();
    let (reached, second_writes) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let (is_first, may_go_on) = (AtomicBool::new(true), Mutex::new(may_go_on));
    let url = start_proxy(server.address, move |request| {
        // The second import has read the table and waits before its first write.
        if request.is_write() && is_first.swap(false, Ordering::SeqCst) {
            reached.send(()).unwrap();
            may_go_on.lock().unwrap().recv().unwrap();
        }
        Treatment::Forward
    });
    let run = std::thread::scope(|scope| {
        let second = scope.spawn(|| import(&url, &["--replace", "--yes"], NEW));
        second_writes.recv().unwrap();
        let first = csv(0..25, |number| format!("shop,first{number:02},b,allow"));
        server.pipe("import - --replace --yes", &first).succeeds().prints("25 rules written, 5 removed");
        go_on.send(()).unwrap();
        second.join().unwrap()
    });
    let run = run.exits_with(1).prints("imported: 1 rule written, 5 removed").prints("25 other rules are there");
    run.prints("  allow first00 to b in app shop").prints("first19").does_not_print("first20").prints("... and 5 more");
}
