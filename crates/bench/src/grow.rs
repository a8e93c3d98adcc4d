//! How the cost grows: with the rules in the table, with the patterns of a callee, with calls at once.

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
use crate::contender::Contender;
use crate::fixture::{self, TABLE};
use crate::process::Function;
use crate::statistics::Samples;

/// Exact rules in a table.
const RULES: [u32; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];

/// Patterns of one callee.
const PATTERNS: [u32; 4] = [1, 10, 100, 1_000];

/// Calls at once.
const CONCURRENCY: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Callers with a rule for each callee.
const CALLERS: u32 = 100;

/// Rules written at once.
const CHUNK: u32 = 50_000;

type Item = HashMap<String, AttributeValue>;

/// Cost of a decision at one size of something.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) size: u32,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) units: f64,
}

/// A function over its table, and the calls it is asked about.
struct Subject {
    size: u32,
    function: Function,
    events: Vec<Bytes>,
    cpu: Samples,
    wall: Samples,
}

/// Cost of a decision over tables of more and more exact rules.
pub(crate) async fn rules(callgate: &Contender, rounds: u32, calls: u32) -> anyhow::Result<Vec<Point>> {
    let mut subjects = Vec::new();
    for rules in RULES {
        eprintln!("a table of {rules} rules");
        let database = table()?;
        for start in (0..rules).step_by(usize::try_from(CHUNK)?) {
            import(&database, (start..rules.min(start + CHUNK)).map(exact_rule).collect())?;
        }
        let endpoint = serve(database).await?;
        // Spread over the whole table, and the same number of different calls whatever its size.
        let step = rules / 100;
        let events = (0..100).map(|call| {
            let rule = call * step;
            fixture::event_about(&format!("C{}", rule % CALLERS), &format!("P{}", rule / CALLERS))
        });
        subjects.push(Subject::new(callgate, &endpoint, rules, events.collect::<anyhow::Result<_>>()?).await?);
    }
    measure(subjects, rounds, calls).await
}

fn exact_rule(rule: u32) -> Item {
    item(&json!({
        "pk": {"S": format!("PARTY#defaultApp#P{}", rule / CALLERS)},
        "sk": {"S": format!("CALLER#C{}", rule % CALLERS)},
        "effect": {"S": "allow"},
    }))
}

/// Cost of a decision over callees with more and more patterns.
pub(crate) async fn patterns(callgate: &Contender, rounds: u32, calls: u32) -> anyhow::Result<Vec<Point>> {
    let database = table()?;
    import(&database, PATTERNS.into_iter().map(callee_with).collect())?;
    let endpoint = serve(database).await?;
    let mut subjects = Vec::new();
    for patterns in PATTERNS {
        let event = fixture::event_about("+74950000000", &format!("P{patterns}"))?;
        subjects.push(Subject::new(callgate, &endpoint, patterns, vec![event]).await?);
    }
    measure(subjects, rounds, calls).await
}

/// Of its patterns the first matches the call, and all others belong to other numbers.
fn callee_with(patterns: u32) -> Item {
    let rule = json!({"M": {"effect": {"S": "allow"}}});
    let incoming: serde_json::Map<_, _> =
        (0..patterns).map(|number| (format!("+7495{number:03}*"), rule.clone())).collect();
    item(&json!({
        "pk": {"S": format!("PARTY#defaultApp#P{patterns}")},
        "sk": {"S": "PARTY"},
        "incoming": {"M": incoming},
    }))
}

fn item(attributes: &Value) -> Item {
    serde_json::from_value(attributes.clone()).unwrap_or_default()
}

fn table() -> anyhow::Result<Database> {
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

fn import(database: &Database, items: Vec<Item>) -> anyhow::Result<()> {
    database.import_items(TABLE, items, ImportOptions::default())?;
    Ok(())
}

async fn serve(database: Database) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    Ok(endpoint)
}

impl Subject {
    async fn new(callgate: &Contender, endpoint: &str, size: u32, events: Vec<Bytes>) -> anyhow::Result<Self> {
        let (mut function, _) = Function::start(&callgate.program, &fixture::environment(endpoint)).await?;
        for event in &events {
            function.call(event).await.with_context(|| format!("at {size}"))?;
        }
        Ok(Self { size, function, events, cpu: Samples::default(), wall: Samples::default() })
    }

