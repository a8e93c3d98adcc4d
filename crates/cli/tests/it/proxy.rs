//! A proxy in front of the test server, which may answer requests itself or lose them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Sender;

/// An HTTP request.
#[derive(Debug)]
pub(crate) struct Request {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// How the proxy treats a request.
pub(crate) enum Treatment {
    /// Forwards it, and returns the answer.
    Forward,
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
        let error = serde_json::json!({"__type": format!("x#{code}"), "message": "refused by the test"});
        Self::answer("400 Bad Request", &error)
    }
}

impl Request {
    /// The operation, such as `GetItem`. `None` if the request is not for DynamoDB.
    pub(crate) fn operation(&self) -> Option<&str> {
        Some(self.head.split_once("DynamoDB_20120810.")?.1.lines().next()?.trim())
    }

    /// Whether the request changes an item.
    pub(crate) fn is_write(&self) -> bool {
        matches!(
            self.operation(),
            Some("BatchWriteItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems")
        )
    }

    /// The value of a header. Its name is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut request = Self { head: String::new(), body: Vec::new() };
        while !request.head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut request.head).ok()? == 0 {
                return None;
            }
        }
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    /// Sends the request with another body to the server, and returns the response.
    fn forward(&self, server: SocketAddr, body: &[u8]) -> Vec<u8> {
        let lines = self.head.lines().filter(|line| {
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
}

/// Starts a proxy in front of a server, and returns its URL. Connections are closed after each answer.
pub(crate) fn start_proxy(
    server: SocketAddr,
    treatment: impl Fn(&Request) -> Treatment + Clone + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let treatment = treatment.clone();
            std::thread::spawn(move || handle(stream.unwrap(), server, treatment));
        }
    });
    url
}

/// Handles one request. The client may have gone.
fn handle(mut client: TcpStream, server: SocketAddr, treatment: impl Fn(&Request) -> Treatment) {
    let Some(request) = Request::read(&client) else { return };
    let response = match treatment(&request) {
        Treatment::Forward => request.forward(server, &request.body),
        Treatment::Replace(instead, status, body) => {
            if let Some(instead) = instead {
                request.forward(server, &instead);
            }
            let length = body.len();
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
        }
        Treatment::LoseRequest => return,
        Treatment::Hold { forward, held } => {
            if forward {
                request.forward(server, &request.body);
            }
            held.send(()).unwrap();
            // The end of the client closes the connection.
            let _ = client.read(&mut [0]);
            return;
        }
        Treatment::LoseAnswer => {
            request.forward(server, &request.body);
            return;
        }
    };
    let _ = client.write_all(&response);
}
