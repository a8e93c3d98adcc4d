//! The simplest function that reads the table: one `GetItem` with callgate's own client, on one thread. It does not check
//! signatures, parse ids, match patterns or write a log.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::config::{process_environment, read_connection};
use callgate::store::client;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    body: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    app_key: String,
    caller: String,
    callee: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status_code: u16,
    body: Option<String>,
}

fn main() -> Result<(), Error> {
    let table = std::env::var("TABLE_NAME")?;
    let client = client::connect(read_connection(process_environment)?, std::time::Duration::from_millis(1_500));
    let handler = |event: LambdaEvent<Box<RawValue>>| {
        let get_item = client.get_item().table_name(&table);
        async move {
            let body = serde_json::from_str::<Request<'_>>(event.payload.get())?.body;
            let Event { app_key, caller, callee } = serde_json::from_str(&body)?;
            let get_item = get_item
                .key("pk", AttributeValue::S(format!("PARTY#{app_key}#{callee}")))
                .key("sk", AttributeValue::S(format!("CALLER#{caller}")));
            let item = get_item.consistent_read(true).send().await?.item.unwrap_or_default();
            let allowed = item.get("effect").and_then(|it| it.as_s().ok()).is_some_and(|effect| effect == "allow");
            Ok::<_, Error>(if allowed {
                Response { status_code: 200, body: Some(body.into_owned()) }
            } else {
                Response { status_code: 403, body: None }
            })
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Runtime::new(service_fn(handler)).run())
}
