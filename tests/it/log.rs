//! The decision log.

use axum::http::StatusCode;
use callgate::authentication::Secret;
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
        "hook": "OnCallEvent",
        "decision": "allow",
        "reason": "pair_rule",
        "door": "callee",
        "rule": "PPP009",
        "app": "defaultApp",
        "caller": "PPP009",
        "callee": "PPP005",
        "media": ["audio"],
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
    assert_eq!(line["masked"], true);
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
    let mut sandbox = Sandbox::start(&table.endpoint, &[("WCS_HOOK_SECRET", "")]).await;
    sandbox.log().await;
    let multibyte = "\u{1f600}".repeat(32);
    // An id may hold these,
    let odd = ["a'b`c", "a\\b", "{}", "[31mred", "%s${x}", multibyte.as_str()];
    // and may not hold these.
    let forbidden = [
        "a\"b",
        "a\nb",
        "a\r\nb",
        "a\u{2028}b",
        "\u{1b}[31mred",
        "\u{9b}31mred",
        "a\0b",
        "\u{7f}",
        &format!("{multibyte}x"),
    ];
    for (id, status) in odd.iter().map(|id| (*id, 403)).chain(forbidden.iter().map(|id| (*id, 400))) {
        for field in ["appKey", "caller", "callee"] {
            let mut body = json!({ "appKey": "defaultApp", "caller": "PPP009", "callee": "PPP005" });
            body["callId"] = json!(format!("\u{1b}[0m\u{9b}2J\n\"\u{202e}{id}"));
            // Not at its ends, where white space is trimmed.
            body[field] = json!(id);
            assert_eq!(sandbox.invoke(&on_call(body.to_string()).v2()).await.status, status, "{field} {id:?}");
            let line = sandbox.log_text().await;
            let is_harmful = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
            assert!(!line.contains(is_harmful), "{field} {id:?}: {line:?}");
            let line: Value = serde_json::from_str(&line).unwrap();
            if status == 403 {
                let logged = if field == "appKey" { "app" } else { field };
                assert_eq!((line[logged].as_str(), line["message"].as_str()), (Some(id), Some("decision")));
                assert_eq!(line["call_id"], body["callId"]);
            } else {
                assert_eq!((line["status"].as_u64(), line["message"].as_str()), (Some(400), Some("rejected")));
            }
        }
    }
    assert_eq!(sandbox.stop().await, [""; 0], "one line a call");
}

/// What must never be logged: the secrets of WCS, the signature, the body, the credentials and what they sign with.
#[tokio::test]
async fn what_is_secret_is_in_no_line_at_any_level_whatever_fails() {
    const SECRETS: &str = "planted-hook-secret, planted-next-secret";
    let table = Table::with_samples().await;
    let body = |callee: &str| {
        let known = json!({ "appKey": "defaultApp", "caller": "PPP009", "callee": callee, "sdp": "planted-sdp" });
        known.to_string()
    };
    let bodies = [
        body("PPP005"),
        body("PPP006"),
        body("planted;callee"),
        r#"{"planted": "#.to_owned(),
        r#"["planted"]"#.to_owned(),
        r#"{"appKey":["planted"],"callee":"PPP005"}"#.to_owned(),
        r#"{"appKey":"defaultApp","callee":"PPP005","hasVideo":"planted"}"#.to_owned(),
        r#"{"appKey":"defaultApp","callee":"PPP005","callee":"planted"}"#.to_owned(),
    ];
    let secret = Secret::new("planted-hook-secret");
    let echo = |code| Action::Answer(StatusCode::BAD_REQUEST, json!({ "__type": code, "message": SIGNED }));
    let broken = Action::Answer(StatusCode::OK, json!("planted-answer"));
    for level in ["error", "warn", "info", "debug"] {
        for action in [
            Action::Forward,
            Action::Unprocessed,
            Action::error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
            echo("InvalidSignatureException"),
            echo("AccessDeniedException"),
            broken.clone(),
        ] {
            let environment = [("LOG_LEVEL", level), ("WCS_HOOK_SECRET", SECRETS), ("STORE_DEADLINE_MS", "50")];
            let failing = !matches!(action, Action::Forward | Action::Unprocessed);
            let dynamodb = StandIn::before(&table, &[], action.clone()).await;
            if failing {
                dynamodb.fail_openings();
            }
            let mut sandbox = Sandbox::start(&dynamodb.endpoint, &environment).await;
            let mut planted = vec!["planted".to_owned(), "AKIDPLANTED".to_owned(), "x-amz-security-token".to_owned()];
            for body in &bodies {
                let signature = secret.authorization(body.as_bytes());
                let signed = on_call(body.as_str()).header("Authorization", &signature);
                let forged = on_call(body.as_str()).header("Authorization", "WCS 706c616e74656400706c616e74656400");
                for request in [signed.clone(), signed.base64(), forged] {
                    sandbox.invoke(&request.v1()).await;
                    sandbox.invoke(&request.v2()).await;
                }
                planted.push(signature.trim_start_matches("WCS ").to_owned());
            }
            planted.push("706c616e74656400".to_owned());
            // Of the requests to DynamoDB: what was signed with the credentials.
            planted.extend(dynamodb.signatures());
            let lines = sandbox.stop().await;
            if level == "debug" {
                assert!(!lines.is_empty());
                // On a busy machine, the deadline may pass without a failure, too.
                let is_not_opened = lines.iter().any(|line| line.contains("not opened during the start"));
                assert!(is_not_opened || !failing, "{lines:?}");
            }
            for line in lines {
                let found = planted.iter().find(|secret| line.contains(secret.as_str()));
                assert_eq!(found, None, "{level}, {action:?}: {line}");
            }
        }
    }
}

