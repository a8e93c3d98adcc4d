//! `completions`: prints the completion script of a shell.

use std::io::{self, Write as _};

use clap::CommandFactory as _;

use crate::Cli;
use crate::exit::Outcome;

/// Print the completion script for a shell
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  callgatectl completions bash > /etc/bash_completion.d/callgatectl")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    // Generated into memory, because the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "callgatectl", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Outcome::Done)
}
