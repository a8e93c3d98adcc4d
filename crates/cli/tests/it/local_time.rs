//! Times as the operator types and reads them, in the operator's zone, and an app that the environment names.

use serde_json::Value;

use crate::support::{Run, TestServer, split_words};

/// Runs the tool with a variable in its environment.
fn run_with(server: &TestServer, (name, value): (&str, &str), arguments: &str) -> Run {
    Run::of(server.tool().env(name, value).args(split_words(arguments)))
}

/// The moment at which a call is decided, as programs read it.
fn decided_at(server: &TestServer, zone: &str, at: &str) -> String {
    let run = run_with(server, ("TZ", zone), &format!("check --app shop --from a --to b --at '{at}' --output json"));
    let json: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    json["at"].as_str().unwrap().to_owned()
}

#[test]
fn times_are_typed_in_the_operators_zone_and_are_utc_for_programs() {
    let server = TestServer::with_table();
    for (zone, typed, moment) in [
        ("UTC", "2026-12-31 18:00", "2026-12-31T18:00:00Z"),
        ("Europe/Moscow", "2026-12-31 18:00", "2026-12-31T15:00:00Z"),
        ("Europe/Moscow", "2026-12-31T18:00", "2026-12-31T15:00:00Z"),
        ("Europe/Moscow", "2026-12-31", "2026-12-30T21:00:00Z"),
        ("America/New_York", "2026-12-31", "2026-12-31T05:00:00Z"),
        ("America/New_York", "2026-07-01", "2026-07-01T04:00:00Z"),
        ("America/New_York", "2026-12-31 18:00 Europe/Moscow", "2026-12-31T15:00:00Z"),
        ("America/New_York", "2026-12-31T18:00[Europe/Moscow]", "2026-12-31T15:00:00Z"),
        ("America/New_York", "2026-12-31T18:00:00Z", "2026-12-31T18:00:00Z"),
        ("America/New_York", "1795500000", "2026-11-24T06:00:00Z"),
        // The second before and the first after the clocks are set forward, and back.
        ("America/New_York", "2026-03-08 01:59:59", "2026-03-08T06:59:59Z"),
        ("America/New_York", "2026-03-08 03:00", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01 00:59:59", "2026-11-01T04:59:59Z"),
        ("America/New_York", "2026-11-01 02:00", "2026-11-01T07:00:00Z"),
        ("EST5EDT,M3.2.0,M11.1.0", "2026-07-01 00:00", "2026-07-01T04:00:00Z"),
    ] {
        assert_eq!(decided_at(&server, zone, typed), moment, "{typed} in {zone}");
    }
    for (typed, why) in [
        (
            "2026-03-08 02:30",
            "does not exist in America/New_York, because clocks are set forward; write `2026-03-08T01:30:00` or `2026-03-08T03:30:00`",
        ),
        (
            "2026-11-01T01:30",
            "comes twice in America/New_York, because clocks are set back; write `2026-11-01T01:30:00-04` or `2026-11-01T01:30:00-05`",
        ),
        ("2026-12-31 18:00 MSK", "is not a valid time; expected"),
    ] {
        let check = format!("check --app shop --from a --to b --at '{typed}'");
        run_with(&server, ("TZ", "America/New_York"), &check).exits_with(2).prints(why);
    }
}

/// The text that people read can be typed in any zone, and means the moment that programs read.
#[test]
fn what_is_printed_can_be_typed() {
    let server = TestServer::with_table();
    for (zone, typed, printed) in [
        ("Europe/Moscow", "2026-12-31T15:00:00Z", "2026-12-31 18:00 MSK (+03)"),
        ("America/New_York", "2026-11-01T05:30:00Z", "2026-11-01 01:30 EDT (-04)"),
        ("America/New_York", "2026-11-01T06:30:00Z", "2026-11-01 01:30 EST (-05)"),
        ("Asia/Dubai", "2026-12-31T15:00:05Z", "2026-12-31 19:00:05 +04"),
        ("UTC", "2026-12-31T15:00:00Z", "2026-12-31 15:00 UTC"),
    ] {
        let run = run_with(&server, ("TZ", zone), &format!("check --app shop --from a --to b --at {typed}"));
        run.exits_with(3).prints(&format!("at {printed}\n"));
        for other in ["UTC", "Europe/Moscow", "America/New_York"] {
            assert_eq!(decided_at(&server, other, printed), typed, "{printed}");
        }
    }
    let moscow = ("TZ", "Europe/Moscow");
    let written = run_with(&server, moscow, "allow --app shop --from a --to b --until '2098-12-31 18:00'").succeeds();
    let (_, until) = written.stdout.trim().split_once("until ").unwrap();
    let (until, _) = until.split_once(" [doors").unwrap();
    assert_eq!(until, "2098-12-31 18:00 MSK (+03)");
    let again =
        run_with(&server, ("TZ", "America/New_York"), &format!("allow --app shop --from a --to b --until '{until}'"));
    again.succeeds().prints("unchanged: allow a to b, until 2098-12-31 10:00 EST (-05)");
    run_with(&server, moscow, "show --app shop b").succeeds().prints("until 2098-12-31 18:00 MSK (+03)");
    // Files and programs have UTC.
    run_with(&server, moscow, "export").succeeds().prints(",2098-12-31T15:00:00Z,");
    run_with(&server, moscow, "show --app shop b --output json").succeeds().prints("\"2098-12-31T15:00:00Z\"");
    let file = "app,from,to,effect,expires_at\nshop,a,b,allow,2098-12-31T18:00\n";
    let import = Run::with_input(server.tool().env("TZ", "Europe/Moscow").args(["import", "-"]), file);
    import.exits_with(1).prints("`2098-12-31T18:00` is not a valid time");
}

#[test]
fn an_unknown_zone_is_utc_and_is_noticed() {
    let server = TestServer::with_table();
    let run = run_with(&server, ("TZ", "Mars/Olympus"), "check --app shop --from a --to b --at '2026-12-31 18:00'");
    run.exits_with(3).prints("at 2026-12-31 18:00 UTC").prints("the time zone of this machine is not known");
}

#[test]
fn an_end_in_the_past_is_refused() {
    let server = TestServer::with_table();
    for until in ["10m ago", "-1h", "2020-01-01"] {
        let run =
            run_with(&server, ("TZ", "Europe/Moscow"), &format!("allow --app shop --from a --to b --until='{until}'"));
        run.exits_with(2).prints("MSK (+03) is not in the future");
    }
    // One of these is over today, and the next one is meant.
    server.run("allow --app shop --from a --to b --until 00:00").succeeds();
    server.run("allow --app shop --from a --to b --until 23:59:59").succeeds();
}

#[test]
fn the_environment_names_the_app() {
    let server = TestServer::with_table();
    let shop = ("CALLGATE_APP", "shop");
    run_with(&server, shop, "allow --from PPP009 --to PPP005").succeeds();
    run_with(&server, shop, "check --from PPP009 --to PPP005").succeeds();
    run_with(&server, shop, "check --app other --from PPP009 --to PPP005").exits_with(3).prints("in app other");
    run_with(&server, shop, "suspend PPP007").succeeds().prints("app `shop`");
    run_with(&server, shop, "resume PPP007").succeeds();
    run_with(&server, shop, "show PPP005").succeeds();
    server.run("allow --app other --from x --to y").succeeds();
    // A file of one app must not look like one of all.
    run_with(&server, shop, "export").succeeds().prints("shop,PPP009").prints("other,x,y");
    run_with(&server, shop, "doctor").succeeds().prints("2 rules inspected");
    run_with(&server, shop, "revoke --from PPP009 --to PPP005").succeeds();
    for empty in ["", " "] {
        run_with(&server, ("CALLGATE_APP", empty), "check --from a --to b").exits_with(2).prints("no app is given");
    }
    server.run("check --from a --to b").exits_with(2).prints("--app <APP>");
    run_with(&server, shop, "check --help").succeeds().prints("[env: CALLGATE_APP]").does_not_print("shop]");
}