/// What AWS answers to a signature that does not match, in its own words.
const SIGNED: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request \
should have been\n'POST\n/\n\nhost:dynamodb.eu-central-1.amazonaws.com\nx-amz-security-token:planted-session-token\n'";

/// The largest items that cannot be parsed, of characters that the log escapes six-fold. Each gives one whole line.
#[tokio::test]
async fn the_largest_items_give_a_whole_line_of_limited_length() {
    let huge = |text: &str| text.repeat(390_000 / text.len());
    let table = Table::empty().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    sandbox.log().await;
    for (callee, text) in [("1", "\u{1}"), ("2", "\u{9b}"), ("3", "\u{1f600}")] {
        let window = |window: &str| json!({ "effect": { "S": "allow" }, "hours": { "L": [{ "S": window }] } });
        let rules = [
            json!({ "effect": { "S": huge(text) } }),
            json!({ "effect": { "S": "allow" }, "media": { "SS": [huge(text)] } }),
            window(&huge(text)),
            window(&format!("{} 09:00-18:00 UTC", huge(text))),
            window(&format!("Mon {}-18:00 UTC", huge(text))),
            window(&format!("Mon 09:00-18:00 {}", huge(text))),
            // Names of attributes have at most 64 KB.
            json!({ "effect": { "S": "allow" }, text.repeat(65_000 / text.len()): { "BOOL": true } }),
        ];
        let party = json!({ "status": { "S": huge(text) } });
        let pairs = rules.into_iter().map(|rule| ("CALLER#caller", rule));
        for (sk, mut item) in pairs.chain([("PARTY", party)]) {
            item["pk"] = json!({ "S": format!("PARTY#defaultApp#{callee}") });
            item["sk"] = json!({ "S": sk });
            table.put(&item);
            let call_id = "\u{1}".repeat(40_000);
            let body = json!({ "appKey": "defaultApp", "caller": "caller", "callee": callee, "callId": call_id });
            assert_eq!(sandbox.invoke(&on_call(body.to_string()).v2()).await.status, 403);
            let line = sandbox.log_text().await;
            assert!(line.len() < 40_000, "{} bytes", line.len());
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!((&line["reason"], &line["Decisions"]), (&json!("invalid_record"), &json!(1)));
            let error = line["error"].as_str().unwrap();
            assert!(error.contains(&text.repeat(120 / text.len())) && error.contains("…`"), "{error:?}");
            assert!(error.len() < 500, "{} bytes: {error:?}", error.len());
        }
    }
    assert_eq!(sandbox.stop().await, [""; 0], "one line a call");
}
