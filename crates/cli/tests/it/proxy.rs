//! A proxy in front of the test server, which sees every request and decides how it is answered.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::TestServer;

/// A request to `DynamoDB`.
pub(crate) struct Request {
    /// Such as `BatchWriteItem`.
    pub(crate) operation: String,
    pub(crate) body: Value,
    head: String,
    server: SocketAddr,
}

/// An HTTP response as it is sent. An empty one closes the connection without an answer.
pub(crate) type Response = Vec<u8>;

impl Request {
    /// Sends the request to the server.
    pub(crate) fn forward(&self) -> Response {
        self.send(&self.body)
    }

    /// Sends the request with another body to the server.
    pub(crate) fn send(&self, body: &Value) -> Vec<u8> {
        self.send_as(&self.operation, body)
    }

    /// Sends another request to the server.
    pub(crate) fn send_as(&self, operation: &str, body: &Value) -> Vec<u8> {
        let head = self.head.replace(&format!(".{}\r", self.operation), &format!(".{operation}\r"));
        let lines = head.lines().filter(|line| {
            let line = line.to_ascii_lowercase();
            !line.starts_with("content-length") && !line.starts_with("connection") && !line.is_empty()
        });
        let head = lines.collect::<Vec<_>>().join("\r\n");
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.server).unwrap();
        write!(stream, "{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        response
    }

    /// Whether the request changes the table.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self.operation.as_str(), "BatchWriteItem" | "PutItem" | "UpdateItem" | "DeleteItem")
    }
}

/// An answer of `DynamoDB`.
pub(crate) fn answer(status: &str, body: &Value) -> Response {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

/// An error of `DynamoDB` that is not tried again.
pub(crate) fn error(code: &str, message: &str) -> Response {
    answer("400 Bad Request", &json!({"__type": format!("x#{code}"), "message": message}))
}

/// Starts a proxy in front of a server and returns its URL. Each connection has one request.
pub(crate) fn start(server: &TestServer, treat: impl Fn(Request) -> Response + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (server, treat) = (server.address, Arc::new(treat));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let treat = Arc::clone(&treat);
            std::thread::spawn(move || {
                let mut client = stream.unwrap();
                let response = treat(read_request(&client, server));
                // A killed tool no longer reads.
                let _ = client.write_all(&response);
            });
        }
    });
    url
}

fn read_request(stream: &TcpStream, server: SocketAddr) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let value = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or_default().to_owned()
    };
    let operation = value("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned();
    let mut body = vec![0; value("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Request { operation, body, head, server }
}
