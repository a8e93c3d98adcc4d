//! One process with several calls at once, as on Lambda Managed Instances.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;

use crate::dynamodb::{Action, StandIn, Table};
use crate::gateway::on_call;
use crate::lambda::Sandbox;

const AT_ONCE: usize = 8;
const ROUNDS: usize = 25;

/// DynamoDB answers only when all calls of a round have asked it, so they are in the function at the same time.
#[tokio::test]
async fn calls_at_once_get_their_own_answers_and_a_whole_line_each() {
    let table = Table::with_samples().await;
    let gather = Action::Gather(Arc::new(Barrier::new(AT_ONCE)));
    let dynamodb = StandIn::before(&table, &[], gather).await;
    let environment = [("AWS_LAMBDA_MAX_CONCURRENCY", "8"), ("STORE_DEADLINE_MS", "10000")];
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &environment).await;
    sandbox.log().await;
    for _ in 0..AT_ONCE {
        sandbox.polled().await;
    }
    for round in 0..ROUNDS {
        let mut calls = Vec::new();
        for n in 0..AT_ONCE {
            // Any number may call this callee, and PPP009 may not call that one.
            let (caller, callee, permitted) = if n % 2 == 0 {
                (format!("+7{n:010}"), "+74951234567", true)
            } else {
                ("PPP009".to_owned(), "PPP006", false)
            };
            let id = format!("call-{round}-{n}");
            let body = json!({ "appKey": "defaultApp", "callId": id, "caller": caller, "callee": callee }).to_string();
            let request = on_call(body.as_str());
            let event = if n < AT_ONCE / 2 { request.v1() } else { request.v2() };
            calls.push((id, caller, body, permitted, sandbox.invoke(&event)));
        }
        let mut expected = BTreeSet::new();
        for (id, caller, body, permitted, answer) in calls {
            let reply = answer.await;
            let answer = if permitted { (200, Some(body)) } else { (403, None) };
            assert_eq!((reply.status, reply.body), answer, "{id}");
            expected.insert((id, caller, u64::from(reply.status)));
        }
        let mut logged = BTreeSet::new();
        for _ in 0..AT_ONCE {
            let line = sandbox.log().await;
            let [id, caller] = ["call_id", "caller"].map(|name| line[name].as_str().unwrap().to_owned());
            logged.insert((id, caller, line["status"].as_u64().unwrap()));
        }
        assert_eq!(logged, expected, "round {round}");
    }
    assert_eq!(dynamodb.requests().len(), AT_ONCE * ROUNDS);
    assert_eq!(sandbox.stop().await, [""; 0], "one line a call");
}
