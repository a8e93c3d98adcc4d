//! `callgatectl serve`: the hook over HTTP, as the built tool serves it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::{Run, TABLE, TempFolder, TestServer, split_words, tool};

/// The built tool with an empty environment.
pub(crate) fn callgatectl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callgatectl"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

/// A running `callgatectl serve`. Killed when dropped.
pub(crate) struct ServeProcess {
    child: Child,
    /// The decision log, unless it is discarded.
    stdout: Option<BufReader<ChildStdout>>,
    /// What it prints for people after the greeting.
    stderr: BufReader<ChildStderr>,
    pub(crate) address: SocketAddr,
    /// What it prints for people up to the examples, which are printed once it listens.
    pub(crate) greeting: String,
}

impl ServeProcess {
    /// Starts the hook on a free port and waits until it listens.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut command = callgatectl(&arguments);
        // On a busy machine, the default may be too short.
        command.env("STORE_DEADLINE_MS", "10000");
        Self::spawn(command.envs(environment.iter().copied()))
    }

    /// Starts the tool with the arguments of `serve`, and waits until it listens.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("\n    403  ") || !greeting.ends_with("\n\n") {
            assert_ne!(stderr.read_line(&mut greeting).unwrap(), 0, "it exited: {greeting}");
        }
        let (_, address) = greeting.split_once("curl -i http://").unwrap();
        let address = address.split('/').next().unwrap().parse().unwrap();
        Self { child, stdout: Some(stdout), stderr, address, greeting }
    }

    /// Starts the hook over the table of a server. Its log is discarded.
    pub(crate) fn over(server: &TestServer, app_cache_seconds: &str) -> Self {
        let endpoint = format!("http://{}", server.address);
        let mut serve =
            Self::start(&["--table", TABLE, "--endpoint-url", &endpoint], &[("APP_CACHE_SECONDS", app_cache_seconds)]);
        // A full pipe would stop the hook.
        let mut stdout = serve.stdout.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        serve
    }

    /// Reads the next line for people after the greeting.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "it exited");
        line.trim().to_owned()
    }

    /// The URL of the embedded store.
    pub(crate) fn store(&mut self) -> String {
        self.greeting_after("AWS_ENDPOINT_URL_DYNAMODB=")
    }

    /// The URL that opens the console once.
    pub(crate) fn console_url(&mut self) -> String {
        self.greeting_after("in a browser:")
    }

    /// The URL for another browser, which is printed when one has opened the console.
    pub(crate) fn next_console_url(&mut self) -> String {
        let (_, rest) = self.greeting.split_once("/?token=").unwrap();
        self.greeting = rest.to_owned();
        self.greeting_after("another one:")
    }

    /// What it prints after a text, up to the end of the line that is not empty.
    fn greeting_after(&mut self, text: &str) -> String {
        loop {
            let rest = self.greeting.split_once(text).map(|(_, rest)| rest.trim_start()).unwrap_or_default();
            if let Some((line, _)) = rest.split_once('\n') {
                return line.trim().to_owned();
            }
            assert_ne!(self.stderr.read_line(&mut self.greeting).unwrap(), 0, "it exited");
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/rest/my_api", self.address)
    }

    /// Sends a request as it is, and returns the whole response.
    pub(crate) fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Posts a body and returns the whole response.
    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Sends Ctrl-C, waits for the exit code 0 and returns the rest of standard output and of standard error.
    pub(crate) fn interrupt(mut self) -> (String, String) {
        let interrupted = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(interrupted.success());
        let (mut log, mut rest) = (String::new(), String::new());
        self.stdout.take().unwrap().read_to_string(&mut log).unwrap();
        self.stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{rest}");
        (log, rest)
    }
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status in a whole response.
pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

fn call(caller: &str, callee: &str) -> String {
    format!(r#"{{"appKey":"defaultApp","caller":"{caller}","callee":"{callee}"}}"#)
}

#[test]
fn a_permitted_event_comes_back_byte_for_byte() {
    let serve = ServeProcess::start(&[], &[]);
    let body = "{\r\n  \"appKey\" : \"defaultApp\",\r\n  \"caller\" : \"PPP009\",\r\n  \"callee\" : \"PPP005\",\r\n  \"x\" : 1.0e+1\r\n}";
    let answer = serve.post("/rest/my_api/OnCallEvent?x=y", body);
    assert_eq!(status(&answer), "200");
    assert!(answer.contains("\r\ncontent-type: application/json\r\n"), "{answer}");
    assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
}

#[test]
fn refused_calls_and_rejected_requests_have_their_status_codes() {
    let serve = ServeProcess::start(&[], &[]);
    let refused = serve.post("/rest/my_api/OnCallEvent", &call("PPP009", "PPP006"));
    assert_eq!(status(&refused), "403");
    assert!(refused.contains("\r\ncontent-length: 0\r\n"), "{refused}");
    assert_eq!(status(&serve.post("/x/CallStatusEvent", "{}")), "200");
    assert_eq!(status(&serve.post("/x/", "{}")), "404");
    assert_eq!(status(&serve.post("/OnCallEvent", "{")), "400");
    assert_eq!(status(&serve.post("/OnCallEvent", &" ".repeat(256 * 1024 + 1))), "413");
    let get = serve.send("GET /OnCallEvent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&get), "405");
    assert!(get.contains("\r\nallow: POST\r\n"), "{get}");
}

#[test]
fn serve_logs_decisions_and_stops_cleanly() {
    let serve = ServeProcess::start(&[], &[]);
    serve.post("/OnCallEvent", &call("PPP009", "PPP005"));
    let (log, rest) = serve.interrupt();
    assert!(log.contains(r#""decision":"allow","reason":"pair_rule""#), "{log}");
    assert!(rest.ends_with("\nstopped\n"), "{rest}");
}

#[test]
fn the_log_is_on_standard_output_and_everything_else_on_standard_error() {
    let serve = ServeProcess::start(&[], &[]);
    assert!(serve.greeting.contains("deny  +881* to *"), "{}", serve.greeting);
    serve.post("/OnCallEvent", &call("PPP009", "PPP006"));
    let (log, rest) = serve.interrupt();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    let [warning, "decision"] = messages[..] else { panic!("{log}") };
    assert!(warning.starts_with("hooks are not authenticated"), "{warning}");
    assert!(rest.contains("AWS_ENDPOINT_URL_DYNAMODB=") && rest.ends_with("\nstopped\n"), "{rest}");
}

#[test]
fn log_appends_whole_lines_to_a_file() {
    const THREADS: usize = 8;
    const CALLS: usize = 16;
    let folder = TempFolder::new();
    let file = folder.path().join("decisions.log");
    for run in 1..=2 {
        let serve = ServeProcess::start(&["--log", file.to_str().unwrap()], &[("WCS_HOOK_SECRET", "key")]);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..CALLS).for_each(|_| assert_eq!(status(&serve.post("/OnCallEvent", "{}")), "403")));
            }
        });
        let (log, _) = serve.interrupt();
        assert_eq!(log, "");
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), run * THREADS * CALLS, "run {run}");
        assert!(text.ends_with('\n') && lines.iter().all(|line| line["reason"] == "bad_signature"), "{text}");
    }
}

