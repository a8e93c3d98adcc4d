//! The Lambda function: reads the configuration, then answers API Gateway's events one by one.

use std::process::ExitCode;

use callgate::config::{Config, check_lambda, process_environment, read_connection};
use callgate::handler::Gate;
use callgate::log::{Level, say};
use callgate::store::{Store, client};
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::value::RawValue;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(Level::Error, &format!("callgate cannot run: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    check_lambda(process_environment)?;
    let config = Config::read(process_environment)?;
    let client = client::connect(read_connection(process_environment)?, config.store.deadline);
    let store = Store::new(client, config.store.clone());
    let gate = Gate::new(config, store);
    // It lives as long as the process, so that the loop below can be a task.
    let gate: &'static Gate = Box::leak(Box::new(gate));
    let answer = move |event: LambdaEvent<Box<RawValue>>| async move {
        gate.answer(&event.payload, &event.context.request_id).await
    };
    // One call at a time is all a sandbox gets, so one thread is enough.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        gate.prepare().await;
        // As a task: what the runtime itself blocks on costs an `epoll_wait` more at each of three wake-ups a call.
        tokio::spawn(Runtime::new(service_fn(answer)).run()).await?
    })
}
