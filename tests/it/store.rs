//! The requests to DynamoDB, and the effect of its failures on a call.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::dynamodb::{Action, StandIn, TABLE, Table, closed_port};
use crate::gateway::{call, call_in};
use crate::lambda::Sandbox;

fn keys(request: &Value) -> Vec<String> {
    let keys = request["RequestItems"][TABLE]["Keys"].as_array().unwrap();
    let mut keys: Vec<_> = keys
        .iter()
        .map(|key| format!("{} {}", key["pk"]["S"].as_str().unwrap(), key["sk"]["S"].as_str().unwrap()))
        .collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn a_decision_is_one_batch_get_item() {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::counting(&table).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[]).await;
    for _ in 0..3 {
        assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
    }
    let requests = dynamodb.requests();
    let cold = [
        "APP#defaultApp APP",
        "PARTY#defaultApp#PPP005 CALLER#PPP009",
        "PARTY#defaultApp#PPP005 PARTY",
        "PARTY#defaultApp#PPP009 PARTY",
    ];
    assert_eq!(requests.iter().map(keys).collect::<Vec<_>>(), [&cold[..], &cold[1..], &cold[1..]]);
    for request in requests {
        assert_eq!(request["RequestItems"][TABLE]["ConsistentRead"], true);
        assert_eq!(request["ReturnConsumedCapacity"], "TOTAL");
    }
    sandbox.log().await;
    for units in [4.0, 3.0, 3.0] {
        assert_eq!(sandbox.log().await["units"], units, "one for each key");
    }
}

#[tokio::test]
async fn groups_and_thousands_of_destinations_cost_no_further_request() {
    let deny = json!({ "M": { "effect": { "S": "deny" } } });
    let destinations: Map<String, Value> = (0..5_000).map(|it| (format!("+{it:04}9*"), deny.clone())).collect();
    let group = json!({ "M": { "@sales": { "M": { "effect": { "S": "allow" } } } } });
    let table = Table::of(&[
        json!({ "pk": { "S": "APP#defaultApp" }, "sk": { "S": "APP" }, "destinations": { "M": destinations } }),
        json!({ "pk": { "S": "PARTY#defaultApp#PPP009" }, "sk": { "S": "PARTY" }, "groups": { "SS": ["sales"] } }),
        json!({ "pk": { "S": "PARTY#defaultApp#PPP005" }, "sk": { "S": "PARTY" }, "incoming": group }),
    ])
    .await;
    let dynamodb = StandIn::counting(&table).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[]).await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
    assert_eq!(sandbox.invoke(&call("PPP009", "+49999")).await.status, 403);
    sandbox.log().await;
    for reason in ["callee_rule", "destination_rule"] {
        assert_eq!(sandbox.log().await["reason"], reason);
    }
    let requests = dynamodb.requests();
    assert_eq!(requests.iter().map(|request| keys(request).len()).collect::<Vec<_>>(), [4, 3]);
}

#[tokio::test]
async fn a_party_that_rings_itself_is_read_once() {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::counting(&table).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[]).await;
    assert_eq!(sandbox.invoke(&call("PPP002", "PPP002")).await.status, 200);
    assert_eq!(sandbox.invoke(&call("PPP005", "PPP005")).await.status, 403);
    let expected = ["PARTY#defaultApp#PPP005 CALLER#PPP005", "PARTY#defaultApp#PPP005 PARTY"];
    assert_eq!(keys(&dynamodb.requests()[1]), expected);
}

#[tokio::test]
async fn reads_are_eventual_where_chosen() {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::counting(&table).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[("READ_CONSISTENCY", "eventual")]).await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
    assert_eq!(dynamodb.requests()[0]["RequestItems"][TABLE]["ConsistentRead"], false);
    sandbox.log().await;
    assert_eq!(sandbox.log().await["units"], 2.0, "half a unit for each of four keys");
}

