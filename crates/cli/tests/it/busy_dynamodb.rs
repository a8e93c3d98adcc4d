//! Imports into a DynamoDB that is busy or fails halfway: a proxy in front of the test server leaves items unprocessed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Run, TestServer, csv, tool};

/// How the proxy treats one `BatchWriteItem` request.
#[derive(Clone, Copy)]
enum Treatment {
    /// Forwards it.
    Forward,
    /// Forwards it without so many of its items, and returns those as unprocessed.
    LeaveUnprocessed(usize),
    /// Returns an error.
    Fail,
}

/// Starts a proxy in front of a server. `treatment` gets the number of batches before the one to treat.
///
/// Returns the proxy's URL and its count of batches.
fn start_proxy(server: &TestServer, treatment: fn(usize) -> Treatment) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (address, count) = (server.address, Arc::new(AtomicUsize::new(0)));
    let batches = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let batches = Arc::clone(&batches);
            std::thread::spawn(move || handle(stream.unwrap(), address, &batches, treatment));
        }
    });
    (url, count)
}

/// Handles one request.
fn handle(mut client: TcpStream, server: SocketAddr, batches: &AtomicUsize, treatment: fn(usize) -> Treatment) {
    let (head, body) = read_request(&client);
    if !head.contains("DynamoDB_20120810.BatchWriteItem") {
        client.write_all(&forward(server, &head, &body)).unwrap();
        return;
    }
    let mut request: Value = serde_json::from_slice(&body).unwrap();
    let (status, body) = match treatment(batches.fetch_add(1, Ordering::SeqCst)) {
        Treatment::Fail => ("400 Bad Request", json!({"__type": "x#AccessDeniedException", "message": "no longer"})),
        Treatment::Forward => {
            client.write_all(&forward(server, &head, &body)).unwrap();
            return;
        }
        Treatment::LeaveUnprocessed(count) => {
            let items = request["RequestItems"].as_object_mut().unwrap();
            let (table, all) = items.iter_mut().next().unwrap();
            let all = all.as_array_mut().unwrap();
            let left = all.split_off(all.len().saturating_sub(count));
            let unprocessed = json!({table.clone(): left});
            if !all.is_empty() {
                forward(server, &head, request.to_string().as_bytes());
            }
            ("200 OK", json!({"UnprocessedItems": unprocessed}))
        }
    };
    let body = body.to_string();
    let response = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    client.write_all(response.as_bytes()).unwrap();
}

/// Reads a request: its head and its body.
fn read_request(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

/// Sends a request to the server and returns the response.
fn forward(server: SocketAddr, head: &str, body: &[u8]) -> Vec<u8> {
    let lines = head.lines().filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("content-length") && !line.starts_with("connection") && !line.is_empty()
    });
    let head = lines.collect::<Vec<_>>().join("\r\n");
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
    stream.write_all(body).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    response
}

fn import(url: &str, rules: &str) -> Run {
    Run::with_input(tool().args(["import", "-", "--table", crate::support::TABLE, "--endpoint-url", url]), rules)
}

#[test]
fn unprocessed_items_are_sent_again() {
    let server = TestServer::with_table();
    let (url, batches) = start_proxy(&server, |number| match number % 3 {
        0 => Treatment::LeaveUnprocessed(25),
        1 => Treatment::LeaveUnprocessed(10),
        _ => Treatment::Forward,
    });
    import(&url, &csv(0..100, |number| format!("shop,caller{number},callee,allow")))
        .succeeds()
        .prints("100 rules written");
    assert!(batches.load(Ordering::SeqCst) > 4);
    assert_eq!(server.items().len(), 100);
}

#[test]
fn a_failed_import_prints_its_progress_and_can_be_run_again() {
    let server = TestServer::with_table();
    let (url, _) = start_proxy(&server, |number| if number < 40 { Treatment::Forward } else { Treatment::Fail });
    let rules = csv(0..2_000, |number| format!("shop,caller{number},callee,allow"));
    let run = import(&url, &rules).exits_with(1).prints("AccessDeniedException: no longer");
    run.prints("1000 of 2000 rules are written; run the same command again, which writes the others");
    assert_eq!(server.items().len(), 1_000);
    server.pipe("import -", &rules).succeeds().prints("1000 rules written, 1000 unchanged");
    assert_eq!(server.items().len(), 2_000);
}
