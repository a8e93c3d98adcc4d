//! The command line of `callgatectl`; what its commands do is the library.

use std::process::ExitCode;

use callgatectl::{Cli, report, run};
use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    // What all commands need together is much for a stack.
    match Box::pin(run(Cli::parse())).await {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}
