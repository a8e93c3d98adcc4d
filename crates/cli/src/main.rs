//! The command line of `callgatectl`.

use std::process::ExitCode;

use callgatectl::{Cli, report, run};
use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    // Boxed, because the future of all commands together is large for a stack.
    match Box::pin(run(Cli::parse())).await {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}
