//! `table create`, `table describe`, `completions` and `man`.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::proxy::{Request, Treatment, start_proxy};
use crate::support::{Run, TABLE, TestServer, tool};

#[test]
fn table_create_creates_once_and_then_compares() {
    let server = TestServer::empty();
    server
        .run("table describe")
        .exits_with(1)
        .prints("there is no table `permissions`")
        .prints("callgatectl table create");
    server.run("table create").succeeds().prints("created, ACTIVE").prints("as they should be");
    server.run("table create").succeeds().prints("there already");
    assert_eq!(server.json("table describe")["differences"], json!([]));
    let expiry = server.request("DescribeTimeToLive", &json!({"TableName": TABLE}));
    assert_eq!(expiry["TimeToLiveDescription"]["AttributeName"], "expires_at");
    let index = &server.request("DescribeTable", &json!({"TableName": TABLE}))["Table"]["GlobalSecondaryIndexes"][0];
    assert_eq!(index["IndexName"], "inverted");
    assert_eq!(index["Projection"], json!({"ProjectionType": "KEYS_ONLY"}));
    let keys = [("sk", "HASH"), ("pk", "RANGE")].map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind}));
    assert_eq!(index["KeySchema"], json!(keys));
}

#[test]
fn a_table_without_the_index_gets_it_at_any_interruption() {
    let server = TestServer::with_table_and_index(None);
    server.run("table describe").exits_with(1).prints("differs: it has no index `inverted`").prints("table create");
    server.run("table create").succeeds().prints("completed, ACTIVE").prints("as they should be");
    server.run("table create").succeeds().prints("there already");
    for (number, treatment) in (0..6).flat_map(|number| [(number, false), (number, true)]) {
        let server = TestServer::with_table_and_index(None);
        let mut create = create_through(&server, move |count, _| match (count == number, treatment) {
            (false, _) => Treatment::Forward,
            (true, false) => Treatment::LoseRequest,
            (true, true) => Treatment::LoseAnswer,
        });
        Run::of(&mut create).succeeds().prints("as they should be");
        server.run("table create").succeeds().prints("there already");
    }
}

/// DynamoDB fills a new index for minutes. `table create` waits, and completes a table whose index another process adds.
#[test]
fn table_create_waits_until_the_index_is_active() {
    let server = TestServer::with_table();
    let mut create = create_through(&server, |number, request| match request.operation() {
        Some("DescribeTable") if number < 3 => {
            let key = |name: &str, key_type: &str| json!({"AttributeName": name, "KeyType": key_type});
            let text = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
            let table = json!({"TableStatus": "ACTIVE", "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
                "AttributeDefinitions": [text("pk"), text("sk")], "GlobalSecondaryIndexes": [
                    {"IndexName": "inverted", "IndexStatus": "CREATING", "Backfilling": true,
                     "KeySchema": [key("sk", "HASH"), key("pk", "RANGE")], "Projection": {"ProjectionType": "KEYS_ONLY"}}]});
            Treatment::answer("200 OK", &json!({"Table": table}))
        }
        Some("UpdateTable") => Treatment::refuse("ResourceInUseException"),
        _ => Treatment::Forward,
    });
    Run::of(&mut create).succeeds().prints("completed, ACTIVE").prints("as they should be");
}

#[test]
fn an_index_that_differs_is_described_and_not_changed() {
    let key = |name: &str, key_type: &str| json!({"AttributeName": name, "KeyType": key_type});
    let all = json!({"IndexName": "inverted", "KeySchema": [key("sk", "HASH"), key("pk", "RANGE")],
        "Projection": {"ProjectionType": "ALL"}});
    let other_keys = json!({"IndexName": "inverted", "KeySchema": [key("sk", "HASH")],
        "Projection": {"ProjectionType": "KEYS_ONLY"}});
    for (index, difference) in [(all, "holds more than keys"), (other_keys, "are not `sk` and `pk`")] {
        let server = TestServer::with_table_and_index(Some(&index));
        server.run("table describe").exits_with(1).prints(difference);
        server.run("table create").exits_with(1).prints("there already").prints(difference);
    }
}

/// `table create` through a proxy, which gets the number of requests before the one to treat.
fn create_through(
    server: &TestServer,
    treatment: impl Fn(usize, &Request) -> Treatment + Send + Sync + 'static,
) -> Command {
    let count = Arc::new(AtomicUsize::new(0));
    let url = start_proxy(server.address, move |request| treatment(count.fetch_add(1, Ordering::SeqCst), request));
    let mut create = tool();
    create.args(["table", "create", "--table", TABLE, "--endpoint-url", &url]);
    create
}

