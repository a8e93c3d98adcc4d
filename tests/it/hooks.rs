//! Which hooks are decided, echoed or refused (`GATED_HOOKS`, `OTHER_HOOKS`), and what their log lines hold.

use serde_json::{Value, json};

use crate::dynamodb::{Action, StandIn, Table};
use crate::gateway::{HookRequest, on_call};
use crate::lambda::{Reply, Sandbox};

const BOTH_GATED: (&str, &str) = ("GATED_HOOKS", "OnCallEvent,call");

/// A hook with a body, as WCS sends it.
fn hook(name: &str, body: impl Into<Vec<u8>>) -> HookRequest {
    on_call(body).path(&format!("/rest/my_api/{name}"))
}

/// Whether a reply is the echo of a body.
fn is_echo(reply: &Reply, body: &str) -> bool {
    let is_json = reply.headers.get("content-type").is_some_and(|value| value == "application/json");
    (reply.status, reply.body.as_deref()) == (200, Some(body)) && is_json
}

#[tokio::test]
async fn other_hooks_come_back_byte_for_byte_and_nothing_is_looked_up() {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::before(&table, &[], Action::Unprocessed).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[("OTHER_HOOKS", "echo")]).await;
    sandbox.log().await;
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    let long = "a".repeat(64);
    for name in ["CallStatusEvent", "StreamKeepAliveEvent", "call", "a", "pushLogs2", &long] {
        for body in [
            "{}",
            " \r\n{ \"a\" : 1.0e+01 ,\t\"a\":\"\\ud800\", \"caf\u{e9}\":null}\n",
            r#"{"appKey":7,"callee":"a;b","caller":[],"callee":"PPP006"}"#,
            r#"{"restClientConfig":{"OnCallEvent":{"restOnError":"LOG"}}}"#,
            &deep,
        ] {
            let request = hook(name, body);
            for event in [request.v1(), request.v2(), request.clone().base64().v1(), request.base64().v2()] {
                let reply = sandbox.invoke(&event).await;
                assert!(is_echo(&reply, body), "{name}, {body:.60}: {reply:?}");
            }
        }
    }
    assert!(dynamodb.requests().is_empty());
    assert_eq!(sandbox.stop().await, [""; 0], "no line at the level `info`");
}

#[tokio::test]
async fn other_hooks_have_the_same_limits_as_a_call() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    for (body, status) in [("[]", 400), ("{", 400), ("", 400), ("7", 400), ("null", 400), ("{} x", 400), ("{}", 200)] {
        for event in hook("CallStatusEvent", body).both() {
            assert_eq!(sandbox.invoke(&event).await.status, status, "{body}");
        }
    }
    for (spaces, status) in [(256 * 1024 - 2, 200), (256 * 1024 - 1, 413)] {
        let body = format!("{{}}{}", " ".repeat(spaces));
        assert_eq!(sandbox.invoke(&hook("hold", body).v2()).await.status, status, "{spaces}");
    }
    let event = hook("hold", b"{\"a\":\"\xff\"}".to_vec()).base64().v2();
    let reply = sandbox.invoke(&event).await;
    assert_eq!((reply.status, reply.body.as_deref()), (400, Some(r#"{"error":"the body is not UTF-8"}"#)));
}

#[tokio::test]
async fn other_hooks_are_refused_where_the_operator_chose_so() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("OTHER_HOOKS", "refuse")]).await;
    sandbox.log().await;
    for name in ["CallStatusEvent", "StreamKeepAliveEvent", "call"] {
        for event in hook(name, "{}").both() {
            let reply = sandbox.invoke(&event).await;
            assert_eq!((reply.status, &*reply.headers["content-type"]), (404, "application/json"), "{name}");
            assert!(reply.body.unwrap().contains("OTHER_HOOKS=refuse"), "{name}");
            assert_eq!(sandbox.log().await["status"], 404, "{name}");
        }
    }
    assert_eq!(sandbox.invoke(&hook("connect", "{}").v2()).await.status, 200);
    let call = r#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP005"}"#;
    assert_eq!(sandbox.invoke(&hook("OnCallEvent", call).v2()).await.status, 200);
}

