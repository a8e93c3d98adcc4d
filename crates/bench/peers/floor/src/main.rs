//! A Lambda function that reads nothing, and answers every event with status 200 and no body.

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::value::{RawValue, to_raw_value};

fn main() -> Result<(), Error> {
    let handler = |_: LambdaEvent<Box<RawValue>>| async {
        Ok::<_, Error>(to_raw_value(&serde_json::json!({ "statusCode": 200 }))?)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Runtime::new(service_fn(handler)).run())
}
