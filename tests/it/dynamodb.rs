//! DynamoDB's side of the wire: an embedded compatible server, and a stand-in before it that can fail.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use dynoxide::Database;
use dynoxide::actions::batch_write_item::BatchWriteItemRequest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Barrier;

/// The table of the samples.
pub(crate) const TABLE: &str = "callgate";

/// A table of its own for one test.
pub(crate) struct Table {
    database: Database,
    pub(crate) endpoint: String,
}

impl Table {
    /// An empty table.
    pub(crate) async fn empty() -> Self {
        let database = Database::memory().unwrap();
        let table = json!({
            "TableName": TABLE,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                { "AttributeName": "pk", "AttributeType": "S" },
                { "AttributeName": "sk", "AttributeType": "S" },
            ],
            "KeySchema": [
                { "AttributeName": "pk", "KeyType": "HASH" },
                { "AttributeName": "sk", "KeyType": "RANGE" },
            ],
        });
        database.create_table(serde_json::from_value(table).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(dynoxide::server::serve_on(listener, database.clone()));
        Self { database, endpoint }
    }

    /// The samples of `events/permissions.json`.
    pub(crate) async fn with_samples() -> Self {
        let table = Self::empty().await;
        table.write(serde_json::from_str(include_str!("../../events/permissions.json")).unwrap());
        table
    }

    /// Only these items, in DynamoDB's JSON: as another program would write them.
    pub(crate) async fn of(items: &[Value]) -> Self {
        let table = Self::empty().await;
        for item in items {
            table.put(item);
        }
        table
    }

    /// Adds an item, or replaces it.
    pub(crate) fn put(&self, item: &Value) {
        self.write(json!({ TABLE: [{ "PutRequest": { "Item": item } }] }));
    }

    fn write(&self, request_items: Value) {
        let request_items = serde_json::from_value(request_items).unwrap();
        self.database.batch_write_item(BatchWriteItemRequest { request_items, ..Default::default() }).unwrap();
    }
}

/// What the stand-in does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Passes it on.
    Forward,
    /// Passes it on after a while.
    Delay(Duration),
    /// Passes it on when as many requests as the barrier is for have arrived.
    Gather(Arc<Barrier>),
    /// Answers this itself.
    Answer(StatusCode, Value),
    /// Answers with an item for each key: an app with the first list, in DynamoDB's JSON, parties with the second, and a
    /// pair that allows the call and has a note as long as an item may be.
    Full([Arc<str>; 2]),
    /// Answers that it read nothing of what was asked for.
    Unprocessed,
    /// Answers so after a while.
    DelayUnprocessed(Duration),
}

impl Action {
    /// An error as DynamoDB words it.
    pub(crate) fn error(status: StatusCode, code: &str) -> Self {
        let error = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "not today" });
        Self::Answer(status, error)
    }
}

/// A stand-in between the function and the table: it counts requests, and can fail them.
#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) endpoint: String,
    state: Arc<StandInState>,
}

struct StandInState {
    upstream: String,
    script: Mutex<VecDeque<Action>>,
    /// What it does when the script is at its end.
    then: Mutex<Action>,
    requests: Mutex<Vec<Value>>,
    /// The requests by which a starting function opened its connection.
    openings: Mutex<Vec<Value>>,
    /// Those get what every other request gets.
    openings_fail: AtomicBool,
    /// What the requests were signed with.
    signatures: Mutex<Vec<String>>,
}

