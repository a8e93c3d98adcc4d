//! `man`: writes the man pages.

use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::Cli;
use crate::exit::Outcome;

/// Write the man pages to a directory
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  callgatectl man ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// The directory, created if it does not exist
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Writes the pages.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(&args.directory)?;
    clap_mangen::generate_to(Cli::command(), &args.directory)?;
    Ok(Outcome::Done)
}
