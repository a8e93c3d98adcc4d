//! Calls of a log group, from a stand-in for CloudWatch Logs.

use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::following::Following;
use super::{BLOCKED, Logged, PERMITTED, REFUSED};
use crate::proxy::{Request, Treatment, start_proxy};
use crate::support::{Run, split_words, tool};

/// An event of CloudWatch Logs.
fn event(id: usize, call: &str) -> Value {
    let time = 1_732_618_800_000_i64 + i64::try_from(id).unwrap();
    json!({"eventId": format!("e{id}"), "timestamp": time, "ingestionTime": time, "logStreamName": "s", "message": format!("{call}\n")})
}

/// A stand-in for CloudWatch Logs, and the bodies of the requests that it got.
struct Logs {
    url: String,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Logs {
    /// Starts a stand-in. `answer` gets the number of requests before the one to answer.
    fn start(answer: impl Fn(usize, &Request) -> Treatment + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let bodies = Arc::clone(&requests);
        let url = start_proxy("127.0.0.1:1".parse().unwrap(), move |request| {
            assert!(request.header("x-amz-target") == Some("Logs_20140328.FilterLogEvents"), "{request:?}");
            let mut bodies = bodies.lock().unwrap();
            bodies.push(request.json());
            answer(bodies.len() - 1, request)
        });
        Self { url, requests }
    }

    fn tool(&self, arguments: &str) -> Command {
        let mut command = tool();
        command.env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", &self.url);
        command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x").env("AWS_REGION", "eu-west-1");
        command.args(split_words(arguments));
        command
    }

    fn run(&self, arguments: &str) -> Run {
        Run::of(&mut self.tool(arguments))
    }

    fn requests(&self) -> Vec<Value> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn page(events: &[Value], next: Option<&str>) -> Treatment {
    let mut page = json!({"events": events});
    if let Some(next) = next {
        page["nextToken"] = json!(next);
    }
    Treatment::answer("200 OK", &page)
}

#[test]
fn a_log_group_is_read_page_by_page() {
    let logs = Logs::start(|number, request| match (number, request.json()["nextToken"].as_str()) {
        (0, None) => page(&[event(1, &REFUSED.line())], Some("a")),
        // CloudWatch Logs returns pages without events, and is busy at times.
        (1, Some("a")) => page(&[], Some("b")),
        (2 | 3, Some("b")) => {
            Treatment::answer("400 Bad Request", &json!({"__type": "ThrottlingException", "message": "Rate exceeded"}))
        }
        (4, Some("b")) => {
            Treatment::answer("503 Service Unavailable", &json!({"__type": "ServiceUnavailableException"}))
        }
        (5, Some("b")) => page(&[event(2, "START RequestId: 1"), event(3, &BLOCKED.line())], Some("c")),
        (6, Some("c")) => page(&[], None),
        _ => panic!("{number}: {request:?}"),
    });
    let run = logs
        .run("calls --log-group /aws/lambda/callgate --refused --party PPP005 --since 2024-11-26 --until 2024-11-27");
    assert_eq!(run.clone().succeeds().stdout.lines().count(), 2, "{run:?}");
    let requests = logs.requests();
    let first = &requests[0];
    assert_eq!(first["logGroupName"], "/aws/lambda/callgate");
    assert_eq!(
        first["filterPattern"],
        r#"{ $.message = "decision" && ($.decision = "deny") && ($.caller = "PPP005" || $.caller = "P005" || $.callee = "PPP005" || $.callee = "P005") }"#
    );
    // With a margin for the times at which lines arrive.
    assert_eq!(first["startTime"], 1_732_579_200_000_i64 - 10_000);
    assert_eq!(first["endTime"], 1_732_665_600_000_i64 + 10_000);
    for request in &requests[1..] {
        assert_eq!((&request["startTime"], &request["filterPattern"]), (&first["startTime"], &first["filterPattern"]));
    }
}

#[test]
fn the_log_group_is_chosen_by_options_and_variables() {
    let logs = Logs::start(|_, _| page(&[event(1, &PERMITTED.line())], None));
    for (arguments, variables, group) in [
        ("--log-group g", [None, None], "g"),
        ("--function f", [None, None], "/aws/lambda/f"),
        ("", [Some("of-variable"), None], "of-variable"),
        ("", [None, Some("f")], "/aws/lambda/f"),
        ("", [Some(" "), Some("f")], "/aws/lambda/f"),
        ("--function typed", [Some("of-variable"), None], "/aws/lambda/typed"),
        ("--log-group typed", [Some("of-variable"), Some("f")], "typed"),
    ] {
        let mut command = logs.tool(&format!("calls {arguments}"));
        for (name, value) in ["CALLGATE_LOG_GROUP", "CALLGATE_FUNCTION"].into_iter().zip(variables) {
            command.envs(value.map(|value| (name, value)));
        }
        // The line is older than an hour, so it is not printed although the stand-in returns it.
        let before = milliseconds();
        Run::of(&mut command).succeeds();
        let [request] = logs.requests().try_into().unwrap();
        assert_eq!(request["logGroupName"], group, "{arguments}");
        let start = request["startTime"].as_i64().unwrap();
        assert!((before - 3_611_000..=milliseconds() - 3_610_000).contains(&start), "{start}, {before}");
    }
    // A table on this machine has its calls in a file.
    let local = "calls --endpoint-url http://127.0.0.1:8000";
    let mut command = logs.tool(local);
    Run::of(command.env("CALLGATE_FUNCTION", "f"))
        .exits_with(2)
        .prints("start `callgatectl serve` with `--log calls.log`");
    logs.run(local).exits_with(2).prints("read that file with `--log calls.log`");
    assert!(logs.requests().is_empty());
    logs.run(&format!("{local} --function f")).succeeds();
    logs.run("calls").exits_with(2).prints("name the log group with --log-group or CALLGATE_LOG_GROUP");
    Run::of(tool().args(["calls", "--function", "f"])).exits_with(2).prints("no AWS region is given");
    Run::of(tool().args(["calls", "--function", "f", "--region", "eu-west-1"]))
        .exits_with(1)
        .prints("there are no AWS credentials");
    Run::of(tool().args(["calls", "--log", "/nonexistent/calls.log"]))
        .exits_with(1)
        .prints("the log `/nonexistent/calls.log` cannot be opened");
}

#[test]
fn errors_of_cloudwatch_name_the_log_group_and_the_right() {
    for (code, message, printed) in [
        (
            "ResourceNotFoundException",
            "The specified log group does not exist.",
            "cannot read the log group `/aws/lambda/f`: there is no such log group in this region",
        ),
        (
            "AccessDeniedException",
            "User: x is not authorized",
            "User: x is not authorized (the right `logs:FilterLogEvents` is needed)",
        ),
        ("InvalidParameterException", "no\nsecret", "CloudWatch Logs answered InvalidParameterException: no"),
        ("ExpiredTokenException", "expired", "sign in with `aws sso login`"),
    ] {
        let answer = json!({"__type": code, "message": message});
        let logs = Logs::start(move |_, _| Treatment::answer("400 Bad Request", &answer));
        logs.run("calls --function f").exits_with(1).prints(printed).does_not_print("secret");
        logs.run("calls --function f --stats").exits_with(1).prints(printed);
    }
}

#[test]
fn a_log_group_is_followed_without_repeating_calls() {
    let now = milliseconds();
    let logs = Logs::start(move |number, request| {
        let start = request.json()["startTime"].as_i64().unwrap();
        // Each answer has the earlier events from the start on too, because late ones may come before them.
        let times =
            (0..=number).map(|id| now + i64::try_from(id).unwrap()).enumerate().filter(|(_, time)| *time >= start);
        let events = times.map(|(id, time)| {
            let call = Logged { call_id: Some(&format!("id-{id}")), ..REFUSED }.line();
            json!({"eventId": format!("e{id}"), "timestamp": time, "message": call})
        });
        page(&events.collect::<Vec<_>>(), None)
    });
    let mut following = Following::start(&mut logs.tool("calls --function f --since 2024-11-26 --follow"));
    for id in 0..4 {
        following.prints(&format!("id-{id}"));
    }
    let starts: Vec<_> = logs.requests().iter().map(|request| request["startTime"].as_i64().unwrap()).collect();
    // A minute before the last event that was read, whose time is rounded down.
    assert!((now - 61_000..=now - 60_000).contains(&starts[1]), "{starts:?}, {now}");

    // Where no call is found, not all of the log is searched again.
    let logs = Logs::start(|_, _| page(&[], None));
    let following = Following::start(&mut logs.tool("calls --function f --since 2024-11-26 --follow"));
    while logs.requests.lock().unwrap().len() < 2 {
        std::thread::yield_now();
    }
    drop(following);
    assert!((now - 301_000..milliseconds()).contains(&logs.requests()[1]["startTime"].as_i64().unwrap()));
}

/// The current time, in milliseconds since 1970.
fn milliseconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}