/// Whatever decides nothing is still only for our WCS: the signature and the address are checked first.
#[tokio::test]
async fn other_hooks_must_come_from_our_wcs() {
    let table = Table::with_samples().await;
    let environment = [("WCS_HOOK_SECRET", "of-this-test"), ("ALLOWED_SOURCES", "46.101.108.0/24")];
    let mut sandbox = Sandbox::start(&table.endpoint, &environment).await;
    let body = r#"{"appKey":"defaultApp"}"#;
    let signature = callgate::authentication::Secret::new("of-this-test").authorization(body.as_bytes());
    for name in ["CallStatusEvent", "StreamKeepAliveEvent", "connect"] {
        let signed = hook(name, body).header("Authorization", &signature);
        for (request, reason) in [
            (hook(name, body), "bad_signature"),
            (hook(name, format!("{body} ")).header("Authorization", &signature), "bad_signature"),
            (signed.clone().source("192.0.2.1"), "source_not_allowed"),
        ] {
            for event in request.both() {
                let reply = sandbox.invoke(&event).await;
                assert_eq!((reply.status, reply.body), (403, None), "{name}");
                let line = sandbox.log().await;
                assert_eq!((&line["reason"], &line["hook"]), (&json!(reason), &json!(name)));
                assert_eq!(line["media"], Value::Null);
            }
        }
        for event in signed.both() {
            assert_eq!(sandbox.invoke(&event).await.status, 200, "{name}");
        }
    }
    let reply = sandbox.invoke(&hook("a.b", body).source("192.0.2.1").v2()).await;
    assert_eq!((reply.status, &sandbox.log().await["hook"]), (403, &Value::Null));
}

#[tokio::test]
async fn a_gated_call_passes_the_same_doors() {
    let table = Table::with_samples().await;
    let call = |caller: &str, callee: &str| {
        json!({
            "appKey": "defaultApp", "callId": "call-1", "incoming": false, "caller": caller, "callee": callee,
            "hasAudio": true, "hasVideo": true, "sdp": "v=0\r\n", "custom": {}, "visibleName": caller,
        })
        .to_string()
    };
    let calls = [("PPP009", "PPP005", 200), ("PPP009", "PPP006", 403), ("PPP002", "+882123", 403), ("", "PPP004", 403)];
    let mut gated = Sandbox::start(&table.endpoint, &[BOTH_GATED]).await;
    let mut not_gated = Sandbox::start(&table.endpoint, &[("GATED_HOOKS", "OnCallEvent")]).await;
    gated.log().await;
    for (caller, callee, status) in calls {
        let body = call(caller, callee);
        for event in hook("call", body.as_str()).both() {
            let reply = gated.invoke(&event).await;
            assert_eq!(reply.status, status, "{caller} to {callee}");
            assert_eq!(reply.body.is_some(), status == 200);
            let line = gated.log().await;
            assert_eq!((&line["hook"], &line["media"]), (&json!("call"), &json!(["audio", "video"])));
            assert!(is_echo(&not_gated.invoke(&event).await, &body), "{caller} to {callee}");
        }
        // The same call, as a SIP call that comes in.
        let on_call = hook("OnCallEvent", body).v2();
        let [here, there] = [gated.invoke(&on_call).await, not_gated.invoke(&on_call).await];
        assert_eq!((here.status, there.status), (status, status), "{caller} to {callee}");
        assert_eq!(gated.log().await["hook"], "OnCallEvent");
    }
    for (body, error) in [
        (r#"{"appKey":"a"}"#, "the field `callee` is missing or empty"),
        (r#"{"appKey":"a","callee":"b","callee":"b"}"#, "the field `callee` appears twice"),
    ] {
        let reply = gated.invoke(&hook("call", body).v2()).await;
        assert_eq!((reply.status, reply.body), (400, Some(json!({ "error": error }).to_string())));
    }
}

#[tokio::test]
async fn the_log_names_the_media_of_every_call() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("LOG_PARTIES", "masked")]).await;
    sandbox.log().await;
    for (audio, video, media) in [
        (json!(true), json!(true), json!(["audio", "video"])),
        (json!(null), json!(""), json!(["audio"])),
        (json!(false), json!(true), json!(["video"])),
        (json!(false), json!(false), json!([])),
    ] {
        let body = json!({ "appKey": "a", "callee": "b", "hasAudio": audio, "hasVideo": video });
        sandbox.invoke(&hook("OnCallEvent", body.to_string()).v2()).await;
        assert_eq!(sandbox.log().await["media"], media);
    }
}

#[tokio::test]
async fn other_hooks_and_connect_are_logged_at_the_level_debug_only() {
    let table = Table::with_samples().await;
    for (level, lines) in [("debug", 2), ("info", 0), ("warn", 0), ("error", 0)] {
        let environment = [("LOG_LEVEL", level), ("WCS_HOOK_SECRET", "")];
        let mut sandbox = Sandbox::start(&table.endpoint, &environment).await;
        for name in ["CallStatusEvent", "connect"] {
            sandbox.invoke(&hook(name, r#"{"planted":1}"#).v2()).await;
        }
        let mut logged: Vec<Value> =
            sandbox.stop().await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        logged.retain(|line| line["message"] == "answered");
        assert_eq!(logged.len(), lines, "{level}");
        for (line, name) in logged.iter_mut().zip(["CallStatusEvent", "connect"]) {
            line.as_object_mut().unwrap().retain(|member, _| !["timestamp", "request_id"].contains(&member.as_str()));
            assert_eq!(*line, json!({ "level": "debug", "message": "answered", "hook": name, "status": 200 }));
        }
    }
}
