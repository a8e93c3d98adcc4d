//! Evaluates the template's alarms over the metrics of real requests to the built function.

use std::collections::BTreeMap;

use callgate::authentication::Secret;
use serde_json::{Value, json};

use super::cloudformation::{STACK, Template};
use super::{Metric, list, metric, published, text, watched};
use crate::dynamodb::{Table, closed_port};
use crate::gateway::{HookRequest, SOURCE, on_call};
use crate::lambda::Sandbox;

const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];
const SECRET: &str = "of-this-test";
const BODY: &str = r#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP005"}"#;

/// The values of each metric in a minute.
type Minute = BTreeMap<Metric, Vec<f64>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Alarm,
    InsufficientData,
}

/// The states of all alarms after each of these minutes, from the moment the stack is created.
fn states(template: &Template, minutes: &[Minute]) -> Vec<BTreeMap<String, State>> {
    let alarms = template.created("AWS::CloudWatch::Alarm");
    let mut current: BTreeMap<_, _> = alarms.keys().map(|name| (name.clone(), State::InsufficientData)).collect();
    let mut states = Vec::new();
    for end in 1..=minutes.len() {
        for (name, alarm) in &alarms {
            let before = current[name];
            current.insert(name.clone(), evaluate(alarm, &minutes[..end], before));
        }
        for (name, alarm) in template.created("AWS::CloudWatch::CompositeAlarm") {
            let on = text(&alarm["AlarmRule"]).split(" AND ").all(|term| is_true(term, &current));
            current.insert(name, if on { State::Alarm } else { State::Ok });
        }
        states.push(current.clone());
    }
    states
}

/// A term of a composite alarm's rule, such as `OK("ALARM")`.
fn is_true(term: &str, states: &BTreeMap<String, State>) -> bool {
    let (state, name) = term.strip_suffix("\")").and_then(|it| it.split_once("(\"")).unwrap();
    let state = match state {
        "ALARM" => State::Alarm,
        "OK" => State::Ok,
        "INSUFFICIENT_DATA" => State::InsufficientData,
        _ => panic!("CloudWatch has no state `{state}`"),
    };
    states[name] == state
}

/// An alarm's next state (CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data").
fn evaluate(alarm: &Value, minutes: &[Minute], before: State) -> State {
    let number = |name: &str| alarm[name].as_f64().or_else(|| alarm[name].as_str()?.parse().ok());
    let range = number("EvaluationPeriods").unwrap();
    let needed = number("DatapointsToAlarm").unwrap_or(range);
    assert_eq!(number("Period").or(Some(60.0)), Some(60.0), "a minute is a period here");
    let considered = minutes.iter().rev().zip(0_u16..).take_while(|(_, age)| f64::from(*age) < range);
    let watched = watched(alarm);
    let points: Vec<f64> = considered
        .filter_map(|(minute, _)| {
            let mut values = watched.iter().filter_map(|metric| minute.get(metric));
            let point = statistic(alarm, values.next()?);
            assert_eq!(watched.len(), 1, "metric math is not evaluated here: {alarm}");
            Some(point)
        })
        .collect();
    let threshold = number("Threshold").unwrap();
    let is_breaching = |point: &&f64| match text(&alarm["ComparisonOperator"]) {
        "GreaterThanThreshold" => **point > threshold,
        "GreaterThanOrEqualToThreshold" => **point >= threshold,
        "LessThanThreshold" => **point < threshold,
        other => panic!("{other}"),
    };
    let count = |count: usize| f64::from(u32::try_from(count).unwrap());
    let (present, breaching) = (count(points.len()), count(points.iter().filter(is_breaching).count()));
    let on = |is_on| if is_on { State::Alarm } else { State::Ok };
    match alarm["TreatMissingData"].as_str() {
        Some("breaching") => on(breaching + range - present >= needed),
        Some("notBreaching") => on(breaching >= needed),
        Some("ignore") if breaching >= needed => State::Alarm,
        Some("ignore") if present > 0.0 && breaching <= 0.0 => State::Ok,
        Some("ignore") => before,
        Some("missing") | None if points.is_empty() => State::InsufficientData,
        Some("missing") | None => on(breaching >= needed.min(present)),
        other => panic!("{other:?}"),
    }
}

