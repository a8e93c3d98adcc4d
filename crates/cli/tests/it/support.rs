//! A database server for one test, runs of the tool against it, and assertions on the result.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The name of the table in every test.
pub(crate) const TABLE: &str = "permissions";

/// A DynamoDB-compatible server with a database for one test. Stops when dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// The result of a run of the tool.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestServer {
    /// Starts a server without a table.
    pub(crate) fn empty() -> Self {
        let (stop, stopped) = oneshot::channel();
        let (address_sender, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                address_sender.send(listener.local_addr().unwrap()).unwrap();
                let database = dynoxide::Database::memory().unwrap();
                tokio::spawn(dynoxide::server::serve_on(listener, database));
                let _ = stopped.await;
            });
        });
        Self { address: address.recv().unwrap(), _stop: stop }
    }

    /// Starts a server with an empty permission table.
    pub(crate) fn with_table() -> Self {
        let server = Self::empty();
        server.run("table create").succeeds();
        server
    }

    /// Starts a server with a table as it was before it had an index, but with this index.
    pub(crate) fn with_table_and_index(index: Option<&Value>) -> Self {
        let key = |name: &str, key_type: &str| json!({"AttributeName": name, "KeyType": key_type});
        let text = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
        let mut table = json!({"TableName": TABLE, "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
            "AttributeDefinitions": [text("pk"), text("sk")], "BillingMode": "PAY_PER_REQUEST"});
        if let Some(index) = index {
            table["GlobalSecondaryIndexes"] = json!([index]);
        }
        let server = Self::empty();
        server.request("CreateTable", &table);
        let expiry = json!({"AttributeName": "expires_at", "Enabled": true});
        server.request("UpdateTimeToLive", &json!({"TableName": TABLE, "TimeToLiveSpecification": expiry}));
        server
    }

    /// The tool with the options for this table. The caller adds the arguments.
    pub(crate) fn tool(&self) -> Command {
        let mut command = tool();
        command.args(["--table", TABLE, "--endpoint-url", &format!("http://{}", self.address)]);
        command
    }

    /// Runs the tool with arguments as typed in a shell, with single quotes.
    pub(crate) fn run(&self, arguments: &str) -> Run {
        Run::of(self.tool().args(split_words(arguments)))
    }

    /// Runs the tool with `input` on its standard input.
    pub(crate) fn pipe(&self, arguments: &str, input: &str) -> Run {
        Run::with_input(self.tool().args(split_words(arguments)), input)
    }

    /// Runs the tool with `--output json` and parses its output.
    pub(crate) fn json(&self, arguments: &str) -> Value {
        let run = self.run(&format!("{arguments} --output json"));
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    }

    /// Sends a request to the server, as any `DynamoDB` client would, and returns the response.
    pub(crate) fn request(&self, operation: &str, body: &Value) -> Value {
        self.handle().request(operation, body)
    }

    /// Sends requests to the server from another thread.
    pub(crate) fn handle(&self) -> ServerHandle {
        ServerHandle(self.address)
    }

    /// Puts an item directly, without the tool's checks, so that it may be invalid.
    pub(crate) fn put(&self, item: &Value) {
        self.request("PutItem", &json!({"TableName": TABLE, "Item": item}));
    }

    /// All items of the table, exactly as they are stored, sorted by key.
    pub(crate) fn stored(&self) -> Vec<Value> {
        let mut items = self.request("Scan", &json!({"TableName": TABLE}))["Items"].as_array().unwrap().clone();
        items.sort_by_key(|item| (item["pk"].to_string(), item["sk"].to_string()));
        items
    }

    /// All items of the table, sorted by key and without `updated_at` and `updated_by`.
    pub(crate) fn items(&self) -> Vec<Value> {
        let mut items = self.stored();
        items.iter_mut().for_each(remove_author);
        items
    }
}

/// The address of a server, to send requests to it from another thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerHandle(SocketAddr);

impl ServerHandle {
    /// Sends a request to the server, as any `DynamoDB` client would, and returns the response.
    pub(crate) fn request(self, operation: &str, body: &Value) -> Value {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let body = body.to_string();
            let request = format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: \
                 DynamoDB_20120810.{operation}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=a/20260101/local/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=a\r\nX-Amz-Date: 20260101T000000Z\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let mut stream = tokio::net::TcpStream::connect(self.0).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{operation}: {response}");
            serde_json::from_str(body).unwrap()
        })
    }
}

fn remove_author(value: &mut Value) {
    if let Value::Object(members) = value {
        members.remove("updated_at");
        members.remove("updated_by");
        members.values_mut().for_each(remove_author);
    }
}

/// The tool without any AWS configuration, phone region, app or time zone from this machine.
pub(crate) fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callgatectl"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    for name in ["TABLE_NAME", "PHONE_REGION", "CALLGATE_APP", "CALLGATE_LOG_GROUP", "CALLGATE_FUNCTION"] {
        command.env_remove(name);
    }
    command.env("AWS_CONFIG_FILE", "/nonexistent").env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("TZ", "UTC");
    // There is no function that keeps an app's item, so no import has to wait.
    command.env("APP_CACHE_SECONDS", "0");
    command
}

/// The tool with the options for the table behind a proxy. The caller adds the arguments.
pub(crate) fn tool_at(url: &str) -> Command {
    let mut command = tool();
    command.args(["--table", TABLE, "--endpoint-url", url]);
    command
}

/// Splits text into words as a shell does, with single quotes.
pub(crate) fn split_words(text: &str) -> Vec<String> {
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
    /// Runs a command without input.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::new(&command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs a command with `input` on its standard input.
    pub(crate) fn with_input(command: &mut Command, input: &str) -> Self {
        use std::io::Write as _;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Writing fails if the tool exits before it has read all its input. That is allowed.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Self::new(&child.wait_with_output().unwrap())
    }

    /// The result of a process that has exited. The exit code is -1 if it was killed.
    pub(crate) fn new(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Asserts that the exit code is 0.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    /// Asserts that the text is on standard output or standard error.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "`{text}` is not in {self:?}");
        self
    }

    /// Asserts that the text is on neither stream.
    #[track_caller]
    pub(crate) fn does_not_print(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "`{text}` is in {self:?}");
        self
    }
}

/// A CSV file with a row for each number.
pub(crate) fn csv(numbers: std::ops::Range<usize>, row: impl Fn(usize) -> String) -> String {
    let rows: Vec<_> = numbers.map(row).collect();
    format!("app,from,to,effect\n{}\n", rows.join("\n"))
}

/// A folder for the files of one test. Removed when dropped.
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("callgatectl-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, with the folders above it, and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Reads an HTTP request: its head and its body, whose length the head states. `None` if the connection is closed.
pub(crate) fn read_request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}
