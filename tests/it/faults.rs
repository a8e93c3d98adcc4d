//! What a broken DynamoDB, or a broken wire to it, does to a call: each fault with its answer, its line in the log, and
//! the next call.
//!
//! The table of `docs/src/measurements/reliability.md`, with times measured on the build that is deployed:
//!
//! `CALLGATE_MEASURE=1 CALLGATE_BINARY=target/release/callgate cargo test --test it faults -- --nocapture --test-threads=1`

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::dynamodb::{Action, StandIn, TABLE, Table};
use crate::gateway::call;
use crate::lambda::Sandbox;
use crate::proxy::{Identity, Proxy, TlsFront, Wire};

/// The time a decision may take reading, and what its answer may take besides.
struct Bounds {
    deadline: Duration,
    slack: Duration,
}

/// Without `CALLGATE_MEASURE` the machine is taken for a busy one, and only a hang is found.
fn bounds() -> Bounds {
    let [deadline, slack] = if std::env::var_os("CALLGATE_MEASURE").is_some() { [1_500, 100] } else { [4_000, 4_000] }
        .map(Duration::from_millis);
    Bounds { deadline, slack }
}

/// What a call has to get; of a failure, words of the error that is logged.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Permitted,
    Unavailable(&'static str),
    Invalid(&'static str),
}
use Expected::{Invalid, Permitted, Unavailable};

/// A running function that has opened its connection and waits for a call.
async fn ready(endpoint: &str, environment: &[(&str, &str)]) -> Sandbox {
    let deadline = bounds().deadline.as_millis().to_string();
    let environment = [environment, &[("STORE_DEADLINE_MS", &*deadline)]].concat();
    let mut sandbox = Sandbox::start(endpoint, &environment).await;
    sandbox.log().await;
    sandbox.polled().await;
    sandbox
}

/// Sends the call that the samples permit; what it took, and its line in the log.
async fn ring(sandbox: &mut Sandbox, what: &str, expected: Expected) -> (Duration, Value) {
    let from = Instant::now();
    let status = sandbox.invoke(&call("PPP009", "PPP005")).await.status;
    let took = from.elapsed();
    let line = sandbox.log().await;
    let (answer, reason, words) = match expected {
        Permitted => (200, "pair_rule", None),
        Unavailable(words) => (503, "store_unavailable", Some(words)),
        Invalid(words) => (403, "invalid_record", Some(words)),
    };
    assert_eq!((status, line["reason"].as_str()), (answer, Some(reason)), "{what}: {line}");
    assert_eq!(line["status"], status, "{what}");
    assert_eq!(line["level"], if words.is_some() { "error" } else { "info" }, "{what}");
    match words {
        Some(words) => assert!(line["error"].as_str().unwrap().contains(words), "{what}: {line}"),
        None => assert_eq!(line["error"], Value::Null, "{what}: {line}"),
    }
    let Bounds { deadline, slack } = bounds();
    assert!(took < deadline + slack, "{what}: {took:?}");
    (took, line)
}

/// A call that meets a fault.
struct Row {
    fault: String,
    took: Duration,
    line: Value,
}

impl Row {
    async fn of(sandbox: &mut Sandbox, fault: &str, expected: Expected) -> Self {
        let (took, line) = ring(sandbox, fault, expected).await;
        Self { fault: fault.to_owned(), took, line }
    }

    /// The fault is over: the next call must go through. Prints the row.
    async fn over(self, sandbox: &mut Sandbox) {
        let Self { fault, took, line } = self;
        let (next, _) = ring(sandbox, &format!("{fault}: the next call"), Permitted).await;
        let error = line["error"].as_str().map(|error| format!("`{error}`")).unwrap_or_default();
        println!(
            "| {fault} | {} | `{}` | {} | {error} | {} |",
            line["status"],
            line["reason"].as_str().unwrap(),
            took.as_millis(),
            next.as_millis(),
        );
    }
}

#[tokio::test]
async fn a_broken_wire_is_unavailable_and_the_next_call_works() {
    let table = Table::with_samples().await;
    let attempt = bounds().deadline * 2 / 5;
    let slow = |pause: u64, fault| {
        let pause = Duration::from_millis(pause);
        let expected = if pause < attempt { Permitted } else { Unavailable("DynamoDB") };
        (fault, Wire::Slow(pause), expected)
    };
    for (fault, wire, expected) in [
        ("accepted and silent", Wire::Silent, Unavailable("DynamoDB")),
        slow(100, "slow by 0.1 s"),
        slow(500, "slow by 0.5 s"),
        slow(1_000, "slow by 1 s"),
        slow(10_000, "slow by 10 s"),
        ("reset before the answer", Wire::ResetBefore, Unavailable("the request to DynamoDB failed")),
        ("reset in the middle of the answer", Wire::ResetInTheMiddle, Unavailable("the request to DynamoDB failed")),
        ("half a body", Wire::HalfABody, Unavailable("the request to DynamoDB failed")),
        ("garbage JSON", Wire::Garbage, Unavailable("the request to DynamoDB failed")),
        ("wrong checksum", Wire::Corrupted, Unavailable("the body does not match its checksum")),
    ] {
        let proxy = Proxy::before(&table, Wire::Intact).await;
        let mut sandbox = ready(&proxy.endpoint, &[]).await;
        proxy.set(wire);
        let row = Row::of(&mut sandbox, fault, expected).await;
        proxy.set(Wire::Intact);
        row.over(&mut sandbox).await;
    }
}

#[tokio::test]
async fn a_wire_that_breaks_once_costs_one_more_attempt() {
    let table = Table::with_samples().await;
    for (fault, wire) in [
        ("silent once", Wire::Silent),
        ("slow by 10 s once", Wire::Slow(Duration::from_secs(10))),
        ("reset before the answer once", Wire::ResetBefore),
        ("reset in the middle of the answer once", Wire::ResetInTheMiddle),
        ("half a body once", Wire::HalfABody),
        ("garbage JSON once", Wire::Garbage),
        ("wrong checksum once", Wire::Corrupted),
    ] {
        let proxy = Proxy::before(&table, Wire::Intact).await;
        let mut sandbox = ready(&proxy.endpoint, &[]).await;
        proxy.set_for(wire, 1);
        Row::of(&mut sandbox, fault, Permitted).await.over(&mut sandbox).await;
    }
}

#[tokio::test]
async fn who_is_not_there_is_unavailable() {
    let table = Table::with_samples().await;
    let mut proxy = Proxy::before(&table, Wire::Intact).await;
    let mut sandbox = ready(&proxy.endpoint, &[]).await;
    proxy.hang_up().await;
    let row = Row::of(&mut sandbox, "connection refused", Unavailable("Connection refused")).await;
    proxy.listen().await;
    row.over(&mut sandbox).await;
}

#[tokio::test]
async fn a_start_without_dynamodb_is_survived() {
    let table = Table::with_samples().await;
    let mut proxy = Proxy::before(&table, Wire::Silent).await;
    let mut sandbox = ready(&proxy.endpoint, &[]).await;
    let row = Row::of(&mut sandbox, "accepted and silent, from the start on", Unavailable("DynamoDB")).await;
    proxy.set(Wire::Intact);
    row.over(&mut sandbox).await;

    proxy.hang_up().await;
    let mut sandbox = ready(&proxy.endpoint, &[]).await;
    let fault = "connection refused, from the start on";
    let row = Row::of(&mut sandbox, fault, Unavailable("Connection refused")).await;
    proxy.listen().await;
    row.over(&mut sandbox).await;
}

#[tokio::test]
async fn who_cannot_show_who_it_is_is_not_asked() {
    let table = Table::with_samples().await;
    let dynamodb = TlsFront::before(&table).await;
    let mut sandbox = ready(&dynamodb.endpoint, &[("SSL_CERT_FILE", dynamodb.roots.to_str().unwrap())]).await;
    ring(&mut sandbox, "TLS", Permitted).await;
    for (fault, identity, error) in [
        ("TLS: certificate from an untrusted authority", Identity::Untrusted, "UnknownIssuer"),
        ("TLS: expired certificate", Identity::Expired, "certificate expired"),
        ("TLS: certificate of another server", Identity::AnotherName, "not valid for name"),
        ("TLS: a handshake that never ends", Identity::Silent, "DynamoDB"),
    ] {
        dynamodb.show(identity);
        let row = Row::of(&mut sandbox, fault, Unavailable(error)).await;
        dynamodb.show(Identity::Good);
        row.over(&mut sandbox).await;
    }
    std::fs::remove_file(&dynamodb.roots).unwrap();
}

fn error(status: StatusCode, code: &str) -> Action {
    Action::error(status, code)
}

fn throttled() -> Action {
    error(StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException")
}

#[tokio::test]
async fn what_lasts_is_unavailable() {
    let bad = |code| error(StatusCode::BAD_REQUEST, code);
    let answer = |body| Action::Answer(StatusCode::OK, body);
    let table = Table::with_samples().await;
    for (fault, then, words) in [
        ("400 validation", bad("ValidationException"), "DynamoDB answered ValidationException"),
        ("access denied", bad("AccessDeniedException"), "DynamoDB answered AccessDeniedException"),
        ("table missing", bad("ResourceNotFoundException"), "DynamoDB answered ResourceNotFoundException"),
        ("expired credentials", bad("ExpiredTokenException"), "DynamoDB answered ExpiredTokenException"),
        ("clock skew", bad("InvalidSignatureException"), "DynamoDB answered InvalidSignatureException"),
        ("throttled for ever", throttled(), "ProvisionedThroughputExceededException"),
        ("the account throttled for ever", bad("ThrottlingException"), "ThrottlingException"),
        ("500 for ever", error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"), "InternalServerError"),
        ("503 for ever", error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"), "ServiceUnavailable"),
        ("`UnprocessedKeys` for ever", Action::Unprocessed, "the table is throttled"),
        ("an answer without `Responses`", answer(json!({})), "it does not hold the table"),
        (
            "an item that was not requested",
            answer(json!({ "Responses": { TABLE: [{ "pk": { "S": "x" } }] } })),
            "was not requested",
        ),
    ] {
        let dynamodb = StandIn::before(&table, &[], then).await;
        let mut sandbox = ready(&dynamodb.endpoint, &[]).await;
        let row = Row::of(&mut sandbox, fault, Unavailable(words)).await;
        dynamodb.recover();
        row.over(&mut sandbox).await;
    }
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let table = Table::with_samples().await;
    for (fault, times, action) in [
        ("throttled once", 1, throttled()),
        ("throttled thrice", 3, throttled()),
        ("500 once", 1, error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")),
        ("503 once", 1, error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")),
        ("`UnprocessedKeys` once", 1, Action::Unprocessed),
    ] {
        let dynamodb = StandIn::before(&table, &vec![action; times], Action::Forward).await;
        let mut sandbox = ready(&dynamodb.endpoint, &[]).await;
        let row = Row::of(&mut sandbox, fault, Permitted).await;
        assert_eq!(dynamodb.requests().len(), times + 1, "{fault}");
        row.over(&mut sandbox).await;
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_unavailable() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("resolver-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let [library, resolves] = ["resolver.so", "resolves"].map(|name| directory.join(name));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/resolver.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", source, "-ldl", "-o"]).arg(&library).status();
    assert!(compiled.unwrap().success());

    let table = Table::with_samples().await;
    let port = table.endpoint.rsplit_once(':').unwrap().1;
    let environment = [("LD_PRELOAD", library.to_str().unwrap()), ("CALLGATE_RESOLVES", resolves.to_str().unwrap())];
    let mut sandbox = ready(&format!("http://dynamodb.test:{port}"), &environment).await;
    let row = Row::of(&mut sandbox, "DNS failure", Unavailable("dns error")).await;
    std::fs::write(&resolves, "").unwrap();
    row.over(&mut sandbox).await;
    std::fs::remove_dir_all(&directory).unwrap();
}

/// The item of exactly these two, allowing, with this attribute besides or instead.
fn pair(name: &str, value: &Value) -> Value {
    let mut item = json!({
        "pk": { "S": "PARTY#defaultApp#PPP005" },
        "sk": { "S": "CALLER#PPP009" },
        "effect": { "S": "allow" },
    });
    if value.is_null() {
        item.as_object_mut().unwrap().remove(name);
    } else {
        item[name] = value.clone();
    }
    item
}

fn party(id: &str, name: &str, value: &Value) -> Value {
    json!({ "pk": { "S": format!("PARTY#defaultApp#{id}") }, "sk": { "S": "PARTY" }, name: value })
}

fn app(name: &str, value: &Value) -> Value {
    json!({ "pk": { "S": "APP#defaultApp" }, "sk": { "S": "APP" }, name: value })
}

#[tokio::test]
async fn what_the_codec_does_not_understand_refuses_and_is_named() {
    let table = Table::with_samples().await;
    // The app is read each time, so that a fixed one is seen at once.
    let mut sandbox = ready(&table.endpoint, &[("APP_CACHE_SECONDS", "0")]).await;
    let text = json!({ "S": "?" });
    let number = json!({ "N": "1" });
    let rules = |rule: Value| json!({ "M": { "*": rule } });
    let deny = json!({ "M": { "effect": { "S": "deny" }, "media": { "SS": ["text"] } } });
    for (item, words) in [
        (pair("effect", &Value::Null), "`effect` is missing"),
        (pair("effect", &text), "`effect` is `?`, not `allow` or `deny`"),
        (pair("effect", &number), "`effect` is a number, not a string"),
        (pair("effect", &json!({ "BOOL": true })), "`effect` is a boolean, not a string"),
        (pair("effect", &json!({ "NULL": true })), "`effect` is null, not a string"),
        (pair("effect", &json!({ "M": {} })), "`effect` is a map, not a string"),
        (pair("effect", &json!({ "L": [] })), "`effect` is a list, not a string"),
        (pair("effect", &json!({ "B": "AA==" })), "`effect` is binary, not a string"),
        (pair("effect", &json!({ "SS": ["allow"] })), "`effect` is a set of strings, not a string"),
        (pair("effect", &json!({ "NS": ["1"] })), "`effect` is a set of numbers, not a string"),
        (pair("effect", &json!({ "BS": ["AA=="] })), "`effect` is a set of binaries, not a string"),
        (pair("media", &text), "`media` is a string, not a set of strings"),
        (pair("media", &json!({ "SS": ["text"] })), "`media` holds `text`, not `audio` or `video`"),
        (pair("hours", &text), "`hours` is a string, not a list of strings"),
        (pair("hours", &json!({ "L": [number] })), "`hours` holds a number, not only strings"),
        (pair("hours", &json!({ "L": [text] })), "`hours`: `?` is not a window"),
        (
            pair("hours", &json!({ "L": [{ "S": "Mon 09:00-18:00 Mars/Olympus" }] })),
            "`Mars/Olympus` is not a time zone",
        ),
        (pair("expires_at", &text), "`expires_at` is a string, not a number"),
        (pair("expires_at", &json!({ "N": "1.5" })), "`expires_at` is `1.5`, not whole seconds since 1970"),
        (pair("note", &number), "`note` is a number, not a string"),
        (pair("updated_at", &text), "`updated_at` is a string, not a number"),
        (pair("updated_by", &number), "`updated_by` is a number, not a string"),
        (pair("weekdays", &text), "`weekdays` is not an attribute of a rule"),
        (app("status", &text), "`status` is `?`, not `active` or `suspended`"),
        (app("callers", &text), "`callers` is a string, not a map"),
        (app("callers", &rules(text.clone())), "it is a string, not a map"),
        (app("note", &number), "`note` is a number, not a string"),
        (party("PPP009", "status", &number), "`status` is a number, not a string"),
        (party("PPP009", "outgoing", &text), "`outgoing` is a string, not a map"),
        (party("PPP009", "outgoing", &rules(deny.clone())), "rule `*` of `outgoing`: `media` holds `text`"),
        (party("PPP009", "expires_at", &text), "`expires_at` is a string, not a number"),
        (party("PPP009", "note", &number), "`note` is a number, not a string"),
        (party("PPP005", "incoming", &text), "`incoming` is a string, not a map"),
        (party("PPP005", "incoming", &rules(deny)), "rule `*` of `incoming`: `media` holds `text`"),
    ] {
        table.put(&item);
        let row = Row::of(&mut sandbox, &format!("an item with the error: {words}"), Invalid(words)).await;
        // The same item, without what was wrong.
        let mut fixed = json!({ "pk": item["pk"], "sk": item["sk"] });
        if item["sk"]["S"] == "CALLER#PPP009" {
            fixed["effect"] = json!({ "S": "allow" });
        }
        table.put(&fixed);
        row.over(&mut sandbox).await;
    }
}

#[tokio::test]
async fn an_attribute_of_an_unknown_type_refuses() {
    let table = Table::with_samples().await;
    let answer = json!({ "Responses": { TABLE: [pair("effect", &json!({ "X": "?" }))] } });
    let dynamodb = StandIn::before(&table, &[], Action::Answer(StatusCode::OK, answer)).await;
    let mut sandbox = ready(&dynamodb.endpoint, &[]).await;
    let words = "`effect` is of an unknown type, not a string";
    let row = Row::of(&mut sandbox, "an item with the error: `effect` is of an unknown type", Invalid(words)).await;
    dynamodb.recover();
    row.over(&mut sandbox).await;
}

#[tokio::test]
async fn an_item_near_the_limit_is_read() {
    let rules: serde_json::Map<_, _> =
        (0..9_000).map(|n| (format!("+7{n:05}*"), json!({ "M": { "effect": { "S": "deny" } } }))).collect();
    let callee = json!({
        "pk": { "S": "PARTY#defaultApp#PPP005" },
        "sk": { "S": "PARTY" },
        "note": { "S": "x".repeat(150_000) },
        "incoming": { "M": rules },
    });
    assert!((350_000..800_000).contains(&callee.to_string().len()), "{}", callee.to_string().len());
    let table = Table::with_samples().await;
    table.put(&callee);
    // An unoptimised DynamoDB, and function, take their time over such an item, and it is not the time that is tested.
    let mut sandbox = Sandbox::start(&table.endpoint, &[("STORE_DEADLINE_MS", "10000")]).await;
    sandbox.log().await;
    sandbox.polled().await;
    let mut times = Vec::new();
    for _ in 0..2 {
        let from = Instant::now();
        assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
        times.push(from.elapsed().as_millis());
        let line = sandbox.log().await;
        assert!(line["units"].as_f64().unwrap() > 70.0, "{line}");
    }
    println!("| an item near 400 KB | 200 | `pair_rule` | {} | | {} |", times[0], times[1]);
}

/// Lambda freezes a sandbox between calls, while servers close idle connections. The next call thaws it, and
/// finds both at once.
#[tokio::test]
async fn a_frozen_sandbox_finds_its_connections_closed() {
    let table = Table::with_samples().await;
    let proxy = Proxy::before(&table, Wire::Intact).await;
    let mut sandbox = ready(&proxy.endpoint, &[]).await;
    let mut slowest = Duration::ZERO;
    ring(&mut sandbox, "before", Permitted).await;
    for round in 0..100 {
        let connections = proxy.accepted();
        sandbox.signal("STOP");
        proxy.close_connections();
        let answer = sandbox.invoke(&call("PPP009", "PPP005"));
        // Long enough for both to wait at the sandbox's door.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let from = Instant::now();
        sandbox.signal("CONT");
        assert_eq!(answer.await.status, 200, "round {round}");
        slowest = slowest.max(from.elapsed());
        assert!(proxy.accepted() - connections <= 2, "round {round}: more than one retry");
        assert_eq!(sandbox.log().await["reason"], "pair_rule");
    }
    println!("100 frozen sandboxes thawed: the slowest answer took {} ms", slowest.as_millis());
}
