//! `connect`: the answer makes WCS block the calls that the hook refuses.

use crate::dynamodb::{Action, StandIn, Table};
use crate::gateway::on_call;
use crate::lambda::Sandbox;

const METHOD: &str =
    r#"{"clientExclude":"","restExclude":"","restOnError":"FAIL","restPolicy":"NOTIFY","restOverwrite":""}"#;

#[tokio::test]
async fn connect_answers_without_asking_dynamodb() {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::before(&table, &[], Action::Unprocessed).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[("WCS_HOOK_SECRET", "")]).await;
    let request = on_call(r#"{ "a" : 1.0 ,"restClientConfig":7, "b":{"restClientConfig":8}}"#).path("/prod/x/connect");
    for event in [request.v1(), request.v2(), request.clone().base64().v1(), request.clone().base64().v2()] {
        let reply = sandbox.invoke(&event).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["content-type"], "application/json");
        let ours = format!(r#""restClientConfig":{{"OnCallEvent":{METHOD}}}"#);
        let expected = format!(r#"{{ "a" : 1.0 , "b":{{"restClientConfig":8}},{ours}}}"#);
        assert_eq!(reply.body.as_deref(), Some(expected.as_str()));
    }
    assert!(dynamodb.requests().is_empty());
}

#[tokio::test]
async fn connect_makes_wcs_block_calls_for_each_gated_hook() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("GATED_HOOKS", "OnCallEvent, call")]).await;
    for event in on_call(r#"{"restClientConfig":{"call":{"restOnError":"LOG"}}}"#).path("/connect").both() {
        let reply = sandbox.invoke(&event).await;
        let expected = format!(r#"{{"restClientConfig":{{"OnCallEvent":{METHOD},"call":{METHOD}}}}}"#);
        assert_eq!(reply.body, Some(expected));
    }
}

#[tokio::test]
async fn connect_has_the_same_limits_as_a_call() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    let connect = |body: &str| on_call(body).path("/connect").v2();
    for (body, status) in [("[]", 400), ("{", 400), ("", 400), ("{}", 200)] {
        assert_eq!(sandbox.invoke(&connect(body)).await.status, status, "{body}");
    }
    assert_eq!(sandbox.invoke(&connect(&format!("{{}}{}", " ".repeat(256 * 1024)))).await.status, 413);
}
