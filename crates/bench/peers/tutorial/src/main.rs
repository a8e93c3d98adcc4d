//! The function as the guides would write it (AWS SDK for Rust Developer Guide, "Configuring the client"; AWS Lambda
//! Developer Guide, "Processing HTTP events with Rust"): default credentials chain, default features, default runtime, one
//! `GetItem`. It does not check signatures, parse ids or write a log.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::{Body, Error, Request, Response, run, service_fn};
use serde_json::Value;

async fn on_call_event(client: &Client, table: &str, request: Request) -> Result<Response<Body>, Error> {
    let event: Value = serde_json::from_slice(request.body())?;
    let field = |name: &str| event[name].as_str().unwrap_or_default();
    let (app, caller, callee) = (field("appKey"), field("caller"), field("callee"));
    let output = client
        .get_item()
        .table_name(table)
        .key("pk", AttributeValue::S(format!("PARTY#{app}#{callee}")))
        .key("sk", AttributeValue::S(format!("CALLER#{caller}")))
        .consistent_read(true)
        .send()
        .await?;
    let effect = output.item().and_then(|item| item.get("effect")).and_then(|effect| effect.as_s().ok());
    Ok(if effect.is_some_and(|effect| effect == "allow") {
        Response::builder().status(200).header("content-type", "application/json").body(request.into_body())?
    } else {
        Response::builder().status(403).body(Body::Empty)?
    })
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = Client::new(&config);
    let table = std::env::var("TABLE_NAME")?;
    run(service_fn(|request| on_call_event(&client, &table, request))).await
}
