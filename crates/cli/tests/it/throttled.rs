//! A DynamoDB that is busy, or fails in the middle of an import: a stand-in before the real server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Place, Run, csv, tool};

/// What becomes of one `BatchWriteItem`, by how many came before it.
#[derive(Clone, Copy)]
enum Answer {
    Pass,
    /// So many are left unprocessed.
    Leave(usize),
    Fail,
}

/// Passes requests on to the server of a place, except for what `answer` says; its address and how many batches came.
fn stand_in(place: &Place, answer: fn(usize) -> Answer) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (server, count) = (place.address, Arc::new(AtomicUsize::new(0)));
    let batches = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let batches = Arc::clone(&batches);
            std::thread::spawn(move || serve(stream.unwrap(), server, &batches, answer));
        }
    });
    (url, count)
}

fn serve(mut client: TcpStream, server: SocketAddr, batches: &AtomicUsize, answer: fn(usize) -> Answer) {
    let (head, body) = message(&client);
    if !head.contains("DynamoDB_20120810.BatchWriteItem") {
        client.write_all(&pass(server, &head, &body)).unwrap();
        return;
    }
    let mut request: Value = serde_json::from_slice(&body).unwrap();
    let (status, said) = match answer(batches.fetch_add(1, Ordering::SeqCst)) {
        Answer::Fail => ("400 Bad Request", json!({"__type": "x#AccessDeniedException", "message": "no longer"})),
        Answer::Pass => {
            client.write_all(&pass(server, &head, &body)).unwrap();
            return;
        }
        Answer::Leave(count) => {
            let items = request["RequestItems"].as_object_mut().unwrap();
            let (table, all) = items.iter_mut().next().unwrap();
            let all = all.as_array_mut().unwrap();
            let left = all.split_off(all.len().saturating_sub(count));
            let unprocessed = json!({table.clone(): left});
            if !all.is_empty() {
                pass(server, &head, request.to_string().as_bytes());
            }
            ("200 OK", json!({"UnprocessedItems": unprocessed}))
        }
    };
    let said = said.to_string();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}", said.len());
    client.write_all(answer.as_bytes()).unwrap();
}

/// The head and the body of a message.
fn message(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

/// What the server answers.
fn pass(server: SocketAddr, head: &str, body: &[u8]) -> Vec<u8> {
    let lines = head.lines().filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("content-length") && !line.starts_with("connection") && !line.is_empty()
    });
    let head = lines.collect::<Vec<_>>().join("\r\n");
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn import(url: &str, rules: &str) -> Run {
    Run::piped(tool().args(["import", "-", "--table", crate::support::TABLE, "--endpoint-url", url]), rules)
}

#[test]
fn what_is_left_unprocessed_is_sent_again() {
    let place = Place::new();
    let (url, batches) = stand_in(&place, |number| match number % 3 {
        0 => Answer::Leave(25),
        1 => Answer::Leave(10),
        _ => Answer::Pass,
    });
    import(&url, &csv(0..100, |number| format!("shop,caller{number},callee,allow"))).done().says("100 rules written");
    assert!(batches.load(Ordering::SeqCst) > 4);
    assert_eq!(place.items().len(), 100);
}

#[test]
fn an_import_that_fails_says_how_far_it_came_and_can_be_run_again() {
    let place = Place::new();
    let (url, _) = stand_in(&place, |number| if number < 40 { Answer::Pass } else { Answer::Fail });
    let rules = csv(0..2_000, |number| format!("shop,caller{number},callee,allow"));
    let run = import(&url, &rules).ends(1).says("AccessDeniedException: no longer");
    run.says("1000 of 2000 rules are written; run the same command again, which writes all of them anew");
    assert_eq!(place.items().len(), 1_000);
    place.pipe("import -", &rules).done().says("2000 rules written");
    assert_eq!(place.items().len(), 2_000);
}