#[tokio::test]
async fn a_changed_rule_holds_from_the_next_call_on_and_a_changed_app_when_its_time_is_over() {
    let table = Table::with_samples().await;
    let mut cached = Sandbox::start(&table.endpoint, &[("APP_CACHE_SECONDS", "1")]).await;
    let mut uncached = Sandbox::start(&table.endpoint, &[("APP_CACHE_SECONDS", "0")]).await;
    let ringing = call("PPP009", "PPP005");
    assert_eq!(cached.invoke(&ringing).await.status, 200);
    assert_eq!(uncached.invoke(&ringing).await.status, 200);

    let from_app = Instant::now();
    table.put(&json!({ "pk": { "S": "APP#defaultApp" }, "sk": { "S": "APP" }, "status": { "S": "suspended" } }));
    assert_eq!(uncached.invoke(&ringing).await.status, 403);
    let mut answers = 0;
    while cached.invoke(&ringing).await.status == 200 {
        answers += 1;
        assert!(from_app.elapsed() < Duration::from_secs(20), "still permitted after {answers} calls");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    table.put(&json!({ "pk": { "S": "APP#defaultApp" }, "sk": { "S": "APP" } }));
    assert_eq!(uncached.invoke(&ringing).await.status, 200);
    let pair =
        json!({ "pk": { "S": "PARTY#defaultApp#PPP005" }, "sk": { "S": "CALLER#PPP009" }, "effect": { "S": "deny" } });
    table.put(&pair);
    assert_eq!(uncached.invoke(&ringing).await.status, 403);
}

#[tokio::test]
async fn each_app_is_cached_for_itself() {
    let allow_all = json!({ "M": { "*": { "M": { "effect": { "S": "allow" } } } } });
    let open = json!({ "pk": { "S": "APP#open" }, "sk": { "S": "APP" }, "callers": allow_all });
    let table = Table::of(&[open]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("APP_CACHE_SECONDS", "60")]).await;
    for _ in 0..2 {
        assert_eq!(sandbox.invoke(&call_in("open", "a", "b")).await.status, 200);
        assert_eq!(sandbox.invoke(&call_in("shut", "a", "b")).await.status, 403);
    }
}

/// The answer and the log line of one call over a failing DynamoDB, and how long it took.
async fn call_over(script: &[Action], then: Action, environment: &[(&str, &str)]) -> (u16, Value, Duration, usize) {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::before(&table, script, then).await;
    let (status, line, took) = call_at(&dynamodb.endpoint, environment).await;
    (status, line, took, dynamodb.requests().len())
}

async fn call_at(endpoint: &str, environment: &[(&str, &str)]) -> (u16, Value, Duration) {
    let mut sandbox = Sandbox::start(endpoint, environment).await;
    sandbox.log().await;
    let from = Instant::now();
    let status = sandbox.invoke(&call("PPP009", "PPP005")).await.status;
    let took = from.elapsed();
    (status, sandbox.log().await, took)
}

