//! Any JSON as an event, through everything the function does with it but DynamoDB: the layer, `lambda_http`'s `Adapter`,
//! the handler and the serialized answer. DynamoDB is a closed port, so that no call may be permitted.
#![no_main]

use std::sync::OnceLock;

use callgate::config::{Config, read_connection};
use callgate::gateway;
use callgate::handler::HookHandler;
use callgate::lambda_http::{Context, LambdaEvent};
use callgate::store::{Store, client};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::runtime::{Builder, Runtime};

fuzz_target!(|text: &str| {
    static HANDLER: OnceLock<(Runtime, HookHandler)> = OnceLock::new();
    let (runtime, handler) = HANDLER.get_or_init(|| {
        // A paused clock jumps to the next timer, so that no input waits for the pauses between attempts.
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        (runtime.unwrap(), handler())
    });
    let Ok(event) = serde_json::from_str::<Box<RawValue>>(text) else { return };
    let Ok(answer) = runtime.block_on(gateway::answer(handler, LambdaEvent::new(event, Context::default()))) else {
        return;
    };
    let answer = serde_json::to_value(answer).unwrap();
    let status = answer["statusCode"].as_u64().unwrap();
    assert!([200, 400, 403, 404, 405, 413, 503].contains(&status), "{answer}");
    // Without DynamoDB only `connect` is answered with 200.
    let body = answer.get("body").and_then(Value::as_str).unwrap_or_default();
    assert!(status != 200 || body.contains(r#""restOnError":"FAIL""#), "{answer}");
});

fn handler() -> HookHandler {
    let environment = |name: &str| {
        let value = match name {
            "TABLE_NAME" => "callgate",
            "AWS_REGION" => "local",
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "fuzz",
            "AWS_ENDPOINT_URL" => "http://127.0.0.1:1",
            "STORE_DEADLINE_MS" => "50",
            // A call that becomes the event of another hook must not come back either.
            "OTHER_HOOKS" => "refuse",
            "GATED_HOOKS" => "OnCallEvent,call",
            // Lines of errors only, and of those every unreadable event has one.
            "LOG_LEVEL" => "error",
            _ => return None,
        };
        Some(value.into())
    };
    let config = Config::read(environment).unwrap();
    let client = client::connect(read_connection(environment).unwrap(), config.store.deadline);
    let store = Store::new(client, config.store.clone());
    HookHandler::new(config, store)
}
