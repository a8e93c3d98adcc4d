//! What cannot be done: exit code, message, and nothing written.

use crate::support::{Place, Run, tool};

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
    refused("allow --app '' --from a --to b", 2, "is empty");
    refused("allow --app shop --from '' --to b", 2, "is empty");
    refused("allow --app shop --from 'a;b' --to b", 2, "no id may hold");
    refused(
        "allow --app shop --from a --to b --hours 'Mon-Fri 09:00-18:00 Mars/Olympus'",
        2,
        "`Mars/Olympus` is no time zone",
    );
    refused("allow --app shop --from a --to b --hours 'Mon-Fry 09:00-18:00 UTC'", 2, "`Fry` is no day");
    refused("allow --app shop --from a --to b --until 2026-13-45", 2, "is no moment");
    refused("allow --app shop --from a --to b --until 1795500000000", 2, "is no moment");
    refused("allow --app shop --from a --to b --until 2001-01-01", 2, "lies in the past");
    refused("allow --app shop --from a --to b --media smell", 2, "`smell` is no medium");
    refused("allow --app shop --from a", 2, "--to");
    refused("check --app shop --from a --to b --at someday", 2, "is no moment");
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
}

#[test]
fn without_credentials_it_says_where_they_come_from() {
    Run::of(tool().args(["show", "--app", "shop", "--table", "x", "--region", "eu-central-1"]))
        .ends(1)
        .says("no AWS credentials were found");
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
