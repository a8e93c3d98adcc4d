//! Measures `callgatectl replay` over a million rules, against a bare loop that reads the same items from the same server.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use dynoxide::Database;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::fixture::TABLE;
use crate::grow::{Item, import, item, table};
use crate::program::Program;
use crate::statistics::Samples;

/// Rules in the table: one between each caller and a callee.
pub(crate) const RULES: u32 = 1_000_000;

/// Callees of these rules. Each has an item of its own with a list, too.
pub(crate) const CALLEES: u32 = 100_000;

/// Rules in one import.
pub(crate) const CHUNK: u32 = 50_000;

/// The most keys of a request, and the most requests at once, as `replay` sends them.
const BATCH: usize = 100;
const CONNECTIONS: usize = 16;

/// The most seconds that a replay of 100,000 calls may take on two cores.
const LIMIT: Duration = Duration::from_secs(10);

/// The replay's rate must be at least this share of the bare loop's, which reads no log and no file.
const MIN_SHARE: f64 = 0.1;

/// A log to replay.
struct Log {
    name: &'static str,
    /// The number of different callers.
    callers: u32,
    /// The number of different callees.
    callees: u32,
}

/// How the calls are spread over parties. With the second, no party calls twice.
const LOGS: [Log; 2] = [
    Log { name: "5,000 callers", callers: 5_000, callees: 1_000 },
    Log { name: "a caller for each call", callers: RULES, callees: CALLEES },
];

/// The measurements of a log.
pub(crate) struct Measurement {
    name: &'static str,
    calls: u32,
    /// The number of items that are read.
    keys: usize,
    replay: Samples,
    bare: Samples,
}

/// The number of times that each key was requested.
type Requested = Arc<Mutex<HashMap<(String, String), u32>>>;

/// Replays logs of so many calls in rounds with the bare loop, so that other load on the machine affects both.
pub(crate) async fn measure(tool: &Program, rounds: u32, calls: u32) -> anyhow::Result<Vec<Measurement>> {
    eprintln!("a table of {RULES} rules");
    let database = table()?;
    for start in (0..RULES).step_by(usize::try_from(CHUNK)?) {
        import(&database, (start..start + CHUNK).map(pair).collect())?;
    }
    for start in (0..CALLEES).step_by(usize::try_from(CHUNK)?) {
        import(&database, (start..start + CHUNK).map(callee).collect())?;
    }
    let requested = Requested::default();
    let address = serve(database, Arc::clone(&requested)).await?;
    let folder = tempfile::tempdir()?;
    let rules = folder.path().join("rules.csv");
    std::fs::write(&rules, "app,from,to,effect\nshop,+7495*,*,deny\nshop,*,PPP000007,allow\n")?;
    let mut measurements = Vec::new();
    for Log { name, callers, callees } in LOGS {
        let log = folder.path().join("calls.log");
        let keys = write_log(&log, calls, callers, callees)?;
        let mut measurement =
            Measurement { name, calls, keys: keys.len(), replay: Samples::default(), bare: Samples::default() };
        for _ in 0..rounds {
            requested.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let started_at = Instant::now();
            let status = Command::new(&tool.path)
                .args(["--table", TABLE, "--endpoint-url", &format!("http://{address}"), "replay", "--with"])
                .arg(&rules)
                .arg("--log")
                .arg(&log)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .await?;
            measurement.replay.push(started_at.elapsed().as_secs_f64());
            anyhow::ensure!(status.code() == Some(4), "`replay` ended with {status}");
            check_requests(&requested.lock().unwrap_or_else(PoisonError::into_inner), &keys)?;
            measurement.bare.push(bare_loop(&address, &keys).await?.as_secs_f64());
        }
        measurements.push(measurement);
    }
    Ok(measurements)
}

/// An item with the rule of this number.
pub(crate) fn pair(rule: u32) -> Item {
    item(&json!({
        "pk": {"S": format!("PARTY#shop#PPP{:06}", rule % CALLEES)},
        "sk": {"S": format!("CALLER#+7495{rule:07}")},
        "effect": {"S": "allow"},
    }))
}

/// The item of the callee of this number.
pub(crate) fn callee(number: u32) -> Item {
    let rule = |effect: &str| json!({"M": {"effect": {"S": effect}}});
    item(&json!({
        "pk": {"S": format!("PARTY#shop#PPP{number:06}")},
        "sk": {"S": "PARTY"},
        "incoming": {"M": {"+7495*": rule("deny"), "+7499*": rule("allow"), "PPP*": rule("allow")}},
    }))
}

/// Writes a log, and returns the keys of the items that decide its calls.
fn write_log(
    path: &std::path::Path,
    calls: u32,
    callers: u32,
    callees: u32,
) -> anyhow::Result<HashSet<(String, String)>> {
    let mut log = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut keys = HashSet::from([("APP#shop".to_owned(), "APP".to_owned())]);
    for call in 0..calls {
        // Spread over the table. Both factors have no divisor in common with the numbers of parties.
        let caller = format!("+7495{:07}", u64::from(call) * 7_919 % u64::from(callers));
        let callee = format!("PPP{:06}", u64::from(call) * 104_729 % u64::from(callees));
        writeln!(
            log,
            "{{\"timestamp\":\"2026-11-24T{:02}:{:02}:11.431641Z\",\"level\":\"info\",\"message\":\"decision\",\
             \"hook\":\"OnCallEvent\",\"decision\":\"deny\",\"reason\":\"callee_rule\",\"door\":\"callee\",\
             \"rule\":\"+7495*\",\"app\":\"shop\",\"caller\":\"{caller}\",\"callee\":\"{callee}\",\"media\":[\"audio\"],\
             \"call_id\":null,\"request_id\":\"r\",\"cold_start\":false,\"store_ms\":3.444,\"total_ms\":3.616,\"units\":4.0,\
             \"status\":403}}",
            call / 60 % 24,
            call % 60
        )?;
        let pk = |id: &str| format!("PARTY#shop#{id}");
        keys.insert((pk(&callee), format!("CALLER#{caller}")));
        keys.insert((pk(&callee), "PARTY".to_owned()));
        keys.insert((pk(&caller), "PARTY".to_owned()));
    }
    log.flush()?;
    Ok(keys)
}

