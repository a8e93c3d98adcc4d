//! The decision log.

use serde_json::{Value, json};

use crate::dynamodb::{Action, StandIn, Table};
use crate::gateway::{call, on_call};
use crate::lambda::Sandbox;

#[tokio::test]
async fn a_good_call_is_one_line_with_every_field() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("WCS_HOOK_SECRET", "")]).await;
    sandbox.log().await;
    sandbox.invoke(&call("PPP009", "PPP005")).await;
    let mut line = sandbox.log().await;
    assert!(line["store_ms"].as_f64().unwrap() > 0.0);
    assert!(line["total_ms"].as_f64().unwrap() >= line["store_ms"].as_f64().unwrap());
    assert_eq!((&line["StoreLatency"], &line["TotalLatency"]), (&line["store_ms"], &line["total_ms"]));
    let timestamp = line["timestamp"].as_str().unwrap();
    assert!(timestamp.starts_with("20") && timestamp.ends_with('Z'), "{timestamp}");
    assert!(line["_aws"]["Timestamp"].as_u64().unwrap() > 1_700_000_000_000);
    for measured in ["store_ms", "total_ms", "StoreLatency", "TotalLatency", "timestamp"] {
        line.as_object_mut().unwrap().remove(measured);
    }
    line["_aws"]["Timestamp"].take();
    let metric = |name: &str, unit: &str| json!({ "Name": name, "Unit": unit });
    let expected = json!({
        "level": "info",
        "message": "decision",
        "decision": "allow",
        "reason": "pair_rule",
        "door": "callee",
        "rule": "PPP009",
        "app": "defaultApp",
        "caller": "PPP009",
        "callee": "PPP005",
        "call_id": "call-1",
        "request_id": "request-1",
        "cold_start": true,
        "units": 4.0,
        "status": 200,
        "function": "callgate-test",
        "Decisions": 1,
        "_aws": {
            "Timestamp": null,
            "CloudWatchMetrics": [
                {
                    "Namespace": "callgate",
                    "Dimensions": [["decision", "reason"], ["function", "decision", "reason"], ["function"]],
                    "Metrics": [metric("Decisions", "Count")],
                },
                {
                    "Namespace": "callgate",
                    "Dimensions": [["function"]],
                    "Metrics": [metric("TotalLatency", "Milliseconds"), metric("StoreLatency", "Milliseconds")],
                },
            ],
        },
    });
    assert_eq!(line, expected);

    sandbox.invoke(&call("PPP009", "PPP006")).await;
    let line = sandbox.log().await;
    assert_eq!((&line["cold_start"], &line["request_id"]), (&json!(false), &json!("request-2")));
    assert_eq!((&line["door"], &line["rule"]), (&Value::Null, &Value::Null));
    assert_eq!(sandbox.stop().await, [""; 0]);
}

#[tokio::test]
async fn parties_are_cut_to_their_last_four_characters_where_chosen() {
    let broken = json!({
        "pk": { "S": "PARTY#defaultApp#+74951234567" },
        "sk": { "S": "PARTY" },
        "incoming": { "M": {
            "+7916*": { "M": { "effect": { "S": "allow" } } },
            "+7915*": { "M": { "effect": { "S": "?" } } },
        } },
    });
    let table = Table::of(&[broken]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("LOG_PARTIES", "masked")]).await;
    sandbox.log().await;
    sandbox.invoke(&call("+79161234567", "+74951234567")).await;
    let line = sandbox.log().await;
    assert_eq!([&line["caller"], &line["callee"], &line["rule"]], ["4567", "4567", "7916*"]);
    sandbox.invoke(&call("+79159876543", "+74951234567")).await;
    let line = sandbox.log().await.to_string();
    assert!(line.contains("party `4567` of app `defaultApp`, rule `7915*` of `incoming`"), "{line}");
    assert!(!line.contains("9876543") && !line.contains("1234567"), "{line}");
}

#[tokio::test]
async fn the_level_decides_what_is_written() {
    let table = Table::with_samples().await;
    for (level, lines) in [("debug", 3), ("info", 3), ("warn", 2), ("error", 0)] {
        let mut sandbox = Sandbox::start(&table.endpoint, &[("LOG_LEVEL", level)]).await;
        assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
        assert_eq!(sandbox.invoke(&on_call("{").v2()).await.status, 400);
        assert_eq!(sandbox.stop().await.len(), lines, "{level}");
    }
    let dynamodb = StandIn::before(&table, &[], Action::Unprocessed).await;
    let environment = [("LOG_LEVEL", "error"), ("STORE_DEADLINE_MS", "50")];
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &environment).await;
    assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 503);
    assert_eq!(sandbox.log().await["reason"], "store_unavailable");
}

/// Ids that would break a line, a terminal or a query, were they not escaped.
#[tokio::test]
async fn odd_ids_give_one_valid_line() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    sandbox.log().await;
    let multibyte = "\u{1f600}".repeat(32);
    for id in ["a'b`c", "a\\b", "{}", "a\u{2028}b", "[31mred", multibyte.as_str()] {
        let body =
            json!({ "appKey": "defaultApp", "caller": id, "callee": "PPP005", "callId": format!("\u{1b}[0m\n\"{id}") });
        assert_eq!(sandbox.invoke(&on_call(body.to_string()).v2()).await.status, 403, "{id}");
        let line = sandbox.log().await;
        assert_eq!((line["caller"].as_str(), line["message"].as_str()), (Some(id), Some("decision")));
    }
}