fn throttled() -> Action {
    Action::error(StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException")
}

fn failing() -> Action {
    Action::error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    for (what, script) in [
        ("unprocessed once", vec![Action::Unprocessed]),
        ("unprocessed thrice", vec![Action::Unprocessed; 3]),
        ("throttled once", vec![throttled()]),
        ("throttled thrice", vec![throttled(); 3]),
        ("failed once", vec![failing()]),
        ("unavailable once", vec![Action::error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")]),
    ] {
        let (status, line, _, requests) = call_over(&script, Action::Forward, &[("STORE_DEADLINE_MS", "8000")]).await;
        assert_eq!((status, line["reason"].as_str()), (200, Some("pair_rule")), "{what}: {line}");
        assert_eq!(requests, script.len() + 1, "{what}");
    }
}

#[tokio::test]
async fn what_lasts_is_unavailable_and_never_permitted() {
    let slow = Action::Delay(Duration::from_secs(20));
    let garbage = |body: Value| Action::Answer(StatusCode::OK, body);
    for (what, then, error) in [
        ("unprocessed", Action::Unprocessed, "the table is throttled"),
        ("throttled", throttled(), "DynamoDB answered ProvisionedThroughputExceededException: not today"),
        ("failing", failing(), "DynamoDB answered InternalServerError"),
        ("slow", slow, "DynamoDB"),
        ("denied", Action::error(StatusCode::BAD_REQUEST, "AccessDeniedException"), "answered AccessDeniedException"),
        ("no table", Action::error(StatusCode::BAD_REQUEST, "ResourceNotFoundException"), "ResourceNotFoundException"),
        ("no answer", garbage(json!({})), "it does not hold the table"),
        ("no JSON", garbage(json!("garbage")), "the request to DynamoDB failed"),
        ("another item", garbage(json!({ "Responses": { TABLE: [{ "pk": { "S": "x" } }] } })), "was not requested"),
    ] {
        let (status, line, took, _) = call_over(&[], then, &[("STORE_DEADLINE_MS", "400")]).await;
        assert_eq!((status, line["decision"].as_str()), (503, Some("error")), "{what}: {line}");
        assert_eq!(
            (line["reason"].as_str(), line["level"].as_str()),
            (Some("store_unavailable"), Some("error")),
            "{what}"
        );
        assert!(line["error"].as_str().unwrap().contains(error), "{what}: {line}");
        // Not a measurement, but a hang would take for ever.
        assert!(took < Duration::from_secs(10), "{what}: {took:?}");
    }
    let (status, line, _) = call_at(&format!("http://{}", closed_port().await), &[]).await;
    assert_eq!((status, line["reason"].as_str()), (503, Some("store_unavailable")));
    assert!(line["error"].as_str().unwrap().contains("Connection refused"), "{line}");
}

/// Where a rule was not read, it must not look as if there were none.
#[tokio::test]
async fn an_answer_that_leaves_something_out_permits_nothing() {
    let open = json!({ "pk": { "S": "APP#defaultApp" }, "sk": { "S": "APP" }, "callers": { "M": { "*": { "M": { "effect": { "S": "allow" } } } } } });
    let deny =
        json!({ "pk": { "S": "PARTY#defaultApp#PPP005" }, "sk": { "S": "CALLER#PPP009" }, "effect": { "S": "deny" } });
    let key = |sk: &str| json!({ "pk": { "S": "PARTY#defaultApp#PPP005" }, "sk": { "S": sk } });
    let left = |keys: Value| json!({ "Keys": keys });
    for (what, answer) in [
        ("no table", json!({ "Responses": {} })),
        ("another table", json!({ "Responses": { "other": [] } })),
        ("another table too", json!({ "Responses": { TABLE: [], "other": [] } })),
        ("no answer, but some left", json!({ "UnprocessedKeys": { TABLE: left(json!([key("PARTY")])) } })),
        ("another's keys left", json!({ "Responses": { TABLE: [] }, "UnprocessedKeys": { "other": left(json!([])) } })),
        (
            "a key left that was not requested",
            json!({ "Responses": { TABLE: [] }, "UnprocessedKeys": { TABLE: left(json!([key("X")])) } }),
        ),
        (
            "a key left twice",
            json!({ "Responses": { TABLE: [] }, "UnprocessedKeys": { TABLE: left(json!([key("PARTY"), key("PARTY")])) } }),
        ),
    ] {
        let table = Table::of(&[open.clone(), deny.clone()]).await;
        let script = [Action::Forward, Action::Answer(StatusCode::OK, answer)];
        let dynamodb = StandIn::before(&table, &script, Action::Forward).await;
        let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[("APP_CACHE_SECONDS", "3600")]).await;
        let ringing = call("PPP009", "PPP005");
        let statuses = [sandbox.invoke(&ringing).await.status, sandbox.invoke(&ringing).await.status];
        assert_eq!(statuses, [403, 503], "{what}");
        assert_eq!(sandbox.invoke(&ringing).await.status, 403, "{what}: the next call");
    }
}

#[tokio::test]
async fn what_was_left_is_asked_for_and_nothing_else() {
    let table = Table::with_samples().await;
    let pair = json!({ "pk": { "S": "PARTY#defaultApp#PPP005" }, "sk": { "S": "CALLER#PPP009" } });
    let consumed = json!([{ "TableName": TABLE, "CapacityUnits": 3.0 }]);
    let partly = json!({
        "Responses": { TABLE: [] }, "ConsumedCapacity": consumed, "UnprocessedKeys": { TABLE: { "Keys": [pair] } },
    });
    let nothing = json!({ "UnprocessedKeys": { TABLE: { "Keys": [pair] } } });
    let script = [Action::Answer(StatusCode::OK, partly), Action::Answer(StatusCode::OK, nothing)];
    let (status, line, _, _) = call_over(&script, Action::Forward, &[("STORE_DEADLINE_MS", "8000")]).await;
    assert_eq!((status, line["units"].as_f64()), (200, Some(4.0)), "{line}");
    let dynamodb = StandIn::before(&table, &script, Action::Forward).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[("STORE_DEADLINE_MS", "8000")]).await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
    let asked: Vec<_> = dynamodb.requests().iter().map(|request| keys(request).len()).collect();
    assert_eq!(asked, [4, 1, 1]);
}

/// A slow answer that leaves keys unprocessed, over and over: each one in time, all of them not.
#[tokio::test]
async fn the_deadline_is_for_all_requests_together() {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::before(&table, &[], Action::DelayUnprocessed(Duration::from_secs(1))).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[("STORE_DEADLINE_MS", "4000")]).await;
    sandbox.log().await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 503);
    assert_eq!(sandbox.log().await["error"], "DynamoDB did not answer within 4000 ms", "cut off in the fourth request");
}

/// The SDK would stop to try again once an outage has used up its quota of retries.
#[tokio::test]
async fn an_outage_does_not_make_the_first_slip_after_it_final() {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::before(&table, &[], failing()).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[("STORE_DEADLINE_MS", "4000")]).await;
    for _ in 0..40 {
        assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 503);
    }
    dynamodb.recover_after(&[failing()]);
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
}

#[tokio::test]
async fn an_operator_may_choose_to_let_calls_through_when_permissions_cannot_be_read() {
    let environment = [("ON_STORE_FAILURE", "allow"), ("STORE_DEADLINE_MS", "300")];
    let (status, line, _, _) = call_over(&[], failing(), &environment).await;
    assert_eq!((status, line["decision"].as_str(), line["status"].as_u64()), (200, Some("error"), Some(200)));
    // A refusal is an answer, not a failure.
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &environment).await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP006")).await.status, 403);
}

#[tokio::test]
async fn the_next_good_call_works() {
    let table = Table::with_samples().await;
    let script = vec![failing(); 5];
    let dynamodb = StandIn::before(&table, &script, Action::Forward).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[]).await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 503);
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
}