/// The number of requests of `table create` for a new table.
fn request_count() -> usize {
    let (server, count) = (TestServer::empty(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    let mut create = create_through(&server, move |number, _| {
        counted.store(number + 1, Ordering::SeqCst);
        Treatment::Forward
    });
    Run::of(&mut create).succeeds().prints("created, ACTIVE");
    count.load(Ordering::SeqCst)
}

/// Asserts that `table create` completes what an earlier run left, and that the table can then be used.
#[track_caller]
fn is_completed(server: &TestServer, left: &str) {
    let run = server.run("table create").succeeds().prints("as they should be");
    assert!(["created", "completed", "there already"].iter().any(|it| run.stdout.contains(it)), "{left}: {run:?}");
    server.run("table create").succeeds().prints("there already");
    server.run("allow --app shop --from a --to b").succeeds();
    let expiry = server.request("DescribeTimeToLive", &json!({"TableName": TABLE}));
    assert_eq!(expiry["TimeToLiveDescription"]["TimeToLiveStatus"], "ENABLED", "{left}");
}

#[test]
fn table_create_that_is_killed_at_any_request_is_completed() {
    for (number, forward) in (0..request_count()).flat_map(|number| [(number, false), (number, true)]) {
        let server = TestServer::empty();
        let (held, is_held) = std::sync::mpsc::channel();
        let mut create = create_through(&server, move |count, _| match count {
            count if count == number => Treatment::Hold { forward, held: held.clone() },
            _ => Treatment::Forward,
        });
        let mut child = create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        is_held.recv().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        is_completed(&server, &format!("killed at request {number}, forwarded: {forward}"));
    }
}

#[test]
fn a_request_or_an_answer_of_table_create_may_get_lost() {
    let numbers = 0..request_count();
    std::thread::scope(|scope| {
        for (number, is_answer) in numbers.flat_map(|number| [(number, false), (number, true)]) {
            scope.spawn(move || {
                let server = TestServer::empty();
                let has_expiry = Arc::new(AtomicBool::new(false));
                let mut create = create_through(&server, move |count, request| {
                    // DynamoDB, unlike the test server, refuses to set the attribute twice.
                    let sets_expiry = request.operation() == Some("UpdateTimeToLive");
                    let is_lost = count == number;
                    if sets_expiry && has_expiry.fetch_or(!is_lost || is_answer, Ordering::SeqCst) {
                        let message = "TimeToLive is already enabled";
                        return Treatment::answer(
                            "400 Bad Request",
                            &json!({"__type": "x#ValidationException", "message": message}),
                        );
                    }
                    match (is_lost, is_answer) {
                        (false, _) => Treatment::Forward,
                        (true, false) => Treatment::LoseRequest,
                        (true, true) => Treatment::LoseAnswer,
                    }
                });
                Run::of(&mut create).succeeds().prints("as they should be");
                is_completed(&server, &format!("lost {number}, answer: {is_answer}"));
            });
        }
    });
}

#[test]
fn an_incomplete_table_is_completed_and_one_with_other_keys_is_not_changed() {
    let server = TestServer::empty();
    let key = |name: &str, key_type: &str| json!({"AttributeName": name, "KeyType": key_type});
    let text = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let mut table = json!({"TableName": TABLE, "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
        "AttributeDefinitions": [text("pk"), text("sk")], "BillingMode": "PAY_PER_REQUEST"});
    server.request("CreateTable", &table);
    server.run("table describe").exits_with(1).prints("items do not expire");
    server.run("table create").succeeds().prints("completed, ACTIVE").prints("as they should be");
    server.run("table create").succeeds().prints("there already");

    let server = TestServer::empty();
    table["KeySchema"] = json!([key("sk", "HASH"), key("pk", "RANGE")]);
    server.request("CreateTable", &table);
    server.run("table create").exits_with(1).prints("`pk` is not its HASH key").does_not_print("completed");
    let expiry = server.request("DescribeTimeToLive", &json!({"TableName": TABLE}));
    assert_eq!(expiry["TimeToLiveDescription"]["TimeToLiveStatus"], "DISABLED");
}

/// A table that another process has just created.
#[test]
fn table_create_waits_until_the_table_is_active() {
    let server = TestServer::with_table();
    let mut create = create_through(&server, |number, request| match request.operation() {
        Some("DescribeTable") if number < 2 => {
            let key = |name: &str, key_type: &str| json!({"AttributeName": name, "KeyType": key_type});
            let text = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
            let table = json!({"TableStatus": "CREATING", "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
                "AttributeDefinitions": [text("pk"), text("sk")]});
            Treatment::answer("200 OK", &json!({"Table": table}))
        }
        _ => Treatment::Forward,
    });
    Run::of(&mut create).succeeds().prints("completed, ACTIVE").prints("as they should be");
}

#[test]
fn differences_of_an_existing_table_are_printed() {
    let server = TestServer::empty();
    server.request(
        "CreateTable",
        &json!({"TableName": TABLE, "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}),
    );
    server
        .run("table create")
        .exits_with(1)
        .prints("`pk` is not its HASH key")
        .prints("`sk` is not its RANGE key")
        .prints("not billed on demand")
        .prints("items do not expire");
}

#[test]
fn completions_and_man_pages_list_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        Run::of(tool().args(["completions", shell])).succeeds().prints("revoke");
    }
    let directory = std::env::temp_dir().join(format!("callgatectl-man-{}", std::process::id()));
    Run::of(tool().arg("man").arg(&directory)).succeeds();
    assert!(directory.join("callgatectl.1").exists() && directory.join("callgatectl-allow.1").exists());
    std::fs::remove_dir_all(directory).unwrap();
}