impl StandIn {
    /// Plays the script, one action a request, and goes on with the last one.
    pub(crate) async fn before(table: &Table, script: &[Action], then: Action) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(StandInState {
            upstream: table.endpoint.clone(),
            script: Mutex::new(script.iter().cloned().collect()),
            then: Mutex::new(then),
            requests: Mutex::default(),
            openings: Mutex::default(),
            openings_fail: AtomicBool::default(),
            signatures: Mutex::default(),
        });
        let app = Router::new().fallback(handle).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { endpoint, state }
    }

    /// Only counts.
    pub(crate) async fn counting(table: &Table) -> Self {
        Self::before(table, &[], Action::Forward).await
    }

    /// From now on it does this.
    pub(crate) fn change(&self, then: Action) {
        *self.state.then.lock().unwrap() = then;
    }

    /// From now on it only passes on.
    pub(crate) fn recover(&self) {
        *self.state.then.lock().unwrap() = Action::Forward;
    }

    /// From now on it plays this script, and then only passes on.
    pub(crate) fn recover_after(&self, script: &[Action]) {
        self.state.script.lock().unwrap().extend(script.iter().cloned());
        self.recover();
    }

    /// The `BatchGetItem`s so far, and a failure for anything else.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.state.requests.lock().unwrap().clone()
    }

    /// From now on a starting function gets what every other request gets.
    pub(crate) fn fail_openings(&self) {
        self.state.openings_fail.store(true, Ordering::Relaxed);
    }

    /// The signatures of the requests so far.
    pub(crate) fn signatures(&self) -> Vec<String> {
        self.state.signatures.lock().unwrap().clone()
    }

    /// The requests by which a starting function opened its connection.
    pub(crate) fn openings(&self) -> Vec<Value> {
        self.state.openings.lock().unwrap().clone()
    }
}

async fn handle(State(state): State<Arc<StandInState>>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["x-amz-target"], "DynamoDB_20120810.BatchGetItem", "the role may do nothing else");
    let request: Value = serde_json::from_slice(&body).unwrap();
    let authorization = headers["authorization"].to_str().unwrap();
    state.signatures.lock().unwrap().extend(authorization.split_once("Signature=").map(|(_, it)| it.to_owned()));
    if opens_the_connection(&request) && !state.openings_fail.load(Ordering::Relaxed) {
        state.openings.lock().unwrap().push(request);
        return forward(&state.upstream, headers, body).await;
    }
    state.requests.lock().unwrap().push(request.clone());
    let action = state.script.lock().unwrap().pop_front().unwrap_or_else(|| state.then.lock().unwrap().clone());
    match action {
        Action::Forward => forward(&state.upstream, headers, body).await,
        Action::Delay(pause) => {
            tokio::time::sleep(pause).await;
            forward(&state.upstream, headers, body).await
        }
        Action::Gather(barrier) => {
            barrier.wait().await;
            forward(&state.upstream, headers, body).await
        }
        Action::Answer(status, body) => (status, body.to_string()).into_response(),
        Action::Full(lists) => full_items(&request, &lists),
        Action::Unprocessed => unprocessed(&request),
        Action::DelayUnprocessed(pause) => {
            tokio::time::sleep(pause).await;
            unprocessed(&request)
        }
    }
}

fn full_items(request: &Value, [callers, incoming]: &[Arc<str>; 2]) -> Response {
    let attributes = |sort_key: &str| match sort_key {
        "APP" => format!(r#""callers":{callers}"#),
        "PARTY" => format!(r#""incoming":{incoming}"#),
        _ => format!(r#""effect":{{"S":"allow"}},"note":{{"S":"{}"}}"#, "x".repeat(409_000)),
    };
    let keys = request["RequestItems"][TABLE]["Keys"].as_array().unwrap();
    let items = keys.iter().map(|key| {
        let (pk, sk) = (&key["pk"], &key["sk"]);
        format!(r#"{{"pk":{pk},"sk":{sk},{}}}"#, attributes(sk["S"].as_str().unwrap()))
    });
    let items = items.collect::<Vec<_>>().join(",");
    format!(r#"{{"Responses":{{"{TABLE}":[{items}]}},"UnprocessedKeys":{{}}}}"#).into_response()
}

fn unprocessed(request: &Value) -> Response {
    json!({ "Responses": { TABLE: [] }, "UnprocessedKeys": request["RequestItems"] }).to_string().into_response()
}

/// The request of a start is not a part of any decision.
fn opens_the_connection(request: &Value) -> bool {
    request["RequestItems"][TABLE]["Keys"] == json!([{ "pk": { "S": "-" }, "sk": { "S": "-" } }])
}

async fn forward(upstream: &str, headers: HeaderMap, body: Bytes) -> Response {
    let answer = reqwest::Client::new().post(upstream).headers(headers).body(body).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.bytes().await.unwrap()).into_response()
}

/// An address that refuses connections.
pub(crate) async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
