//! `serve` with many simultaneous connections. Every answer is checked. Runs for one second, or for as many as are given:
//!
//! `CALLGATE_LOAD_SECONDS=60 cargo test -p callgatectl --test it load -- --nocapture`
//!
//! `CALLGATECTL_BINARY` is the path of another build of the tool.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CONNECTIONS: u64 = 64;

/// A request with its expected answer: the status and the whole body.
struct Exchange {
    method: &'static str,
    hook: &'static str,
    body: String,
    status: u16,
    answer: String,
}

/// The `n`th request of a connection.
///
/// Bodies differ by connection and request, so that an answer to the wrong request is noticed.
fn exchange(connection: u64, n: u64) -> Exchange {
    let call = |caller: &str, callee: &str| {
        format!(
            r#"{{"appKey":"defaultApp", "callId":"{connection}-{n}","caller":"{caller}","callee":"{callee}","x":1.0e+{n}}}"#
        )
    };
    let error = |text: &str| format!(r#"{{"error":"{text}"}}"#);
    let post = |hook, body: String, status, answer| Exchange { method: "POST", hook, body, status, answer };
    let permitted = |body: String| post("OnCallEvent", body.clone(), 200, body);
    let refused = |body| post("OnCallEvent", body, 403, String::new());
    match (connection + n) % 16 {
        0..=2 => permitted(call("PPP009", "PPP005")),
        3 => permitted(call(&format!("+7 (916) {connection:03}-{:04}", n % 10_000), "+74951234567")),
        4 => permitted(call("PPP002", &format!("party-{connection}-{n}"))),
        5 | 6 => refused(call("PPP009", "PPP006")),
        7 => refused(call("+8815550100", "PPP004")),
        8 => refused(call(&format!("party-{connection}-{n}"), "PPP005")),
        9 => post("OnCallEvent", r#"{"appKey":"#.to_owned(), 400, error("the body is not JSON: line 1, column 10")),
        10 => post("OnCallEvent", format!(r#"["{connection}-{n}"]"#), 400, error("the body is not a JSON object")),
        11 => post(
            "OnCallEvent",
            r#"{"appKey":"defaultApp","caller":"PPP009"}"#.to_owned(),
            400,
            error("the field `callee` is missing or empty"),
        ),
        12 => post(
            "OnCallEvent",
            call("PPP009", "PPP005;x"),
            400,
            error("the field `callee` contains the character ';', which is not allowed in an id"),
        ),
        13 if n.is_multiple_of(2) => {
            let body = format!(r#"{{"callId":"{connection}-{n}", "status":"HOLD"}}"#);
            post("CallStatusEvent", body.clone(), 200, body)
        }
        13 => post(
            "no-hook",
            "{}".to_owned(),
            404,
            error(
                "the path must end in the name of a hook, such as `OnCallEvent`: 1 to 64 letters and digits, a letter first",
            ),
        ),
        14 => {
            Exchange { method: "PUT", ..post("OnCallEvent", String::new(), 405, error("a hook is called with POST")) }
        }
        _ => post(
            "connect",
            format!(r#"{{"nodeId":"{connection}-{n}"}}"#),
            200,
            format!(
                r#"{{"nodeId":"{connection}-{n}","restClientConfig":{{"OnCallEvent":{{"clientExclude":"","restExclude":"","restOnError":"FAIL","restPolicy":"NOTIFY","restOverwrite":""}}}}}}"#
            ),
        ),
    }
}

/// Sends a request on a connection that stays open. Returns the status and the body of the answer.
fn send(stream: &mut BufReader<TcpStream>, exchange: &Exchange) -> (u16, String) {
    let Exchange { method, hook, body, .. } = exchange;
    let length = body.len();
    let request = format!("{method} /rest/my_api/{hook} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}

#[test]
fn every_answer_on_64_connections_is_correct() {
    let seconds = std::env::var("CALLGATE_LOAD_SECONDS").map_or(1, |text| text.parse().unwrap());
    let binary = std::env::var("CALLGATECTL_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_callgatectl").to_owned());
    let mut serve = Command::new(binary)
        .args(["serve", "--listen", "127.0.0.1:0"])
        // The default deadline of the store may be too short on a busy machine.
        .env_clear()
        .env("STORE_DEADLINE_MS", "10000")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = BufReader::new(serve.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address =
        greeting.find_map(|line| Some(line.split_once("curl -i http://")?.1.split_once('/')?.0.to_owned())).unwrap();
    let lines = BufReader::new(serve.stdout.take().unwrap()).lines().map(Result::unwrap);
    let logged = std::thread::spawn(move || {
        let decisions = lines.filter(|line| line.contains(r#""message":"decision""#));
        decisions.fold(BTreeMap::new(), |mut counts, line| {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            *counts.entry(line["status"].as_u64().unwrap()).or_insert(0) += 1;
            counts
        })
    });

    let end = Instant::now() + Duration::from_secs(seconds);
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let address = address.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
                stream.get_ref().set_nodelay(true).unwrap();
                let (mut answered, mut slowest) = (BTreeMap::new(), Duration::ZERO);
                // At least one request of each kind, even on a slow machine.
                for n in 0.. {
                    if n >= 16 && Instant::now() >= end {
                        break;
                    }
                    let exchange = exchange(connection, n);
                    let start = Instant::now();
                    let answer = send(&mut stream, &exchange);
                    slowest = slowest.max(start.elapsed());
                    assert_eq!(answer, (exchange.status, exchange.answer), "{connection}-{n}: {}", exchange.body);
                    let is_decided = exchange.hook == "OnCallEvent" && matches!(exchange.status, 200 | 403);
                    *answered.entry((exchange.status, is_decided)).or_insert(0_u64) += 1;
                }
                (answered, slowest)
            })
        })
        .collect();
    let (mut answers, mut decisions, mut slowest) = (BTreeMap::new(), BTreeMap::new(), Duration::ZERO);
    for connection in connections {
        let (answered, slowest_here) = connection.join().expect("an answer was wrong");
        slowest = slowest.max(slowest_here);
        for ((status, is_decided), count) in answered {
            *answers.entry(status).or_insert(0) += count;
            if is_decided {
                *decisions.entry(u64::from(status)).or_insert(0) += count;
            }
        }
    }

    let interrupted = Command::new("kill").args(["-INT", &serve.id().to_string()]).status().unwrap();
    assert!(interrupted.success() && serve.wait().unwrap().success());
    // Each decision is logged exactly once.
    assert_eq!(logged.join().unwrap(), decisions);
    let all: u64 = answers.values().sum();
    println!(
        "{all} answers in {seconds} s on {CONNECTIONS} connections, all correct: {answers:?}; slowest {slowest:?}"
    );
}
