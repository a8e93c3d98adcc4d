//! `callgatectl`: try the hook on a laptop, and manage who may call whom.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod connection;
mod sample;
mod serve;
mod simulator;
mod table;

/// Try callgate on a laptop, and manage who may call whom.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connection: connection::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Options),
    WcsSimulator(simulator::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(options) => serve::run(&options, &cli.connection).await.map(|()| ExitCode::SUCCESS),
        Command::WcsSimulator(options) => tokio::task::block_in_place(|| simulator::run(&options)),
    };
    match outcome {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
