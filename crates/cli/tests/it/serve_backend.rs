//! `callgatectl serve --backend`: which requests go to the backend, and that requests and answers pass unchanged.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::request::Parts;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

use crate::serve::{ServeProcess, callgatectl, status};
use crate::support::{Run, TempFolder, read_request};

/// Starts an HTTP server that describes each request in its answer. Returns its URL.
fn describing_backend() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let describe = |parts: Parts, body: Bytes| async move {
                let headers = parts
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_bytes().escape_ascii().to_string()));
                let headers: Vec<_> = headers.collect();
                json!({
                    "method": parts.method.as_str(), "target": parts.uri.to_string(), "headers": headers,
                    "body": body.get(..99).unwrap_or(&body).escape_ascii().to_string(), "length": body.len(),
                })
                .to_string()
            };
            axum::serve(listener, Router::new().fallback(describe).layer(DefaultBodyLimit::disable())).await.unwrap();
        });
    });
    url
}

/// Starts a server that reads the head of each request and sends this answer, byte for byte, then closes the connection.
fn answering_backend(answer: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = answer.to_vec();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if read_request(&mut BufReader::new(&stream)).is_some() {
                let _ = stream.write_all(&answer);
            }
        }
    });
    url
}

fn serve(backend: &str) -> ServeProcess {
    ServeProcess::start(&["--backend", backend], &[])
}

