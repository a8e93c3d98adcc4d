//! A backend that records what the simulator sends, and answers as a test wants.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::read_request;

/// How a backend answers a hook.
#[derive(Clone)]
pub(crate) enum Answer {
    /// 200, and the body that was sent.
    Echo,
    /// This status and body.
    Status(u16, String),
    /// This status, and a body that is not UTF-8.
    NotText(u16),
    /// Closes the connection.
    Lost,
}

/// A request that a backend received.
pub(crate) struct Recorded {
    pub(crate) hook: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The number of the connection.
    pub(crate) connection: usize,
}

impl Recorded {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The names of the members of the body.
    pub(crate) fn members(&self) -> Vec<String> {
        let mut names: Vec<_> = self.json().as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    }
}

/// A backend that records all requests and keeps connections open.
pub(crate) struct Backend {
    pub(crate) url: String,
    pub(crate) requests: Arc<Mutex<Vec<Recorded>>>,
}

impl Backend {
    /// Starts a backend that answers `connect` with this configuration, and other hooks with `answer`.
    pub(crate) fn start(config: Value, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(move |hook, body| match hook {
            "connect" => {
                let mut body = body.clone();
                body["restClientConfig"] = config.clone();
                Answer::Status(200, body.to_string())
            }
            hook => answer(hook),
        })
    }

    pub(crate) fn start_with(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/rest/my_api", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, recorded) = (Arc::new(answer), Arc::clone(&requests));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (answer, recorded) = (Arc::clone(&answer), Arc::clone(&recorded));
                std::thread::spawn(move || serve_connection(&stream.unwrap(), number, &*answer, &recorded));
            }
        });
        Self { url, requests }
    }

    /// The hooks that were sent, in their order.
    pub(crate) fn hooks(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|request| request.hook.clone()).collect()
    }

    /// The first request of a hook.
    pub(crate) fn members(&self, hook: &str) -> Vec<String> {
        self.requests.lock().unwrap().iter().find(|request| request.hook == hook).unwrap().members()
    }
}

/// Answers the requests of a connection until the client closes it.
fn serve_connection(
    mut stream: &TcpStream,
    connection: usize,
    answer: &dyn Fn(&str, &Value) -> Answer,
    recorded: &Mutex<Vec<Recorded>>,
) {
    let mut reader = BufReader::new(stream);
    while let Some((head, body)) = read_request(&mut reader) {
        let hook = head.split(' ').nth(1).unwrap().strip_prefix("/rest/my_api/").unwrap().to_owned();
        let answer = answer(&hook, &serde_json::from_slice(&body).unwrap());
        let (status, content) = match answer {
            Answer::Echo => (200, body.clone()),
            Answer::Status(status, text) => (status, text.into_bytes()),
            Answer::NotText(status) => (status, b"refus\xe9".to_vec()),
            Answer::Lost => (0, Vec::new()),
        };
        recorded.lock().unwrap().push(Recorded { hook, head, body, connection });
        if status == 0 {
            return;
        }
        let length = content.len();
        let head =
            format!("HTTP/1.1 {status} X\r\nLocation: /rest/my_api/elsewhere\r\nContent-Length: {length}\r\n\r\n");
        // In one piece, because a second one would wait for the client's acknowledgement.
        stream.write_all(&[head.into_bytes(), content].concat()).unwrap();
    }
}

/// A status without a body.
pub(crate) fn status(status: u16) -> Answer {
    Answer::Status(status, String::new())
}

/// The configuration with which both hooks that decide calls refuse on an error.
pub(crate) fn both_fail() -> Value {
    json!({"OnCallEvent": {"restOnError": "FAIL"}, "call": {"restOnError": "FAIL"}})
}
