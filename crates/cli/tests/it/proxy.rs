//! A proxy in front of the test server, which may answer requests itself or lose them.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use crate::support::{TABLE, read_request};

/// An HTTP request.
#[derive(Debug)]
pub(crate) struct Request {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    server: SocketAddr,
}

/// How the proxy treats a request.
pub(crate) enum Treatment {
    /// Forwards it, and returns the answer.
    Forward,
    /// Returns this whole HTTP response.
    Respond(Vec<u8>),
    /// Forwards another request instead, and returns this status and body.
    Replace(Option<Vec<u8>>, &'static str, String),
    /// Closes the connection without forwarding it.
    LoseRequest,
    /// Forwards it, and closes the connection without an answer.
    LoseAnswer,
    /// Forwards it if `forward` is true, reports that, and never answers: the test kills the client.
    Hold { forward: bool, held: Sender<()> },
}

impl Treatment {
    /// Returns this status and body, and forwards nothing.
    pub(crate) fn answer(status: &'static str, body: &(impl ToString + ?Sized)) -> Self {
        Self::Replace(None, status, body.to_string())
    }

    /// Returns an error with this `DynamoDB` code, and forwards nothing.
    pub(crate) fn refuse(code: &str) -> Self {
        Self::refuse_with(code, "refused by the test")
    }

    /// Returns an error with this `DynamoDB` code and message, and forwards nothing.
    pub(crate) fn refuse_with(code: &str, message: &str) -> Self {
        Self::answer("400 Bad Request", &json!({"__type": format!("x#{code}"), "message": message}))
    }
}

impl Request {
    /// The operation, such as `GetItem`. `None` if the request is not for DynamoDB.
    pub(crate) fn operation(&self) -> Option<&str> {
        Some(self.head.split_once("DynamoDB_20120810.")?.1.lines().next()?.trim())
    }

    /// Whether the request changes an item that is not of the history.
    pub(crate) fn is_write(&self) -> bool {
        !self.writes().is_empty()
    }

    /// Whether the request deletes an item.
    pub(crate) fn deletes(&self) -> bool {
        self.writes().iter().any(|(kind, _)| kind == "Delete")
    }

    /// The writes of the request, with their kind: `Put`, `Update` or `Delete`. Those of the history are left out.
    pub(crate) fn writes(&self) -> Vec<(String, Value)> {
        let of = |part: &Value| {
            let (kind, write) = part.as_object().unwrap().iter().next().unwrap();
            (kind.trim_end_matches("Request").to_owned(), write.clone())
        };
        let writes = match self.operation() {
            Some(operation @ ("PutItem" | "UpdateItem" | "DeleteItem")) => {
                vec![(operation.trim_end_matches("Item").to_owned(), self.json())]
            }
            Some("TransactWriteItems") => self.json()["TransactItems"].as_array().unwrap().iter().map(of).collect(),
            Some("BatchWriteItem") => self.json()["RequestItems"][TABLE].as_array().unwrap().iter().map(of).collect(),
            _ => Vec::new(),
        };
        let is_change = |write: &Value| key_of(write)["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("HISTORY#"));
        writes.into_iter().filter(|(kind, write)| kind != "ConditionCheck" && !is_change(write)).collect()
    }

    /// The value of a header. Its name is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Sends another body to the server, as a request of an operation, and returns the HTTP response.
    pub(crate) fn send(&self, operation: &str, body: &Value) -> Vec<u8> {
        let own = self.operation().unwrap();
        let head = self.head.replace(&format!("DynamoDB_20120810.{own}"), &format!("DynamoDB_20120810.{operation}"));
        let request = Self { head, body: body.to_string().into_bytes(), server: self.server };
        request.forward(&request.body)
    }

    fn read(stream: &TcpStream, server: SocketAddr) -> Option<Self> {
        let (head, body) = read_request(&mut BufReader::new(stream))?;
        Some(Self { head, body, server })
    }

    /// Sends the request with another body to the server, and returns the response.
    fn forward(&self, body: &[u8]) -> Vec<u8> {
        let lines = self.head.lines().filter(|line| {
            let line = line.to_ascii_lowercase();
            !line.starts_with("content-length") && !line.starts_with("connection") && !line.is_empty()
        });
        let head = lines.collect::<Vec<_>>().join("\r\n");
        let mut stream = TcpStream::connect(self.server).unwrap();
        write!(stream, "{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
        stream.write_all(body).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        response
    }
}

/// The key of a write, perhaps with the other attributes of its item.
pub(crate) fn key_of(write: &Value) -> &Value {
    write.get("Key").unwrap_or(&write["Item"])
}

/// Starts a proxy in front of a server, and returns its URL. Connections are closed after each answer.
pub(crate) fn start_proxy(
    server: SocketAddr,
    treatment: impl Fn(&Request) -> Treatment + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let treatment = Arc::new(treatment);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let treatment = Arc::clone(&treatment);
            std::thread::spawn(move || handle(stream.unwrap(), server, &*treatment));
        }
    });
    url
}

/// Handles one request. The client may have gone.
fn handle(mut client: TcpStream, server: SocketAddr, treatment: &dyn Fn(&Request) -> Treatment) {
    let Some(request) = Request::read(&client, server) else { return };
    let response = match treatment(&request) {
        Treatment::Respond(response) => response,
        Treatment::Forward => request.forward(&request.body),
        Treatment::Replace(instead, status, body) => {
            if let Some(instead) = instead {
                request.forward(&instead);
            }
            let length = body.len();
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
        }
        Treatment::LoseRequest => return,
        Treatment::Hold { forward, held } => {
            if forward {
                request.forward(&request.body);
            }
            held.send(()).unwrap();
            // The end of the client closes the connection.
            let _ = client.read(&mut [0]);
            return;
        }
        Treatment::LoseAnswer => {
            request.forward(&request.body);
            return;
        }
    };
    let _ = client.write_all(&response);
}