#[test]
fn an_unfinished_request_does_not_keep_serve_from_stopping() {
    let serve = ServeProcess::start(&[], &[("STORE_DEADLINE_MS", "100")]);
    let mut stream = TcpStream::connect(serve.address).unwrap();
    stream.write_all(b"POST /OnCallEvent HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").unwrap();
    // The answer on a second connection shows that the first one has been accepted.
    serve.post("/OnCallEvent", &call("PPP009", "PPP005"));
    assert!(serve.interrupt().1.ends_with("\nstopped\n"));
}

#[test]
fn the_printed_curl_commands_are_signed_and_get_the_printed_status() {
    let serve = ServeProcess::start(&[], &[("WCS_HOOK_SECRET", "old-key, new-key")]);
    let lines: Vec<_> = serve.greeting.lines().filter(|line| line.contains("curl")).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let (expected, command) = line.trim().split_once("  curl -i ").unwrap();
        let command = format!("curl -s -o /dev/null -w '%{{http_code}}' {command}");
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{line}");
    }
    assert_eq!(status(&serve.post("/OnCallEvent", &call("PPP009", "PPP005"))), "403", "unsigned");
    assert!(!serve.greeting.contains("key,") && !serve.greeting.contains("-key"), "{}", serve.greeting);
}

#[test]
fn allowed_sources_apply_to_the_address_of_the_client() {
    let serve = ServeProcess::start(&[], &[("ALLOWED_SOURCES", "192.0.2.0/24")]);
    assert_eq!(status(&serve.post("/OnCallEvent", &call("PPP009", "PPP005"))), "403");
    let serve = ServeProcess::start(&[], &[("ALLOWED_SOURCES", "127.0.0.1")]);
    assert_eq!(status(&serve.post("/OnCallEvent", &call("PPP009", "PPP005"))), "200");
}

