//! A proxy between the tool and a server, which can lose requests and answers, refuse them, or let something else happen first.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::support::{TABLE, TestServer, tool};

/// What the proxy does with a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Treatment {
    /// Forwards it, and returns the answer.
    Forward,
    /// Forwards it, and closes the connection instead of returning the answer.
    LoseAnswer,
    /// Closes the connection without forwarding it.
    LoseRequest,
    /// Returns an error with this `DynamoDB` code.
    Refuse(&'static str),
}

/// A proxy in front of a server. It runs until the test ends.
pub(crate) struct Proxy {
    pub(crate) url: String,
}

impl Proxy {
    /// Starts a proxy. `treat` gets the operation, such as `PutItem`, and the request's body.
    pub(crate) fn start(
        server: &TestServer,
        treat: impl Fn(&str, &Value) -> Treatment + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (server, treat) = (server.address, Arc::new(treat));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let treat = Arc::clone(&treat);
                std::thread::spawn(move || handle(&stream.unwrap(), server, &*treat));
            }
        });
        Self { url }
    }

    /// The tool with the options for the table behind this proxy. The caller adds the arguments.
    pub(crate) fn tool(&self) -> Command {
        let mut command = tool();
        command.args(["--table", TABLE, "--endpoint-url", &self.url]);
        command
    }
}

/// Handles the one request of a connection. Errors are those of a client that has stopped.
fn handle(mut client: &TcpStream, server: SocketAddr, treat: &dyn Fn(&str, &Value) -> Treatment) {
    let Some((head, body)) = read_request(client) else { return };
    let operation = head.split("DynamoDB_20120810.").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let answer = match treat(operation, &serde_json::from_slice(&body).unwrap_or_default()) {
        Treatment::Forward => forward(server, &head, &body),
        Treatment::LoseAnswer => {
            forward(server, &head, &body);
            return;
        }
        Treatment::LoseRequest => return,
        Treatment::Refuse(code) => {
            let body = serde_json::json!({"__type": format!("x#{code}"), "message": "refused by the test"}).to_string();
            format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
                .into_bytes()
        }
    };
    let _ = client.write_all(&answer);
}

/// Reads a request: its head and its body. `None` when the client closed the connection.
fn read_request(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Sends a request to the server and returns the answer.
fn forward(server: SocketAddr, head: &str, body: &[u8]) -> Vec<u8> {
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
