//! What cannot be done: exit code, message, and nothing written.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::json;

use crate::serve::Serving;
use crate::support::{Place, Run, TABLE, tool};

#[track_caller]
fn refused(arguments: &str, code: i32, message: &str) {
    let place = Place::new();
    place.run(arguments).ends(code).says(message);
    assert!(place.items().is_empty(), "{arguments}");
}

#[test]
fn wrong_usage_writes_nothing() {
    let long = "x".repeat(129);
    refused("allow --app shop --from 'P*' --to 'Q*'", 2, "are two patterns");
    refused("allow --app shop --from '+7*5' --to PPP005", 2, "a `*` that is not its last character");
    refused(&format!("allow --app shop --from {long} --to PPP005"), 2, "129 bytes");
    refused(&format!("allow --app {long} --from a --to b"), 2, "129 bytes");
    refused(&format!("suspend --app shop {long}"), 2, "129 bytes");
    refused("deny --app shop --from 'tel:+7495*' --to PPP005", 2, "starts with a scheme, which ids do not keep");
    refused("show --app shop ' '", 2, "a party is empty");
    refused("allow --app '' --from a --to b", 2, "is empty");
    refused("allow --app shop --from '' --to b", 2, "is empty");
    refused("allow --app shop --from 'a;b' --to b", 2, "no id may hold");
    refused(
        "allow --app shop --from a --to b --hours 'Mon-Fri 09:00-18:00 Mars/Olympus'",
        2,
        "`Mars/Olympus` is not a time zone",
    );
    refused("allow --app shop --from a --to b --hours 'Mon-Fry 09:00-18:00 UTC'", 2, "`Fry` is not a day");
    refused("allow --app shop --from a --to b --until 2026-13-45", 2, "is not a moment");
    refused("allow --app shop --from a --to b --until 1795500000000", 2, "is not a moment");
    refused("allow --app shop --from a --to b --until 2001-01-01", 2, "is not in the future");
    refused("allow --app shop --from a --to b --media smell", 2, "`smell` is not a medium");
    refused("allow --app shop --from a", 2, "--to");
    refused("check --app shop --from a --to b --at someday", 2, "is not a moment");
    refused("allow --app shop --from a --to b --trunk-prefix 8", 2, "needs a country code");
}

#[test]
fn an_unknown_app_is_no_crash() {
    refused("show --app nosuch", 1, "nothing is stored for app `nosuch`");
    refused("revoke --app nosuch --from a --to b", 1, "there is no rule");
    refused("check --app nosuch --from a --to b", 3, "no_rule");
}

#[test]
fn without_a_table_it_says_how_to_make_one() {
    let place = Place::bare();
    for command in [
        "allow --app shop --from a --to b",
        "show --app shop",
        "suspend --app shop",
        "check --app shop --from a --to b",
    ] {
        place.run(command).ends(1).says("callgatectl table create --table permissions");
    }
}

#[test]
fn without_a_table_name_or_region_it_says_so() {
    Run::of(tool().args(["show", "--app", "shop"])).ends(2).says("--table or TABLE_NAME");
    Run::of(tool().args(["show", "--app", "shop", "--table", "x"])).ends(2).says("--region or AWS_REGION");
    let profile = ["show", "--app", "shop", "--table", "x", "--profile", "nosuch"];
    Run::of(tool().args(profile))
        .ends(2)
        .says("no AWS region is given: profile `nosuch` does not exist or has no region");
    let run = Run::of(tool().env("AWS_ENDPOINT_URL_DYNAMODB", "").args(["show", "--app", "shop", "--table", "x"]));
    run.ends(2).says("--region or AWS_REGION");
}

#[test]
fn without_credentials_it_says_where_they_come_from() {
    Run::of(tool().args(["show", "--app", "shop", "--table", "x", "--region", "eu-central-1"]))
        .ends(1)
        .says("there are no AWS credentials: none were found");
}

#[test]
fn an_endpoint_that_is_down_is_named() {
    for command in [&["show", "--app", "shop"][..], &["check", "--app", "shop", "--from", "a", "--to", "b"]] {
        Run::of(tool().args(command).args(["--table", "x", "--endpoint-url", "http://127.0.0.1:1"]))
            .ends(1)
            .says("http://127.0.0.1:1")
            .says("cannot be reached");
    }
}

#[test]
fn an_endpoint_that_is_no_url_or_no_table_store_is_named() {
    let show =
        |url: &str| Run::of(tool().args(["show", "--app", "shop", "--table", "permissions", "--endpoint-url", url]));
    show("nonsense").ends(2).says("the endpoint `nonsense` is not a URL");
    show("ftp://127.0.0.1:1").ends(2).says("the endpoint `ftp://127.0.0.1:1` is not a URL");
    let hook = Serving::start(&[], &[]);
    show(&format!("http://{}", hook.address)).ends(1).says("does not answer like DynamoDB: status 404");
}

/// A server that answers everything with one error of DynamoDB.
fn refusing(code: &str) -> String {
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
fn credentials_that_do_not_serve_are_told() {
    let show =
        |url: &str| Run::of(tool().args(["show", "--app", "shop", "--table", "permissions", "--endpoint-url", url]));
    show(&refusing("ExpiredTokenException"))
        .ends(1)
        .says("ExpiredTokenException: no; give a profile")
        .says("aws sso login");
    show(&refusing("UnrecognizedClientException")).ends(1).says("aws sso login");
    show(&refusing("AccessDeniedException")).ends(1).says("AccessDeniedException: no; docs/src/operations/access.md");
}

#[test]
fn a_table_of_another_shape_is_left_alone() {
    let place = Place::bare();
    place.ask(
        "CreateTable",
        &json!({"TableName": TABLE, "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}], "BillingMode": "PAY_PER_REQUEST"}),
    );
    let file = "app,from,to,effect\nshop,a,b,allow\n";
    for run in [
        place.run("allow --app shop --from a --to b"),
        place.run("suspend --app shop a"),
        place.run("show --app shop a"),
        place.run("check --app shop --from a --to b"),
        place.pipe("import -", file),
    ] {
        run.ends(1).says("callgatectl table describe");
    }
    assert!(place.items().is_empty());
}

#[test]
fn who_stops_reading_ends_the_command_quietly() {
    let place = Place::new();
    place.run("suspend --app shop a").done();
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
        let run = Run::of(place.tool().args(crate::support::words(command)).stdout(writer));
        assert_eq!((run.code, run.err.as_str()), (1, ""), "{command}");
    }
}
