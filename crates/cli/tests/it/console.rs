//! The web console, as a browser sees it: real requests to the built tool.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use crate::serve::ServeProcess;
use crate::support::TestServer;

mod calls;
mod check;
mod faults;
mod health;
mod history;
mod import;
mod parties;
mod rule;
mod rules;
mod sign_in;
mod waiting;

/// A console, and a browser that is signed in.
pub(crate) struct Console {
    /// The process, if it is the console alone. Killed when dropped.
    process: Option<(Child, BufReader<ChildStderr>)>,
    pub(crate) address: SocketAddr,
    /// The header that a browser sends.
    pub(crate) cookie: String,
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Console {
    /// Starts `console` over the table of a server, and signs in.
    pub(crate) fn over(server: &TestServer, arguments: &[&str]) -> Self {
        Self::of_tool(server.tool(), arguments)
    }

    /// The same over the table of these arguments of the tool.
    fn of_tool(mut tool: Command, arguments: &[&str]) -> Self {
        let (process, url) = start(tool.arg("console").args(["--listen", "127.0.0.1:0"]).args(arguments));
        let mut console = Self::sign_in(&url);
        console.process = Some(process);
        console
    }

    /// The console of `serve`, signed in.
    pub(crate) fn of(serve: &mut ServeProcess) -> Self {
        Self::sign_in(&serve.console_url())
    }

    /// Opens the printed URL.
    fn sign_in(url: &str) -> Self {
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut console = Self { process: None, address: host.parse().unwrap(), cookie: String::new() };
        let answer = console.get(&format!("/{path}")).is(303);
        answer.header("set-cookie").unwrap().split(';').next().unwrap().clone_into(&mut console.cookie);
        console
    }

    /// Gets a page.
    pub(crate) fn get(&self, path: &str) -> Answer {
        let (host, cookie) = (self.address, &self.cookie);
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"))
    }

    /// Sends a form, as a page of the console does.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = encode(fields);
        let (host, cookie, length) = (self.address, &self.cookie, body.len());
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: {cookie}\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ))
    }

    /// Sends the form of a page that has this action and contains this text, with more fields.
    #[track_caller]
    pub(crate) fn send_form(&self, page: &Answer, (action, text): (&str, &str), more: &[(&str, &str)]) -> Answer {
        let fields = page.form(action, text);
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.post(action, &fields.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// The same, and gets the page to which the answer leads.
    #[track_caller]
    pub(crate) fn submit(&self, page: &Answer, form: (&str, &str), more: &[(&str, &str)]) -> Answer {
        let answer = self.send_form(page, form, more).is(303);
        self.get(answer.header("location").unwrap())
    }

    /// Sends a request as it is.
    pub(crate) fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Answer::parse(&answer)
    }
}

/// Starts a console, and waits for its URL.
pub(crate) fn start(command: &mut Command) -> ((Child, BufReader<ChildStderr>), String) {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut printed = String::new();
    while !printed.contains("/?token=") || !printed.ends_with('\n') {
        assert_ne!(stderr.read_line(&mut printed).unwrap(), 0, "it exited: {printed}");
    }
    let url = format!("http://{}", printed.split_once("http://").unwrap().1.trim());
    ((child, stderr), url)
}

/// A form as a browser sends it.
pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Reloads a page until work on it has got so far.
pub(crate) fn wait_for(console: &Console, path: &str, is_reached: impl Fn(&Answer) -> bool) -> Answer {
    let start = Instant::now();
    loop {
        let page = console.get(path).is(200);
        if is_reached(&page) {
            return page;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it does not end: {}", page.text());
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By their names in lower case.
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Asserts the status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Asserts that a text is on the page, as a reader sees it.
    #[track_caller]
    pub(crate) fn shows(self, text: &str) -> Self {
        assert!(self.text().contains(text), "`{text}` is not in {}", self.text());
        self
    }

    /// Asserts that a text is not on the page.
    #[track_caller]
    pub(crate) fn does_not_show(self, text: &str) -> Self {
        assert!(!self.text().contains(text), "`{text}` is in {}", self.text());
        self
    }

    /// The page without tags.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for piece in self.body.split('<') {
            let shown = piece.split_once('>').map_or(piece, |(_, shown)| shown);
            text.push_str(shown);
        }
        unescape(&text)
    }

    /// The hidden fields of the form that has this action and contains this text.
    #[track_caller]
    pub(crate) fn form(&self, action: &str, text: &str) -> Vec<(String, String)> {
        let start = format!("action=\"{action}\"");
        let forms = self.body.split("<form").filter_map(|form| form.split("</form>").next());
        let form = forms.into_iter().find(|form| form.contains(&start) && unescape(form).contains(text));
        let form = form.unwrap_or_else(|| panic!("no form {action} with `{text}` in {}", self.body));
        let inputs = form.split("<input type=\"hidden\" ").skip(1);
        let attribute = |input: &str, name: &str| {
            let (_, rest) = input.split_once(&format!("{name}=\"")).unwrap();
            unescape(rest.split('"').next().unwrap())
        };
        inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
    }

    /// The addresses of the links whose text contains this.
    pub(crate) fn links(&self, text: &str) -> Vec<String> {
        let links = self.body.split("<a ").skip(1).filter_map(|link| link.split("</a>").next());
        let links = links.filter(|link| unescape(link).contains(text));
        links.filter_map(|link| Some(unescape(link.split_once("href=\"")?.1.split('"').next()?))).collect()
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// The answer to a call, sent to the hook.
pub(crate) fn call(serve: &ServeProcess, caller: &str, callee: &str) -> u16 {
    let body = serde_json::json!({"appKey": "defaultApp", "caller": caller, "callee": callee}).to_string();
    let answer = serve.send(&format!(
        "POST /rest/my_api/OnCallEvent HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n{body}",
        body.len()
    ));
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
