//! The Lambda function: reads the configuration, then answers API Gateway's events.

use std::process::ExitCode;

use callgate::config::{Config, check_lambda, process_environment, read_connection};
use callgate::gateway;
use callgate::handler::HookHandler;
use callgate::log::{Level, message};
use callgate::store::{Store, client};
use lambda_http::lambda_runtime::Runtime;
use lambda_http::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tokio::runtime;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            message(Level::Error, &format!("callgate cannot run: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let max_concurrency = check_lambda(process_environment)?;
    let config = Config::read(process_environment)?;
    let client = client::connect(read_connection(process_environment)?, config.store.deadline);
    let store = Store::new(client, config.store.clone());
    // Lives as long as the process, so that the loop below can be a task.
    let handler: &'static HookHandler = Box::leak(Box::new(HookHandler::new(config, store)));
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| gateway::answer(handler, event));
    // If Lambda sends one call at a time, one thread is enough, and cheaper.
    let mut runtime =
        if max_concurrency > 1 { runtime::Builder::new_multi_thread() } else { runtime::Builder::new_current_thread() };
    runtime.enable_all().build()?.block_on(async {
        handler.prepare().await;
        // As a task: a future that the runtime itself blocks on costs one more `epoll_wait` at each of the three
        // wake-ups of a call.
        tokio::spawn(Runtime::new(service).run_concurrent()).await?
    })
}
