//! Who may use the console.

use super::{Console, start};
use crate::serve::ServeProcess;
use crate::support::{Run, TestServer};

/// The request that would change something, with another header or without one.
fn block_request(console: &Console, headers: &str) -> String {
    let body = "app=defaultApp&from=PPP009&to=PPP005&seen=%3D";
    let length = body.len();
    format!(
        "POST /calls/block HTTP/1.1\r\n{headers}Cookie: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: \
         {length}\r\nConnection: close\r\n\r\n{body}",
        console.cookie
    )
}

#[test]
fn only_the_own_pages_may_change_something() {
    let server = TestServer::with_table();
    let console = Console::over(&server, &[]);
    let own = console.address;
    let port = own.port();
    let other_port = format!("Host: {own}\r\nOrigin: http://127.0.0.1:1\r\n");
    let refused = [
        (403, format!("Host: {own}\r\n")),
        (403, format!("Host: {own}\r\nOrigin: null\r\n")),
        (403, format!("Host: {own}\r\nOrigin: http://evil.example\r\n")),
        (403, format!("Host: {own}\r\nOrigin: http://evil.example:{port}\r\n")),
        (403, format!("Host: {own}\r\nOrigin: https://{own}\r\n")),
        (403, format!("Host: {own}\r\nOrigin: http://{own}.evil.example\r\n")),
        (403, other_port),
        (403, format!("Host: {own}\r\nOrigin: http://localhost:{port}\r\n")),
        (403, format!("Host: {own}\r\nOrigin: http://{own}\r\nSec-Fetch-Site: cross-site\r\n")),
        (403, format!("Host: {own}\r\nOrigin: http://{own}\r\nSec-Fetch-Site: same-site\r\n")),
        (421, format!("Host: evil.example:{port}\r\nOrigin: http://evil.example:{port}\r\n")),
        (421, format!("Host: evil.example\r\nOrigin: http://{own}\r\n")),
        (421, format!("Host: 127.0.0.1\r\nOrigin: http://{own}\r\n")),
    ];
    for (status, headers) in refused {
        console.send(&block_request(&console, &headers)).is(status);
        assert_eq!(server.stored(), [] as [serde_json::Value; 0], "{headers}");
    }
    let headers =
        format!("Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\nSec-Fetch-Site: same-origin\r\n");
    console.send(&block_request(&console, &headers)).is(303);
    assert_eq!(server.stored().len(), 1);
}

#[test]
fn every_answer_has_the_headers_that_keep_other_pages_out() {
    let server = TestServer::with_table();
    let console = Console::over(&server, &[]);
    let stranger = Console { process: None, address: console.address, cookie: String::new() };
    let answers = [
        console.get("/calls").is(200),
        console.get("/no-such-page").is(404),
        console.get("/calls?decision=maybe").is(400),
        console.post("/calls/block", &[]).is(400),
        console.get("/assets/console.css").is(200),
        console.send("DELETE /calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").is(421),
        stranger.get("/calls").is(401),
        stranger.get("/?token=0").is(403),
        stranger.post("/calls/block", &[]).is(401),
    ];
    for answer in answers {
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        // What the policy forbids is not on a page either.
        for forbidden in ["<style", " style=", "onclick", "onload", "javascript:"] {
            assert!(!answer.body.contains(forbidden) || !answer.body.starts_with("<!DOCTYPE"), "{forbidden}");
        }
    }
}

#[test]
fn the_printed_address_opens_the_console_once() {
    let server = TestServer::with_table();
    let ((mut child, mut stderr), url) = start(server.tool().args(["console", "--listen", "127.0.0.1:0"]));
    let console = Console::sign_in(&url);
    let path = url.split_once("/?").map(|(_, query)| format!("/?{query}")).unwrap();
    let stranger = Console { process: None, address: console.address, cookie: String::new() };
    stranger.get(&path).is(403).shows("used already");
    stranger.get("/calls").is(401).shows("Open the address that callgatectl printed");
    stranger.get("/calls?party=%3Cb%3E").is(401).does_not_show("<b>");
    // A browser that is signed in may use it again, and gets the page without the token.
    assert_eq!(
        console.get(&format!("/rules{}&app=a%20b", path.trim_start_matches('/'))).is(303).header("location"),
        Some("/rules?app=a+b")
    );
    // A second browser has an address of its own.
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    let next = format!("http://{}", line.split_once("http://").unwrap().1.trim());
    assert_ne!(next, url);
    let second = Console::sign_in(&next);
    second.get("/calls").is(200);
    console.get("/calls").is(200);
    assert!(console.cookie.starts_with(&format!("callgate-console-{}=", console.address.port())));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_cookie_is_kept_from_scripts_and_other_sites() {
    let mut serve = ServeProcess::start(&[], &[]);
    let url = serve.console_url();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let browser = Console { process: None, address: host.parse().unwrap(), cookie: String::new() };
    let answer = browser.get(&format!("/{path}")).is(303);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    assert_eq!(answer.header("location"), Some("/"));
}

#[test]
fn an_address_that_others_can_reach_has_to_be_asked_for_twice() {
    let server = TestServer::with_table();
    let run = Run::of(server.tool().args(["console", "--listen", "0.0.0.0:0"])).exits_with(2);
    run.prints("not a loopback address").prints("without encryption").prints("--expose");
    let (mut process, url) = start(server.tool().args(["console", "--listen", "0.0.0.0:0", "--expose"]));
    Console::sign_in(&url).get("/calls").is(200);
    process.0.kill().unwrap();
    process.0.wait().unwrap();
}

#[test]
fn a_read_only_console_changes_nothing() {
    let server = TestServer::with_table();
    let console = Console::over(&server, &["--read-only"]);
    console.get("/calls").is(200).shows("read-only");
    for path in ["/calls/block", "/calls/answer", "/undo", "/rules", "/import", "/no-such-page"] {
        console.post(path, &[("app", "a"), ("from", "b"), ("to", "c"), ("seen", "=")]).is(403).shows("read-only");
    }
    assert!(server.stored().is_empty());
}

#[test]
fn a_wrong_table_or_log_ends_the_console_at_once() {
    let server = TestServer::empty();
    Run::of(server.tool().arg("console")).exits_with(1).prints("table create");
    let server = TestServer::with_table();
    Run::of(server.tool().args(["console", "--log", "/no/such/file"])).exits_with(1).prints("/no/such/file");
    Run::of(server.tool().args(["console", "--log", "-"])).exits_with(2).prints("standard input");
    Run::of(server.tool().args(["console", "--output", "json"])).exits_with(2).prints("--output json");
}
