//! Commands that fail: the exit code, the message, and that nothing is written.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::json;

use crate::serve::ServeProcess;
use crate::support::{Run, TABLE, TestServer, tool};

/// Asserts that a command fails with this exit code and message, and writes nothing.
#[track_caller]
fn check_refused(arguments: &str, code: i32, message: &str) {
    let server = TestServer::with_table();
    server.run(arguments).exits_with(code).prints(message);
    assert!(server.items().is_empty(), "{arguments}");
}

#[test]
fn invalid_arguments_write_nothing() {
    let long = "x".repeat(129);
    check_refused("allow --app shop --from 'P*' --to 'Q*'", 2, "are two patterns");
    check_refused("allow --app shop --from '+7*5' --to PPP005", 2, "a `*` that is not its last character");
    check_refused(&format!("allow --app shop --from {long} --to PPP005"), 2, "129 bytes");
    check_refused(&format!("allow --app {long} --from a --to b"), 2, "129 bytes");
    check_refused(&format!("suspend --app shop {long}"), 2, "129 bytes");
    check_refused("deny --app shop --from 'tel:+7495*' --to PPP005", 2, "starts with a scheme, which ids do not keep");
    check_refused("show --app shop ' '", 2, "a party is empty");
    check_refused("allow --app '' --from a --to b", 2, "no app is given");
    check_refused("allow --app shop --from '' --to b", 2, "is empty");
    check_refused("allow --app shop --from 'a;b' --to b", 2, "not allowed in an id");
    check_refused(
        "allow --app shop --from a --to b --hours 'Mon-Fri 09:00-18:00 Mars/Olympus'",
        2,
        "`Mars/Olympus` is not a time zone",
    );
    check_refused("allow --app shop --from a --to b --hours 'Mon-Fry 09:00-18:00 UTC'", 2, "`Fry` is not a day");
    check_refused("allow --app shop --from a --to b --until 2026-13-45", 2, "is not a valid time");
    check_refused("allow --app shop --from a --to b --until 1795500000000", 2, "is not a valid time");
    check_refused("allow --app shop --from a --to b --until 2001-01-01", 2, "is not in the future");
    check_refused("allow --app shop --from a --to b --media smell", 2, "`smell` is not a medium");
    check_refused("allow --app shop --from a", 2, "--to");
    check_refused("check --app shop --from a --to b --at someday", 2, "is not a valid time");
    check_refused(
        "allow --app shop --from a --to b --phone-region Russia",
        2,
        "the country `Russia` is not the ISO 3166 code",
    );
}

#[test]
fn an_unknown_app_has_no_rules() {
    check_refused("show --app nosuch", 1, "nothing is stored for app `nosuch`");
    check_refused("revoke --app nosuch --from a --to b", 1, "there is no rule");
    check_refused("check --app nosuch --from a --to b", 3, "no_rule");
}

#[test]
fn a_missing_table_is_reported_with_the_command_that_creates_it() {
    let server = TestServer::empty();
    for command in [
        "allow --app shop --from a --to b",
        "show --app shop",
        "suspend --app shop",
        "check --app shop --from a --to b",
    ] {
        server.run(command).exits_with(1).prints("callgatectl table create --table permissions");
    }
}

#[test]
fn a_missing_table_name_or_region_is_reported() {
    Run::of(tool().args(["show", "--app", "shop"])).exits_with(2).prints("--table or TABLE_NAME");
    Run::of(tool().args(["show", "--app", "shop", "--table", "x"])).exits_with(2).prints("--region or AWS_REGION");
    let profile = ["show", "--app", "shop", "--table", "x", "--profile", "nosuch"];
    Run::of(tool().args(profile))
        .exits_with(2)
        .prints("no AWS region is given: profile `nosuch` does not exist or has no region");
    let run = Run::of(tool().env("AWS_ENDPOINT_URL_DYNAMODB", "").args(["show", "--app", "shop", "--table", "x"]));
    run.exits_with(2).prints("--region or AWS_REGION");
}

#[test]
fn missing_credentials_are_reported() {
    Run::of(tool().args(["show", "--app", "shop", "--table", "x", "--region", "eu-central-1"]))
        .exits_with(1)
        .prints("there are no AWS credentials: none were found");
}

#[test]
fn an_unreachable_endpoint_is_named() {
    for command in [&["show", "--app", "shop"][..], &["check", "--app", "shop", "--from", "a", "--to", "b"]] {
        Run::of(tool().args(command).args(["--table", "x", "--endpoint-url", "http://127.0.0.1:1"]))
            .exits_with(1)
            .prints("http://127.0.0.1:1")
            .prints("cannot be reached");
    }
}

#[test]
fn an_endpoint_that_is_not_a_url_or_not_dynamodb_is_named() {
    let show =
        |url: &str| Run::of(tool().args(["show", "--app", "shop", "--table", "permissions", "--endpoint-url", url]));
    show("nonsense").exits_with(2).prints("the endpoint `nonsense` is not a URL");
    show("ftp://127.0.0.1:1").exits_with(2).prints("the endpoint `ftp://127.0.0.1:1` is not a URL");
    let hook = ServeProcess::start(&[], &[]);
    show(&format!("http://{}", hook.address)).exits_with(1).prints("does not answer like DynamoDB: status 404");
}

/// Starts a server that responds to every request with this DynamoDB error. Returns its URL.
fn server_with_error(code: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = json!({"__type": format!("com.amazon.coral.service#{code}"), "message": "no"}).to_string();
    let answer =
        format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 16_384]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

#[test]
fn invalid_credentials_are_reported_with_a_hint() {
    let show =
        |url: &str| Run::of(tool().args(["show", "--app", "shop", "--table", "permissions", "--endpoint-url", url]));
    show(&server_with_error("ExpiredTokenException"))
        .exits_with(1)
        .prints("ExpiredTokenException: no; give a profile")
        .prints("aws sso login");
    show(&server_with_error("UnrecognizedClientException")).exits_with(1).prints("aws sso login");
    show(&server_with_error("AccessDeniedException"))
        .exits_with(1)
        .prints("AccessDeniedException: no; docs/src/operations/access.md");
}

#[test]
fn nothing_is_written_to_a_table_with_other_keys() {
    let server = TestServer::empty();
    server.request(
        "CreateTable",
        &json!({"TableName": TABLE, "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}], "BillingMode": "PAY_PER_REQUEST"}),
    );
    let file = "app,from,to,effect\nshop,a,b,allow\n";
    for run in [
        server.run("allow --app shop --from a --to b"),
        server.run("suspend --app shop a"),
        server.run("show --app shop a"),
        server.run("check --app shop --from a --to b"),
        server.pipe("import -", file),
    ] {
        run.exits_with(1).prints("callgatectl table describe");
    }
    assert!(server.items().is_empty());
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let server = TestServer::with_table();
    server.run("suspend --app shop a").succeeds();
    for command in [
        "allow --app shop --from a --to b",
        "revoke --app shop --from a --to b",
        "suspend --app shop b",
        "show --app shop a",
        "check --app shop --from a --to b",
        "check --app shop --from a --to b --output json",
        "export",
        "doctor",
        "table describe",
        "completions bash",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = Run::of(server.tool().args(crate::support::split_words(command)).stdout(writer));
        assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{command}");
    }
}