/// Sends a request as it is, and returns the whole answer.
fn send(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn send_text(serve: &ServeProcess, request: &str) -> String {
    String::from_utf8(send(serve.address, request.as_bytes())).unwrap()
}

/// The body of a whole answer as JSON.
#[track_caller]
fn json_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// What the backend received, if a request arrived there.
fn received(answer: &str) -> Option<String> {
    let answer = json_of(answer);
    Some(answer.get("target")?.as_str().unwrap().to_owned())
}

const CALL: &str = r#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP005"}"#;

#[test]
fn gated_hooks_are_decided_and_all_others_go_to_the_backend() {
    let backend = describing_backend();
    let only_incoming = ServeProcess::start(&["--backend", &format!("{backend}/hooks/")], &[]);
    let both = ServeProcess::start(&["--backend", &format!("{backend}/hooks")], &[("GATED_HOOKS", "OnCallEvent,call")]);
    for (serve, call_status) in [(&only_incoming, "200"), (&both, "403")] {
        assert_eq!(status(&serve.post("/rest/my_api/OnCallEvent?x=y", CALL)), "200");
        let refused = serve.post("/rest/my_api/OnCallEvent", &CALL.replace("PPP005", "PPP006"));
        assert_eq!((status(&refused), refused.ends_with("\r\n\r\n")), ("403", true));
        let call = serve.post("/rest/my_api/call", &CALL.replace("PPP005", "PPP006"));
        assert_eq!(status(&call), call_status);
        for (path, target) in [
            ("/rest/my_api/connect", "/hooks/connect"),
            ("/rest/my_api/StreamKeepAliveEvent", "/hooks/StreamKeepAliveEvent"),
            ("/rest/my_api/oncallevent", "/hooks/oncallevent"),
            ("/rest/my_api/OnCallEvent/", "/hooks/OnCallEvent/"),
            ("/rest/my_api/a/OnCallEvent", "/hooks/a/OnCallEvent"),
            ("/rest/my_api/a%2Fb%20c/d?e=f&g=%2F?", "/hooks/a%2Fb%20c/d?e=f&g=%2F?"),
            ("/rest/my_api/.hidden..", "/hooks/.hidden.."),
        ] {
            assert_eq!(received(&serve.post(path, CALL)).unwrap(), target);
        }
    }
    assert!(only_incoming.greeting.contains(&format!("all others: {backend}/hooks\n")), "{}", only_incoming.greeting);
    assert!(both.greeting.contains("OnCallEvent and call: decided here\n"), "{}", both.greeting);
}

#[test]
fn a_path_outside_gets_the_answer_of_api_gateway() {
    let backend = describing_backend();
    let serve = ServeProcess::start(&["--backend", &backend, "--hook-path", "/a/b/"], &[]);
    assert_eq!(received(&serve.post("/a/b/connect", "{}")).unwrap(), "/connect");
    assert_eq!(status(&serve.post("/a/b/OnCallEvent", CALL)), "200");
    for path in [
        "/",
        "/connect",
        "/OnCallEvent",
        "/a/b",
        "/a/b/",
        "/a/bc/connect",
        "/rest/my_api/connect",
        "/a/b/../x",
        "/a/b/x/.",
        "/a/b/%2E%2e/x",
    ] {
        let answer = serve.post(path, CALL);
        assert_eq!((status(&answer), json_of(&answer)), ("404", json!({"message": "Not Found"})), "{path}");
    }
    let everywhere = ServeProcess::start(&["--backend", &backend, "--hook-path", "/"], &[]);
    assert_eq!(received(&everywhere.post("/connect", "{}")).unwrap(), "/connect");
    assert_eq!(status(&everywhere.post("/OnCallEvent", CALL)), "200");
}

#[test]
fn method_headers_and_body_arrive_as_they_were_sent() {
    let backend = describing_backend();
    let serve = serve(&backend);
    let head = "PATCH /rest/my_api/connect HTTP/1.1\r\nHost: wcs.example\r\nAuthorization: WCS 00ff\r\nX-Two: a\r\nX-Two: b\r\n\
                X-Latin: \u{e9}\r\nContent-Type: application/json;charset=UTF-8\r\nUser-Agent: Java/1.8.0_111\r\n\
                Accept-Encoding: gzip\r\nConnection: close, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
                Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nTrailer: X-Sum\r\nContent-Length: 4\r\n\r\n";
    let request = [head.as_bytes(), b"\0\xff{\n"].concat();
    let answer = json_of(&String::from_utf8(send(serve.address, &request)).unwrap());
    assert_eq!((answer["method"].as_str(), answer["body"].as_str()), (Some("PATCH"), Some(r"\x00\xff{\n")));
    let host = backend.trim_start_matches("http://");
    let mut expected = json!([
        ["host", host],
        ["authorization", "WCS 00ff"],
        ["x-two", "a"],
        ["x-two", "b"],
        ["x-latin", r"\xc3\xa9"],
        ["content-type", "application/json;charset=UTF-8"],
        ["user-agent", "Java/1.8.0_111"],
        ["accept-encoding", "gzip"],
        ["content-length", "4"],
        ["via", "1.1 callgatectl"],
    ]);
    let mut headers = answer["headers"].clone();
    for list in [&mut expected, &mut headers] {
        // The order of headers with different names has no meaning.
        list.as_array_mut().unwrap().sort_by_key(|header| header[0].to_string());
    }
    assert_eq!(headers, expected);
}

#[test]
fn a_body_may_have_any_length_up_to_the_limit_of_api_gateway() {
    let serve = serve(&describing_backend());
    let answer = serve.post("/rest/my_api/connect", &"x".repeat(10 * 1024 * 1024));
    assert_eq!(json_of(&answer)["length"], 10 * 1024 * 1024);
    let chunked = "POST /rest/my_api/pushLogs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let answer = json_of(&send_text(&serve, chunked));
    assert_eq!(answer["body"], "abcde");
    let too_long = serve.post("/rest/my_api/connect", &"x".repeat(10 * 1024 * 1024 + 1));
    assert_eq!(status(&too_long), "413");
}

#[test]
fn the_answer_of_the_backend_comes_back_as_it_is() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let long = "x".repeat(100_000);
    for (answer, line, headers, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "200 OK", "content-length: 2", "{}"),
        ("HTTP/1.1 403 No Way\r\nContent-Length: 0\r\n\r\n", "403 No Way", "content-length: 0", ""),
        ("HTTP/1.1 299 Odd\r\nContent-Length: 1\r\n\r\n1", "299 Odd", "content-length: 1", "1"),
        (
            "HTTP/1.1 500 Oops\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc",
            "500 Oops",
            "content-length: 3\r\nx-a: b",
            "abc",
        ),
        (
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
            "200 OK",
            "set-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0",
            "",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n",
            "302 Found",
            "location: http://127.0.0.1:1/x\r\ncontent-length: 0",
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Sum\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX-Sum: 1\r\n\r\n",
            "200 OK",
            "content-length: 3",
            "abc",
        ),
        ("HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nuntil the end", "200 OK", "x-a: b\r\ncontent-length: 13", "until the end"),
        ("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", "204 No Content", "x-a: b", ""),
        ("HTTP/1.1 304 Not Modified\r\nX-A: b\r\n\r\n", "304 Not Modified", "x-a: b", ""),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw",
            "200 OK",
            "content-encoding: gzip\r\ncontent-length: 3",
            "raw",
        ),
        (
            &*format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{long}", long.len()),
            "200 OK",
            "content-length: 100000",
            &*long,
        ),
    ] {
        let serve = serve(&answering_backend(answer.as_bytes()));
        let got = send_text(&serve, &get("/rest/my_api/connect"));
        let (head, got_body) = got.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next().unwrap(), format!("HTTP/1.1 {line}"));
        // The connection's own, and the date that a server adds if there is none.
        let of_backend = |line: &&str| !line.starts_with("date: ") && *line != "connection: close";
        let mut got_headers: Vec<_> = lines.filter(of_backend).collect();
        let mut headers: Vec<_> = headers.split("\r\n").collect();
        got_headers.sort_unstable();
        headers.sort_unstable();
        assert_eq!((got_headers, got_body), (headers, body), "{line}");
    }
    let binary = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\0\xff\xfe";
    let serve = serve(&answering_backend(binary));
    assert!(send(serve.address, get("/rest/my_api/x").as_bytes()).ends_with(b"\r\n\r\n\0\xff\xfe"));
    let head = answering_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    let serve = ServeProcess::start(&["--backend", &head], &[]);
    let got = send_text(&serve, &get("/rest/my_api/x").replace("GET", "HEAD"));
    assert!(got.contains("\r\ncontent-length: 7\r\n") && got.ends_with("\r\n\r\n"), "{got}");
}