fn statistic(alarm: &Value, values: &[f64]) -> f64 {
    match alarm["Statistic"].as_str().or(alarm["ExtendedStatistic"].as_str()) {
        Some("Sum") => values.iter().sum(),
        Some("SampleCount") => f64::from(u32::try_from(values.len()).unwrap()),
        // Of fewer than a hundred values.
        Some("p99") if values.len() < 100 => values.iter().copied().fold(f64::MIN, f64::max),
        other => panic!("{other:?}"),
    }
}

/// Sends events to the built function, and returns the metrics of a minute in which they come: the function's, and Lambda's.
async fn minute(endpoint: &str, environment: &[(&str, &str)], events: &[Value]) -> Minute {
    let mut sandbox = Sandbox::start(endpoint, environment).await;
    let mut errors = Vec::new();
    for event in events {
        let answer = sandbox.invoke_raw(&event.to_string()).await;
        errors.push(if answer.is_ok() { 0.0 } else { 1.0 });
    }
    let lines: Vec<Value> = sandbox.stop().await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut minute = published(&lines);
    minute.insert(metric("AWS/Lambda", "Errors", [("FunctionName", Some(STACK))]), errors);
    minute
}

/// The template with this level, and the variable that it gives the function.
fn at_level(level: &'static str, given: &[(&str, &str)]) -> (Template, (&'static str, &'static str)) {
    let template = Template::with(&[given, &[("LogLevel", level)]].concat());
    let function = &template.resources("AWS::Serverless::Function")[0];
    assert_eq!(function["Environment"]["Variables"]["LOG_LEVEL"], level);
    (template, ("LOG_LEVEL", level))
}

fn signed(body: &str) -> HookRequest {
    on_call(body).header("Authorization", &Secret::new(SECRET).authorization(body.as_bytes()))
}

/// Requests that anyone on the internet can send: without our signature, and from an address that is not in `AllowedSources`.
fn requests_of_strangers() -> Vec<Value> {
    let forged = |body: &str| on_call(body).header("Authorization", "WCS 00112233445566778899aabbccddeeff");
    let mut requests = vec![
        on_call(BODY),
        on_call(BODY).path("/connect"),
        on_call("{}").path("/connect"),
        on_call(""),
        on_call("{"),
        on_call("[".repeat(100_000)),
        on_call([0xff, 0xfe]).base64(),
        forged(BODY),
        forged("{"),
        forged("[\"".repeat(100_000).as_str()),
        forged(&"x".repeat(300 * 1024)),
        on_call(BODY).header("Authorization", "WCS"),
        on_call(BODY).header("Authorization", "\u{e9}\u{0}\n"),
        on_call(BODY).header("Authorization", &"WCS 00 ".repeat(10_000)),
        on_call(BODY).header("Authorization", &Secret::new("another").authorization(BODY.as_bytes())),
        // The signature of another body.
        on_call("{}").header("Authorization", &Secret::new(SECRET).authorization(BODY.as_bytes())),
        signed(BODY).header("Authorization", "WCS 00"),
        on_call(BODY).path("/"),
        on_call(BODY).path("/favicon.ico"),
        on_call(BODY).path(&format!("/{}/OnCallEvent", "%00/..;".repeat(1_000))),
    ];
    for request in &mut requests {
        *request = request.clone().source("127.9.0.1");
    }
    let mut events: Vec<Value> = requests.iter().flat_map(HookRequest::both).collect();
    for (pointer, value) in [
        ("/requestContext/http/method", json!("GET")),
        ("/requestContext/http/method", json!("\u{0}")),
        ("/requestContext/http/sourceIp", json!("not an address")),
        ("/isBase64Encoded", json!(true)),
        ("/body", Value::Null),
        ("/headers", json!({})),
    ] {
        let mut event = forged(BODY).source("127.9.0.1").v2();
        *event.pointer_mut(pointer).unwrap() = value;
        events.push(event);
    }
    // Almost the longest event that Lambda takes, 6 MB.
    events.push(forged(&"\\u0041".repeat(850_000)).source("127.9.0.1").v2());
    events
}