#[test]
fn stored_permissions_survive_a_restart() {
    let folder = std::env::temp_dir().join(format!("callgate-serve-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("permissions.db");
    let arguments = ["--data", file.to_str().unwrap()];
    ServeProcess::start(&arguments, &[]).interrupt();
    let serve = ServeProcess::start(&arguments, &[]);
    assert!(serve.greeting.contains("those kept in"), "{}", serve.greeting);
    assert_eq!(status(&serve.post("/OnCallEvent", &call("PPP009", "PPP005"))), "200");
    serve.interrupt();
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Runs a command on the embedded store and returns its output.
fn on_store(serve: &mut ServeProcess, arguments: &str) -> String {
    let endpoint = serve.store();
    let run = Run::of(tool().args(split_words(arguments)).args(["--table", "callgate", "--endpoint-url", &endpoint]));
    // A file cannot contain that a party is suspended.
    if arguments == "export" { run.exits_with(1).stdout } else { run.succeeds().stdout }
}

/// What the store holds: the rules, the suspended party, and the table itself without its size.
fn contents(serve: &mut ServeProcess) -> String {
    let commands = ["export", "show --app defaultApp PPP007", "table describe"];
    let outputs = commands.map(|command| on_store(serve, command));
    outputs.concat().lines().filter(|line| !line.starts_with("  about ")).collect::<Vec<_>>().join("\n")
}

/// The kernel kills a process that writes more to a file than its limit allows: an exact point, over and over.
#[cfg(target_os = "linux")]
#[test]
fn a_new_store_that_is_cut_off_anywhere_gets_all_samples_at_the_next_start() {
    let expected = contents(&mut ServeProcess::start(&[], &[]));
    assert!(expected.contains("PPP009,PPP005,allow") && expected.contains("suspended"), "{expected}");
    let mut kills = 0;
    for limit in (0..).step_by(8) {
        let folder = TempFolder::new();
        let file = folder.path().join("permissions.db");
        let arguments = ["--data", file.to_str().unwrap()];
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -c 0; ulimit -f {limit}; exec \"$0\" serve --listen 127.0.0.1:0 \"$@\"")]);
        limited.arg(env!("CARGO_BIN_EXE_callgatectl")).args(arguments).env_clear().env("TMPDIR", folder.path());
        let mut child = limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let is_started = BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap() > 0;
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it ended without a signal");
        let mut serve = ServeProcess::start(&arguments, &[]);
        assert_eq!(contents(&mut serve), expected, "after a limit of {limit}");
        if is_started {
            break;
        }
        kills += 1;
    }
    assert!(kills > 5, "killed {kills} times");
}

#[test]
fn a_store_whose_rules_were_all_deleted_does_not_get_the_samples_again() {
    let folder = TempFolder::new();
    let file = folder.path().join("permissions.db");
    let arguments = ["--data", file.to_str().unwrap()];
    let mut serve = ServeProcess::start(&arguments, &[]);
    for rule in on_store(&mut serve, "export").lines().skip(1) {
        let columns: Vec<_> = rule.split(',').collect();
        let (app, from, to) = (columns[0], columns[1], columns[2]);
        let command = match columns[3] {
            "block" => format!("unblock --app {app} {from}"),
            _ => format!("revoke --yes --app {app} --from '{from}' --to '{to}'"),
        };
        on_store(&mut serve, &command);
    }
    serve.interrupt();
    let mut serve = ServeProcess::start(&arguments, &[]);
    assert_eq!(on_store(&mut serve, "export").lines().count(), 1);
}

#[test]
fn invalid_settings_are_reported_at_the_start() {
    let taken = ServeProcess::start(&[], &[]);
    let address = taken.address.to_string();
    for (arguments, environment, problem) in [
        (vec!["--listen", &*address], None, "cannot listen on"),
        (vec!["--log", "/nowhere/at/all.log"], None, "cannot open the log `/nowhere/at/all.log`"),
        (vec!["--data", "/nowhere/at/all.db"], None, "cannot keep the store in `/nowhere/at/all.db`"),
        (vec!["--table", "no table"], None, "TABLE_NAME is `no table`"),
        (vec![], Some(("LOG_LEVEL", "loud")), "LOG_LEVEL is `loud`"),
    ] {
        let arguments = [vec!["serve"], arguments].concat();
        let output = callgatectl(&arguments).envs(environment).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(problem), "{stderr}");
    }
    assert_eq!(callgatectl(&["serve", "--listen", "nowhere"]).output().unwrap().status.code(), Some(2));
}
