//! Measures how the cost of a call grows with the rules in the table, the patterns of a callee, and concurrent calls.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::{AttributeValue, Database, ImportOptions};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::compare::milliseconds;
use crate::fixture::{self, TABLE};
use crate::function::Function;
use crate::program::Program;
use crate::statistics::Samples;

/// Numbers of exact rules in a table.
const RULES: [u32; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];

/// Numbers of patterns of a callee.
const PATTERNS: [u32; 4] = [1, 10, 100, 1_000];

/// Numbers of concurrent clients.
const CLIENTS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Exact rules of each callee, one per caller.
const CALLERS: u32 = 100;

/// Rules in one import.
const CHUNK: u32 = 50_000;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The cost of a call at one size.
#[derive(Debug)]
pub(crate) struct Point {
    /// The number of rules or patterns.
    pub(crate) size: u32,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Read units.
    pub(crate) units: f64,
}

/// A running function, the events to send to it, and the samples so far.
struct Workload {
    size: u32,
    function: Function,
    events: Vec<Bytes>,
    cpu: Samples,
    wall: Samples,
}

/// Measures the cost of a call for tables with more and more exact rules.
pub(crate) async fn rules(callgate: &Program, rounds: u32, calls: u32) -> anyhow::Result<Vec<Point>> {
    let mut workloads = Vec::new();
    for rules in RULES {
        eprintln!("a table of {rules} rules");
        let database = table()?;
        for start in (0..rules).step_by(usize::try_from(CHUNK)?) {
            import(&database, (start..rules.min(start + CHUNK)).map(exact_rule).collect())?;
        }
        let endpoint = serve(database).await?;
        // The calls are spread over the whole table. Their number is the same for each size.
        let step = rules / 100;
        let events = (0..100).map(|call| {
            let rule = call * step;
            fixture::event_with_parties(&format!("C{}", rule % CALLERS), &format!("P{}", rule / CALLERS))
        });
        workloads.push(Workload::new(callgate, &endpoint, rules, events.collect::<anyhow::Result<_>>()?).await?);
    }
    measure(workloads, rounds, calls).await
}

fn exact_rule(rule: u32) -> Item {
    item(&json!({
        "pk": {"S": format!("PARTY#defaultApp#P{}", rule / CALLERS)},
        "sk": {"S": format!("CALLER#C{}", rule % CALLERS)},
        "effect": {"S": "allow"},
    }))
}

/// Measures the cost of a call for callees with more and more patterns.
pub(crate) async fn patterns(callgate: &Program, rounds: u32, calls: u32) -> anyhow::Result<Vec<Point>> {
    let database = table()?;
    import(&database, PATTERNS.into_iter().map(callee_with_patterns).collect())?;
    let endpoint = serve(database).await?;
    let mut workloads = Vec::new();
    for patterns in PATTERNS {
        let event = fixture::event_with_parties("+74950000000", &format!("P{patterns}"))?;
        workloads.push(Workload::new(callgate, &endpoint, patterns, vec![event]).await?);
    }
    measure(workloads, rounds, calls).await
}

/// Returns the item of a callee. Only the first of its patterns matches the call.
fn callee_with_patterns(patterns: u32) -> Item {
    let rule = json!({"M": {"effect": {"S": "allow"}}});
    let incoming: serde_json::Map<_, _> =
        (0..patterns).map(|number| (format!("+7495{number:03}*"), rule.clone())).collect();
    item(&json!({
        "pk": {"S": format!("PARTY#defaultApp#P{patterns}")},
        "sk": {"S": "PARTY"},
        "incoming": {"M": incoming},
    }))
}

pub(crate) fn item(attributes: &Value) -> Item {
    serde_json::from_value(attributes.clone()).unwrap_or_default()
}

/// Creates an empty permission table.
pub(crate) fn table() -> anyhow::Result<Database> {
    let database = Database::memory()?;
    let request: CreateTableRequest = serde_json::from_value(json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    }))?;
    database.create_table(request)?;
    Ok(database)
}

pub(crate) fn import(database: &Database, items: Vec<Item>) -> anyhow::Result<()> {
    database.import_items(TABLE, items, ImportOptions::default())?;
    Ok(())
}

/// Serves a table over HTTP, and returns the URL of the endpoint.
pub(crate) async fn serve(database: Database) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    Ok(endpoint)
}

impl Workload {
    /// Starts a function, and sends each event once.
    async fn new(callgate: &Program, endpoint: &str, size: u32, events: Vec<Bytes>) -> anyhow::Result<Self> {
        let (mut function, _) = Function::start(&callgate.path, &fixture::environment(endpoint)).await?;
        for event in &events {
            function.call(event).await.with_context(|| format!("at size {size}"))?;
        }
        Ok(Self { size, function, events, cpu: Samples::default(), wall: Samples::default() })
    }

