//! What a broken wire to DynamoDB does to a call: each fault with its answer, its line in the log, and the next call.
//!
//! `cargo test --test it faults -- --nocapture` prints the table of `docs/reliability.md` with measured times.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::dynamodb::{Action, StandIn, TABLE, Table, nobody};
use crate::gateway::call;
use crate::lambda::Sandbox;

/// The deadline of every test here, in milliseconds.
const DEADLINE_MS: u64 = 2_000;

/// What a fault may take longer than the deadline: the machine is shared, and this is no measurement.
const SLACK: Duration = Duration::from_secs(3);

/// What happens to an answer on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Intact,
    Silent,
    Slow(Duration),
    ResetBefore,
    ResetInTheMiddle,
    HalfABody,
    Corrupted,
}

/// Carries requests to the table, and harms the answers.
struct Proxy {
    endpoint: String,
    wire: Arc<Mutex<Wire>>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Proxy {
    async fn before(table: &Table, wire: Wire) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let upstream = table.endpoint.strip_prefix("http://").unwrap().to_owned();
        let wire = Arc::new(Mutex::new(wire));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (fault, open) = (Arc::clone(&wire), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let carried = tokio::spawn(carry(client, upstream.clone(), Arc::clone(&fault)));
                open.lock().unwrap().push(carried.abort_handle());
            }
        });
        Self { endpoint, wire, connections }
    }

    fn set(&self, wire: Wire) {
        *self.wire.lock().unwrap() = wire;
    }

    /// Closes what is open, as servers do with connections nobody used for a while.
    fn close_connections(&self) {
        self.connections.lock().unwrap().drain(..).for_each(|connection| connection.abort());
    }
}

async fn carry(mut client: TcpStream, upstream: String, wire: Arc<Mutex<Wire>>) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let mut server = TcpStream::connect(upstream).await.ok()?;
    loop {
        let request = read_message(&mut client).await?;
        server.write_all(&request).await.ok()?;
        let mut answer = read_message(&mut server).await?;
        let half = answer.len() - 40;
        let now = *wire.lock().unwrap();
        match now {
            Wire::Intact => {}
            Wire::Silent => std::future::pending().await,
            Wire::Slow(pause) => tokio::time::sleep(pause).await,
            Wire::ResetBefore => return client.set_zero_linger().ok(),
            Wire::ResetInTheMiddle => {
                client.write_all(&answer[..half]).await.ok()?;
                return client.set_zero_linger().ok();
            }
            Wire::HalfABody => return client.write_all(&answer[..half]).await.ok(),
            // Still JSON of the same length, with other words.
            Wire::Corrupted => {
                let at = answer.windows(5).position(|bytes| bytes == b"allow").unwrap();
                answer[at..at + 5].copy_from_slice(b"aLLow");
            }
        }
        client.write_all(&answer).await.ok()?;
    }
}

/// One HTTP message with a `Content-Length`.
async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        if stream.read_buf(&mut message).await.ok()? == 0 {
            return None;
        }
        let Some(head) = message.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&message[..head]).to_ascii_lowercase();
        let length: usize = text.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        if message.len() >= head + 4 + length {
            return Some(message);
        }
    }
}

/// A running function, its table, and a call that is permitted.
async fn sandbox(endpoint: &str) -> Sandbox {
    let deadline = DEADLINE_MS.to_string();
    let mut sandbox = Sandbox::start(endpoint, &[("STORE_DEADLINE_MS", &deadline)]).await;
    sandbox.log().await;
    sandbox
}

/// Sends the permitted call; its status, its log line, and prints the row of the table.
async fn ring(sandbox: &mut Sandbox, fault: &str) -> (u16, Value) {
    let from = Instant::now();
    let status = sandbox.invoke(&call("PPP009", "PPP005")).await.status;
    let took = from.elapsed();
    let line = sandbox.log().await;
    let error = line["error"].as_str().unwrap_or("–");
    println!("| {fault} | {status} | `{}` | {} ms | {error} |", line["reason"].as_str().unwrap(), took.as_millis());
    assert!(status == 200 || took < Duration::from_millis(DEADLINE_MS) + SLACK, "{fault}: {took:?}");
    assert_eq!(status == 200, line["decision"] == "allow", "{fault}: {line}");
    (status, line)
}

