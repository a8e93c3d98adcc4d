//! The floor: a Lambda function that reads nothing and answers every event with `200` and nothing else.

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::value::{RawValue, to_raw_value};

fn main() -> Result<(), Error> {
    let answer = |_: LambdaEvent<Box<RawValue>>| async {
        Ok::<_, Error>(to_raw_value(&serde_json::json!({ "statusCode": 200 }))?)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Runtime::new(service_fn(answer)).run())
}