    /// Sends events and adds the samples of this round.
    async fn run_round(&mut self, calls: u32) -> anyhow::Result<()> {
        let cpu_before = self.function.cpu()?;
        let events: Vec<_> = self.events.iter().cycle().take(usize::try_from(calls)?).cloned().collect();
        for event in &events {
            self.wall.push(1e3 * milliseconds(self.function.call(event).await?.wall));
        }
        let cpu = self.function.cpu()?.saturating_sub(cpu_before);
        self.cpu.push(1e3 * milliseconds(cpu) / f64::from(calls));
        Ok(())
    }
}

/// Measures all sizes in turns, so that other load on the machine affects them equally.
async fn measure(mut workloads: Vec<Workload>, rounds: u32, calls: u32) -> anyhow::Result<Vec<Point>> {
    for _ in 0..rounds {
        for workload in &mut workloads {
            workload.run_round(calls).await?;
        }
    }
    let mut points = Vec::new();
    for workload in workloads {
        let lines = workload.function.stop().await?;
        let units: Vec<_> = lines.iter().filter_map(|line| line.get("units").and_then(Value::as_f64)).collect();
        let percentile = |samples: &Samples, percent| samples.percentile(percent).unwrap_or_default();
        points.push(Point {
            size: workload.size,
            cpu_us: percentile(&workload.cpu, 50),
            p50_us: percentile(&workload.wall, 50),
            p99_us: percentile(&workload.wall, 99),
            // The minimum, because most calls find the app in the cache and do not read it.
            units: units.iter().copied().fold(f64::INFINITY, f64::min),
        });
    }
    Ok(points)
}

/// Formats the points as a Markdown table.
pub(crate) fn format_points(heading: &str, points: &[Point]) -> String {
    let mut table = format!("| {heading} | CPU, us | p50, us | p99, us | read units |\n|---:|---:|---:|---:|---:|\n");
    for Point { size, cpu_us, p50_us, p99_us, units } in points {
        let _ = writeln!(table, "| {size} | {cpu_us:.1} | {p50_us:.0} | {p99_us:.0} | {units} |");
    }
    table
}

/// The throughput of `callgatectl serve` with a number of concurrent clients.
#[derive(Debug)]
pub(crate) struct Throughput {
    pub(crate) clients: u32,
    pub(crate) calls_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Measures the throughput of `callgatectl serve` with more and more concurrent clients.
pub(crate) async fn concurrency(tool: &Program, calls: u32) -> anyhow::Result<Vec<Throughput>> {
    let mut server = Command::new(&tool.path)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut greeting = BufReader::new(server.stderr.take().context("`serve` has no standard error")?).lines();
    let address = loop {
        let line = greeting.next_line().await?.context("`serve` ended before it printed its address")?;
        if let Some((_, rest)) = line.split_once("curl -i http://") {
            break rest.split('/').next().unwrap_or_default().to_owned();
        }
    };
    // Read the log, because `serve` would block once the pipe is full.
    let mut log = BufReader::new(server.stdout.take().context("`serve` has no standard output")?).lines();
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });

    let mut results = Vec::new();
    for clients in CLIENTS {
        results.push(throughput(&address, clients, calls).await?);
    }
    server.kill().await?;
    Ok(results)
}

async fn throughput(address: &str, clients: u32, calls: u32) -> anyhow::Result<Throughput> {
    let address: Arc<str> = address.into();
    let started_at = Instant::now();
    let tasks: Vec<_> = (0..clients).map(|_| tokio::spawn(run_client(Arc::clone(&address), calls / clients))).collect();
    let mut walls = Samples::default();
    for task in tasks {
        walls.extend(task.await??.into_iter().map(milliseconds));
    }
    let total_calls = f64::from(calls / clients * clients);
    let percentile = |percent| walls.percentile(percent).unwrap_or_default();
    Ok(Throughput {
        clients,
        calls_per_second: total_calls / started_at.elapsed().as_secs_f64(),
        p50_ms: percentile(50),
        p99_ms: percentile(99),
    })
}

/// Sends calls one after the other over one connection, and returns how long each took.
async fn run_client(address: Arc<str>, calls: u32) -> anyhow::Result<Vec<Duration>> {
    let stream = TcpStream::connect(&*address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut walls = Vec::new();
    for _ in 0..calls {
        let body = Bytes::from_static(br#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP005"}"#);
        let request = hyper::Request::post("/rest/my_api/OnCallEvent")
            .header("host", &*address)
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let sent_at = Instant::now();
        let response = sender.send_request(request).await?;
        anyhow::ensure!(response.status() == 200, "expected status 200 from `serve`, not {}", response.status());
        response.into_body().collect().await?;
        walls.push(sent_at.elapsed());
    }
    Ok(walls)
}

/// Formats the throughputs as a Markdown table.
pub(crate) fn format_throughputs(throughputs: &[Throughput]) -> String {
    let mut table = "| clients | calls a second | p50, ms | p99, ms |\n|---:|---:|---:|---:|\n".to_owned();
    for Throughput { clients, calls_per_second, p50_ms, p99_ms } in throughputs {
        let _ = writeln!(table, "| {clients} | {calls_per_second:.0} | {p50_ms:.2} | {p99_ms:.2} |");
    }
    table
}
