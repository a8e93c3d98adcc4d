//! Lambda's side of the wire: the Runtime API (AWS Lambda Developer Guide, "Using the Lambda runtime API"), and
//! the built function as a process with an environment.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::dynamodb::TABLE;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running function.
pub(crate) struct Sandbox {
    child: Child,
    events: mpsc::UnboundedSender<Invocation>,
    lines: mpsc::UnboundedReceiver<String>,
    errors: mpsc::UnboundedReceiver<String>,
    polls: Arc<Semaphore>,
    invoked: u32,
}

struct Invocation {
    id: String,
    event: String,
    answer: oneshot::Sender<Result<Value, Value>>,
}

/// The function's answer, whichever payload version it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
}

impl Sandbox {
    /// Starts the built function with a table at this endpoint, and these variables besides Lambda's own.
    pub(crate) async fn start(endpoint: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_at("", endpoint, environment).await
    }

    /// Starts it with a prefix to the address of the Runtime API: emulators put a scheme there, Lambda nothing.
    pub(crate) async fn start_at(scheme: &str, endpoint: &str, environment: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("{scheme}{}", listener.local_addr().unwrap());
        let (events, pending) = mpsc::unbounded_channel();
        let polls = Arc::new(Semaphore::new(0));
        let api = Arc::new(RuntimeApi {
            pending: tokio::sync::Mutex::new(pending),
            waiting: Mutex::default(),
            polls: Arc::clone(&polls),
        });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(RuntimeApi::next))
            .route("/2018-06-01/runtime/invocation/{id}/{outcome}", post(RuntimeApi::answered))
            .with_state(api);
        tokio::spawn(async move { axum::serve(listener, routes).await });

        let mut child = function(&address, endpoint)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = read_lines(child.stdout.take().unwrap());
        let errors = read_lines(child.stderr.take().unwrap());
        Self { child, events, lines, errors, polls, invoked: 0 }
    }

    /// Waits until the function has asked for an event once more.
    pub(crate) async fn polled(&mut self) {
        tokio::time::timeout(PATIENCE, self.polls.acquire()).await.expect("the function did not ask").unwrap().forget();
    }

    /// Sends an event through the function.
    #[track_caller]
    pub(crate) fn invoke(&mut self, event: &Value) -> impl Future<Output = Reply> + use<> {
        let answer = self.invoke_raw(&event.to_string());
        async move { reply(&answer.await.unwrap_or_else(|error| panic!("the function failed: {error}"))) }
    }

    /// Sends any text as an event; the error is what the function reports to Lambda.
    pub(crate) fn invoke_raw(&mut self, event: &str) -> impl Future<Output = Result<Value, Value>> + use<> {
        self.invoked += 1;
        let (answer, answered) = oneshot::channel();
        let id = format!("request-{}", self.invoked);
        self.events.send(Invocation { id, event: event.to_owned(), answer }).unwrap();
        async move { tokio::time::timeout(PATIENCE, answered).await.expect("the function did not answer").unwrap() }
    }

    /// The next line of the log, as text.
    pub(crate) async fn log_text(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.lines.recv()).await.expect("nothing was logged").unwrap()
    }

    /// The next line of the log.
    pub(crate) async fn log(&mut self) -> Value {
        let line = self.log_text().await;
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a line of JSON: {line}"))
    }

    /// Sends the process a signal, such as STOP: it does not notice what happens until CONT.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &process]).status().unwrap().success());
    }

    /// The memory the process holds, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// The most memory the process ever held, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.kib("VmHWM:")
    }

    fn kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Stops the function and returns the rest of its log.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        self.child.kill().await.unwrap();
        let mut lines = Vec::new();
        while let Some(line) = self.lines.recv().await {
            lines.push(line);
        }
        // A panic would be here.
        assert_eq!(self.errors.recv().await, None, "something was written to stderr");
        lines
    }
}

/// The built function with the environment Lambda would give it. `CALLGATE_BINARY` names another build of it, such
/// as the one that is deployed.
pub(crate) fn function(runtime_api: &str, endpoint: &str) -> Command {
    let binary = std::env::var("CALLGATE_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_callgate").to_owned());
    let mut command = Command::new(binary);
    command.env_clear().envs([
        ("AWS_LAMBDA_RUNTIME_API", runtime_api),
        ("AWS_LAMBDA_FUNCTION_NAME", "callgate-test"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDPLANTED"),
        ("AWS_SECRET_ACCESS_KEY", "planted-secret-access-key"),
        ("AWS_SESSION_TOKEN", "planted-session-token"),
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
        ("TABLE_NAME", TABLE),
    ]);
    command
}

fn read_lines(stream: impl AsyncRead + Unpin + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut lines = BufReader::new(stream).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Reads the function's answer as API Gateway would: payload 2.0 has `headers`, 1.0 `multiValueHeaders`.
pub(crate) fn reply(answer: &Value) -> Reply {
    assert_eq!(answer["isBase64Encoded"], false, "{answer}");
    let mut headers = BTreeMap::new();
    for (name, value) in answer["headers"].as_object().unwrap() {
        headers.insert(name.clone(), value.as_str().unwrap().to_owned());
    }
    for (name, values) in answer["multiValueHeaders"].as_object().unwrap() {
        let [value] = values.as_array().unwrap().as_slice() else { panic!("not one value: {answer}") };
        let earlier = headers.insert(name.clone(), value.as_str().unwrap().to_owned());
        assert_eq!(earlier, None, "API Gateway would send it twice: {answer}");
    }
    Reply {
        status: answer["statusCode"].as_u64().unwrap().try_into().unwrap(),
        headers,
        body: answer.get("body").and_then(Value::as_str).map(str::to_owned),
    }
}

struct RuntimeApi {
    pending: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Result<Value, Value>>>>,
    polls: Arc<Semaphore>,
}

impl RuntimeApi {
    async fn next(State(api): State<Arc<Self>>) -> Response {
        api.polls.add_permits(1);
        let Some(Invocation { id, event, answer }) = api.pending.lock().await.recv().await else {
            return StatusCode::GONE.into_response();
        };
        let headers = [
            ("lambda-runtime-aws-request-id", id.clone()),
            ("lambda-runtime-deadline-ms", "4102444800000".to_owned()),
            ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:x".to_owned()),
            ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0".to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        api.waiting.lock().unwrap().insert(id, answer);
        (headers.map(|(name, value)| (axum::http::HeaderName::from_static(name), value)), event).into_response()
    }

    /// `response` or `error`.
    #[expect(clippy::unused_async, reason = "axum's handlers are async")]
    async fn answered(
        State(api): State<Arc<Self>>,
        Path((id, outcome)): Path<(String, String)>,
        answer: String,
    ) -> StatusCode {
        let waiting = api.waiting.lock().unwrap().remove(&id).expect("answered once");
        // The test may not wait for it any more.
        let answer = serde_json::from_str(&answer).unwrap();
        let _ = waiting.send(if outcome == "response" { Ok(answer) } else { Err(answer) });
        StatusCode::ACCEPTED
    }
}
