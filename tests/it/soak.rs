//! Many calls through one sandbox. Takes minutes, so it is asked for:
//!
//! `CALLGATE_BINARY=target/lambda/callgate/bootstrap cargo test --test it soak -- --ignored --nocapture`

use serde_json::json;

use crate::dynamodb::Table;
use crate::gateway::{call, on_call};
use crate::lambda::Sandbox;

const CALLS: usize = 200_000;

/// After this many calls, everything that is kept is there.
const WARM: usize = 1_000;

#[tokio::test]
#[ignore = "takes minutes"]
async fn memory_stays_flat_and_every_answer_is_right() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    sandbox.log().await;
    let mut warm = 0;
    let mut most = 0;
    for n in 0..CALLS {
        let (event, status) = match n % 5 {
            0 => (call("PPP009", "PPP006"), 403),
            1 => (on_call("{").v2(), 400),
            // Parties that never come again.
            2 => (call(&format!("+7{n:010}"), "+74951234567"), 200),
            3 => (on_call(json!({ "appKey": format!("app-{n}"), "callee": "a" }).to_string()).v1(), 403),
            _ => (call("PPP009", "PPP005"), 200),
        };
        assert_eq!(sandbox.invoke(&event).await.status, status, "call {n}");
        sandbox.log().await;
        if n == WARM {
            warm = sandbox.resident_kib();
        }
        if n % 1_000 == 0 {
            most = most.max(sandbox.resident_kib());
        }
    }
    println!("{CALLS} calls: {warm} KiB after {WARM}, at most {most} KiB");
    assert!(most < warm + 1_024, "it grew from {warm} to {most} KiB");
}
