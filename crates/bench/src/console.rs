//! Measures how long each page of `callgatectl console` takes over a million rules and 100,000 calls.

use std::process::Stdio;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use dynoxide::Database;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::calls::write_log;
use crate::compare::milliseconds;
use crate::fixture::TABLE;
use crate::grow::{import, serve};
use crate::program::Program;
use crate::replay::{CALLEES, CHUNK, RULES, callee, pair};
use crate::statistics::Samples;

/// The calls of the log.
const CALLS: u32 = 100_000;

/// The most milliseconds that a page may take on two cores.
const LIMIT_MS: f64 = 200.0;

/// The pages, each with what it is asked for.
const PAGES: [&str; 18] = [
    "/calls",
    "/calls?decision=deny&reason=no_rule",
    "/calls?party=%2B74950000042",
    "/calls?party=no-such-party",
    "/waiting",
    "/parties",
    "/parties?app=shop&text=PPP000007",
    "/parties?app=shop&text=no-such-party",
    "/parties/shop/PPP000007",
    "/parties/shop/%2B74950000042",
    "/rules",
    "/rules?app=shop&from=%2B74950000007",
    "/rules?app=shop&to=PPP000007",
    "/rules?app=shop&text=no-such-text",
    "/check?app=shop&from=%2B74950000007&to=PPP000007",
    "/import",
    "/history?app=shop",
    "/health",
];

/// The times of a page.
#[derive(Debug)]
pub(crate) struct PageTimes {
    page: &'static str,
    bytes: usize,
    ms: Samples,
}

/// A console over the table, and a browser that is signed in.
struct Console {
    _process: Child,
    host: String,
    cookie: String,
    connection: SendRequest<Empty<Bytes>>,
}

/// Gets every page so many times.
pub(crate) async fn measure(tool: &Program, rounds: u32) -> anyhow::Result<Vec<PageTimes>> {
    eprintln!("a table of {RULES} rules, and {CALLS} calls");
    let database = Database::memory()?;
    let endpoint = serve(database.clone()).await?;
    let status = command(tool, &endpoint).args(["table", "create"]).stdout(Stdio::null()).status().await?;
    anyhow::ensure!(status.success(), "`table create` ended with {status}");
    for start in (0..RULES).step_by(usize::try_from(CHUNK)?) {
        import(&database, (start..start + CHUNK).map(pair).collect())?;
    }
    for start in (0..CALLEES).step_by(usize::try_from(CHUNK)?) {
        import(&database, (start..start + CHUNK).map(callee).collect())?;
    }
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("calls.log");
    write_log(&log, CALLS)?;
    let process = command(tool, &endpoint).args(["console", "--listen", "127.0.0.1:0", "--log"]).arg(&log).spawn()?;
    let mut console = Console::sign_in(process).await?;
    while !console.get("/calls").await?.contains(&format!("{CALLS} calls in memory")) {}
    let mut all: Vec<_> = PAGES.map(|page| PageTimes { page, bytes: 0, ms: Samples::default() }).into();
    // The first round is not counted: the emulator's caches are cold.
    for round in 0..=rounds {
        for times in &mut all {
            let started_at = Instant::now();
            times.bytes = console.get(times.page).await?.len();
            if round > 0 {
                times.ms.push(milliseconds(started_at.elapsed()));
            }
        }
    }
    Ok(all)
}

fn command(tool: &Program, endpoint: &str) -> Command {
    let mut command = Command::new(&tool.path);
    command.args(["--table", TABLE, "--endpoint-url", endpoint]).stdin(Stdio::null()).kill_on_drop(true);
    command.stderr(Stdio::piped());
    command
}

impl Console {
    async fn sign_in(mut process: Child) -> anyhow::Result<Self> {
        let mut lines = BufReader::new(process.stderr.take().context("no standard error")?).lines();
        let url = loop {
            let line = lines.next_line().await?.context("the console ended before it printed its address")?;
            if let Some((_, url)) = line.split_once("http://") {
                break url.to_owned();
            }
        };
        // A full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (host, path) = url.split_once('/').context("the address has no path")?;
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        let mut console = Self { _process: process, host: host.to_owned(), cookie: String::new(), connection };
        let answer = console.send(&format!("/{path}")).await?;
        let cookie = answer.headers().get("set-cookie").context("the console set no cookie")?.to_str()?;
        cookie.split(';').next().unwrap_or_default().clone_into(&mut console.cookie);
        answer.into_body().collect().await?;
        Ok(console)
    }

    async fn send(&mut self, path: &str) -> anyhow::Result<hyper::Response<hyper::body::Incoming>> {
        let request = hyper::Request::get(path).header("host", &self.host).header("cookie", &self.cookie);
        Ok(self.connection.send_request(request.body(Empty::new())?).await?)
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        let answer = self.send(path).await?;
        let status = answer.status();
        let body = String::from_utf8(answer.into_body().collect().await?.to_bytes().into())?;
        anyhow::ensure!(status == 200, "{path}: status {status}: {body}");
        Ok(body)
    }
}

/// Formats the times as a Markdown table.
pub(crate) fn table(all: &[PageTimes]) -> String {
    let rows = all.iter().map(|PageTimes { page, bytes, ms }| {
        let [p50, p95] = [50, 95].map(|percent| ms.percentile(percent).unwrap_or_default());
        format!("| `{page}` | {p50:.1} | {p95:.1} | {} |\n", bytes.div_ceil(1_024))
    });
    format!("| page | p50, ms | p95, ms | KB |\n|---|---:|---:|---:|\n{}", rows.collect::<String>())
}

/// Checks that no page is slow.
///
/// # Errors
/// When the median of a page is above the limit.
pub(crate) fn check(all: &[PageTimes]) -> anyhow::Result<()> {
    for PageTimes { page, ms, .. } in all {
        let p50 = ms.percentile(50).unwrap_or_default();
        anyhow::ensure!(p50 <= LIMIT_MS, "`{page}` takes {p50:.0} ms; the limit is {LIMIT_MS:.0}");
    }
    Ok(())
}