#[test]
fn a_backend_that_fails_is_502_and_is_reported_without_body_and_signature() {
    // Nothing listens on a port that was just closed.
    let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let too_long =
        [b"HTTP/1.1 200 OK\r\nContent-Length: 10485761\r\n\r\n", &*vec![b'x'; 10 * 1024 * 1024 + 1]].concat();
    for (backend, problem, cause) in [
        (closed, "cannot be reached", "refused"),
        ("http://backend.invalid".to_owned(), "cannot be reached", "dns error"),
        (answering_backend(b""), "did not send an answer", "connection closed"),
        (answering_backend(b"SSH-2.0-x\r\n\r\n"), "did not send an answer", "HTTP version"),
        (answering_backend(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), "did not send an answer", "101"),
        (answering_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "is incomplete", "end of file"),
        (
            answering_backend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"),
            "is incomplete",
            "end of file",
        ),
        (answering_backend(&too_long), "longer than 10 MB", "length limit"),
    ] {
        let serve = serve(&backend);
        let request = "POST /rest/my_api/connect?token=query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: WCS abcdef\r\n\
                       Content-Length: 17\r\n\r\n{\"hidden\":\"body\"}";
        let answer = send_text(&serve, request);
        assert_eq!(status(&answer), "502", "{answer}");
        assert!(answer.contains("\r\ncontent-type: application/json\r\n"), "{answer}");
        let error = json_of(&answer)["error"].as_str().unwrap().to_owned();
        assert!(error.contains(problem), "{error}");
        // The permissions are still served.
        assert_eq!(status(&serve.post("/rest/my_api/OnCallEvent", CALL)), "200");
        let (log, rest) = serve.interrupt();
        let line = rest.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(
            line.starts_with("error: POST /rest/my_api/connect: answered 502, because the backend http://"),
            "{line}"
        );
        assert!(line.contains(problem) && line.contains(cause), "{line}");
        assert!(
            ["hidden", "abcdef", "query"].iter().all(|text| !rest.contains(text) && !log.contains(text)),
            "{rest}{log}"
        );
    }
}

