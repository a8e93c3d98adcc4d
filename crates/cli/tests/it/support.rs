//! A server, the tool, and what came of it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The table of every test.
pub(crate) const TABLE: &str = "permissions";

/// A database of this test alone, and the tool pointed at it.
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// How a run of the tool ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// An empty database without a table.
    pub(crate) fn bare() -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let database = dynoxide::Database::memory().unwrap();
                tokio::spawn(dynoxide::server::serve_on(listener, database));
                let _ = stopped.await;
            });
        });
        Self { address: told.recv().unwrap(), _stop: stop }
    }

    /// A database with an empty permission table.
    pub(crate) fn new() -> Self {
        let place = Self::bare();
        place.run("table create").done();
        place
    }

    /// The tool, ready to be given arguments.
    pub(crate) fn tool(&self) -> Command {
        let mut command = tool();
        command.args(["--table", TABLE, "--endpoint-url", &format!("http://{}", self.address)]);
        command
    }

    /// Runs the tool with arguments as they would be typed, `'` quoting.
    pub(crate) fn run(&self, arguments: &str) -> Run {
        Run::of(self.tool().args(words(arguments)))
    }

    /// Runs the tool with this on its standard input.
    pub(crate) fn pipe(&self, arguments: &str, input: &str) -> Run {
        Run::piped(self.tool().args(words(arguments)), input)
    }

    /// Runs the tool with `--output json` and reads what it says.
    pub(crate) fn json(&self, arguments: &str) -> Value {
        let run = self.run(&format!("{arguments} --output json"));
        serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    }

    /// A request to the server as any client of `DynamoDB` would make it.
    pub(crate) fn ask(&self, operation: &str, body: &Value) -> Value {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let body = body.to_string();
            let request = format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: \
                 DynamoDB_20120810.{operation}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=a/20260101/local/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=a\r\nX-Amz-Date: 20260101T000000Z\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{operation}: {answer}");
            serde_json::from_str(body).unwrap()
        })
    }

    /// Puts an item as some other tool would, which is how wrong ones come about.
    pub(crate) fn put(&self, item: &Value) {
        self.ask("PutItem", &serde_json::json!({"TableName": TABLE, "Item": item}));
    }

    /// Everything in the table, in a fixed order and without who wrote it and when.
    pub(crate) fn items(&self) -> Vec<Value> {
        let mut items = self.ask("Scan", &serde_json::json!({"TableName": TABLE}))["Items"].as_array().unwrap().clone();
        items.iter_mut().for_each(forget_writer);
        items.sort_by_key(|item| (item["pk"].to_string(), item["sk"].to_string()));
        items
    }
}

fn forget_writer(value: &mut Value) {
    if let Value::Object(members) = value {
        members.remove("updated_at");
        members.remove("updated_by");
        members.values_mut().for_each(forget_writer);
    }
}

/// The tool with nothing of this machine's AWS configuration.
pub(crate) fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callgatectl"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    for name in ["TABLE_NAME", "COUNTRY_CODE", "TRUNK_PREFIX", "INTERNATIONAL_PREFIX"] {
        command.env_remove(name);
    }
    command.env("AWS_CONFIG_FILE", "/nonexistent").env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// Words as a shell splits them, with single quotes.
pub(crate) fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' | '\n' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::new(&command.stdin(Stdio::null()).output().unwrap())
    }

    pub(crate) fn piped(command: &mut Command, input: &str) -> Self {
        use std::io::Write as _;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A tool that does not read to the end closes the pipe, which is its own affair.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Self::new(&child.wait_with_output().unwrap())
    }

    fn new(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn done(self) -> Self {
        self.ends(0)
    }

    /// What people read, on either stream.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text) || self.err.contains(text), "`{text}` is not in {self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn keeps_quiet_about(self, text: &str) -> Self {
        assert!(!self.out.contains(text) && !self.err.contains(text), "`{text}` is in {self:?}");
        self
    }
}

/// Rules as a file, one for each number.
pub(crate) fn csv(numbers: std::ops::Range<usize>, row: impl Fn(usize) -> String) -> String {
    let rows: Vec<_> = numbers.map(row).collect();
    format!("app,from,to,effect\n{}\n", rows.join("\n"))
}