/// What strangers can do to the metrics of the services, even if the function answers every request: the gateway counts
/// their requests, and enough of them use up the concurrency.
fn flood() -> Minute {
    let gateway = |namespace, name| metric(namespace, name, [("ApiId", Some("Gateway"))]);
    [
        gateway("AWS/ApiGateway", "5xx"),
        gateway("AWS/ApiGateway", "Latency"),
        gateway("callgate", "GatewayThrottles"),
        metric("AWS/Lambda", "Throttles", [("FunctionName", Some(STACK))]),
    ]
    .map(|metric| (metric, vec![1e6]))
    .into()
}

#[tokio::test]
async fn strangers_cannot_set_off_an_alarm_that_guards_a_deployment() {
    let table = Table::with_samples().await;
    for level in LEVELS {
        let (template, level) = at_level(level, &[("DeploymentShift", "Canary10Percent5Minutes")]);
        let function = &template.resources("AWS::Serverless::Function")[0];
        let guards: Vec<&str> = list(&function["DeploymentPreference"]["Alarms"]).iter().map(text).collect();
        assert!(guards.len() >= 3, "{guards:?}");
        let alarms = template.created("AWS::CloudWatch::Alarm");
        for (variable, set_off) in
            [(("WCS_HOOK_SECRET", SECRET), Some("BadSignaturesAlarm")), (("ALLOWED_SOURCES", SOURCE), None)]
        {
            let mut minute = minute(&table.endpoint, &[level, variable], &requests_of_strangers()).await;
            minute.extend(flood());
            let after = states(&template, &vec![minute.clone(); 10]).pop().unwrap();
            for guard in &guards {
                assert_eq!(after[*guard], State::Ok, "{guard} at {level:?} with {variable:?}");
                // Not by larger requests either, or by more of them.
                for metric in watched(&alarms[*guard]) {
                    let values = minute.get(&metric).map_or(&[][..], Vec::as_slice);
                    assert!(values.iter().all(|it| *it <= 0.0), "{guard} at {level:?} with {variable:?}: {values:?}");
                }
            }
            // They do set off others.
            let flooded = ["GatewayErrorsAlarm", "GatewayThrottlesAlarm", "SlowAnswersAlarm", "ThrottlesAlarm"];
            for alarm in flooded.into_iter().chain(set_off) {
                assert_eq!(after[alarm], State::Alarm, "{alarm} at {level:?} with {variable:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_alarm_can_go_off_at_every_level_or_is_not_there() {
    let table = Table::with_samples().await;
    table.put(
        &json!({ "pk": { "S": "PARTY#defaultApp#PPP001" }, "sk": { "S": "CALLER#PPP009" }, "effect": { "S": "alow" } }),
    );
    let unreachable = format!("http://{}", closed_port().await);
    let (call, broken) = (signed(BODY).v2(), signed(&BODY.replace("PPP005", "PPP001")).v2());
    let mut checked = 0;
    for level in LEVELS {
        let (template, variable) = at_level(level, &[]);
        let environment = [variable, ("WCS_HOOK_SECRET", SECRET), ("STORE_DEADLINE_MS", "50")];
        for (name, alarm) in template.created("AWS::CloudWatch::Alarm") {
            let (endpoint, event, expected) = match name.as_str() {
                "BadSignaturesAlarm" => (&table.endpoint, &on_call(BODY).v2(), State::Alarm),
                "ErrorsAlarm" => (&table.endpoint, &json!("not from API Gateway"), State::Alarm),
                "InvalidRecordsAlarm" => (&table.endpoint, &broken, State::Alarm),
                "StoreUnavailableAlarm" => (&unreachable, &call, State::Alarm),
                // A call that went well, which is what they are about: fast, and neither the first nor silence.
                "FirstCallAlarm" | "RecentCallsAlarm" | "SlowReadsAlarm" => (&table.endpoint, &call, State::Ok),
                // Fed by services, which do not know the level.
                "GatewayErrorsAlarm" | "GatewayThrottlesAlarm" | "SlowAnswersAlarm" | "ThrottlesAlarm" => continue,
                _ => panic!("add the event that feeds {name}"),
            };
            let minute = minute(endpoint, &environment, &vec![event.clone(); 3]).await;
            for metric in watched(&alarm) {
                assert!(minute.contains_key(&metric), "{name} at {level}: the function does not publish {metric:?}");
            }
            let after = states(&template, &vec![minute; 5]).pop().unwrap();
            assert_eq!(after[&name], expected, "{name} at {level}");
            checked += 1;
        }
    }
    assert_eq!(checked, 4 * 4 + 2 * 3, "four alarms at four levels, three where calls are logged");
}

/// An alarm whose metric never had a value is not on: nothing has gone wrong, and it would hide a real alarm.
#[test]
fn no_alarm_is_on_before_the_first_request() {
    for level in LEVELS {
        for minutes in ["1", "60", "0"] {
            let (template, _) = at_level(level, &[("NoDecisionsMinutes", minutes)]);
            for states in states(&template, &vec![Minute::new(); 90]) {
                let on: Vec<_> = states.iter().filter(|(_, state)| **state == State::Alarm).collect();
                assert!(on.is_empty(), "{on:?} at {level}, NoDecisionsMinutes={minutes}");
            }
        }
    }
}

#[tokio::test]
async fn silence_is_an_alarm_after_the_first_call_whatever_strangers_send() {
    let table = Table::with_samples().await;
    let environment = [("WCS_HOOK_SECRET", SECRET)];
    let call = minute(&table.endpoint, &environment, &[signed(BODY).v2()]).await;
    let strangers = minute(&table.endpoint, &environment, &requests_of_strangers()).await;
    for quiet in [Minute::new(), strangers] {
        let template = Template::with(&[("NoDecisionsMinutes", "5")]);
        let mut minutes = vec![quiet.clone(); 10];
        minutes.push(call.clone());
        minutes.extend(vec![quiet; 20]);
        minutes.push(call.clone());
        let on: Vec<bool> = states(&template, &minutes).iter().map(|it| it["SilenceAlarm"] == State::Alarm).collect();
        // Ten minutes before the first call, the call and the four minutes after it, silence, and the next call.
        let expected = [vec![false; 10], vec![false; 5], vec![true; 16], vec![false]].concat();
        assert_eq!(on, expected);
    }
}

/// An alarm that only others read is never on, so that a list of alarms that are on has those to act upon.
#[tokio::test]
async fn an_alarm_that_does_not_notify_is_never_on() {
    let template = Template::with(&[]);
    let table = Table::with_samples().await;
    let mut minute = minute(&table.endpoint, &[("WCS_HOOK_SECRET", SECRET)], &[signed(BODY).v2()]).await;
    minute.extend(flood());
    let states = states(&template, &[vec![Minute::new(); 5], vec![minute; 5], vec![Minute::new(); 90]].concat());
    let silent =
        template.created("AWS::CloudWatch::Alarm").into_iter().filter(|(_, it)| it.get("AlarmActions").is_none());
    let silent: Vec<String> = silent.map(|(name, _)| name).collect();
    assert_eq!(silent, ["FirstCallAlarm", "RecentCallsAlarm"]);
    assert!(states.iter().all(|it| silent.iter().all(|name| it[name] != State::Alarm)));
}