    async fn round(&mut self, calls: u32) -> anyhow::Result<()> {
        let before = self.function.cpu()?;
        let events: Vec<_> = self.events.iter().cycle().take(usize::try_from(calls)?).cloned().collect();
        for event in &events {
            self.wall.push(1e3 * milliseconds(self.function.call(event).await?.wall));
        }
        let cpu = self.function.cpu()?.saturating_sub(before);
        self.cpu.push(1e3 * milliseconds(cpu) / f64::from(calls));
        Ok(())
    }
}

/// In turns, so that whatever else the machine does hits all sizes alike.
async fn measure(mut subjects: Vec<Subject>, rounds: u32, calls: u32) -> anyhow::Result<Vec<Point>> {
    for _ in 0..rounds {
        for subject in &mut subjects {
            subject.round(calls).await?;
        }
    }
    let mut points = Vec::new();
    for subject in subjects {
        let lines = subject.function.end().await?;
        let units: Vec<_> = lines.iter().filter_map(|line| line.get("units").and_then(Value::as_f64)).collect();
        let of = |samples: &Samples, percent| samples.percentile(percent).unwrap_or_default();
        points.push(Point {
            size: subject.size,
            cpu_us: of(&subject.cpu, 50),
            p50_us: of(&subject.wall, 50),
            p99_us: of(&subject.wall, 99),
            // Most calls do not read the app, which is cached.
            units: units.iter().copied().fold(f64::INFINITY, f64::min),
        });
    }
    Ok(points)
}

/// The points as Markdown.
pub(crate) fn table_of(what: &str, points: &[Point]) -> String {
    let mut table = format!("| {what} | CPU, us | p50, us | p99, us | read units |\n|---:|---:|---:|---:|---:|\n");
    for Point { size, cpu_us, p50_us, p99_us, units } in points {
        let _ = writeln!(table, "| {size} | {cpu_us:.1} | {p50_us:.0} | {p99_us:.0} | {units} |");
    }
    table
}

/// Answers of `callgatectl serve` to more and more clients at once.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) clients: u32,
    pub(crate) a_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Calls at once on `serve`, where one process answers them all.
pub(crate) async fn concurrency(tool: &Contender, calls: u32) -> anyhow::Result<Vec<Load>> {
    let mut server = Command::new(&tool.program)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(server.stdout.take().context("no standard output")?).lines();
    let address = loop {
        let line = lines.next_line().await?.context("`serve` ended")?;
        if let Some((_, rest)) = line.split_once("http://") {
            break rest.split('/').next().unwrap_or_default().to_owned();
        }
    };
    // Its log would otherwise fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });

    let mut loads = Vec::new();
    for clients in CONCURRENCY {
        loads.push(load(&address, clients, calls).await?);
    }
    server.kill().await?;
    Ok(loads)
}

async fn load(address: &str, clients: u32, calls: u32) -> anyhow::Result<Load> {
    let address: Arc<str> = address.into();
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients).map(|_| tokio::spawn(client(Arc::clone(&address), calls / clients))).collect();
    let mut walls = Samples::default();
    for task in tasks {
        walls.extend(task.await??.into_iter().map(milliseconds));
    }
    let answered = f64::from(calls / clients * clients);
    let of = |percent| walls.percentile(percent).unwrap_or_default();
    Ok(Load { clients, a_second: answered / started.elapsed().as_secs_f64(), p50_ms: of(50), p99_ms: of(99) })
}

/// A client that asks one call after the other over one connection.
async fn client(address: Arc<str>, calls: u32) -> anyhow::Result<Vec<Duration>> {
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
        let asked = Instant::now();
        let answer = sender.send_request(request).await?;
        anyhow::ensure!(answer.status() == 200, "`serve` answered {}", answer.status());
        answer.into_body().collect().await?;
        walls.push(asked.elapsed());
    }
    Ok(walls)
}

/// The loads as Markdown.
pub(crate) fn table_of_loads(loads: &[Load]) -> String {
    let mut table = "| clients | calls a second | p50, ms | p99, ms |\n|---:|---:|---:|---:|\n".to_owned();
    for Load { clients, a_second, p50_ms, p99_ms } in loads {
        let _ = writeln!(table, "| {clients} | {a_second:.0} | {p50_ms:.2} | {p99_ms:.2} |");
    }
    table
}