/// Checks that each of these keys was requested once, and no other.
fn check_requests(requested: &HashMap<(String, String), u32>, keys: &HashSet<(String, String)>) -> anyhow::Result<()> {
    let twice = requested.values().filter(|&&times| times != 1).count();
    anyhow::ensure!(twice == 0, "{twice} keys were requested more than once");
    let others = requested.keys().filter(|key| !keys.contains(*key)).count();
    anyhow::ensure!(others == 0, "{others} keys were requested that decide no call");
    anyhow::ensure!(requested.len() == keys.len(), "{} of {} keys were requested", requested.len(), keys.len());
    Ok(())
}

/// Serves `BatchGetItem` of a table over HTTP, and counts the keys. Returns the address.
async fn serve(database: Database, requested: Requested) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (database, requested) = (database.clone(), Arc::clone(&requested));
            tokio::spawn(async move {
                let service = service_fn(|request| respond(request, &database, &requested));
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
            });
        }
    });
    Ok(address)
}

async fn respond(
    request: Request<Incoming>,
    database: &Database,
    requested: &Requested,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let operation =
        request.headers().get("x-amz-target").and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    anyhow::ensure!(operation.ends_with(".BatchGetItem"), "`replay` sends `{operation}`, not only `BatchGetItem`");
    let body = request.into_body().collect().await?.to_bytes();
    let body: Value = serde_json::from_slice(&body)?;
    let keys = body.pointer(&format!("/RequestItems/{TABLE}/Keys")).and_then(Value::as_array);
    {
        let text = |key: &Value, name| key.pointer(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut requested = requested.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys.context("the request has no keys")? {
            *requested.entry((text(key, "/pk/S"), text(key, "/sk/S"))).or_default() += 1;
        }
    }
    let response = database.batch_get_item(serde_json::from_value(body)?)?;
    let response = serde_json::to_vec(&response)?;
    Ok(Response::builder()
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-crc32", crc32fast::hash(&response))
        .body(Full::new(response.into()))?)
}

/// Reads the items with these keys, by as many requests at once as `replay` sends, and drops the answers.
async fn bare_loop(address: &str, keys: &HashSet<(String, String)>) -> anyhow::Result<Duration> {
    let keys: Vec<_> = keys.iter().map(|(pk, sk)| json!({"pk": {"S": pk}, "sk": {"S": sk}})).collect();
    let bodies = keys.chunks(BATCH).map(|keys| {
        let body = json!({"RequestItems": {TABLE: {"Keys": keys, "ConsistentRead": true}}});
        Bytes::from(body.to_string())
    });
    let bodies: Vec<_> = bodies.collect();
    let started_at = Instant::now();
    let mut loops = tokio::task::JoinSet::new();
    for first in 0..CONNECTIONS {
        let (address, bodies) =
            (address.to_owned(), bodies.iter().skip(first).step_by(CONNECTIONS).cloned().collect::<Vec<_>>());
        loops.spawn(async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            for body in bodies {
                let request = Request::post("/").header("host", &address).header("x-amz-target", "x.BatchGetItem");
                let response = sender.send_request(request.body(Full::new(body))?).await?;
                response.into_body().collect().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    Ok(started_at.elapsed())
}

impl Measurement {
    fn seconds(&self) -> [f64; 2] {
        [&self.replay, &self.bare].map(|samples| samples.percentile(50).unwrap_or_default())
    }

    /// Checks the time, and the share of the bare loop's rate.
    ///
    /// # Errors
    /// When `replay` is slower.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let [replay, bare] = self.seconds();
        let share = bare / replay;
        anyhow::ensure!(
            share >= MIN_SHARE,
            "{}: {share:.2} of the bare loop's rate; the limit is {MIN_SHARE}",
            self.name
        );
        let limit = LIMIT.as_secs_f64() * f64::from(self.calls) / 100_000.0;
        anyhow::ensure!(replay <= limit, "{}: {replay:.1} seconds; the limit is {limit:.1}", self.name);
        Ok(())
    }
}

/// Formats the measurements as a Markdown table.
pub(crate) fn format(measurements: &[Measurement]) -> String {
    let row = |it: &Measurement| {
        let [replay, bare] = it.seconds();
        format!("| {} | {} | {} | {replay:.1} | {bare:.1} | {:.2} |\n", it.name, it.calls, it.keys, bare / replay)
    };
    let rows: String = measurements.iter().map(row).collect();
    format!("| log | calls | items read | replay, s | bare loop, s | share |\n|---|---:|---:|---:|---:|---:|\n{rows}")
}