#[tokio::test]
async fn a_broken_wire_is_unavailable_and_the_next_call_works() {
    for (fault, wire) in [
        ("accepted and silent", Wire::Silent),
        ("slow by 10 s", Wire::Slow(Duration::from_secs(10))),
        ("reset before the answer", Wire::ResetBefore),
        ("reset in the middle of the answer", Wire::ResetInTheMiddle),
        ("half a body", Wire::HalfABody),
        ("wrong checksum", Wire::Corrupted),
    ] {
        let table = Table::with_samples().await;
        let proxy = Proxy::before(&table, wire).await;
        let mut sandbox = sandbox(&proxy.endpoint).await;
        let (status, line) = ring(&mut sandbox, fault).await;
        assert_eq!((status, line["reason"].as_str()), (503, Some("store_unavailable")), "{fault}: {line}");
        proxy.set(Wire::Intact);
        assert_eq!(ring(&mut sandbox, &format!("{fault}: the next call")).await.0, 200);
    }
}

#[tokio::test]
async fn a_slow_wire_is_waited_for() {
    let table = Table::with_samples().await;
    let proxy = Proxy::before(&table, Wire::Slow(Duration::from_millis(100))).await;
    let mut sandbox = sandbox(&proxy.endpoint).await;
    assert_eq!(ring(&mut sandbox, "slow by 100 ms").await.0, 200);
}

#[tokio::test]
async fn what_dynamodb_refuses_for_ever_is_unavailable() {
    let error = |code| Action::error(StatusCode::BAD_REQUEST, code);
    for (fault, then) in [
        ("validation", error("ValidationException")),
        ("access denied", error("AccessDeniedException")),
        ("table missing", error("ResourceNotFoundException")),
        ("expired credentials", error("ExpiredTokenException")),
        ("clock skew", error("InvalidSignatureException")),
        ("throttled for ever", error("ThrottlingException")),
        ("500 for ever", Action::error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")),
        ("503 for ever", Action::error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")),
        ("unprocessed for ever", Action::Unprocessed),
        ("garbage JSON", Action::Answer(StatusCode::OK, json!("{"))),
        ("an empty answer", Action::Answer(StatusCode::OK, json!({}))),
        ("an answer to another question", Action::Answer(StatusCode::OK, json!({ "Responses": { TABLE: [{}] } }))),
    ] {
        let table = Table::with_samples().await;
        let dynamodb = StandIn::before(&table, &[], then).await;
        let mut sandbox = sandbox(&dynamodb.endpoint).await;
        let (status, line) = ring(&mut sandbox, fault).await;
        assert_eq!((status, line["reason"].as_str()), (503, Some("store_unavailable")), "{fault}: {line}");
        dynamodb.recover();
        assert_eq!(ring(&mut sandbox, &format!("{fault}: the next call")).await.0, 200);
    }
}

#[tokio::test]
async fn who_is_not_there_is_unavailable() {
    let refused = format!("http://{}", nobody().await);
    for (fault, endpoint) in [("connection refused", &*refused), ("DNS failure", "http://callgate.invalid:8000")] {
        let (status, line) = ring(&mut sandbox(endpoint).await, fault).await;
        assert_eq!((status, line["reason"].as_str()), (503, Some("store_unavailable")), "{fault}: {line}");
    }
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
    // A debug build on a busy machine takes its time over such an item, and it is not the time that is tested.
    let mut sandbox = Sandbox::start(&table.endpoint, &[("STORE_DEADLINE_MS", "10000")]).await;
    sandbox.log().await;
    let (status, line) = ring(&mut sandbox, "an item near 400 KB").await;
    assert_eq!(status, 200);
    assert!(line["units"].as_f64().unwrap() > 70.0, "{line}");
}

/// Lambda freezes a sandbox between calls, while servers close connections nobody uses.
#[tokio::test]
async fn a_frozen_sandbox_finds_its_connections_closed() {
    let table = Table::with_samples().await;
    let proxy = Proxy::before(&table, Wire::Intact).await;
    let mut sandbox = sandbox(&proxy.endpoint).await;
    for round in 0..100 {
        assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200, "round {round}");
        sandbox.signal("STOP");
        proxy.close_connections();
        sandbox.signal("CONT");
    }
}
