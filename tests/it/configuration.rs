//! The environment is checked before the function starts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

use crate::dynamodb::{Table, closed_port};
use crate::gateway::call;
use crate::lambda::{Sandbox, function};

/// Starts the function with these variables changed (`None`: taken away); the line it ends with.
async fn refused(changes: &[(&str, Option<&str>)]) -> String {
    let changes: Vec<_> = changes.iter().map(|(name, value)| (*name, value.map(OsStr::new))).collect();
    refused_os(&changes).await
}

async fn refused_os(changes: &[(&str, Option<&OsStr>)]) -> String {
    let closed_port = closed_port().await.to_string();
    let mut command = function(&closed_port, "http://127.0.0.1:1");
    for (name, value) in changes {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "nothing but JSON lines");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let line: serde_json::Value = serde_json::from_str(stdout.trim_end()).expect("one JSON line");
    assert_eq!(line["level"], "error");
    line["message"].as_str().unwrap().strip_prefix("callgate cannot run: ").unwrap().to_owned()
}

#[tokio::test]
async fn a_wrong_value_is_named_and_shown() {
    for (name, value, problem) in [
        ("TABLE_NAME", "no table!", "expected a DynamoDB table's name or ARN"),
        ("READ_CONSISTENCY", "weak", "expected `strong` or `eventual`"),
        ("APP_CACHE_SECONDS", "-1", "expected a whole number from 0 to 3600"),
        (
            "TABLE_NAME",
            "arn:aws:dynamodb:eu-central-1:123456789012:stream/x",
            "expected a DynamoDB table's name or ARN",
        ),
        ("STORE_DEADLINE_MS", "49", "expected a whole number from 50 to 10000"),
        ("STORE_DEADLINE_MS", "1.5s", "expected a whole number from 50 to 10000"),
        ("AWS_REGION", "../x", "expected an AWS region"),
        ("AWS_USE_FIPS_ENDPOINT", "yes", "expected `false` or `true`"),
        ("ON_STORE_FAILURE", "permit", "expected `deny` or `allow`"),
        ("LOG_PARTIES", "none", "expected `plain` or `masked`"),
        ("LOG_LEVEL", "trace", "expected `info` or `error` or `warn` or `debug`"),
        ("ALLOWED_SOURCES", "10.0.0.0/33", "expected a list of CIDRs or addresses, separated by commas"),
        ("AWS_ENDPOINT_URL", "localhost:8000", "expected an http:// or https:// URL"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "lots", "expected megabytes, set by AWS Lambda"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", " 128", "expected megabytes, set by AWS Lambda"),
        ("AWS_LAMBDA_FUNCTION_NAME", "callgate\n", "expected a name, set by AWS Lambda"),
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1 ", "expected HOST:PORT, set by AWS Lambda"),
        ("AWS_LAMBDA_RUNTIME_API", "nowhere/", "expected HOST:PORT, set by AWS Lambda"),
        ("AWS_LAMBDA_MAX_CONCURRENCY", "0", "expected a whole number from 1 to 10000, set by AWS Lambda"),
        ("AWS_LAMBDA_MAX_CONCURRENCY", "10001", "expected a whole number from 1 to 10000, set by AWS Lambda"),
        ("AWS_LAMBDA_MAX_CONCURRENCY", " 8", "expected a whole number from 1 to 10000, set by AWS Lambda"),
        ("AWS_LAMBDA_MAX_CONCURRENCY", "many", "expected a whole number from 1 to 10000, set by AWS Lambda"),
    ] {
        assert_eq!(refused(&[(name, Some(value))]).await, format!("{name} is `{value}`; {problem}"));
    }
    for region in ["Russia", "XX", "7", "R"] {
        assert_eq!(
            refused(&[("PHONE_REGION", Some(region))]).await,
            format!("PHONE_REGION is `{region}`; expected the ISO 3166 code of a country, such as `US` or `DE`")
        );
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    assert_eq!(
        refused(&[("TABLE_NAME", None)]).await,
        "TABLE_NAME is not set; expected a DynamoDB table's name or ARN"
    );
    assert_eq!(refused(&[("AWS_REGION", None)]).await, "AWS_REGION is not set; expected an AWS region");
    assert_eq!(
        refused(&[("AWS_LAMBDA_RUNTIME_API", None)]).await,
        "AWS_LAMBDA_RUNTIME_API is not set; expected HOST:PORT, set by AWS Lambda"
    );
}

#[tokio::test]
async fn every_problem_is_named_at_once() {
    let message = refused(&[("TABLE_NAME", Some("")), ("LOG_LEVEL", Some("loud"))]).await;
    assert!(message.contains("TABLE_NAME is not set") && message.contains("LOG_LEVEL is `loud`"), "{message}");
}

#[tokio::test]
async fn a_secret_is_never_shown() {
    let message = refused(&[("WCS_HOOK_SECRET", Some("one-secret,,two-secret"))]).await;
    assert_eq!(
        refused(&[("WCS_HOOK_SECRET", Some(" \t"))]).await,
        "WCS_HOOK_SECRET holds only white space; expected a secret, or nothing at all"
    );
    assert_eq!(message, "WCS_HOOK_SECRET holds 3 parts (not shown); expected one secret, or two separated by a comma");
}

#[tokio::test]
async fn what_is_no_text_is_not_taken_for_another() {
    let no_text = OsStr::from_bytes(b"\xffabc");
    for name in ["WCS_HOOK_SECRET", "TABLE_NAME", "AWS_LAMBDA_FUNCTION_NAME", "AWS_SECRET_ACCESS_KEY"] {
        let message = refused_os(&[(name, Some(no_text))]).await;
        assert!(message.starts_with(&format!("{name} is not UTF-8 (not shown)")), "{message}");
    }
}

#[tokio::test]
async fn credentials_that_no_header_can_hold_are_refused_and_not_shown() {
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        let message = refused(&[(name, Some("planted\nkey"))]).await;
        assert_eq!(message, format!("{name} holds a character that credentials cannot have (not shown)"));
    }
}

#[tokio::test]
async fn empty_values_count_as_not_set_and_words_may_be_in_any_case() {
    let table = Table::with_samples().await;
    let environment = [
        ("LOG_LEVEL", "INFO"),
        ("WCS_HOOK_SECRET", ""),
        ("PHONE_REGION", ""),
        ("AWS_ENDPOINT_URL", ""),
        ("AWS_LAMBDA_MAX_CONCURRENCY", ""),
    ];
    let mut sandbox = Sandbox::start(&table.endpoint, &environment).await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
}

#[tokio::test]
async fn the_general_endpoint_variable_is_enough() {
    let table = Table::with_samples().await;
    let environment = [("AWS_ENDPOINT_URL_DYNAMODB", ""), ("AWS_ENDPOINT_URL", table.endpoint.as_str())];
    let mut sandbox = Sandbox::start("", &environment).await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
}

#[tokio::test]
async fn the_runtime_api_may_be_a_url() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start_at("http://", &table.endpoint, &[]).await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
}