#[test]
fn connections_to_the_backend_are_kept_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut stream = BufReader::new(stream.unwrap());
            while read_request(&mut stream).is_some() {
                stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
            }
        }
    });
    let serve = serve(&url);
    for _ in 0..10 {
        assert_eq!(status(&serve.post("/rest/my_api/connect", "{}")), "200");
    }
    // A request that comes before the last connection is idle may open another one.
    let opened = connections.load(Ordering::SeqCst);
    assert!(opened < 10, "{opened} connections for 10 requests");
}

/// Each connection is closed after its answer.
#[test]
fn a_backend_that_closes_connections_gets_new_ones() {
    let serve = serve(&answering_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"));
    for _ in 0..50 {
        assert_eq!(status(&serve.post("/rest/my_api/connect", "{}")), "200");
    }
}

#[test]
fn an_https_backend_needs_a_certificate_that_the_machine_trusts() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream.unwrap()));
            if read_request(&mut stream).is_some() {
                let _ =
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
            }
        }
    });
    let folder = TempFolder::new();
    let trusted = folder.write("ca.pem", &certificate.pem());
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = folder.write("other.pem", &other.cert.pem());
    for (roots, expected) in [(trusted, "200"), (other, "502")] {
        let serve = ServeProcess::start(&["--backend", &url], &[("SSL_CERT_FILE", roots.to_str().unwrap())]);
        assert_eq!(status(&serve.post("/rest/my_api/connect", "{}")), expected);
    }
}

#[test]
fn a_url_that_cannot_be_a_backend_is_refused_at_the_start() {
    // Only this test listens on it while the hook is started on the same number.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let own = format!("127.0.0.1:{port}");
    let everywhere = format!("0.0.0.0:{port}");
    for (listen, url, problem) in [
        (&*own, "backend".to_owned(), "is not a URL"),
        (&own, "ftp://127.0.0.1/".to_owned(), "is not a URL"),
        (&own, "http://127.0.0.1:9/?a=b".to_owned(), "has a query"),
        (&own, "http://127.0.0.1:9/#a".to_owned(), "has a query or a fragment"),
        (&own, "http://user:password@127.0.0.1:9/".to_owned(), "has a user name"),
        (&own, format!("http://{own}"), "is the address that this hook listens on"),
        (&own, format!("http://{own}/other/path"), "is the address that this hook listens on"),
        (&own, format!("http://localhost:{port}"), "is the address that this hook listens on"),
        (&own, format!("http://0.0.0.0:{port}"), "is the address that this hook listens on"),
        (&everywhere, format!("http://{own}"), "is the address that this hook listens on"),
        (&everywhere, format!("http://127.1.2.3:{port}"), "is the address that this hook listens on"),
    ] {
        let run = Run::of(&mut callgatectl(&["serve", "--listen", listen, "--backend", &url])).exits_with(2);
        assert!(run.stderr.starts_with("error: --backend") && run.stderr.contains(problem), "{url}: {run:?}");
        assert!(!run.stderr.contains("password"), "{run:?}");
    }
    for path in ["rest", "", "/a?b", "/a#b", "/a b", "/a/../b"] {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--backend", "http://127.0.0.1:9", "--hook-path", path];
        Run::of(&mut callgatectl(&arguments)).exits_with(2).prints("is not a path");
    }
}

/// The hook and the backend together answer as WCS needs it.
#[test]
fn the_simulator_plays_against_the_hook_in_front_of_a_backend() {
    let config = r#"{"restClientConfig":{"OnCallEvent":{"restOnError":"FAIL","restPolicy":"NOTIFY"}}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{config}",
        config.len()
    );
    let serve = serve(&answering_backend(answer.as_bytes()));
    let mut simulator: Command = callgatectl(&["wcs-simulator", &serve.url()]);
    simulator.args(["--permitted", "PPP009", "PPP005", "--refused", "PPP009", "PPP006"]);
    Run::of(&mut simulator).succeeds();
}
