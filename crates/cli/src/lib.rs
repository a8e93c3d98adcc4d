//! `callgatectl`: try the hook on a laptop, and manage who may call whom.

#![deny(clippy::print_stdout, clippy::print_stderr)] // they panic when nobody reads: `say` does not

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use callgate_core::{Effect, Status};
use clap::{CommandFactory as _, Parser, Subcommand};
use outcome::{Outcome, Usage};
pub use rows::{Format, RuleFile};
use say::print_error;

mod check;
mod connection;
mod dialled;
mod diff;
mod doctor;
mod export;
mod import;
mod interrupts;
mod items;
mod moment;
mod outcome;
mod redundancy;
mod rows;
mod rules;
mod sample;
mod say;
mod serve;
mod show;
mod simulator;
mod spool;
mod statement;
mod status;
mod stored;
mod table;

/// Try callgate on a laptop, and manage who may call whom.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    connection: connection::Options,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  callgatectl serve                                             try it, without an AWS account
  callgatectl allow --app shop --from PPP009 --to PPP005        one caller, one callee
  callgatectl deny  --app shop --from '+881*' --to '*'          a range that reaches nobody
  callgatectl allow --app shop --from '*' --to support --hours 'Mon-Fri 09:00-18:00 Europe/Moscow'
  callgatectl check --app shop --from PPP009 --to PPP005        would it go through, and why?

Exit codes: 0 done or permitted, 1 failed, 2 wrong usage, 3 refused (check), 4 findings (doctor)";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Options),
    WcsSimulator(simulator::Options),
    /// Make the permission table, or look at it
    #[command(subcommand, after_help = TABLE_EXAMPLES)]
    Table(table::Command),
    /// Let calls through
    #[command(after_help = ALLOW_EXAMPLES)]
    Allow(rules::RuleArgs),
    /// Refuse calls, whatever another door says
    #[command(after_help = DENY_EXAMPLES)]
    Deny(rules::RuleArgs),
    /// Take a rule back
    #[command(after_help = "Example:\n  callgatectl revoke --app shop --from '+881*' --to '*'")]
    Revoke(rules::RevokeArgs),
    /// Refuse every call of an app or a party, whatever its rules say
    #[command(after_help = "Examples:\n  callgatectl suspend --app shop PPP007\n  callgatectl suspend --app shop")]
    Suspend(status::Options),
    /// Let an app's or a party's rules decide again
    #[command(after_help = "Example:\n  callgatectl resume --app shop PPP007")]
    Resume(status::Options),
    /// Show what stands in the table for an app or a party
    #[command(after_help = "Examples:\n  callgatectl show --app shop\n  callgatectl show --app shop PPP005")]
    Show(status::PartyArgs),
    /// Would this call go through, and why?
    #[command(after_help = CHECK_EXAMPLES)]
    Check(check::Options),
    /// Write the rules of a CSV or NDJSON file into the table
    ///
    /// The columns app, from, to, effect, media, hours, expires_at and note come in any order; the last four may be
    /// missing. The whole file is checked before anything is written. Rules that are not in the file stay, unless
    /// --replace is given.
    #[expect(clippy::doc_markdown, reason = "this comment is what --help shows")]
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(import::Options),
    /// Write the rules of the table to standard output, as import reads them
    ///
    /// Status and notes of apps and parties are no rules, and stand only in the table.
    #[command(
        after_help = "Examples:\n  callgatectl export > rules.csv\n  callgatectl export --app shop --format ndjson"
    )]
    Export(export::Options),
    /// Find what does not mean what somebody thought: rules that never match, expired ones, records that refuse calls
    ///
    /// Give it the function's dial plan: rules written under another one can no longer match.
    #[command(
        after_help = "Examples:\n  callgatectl doctor\n  callgatectl doctor --fix\n\nExit code 4 when there are findings."
    )]
    Doctor(doctor::Options),
    /// Print the completions of a shell
    #[command(after_help = "Example:\n  callgatectl completions bash > /etc/bash_completion.d/callgatectl")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    #[command(after_help = "Example:\n  callgatectl man ~/.local/share/man/man1")]
    Man {
        /// Where they go
        #[arg(value_name = "DIRECTORY")]
        directory: std::path::PathBuf,
    },
}

const TABLE_EXAMPLES: &str = "\
Examples:
  callgatectl table create --table callgate --region eu-central-1
  callgatectl table describe --table callgate";

const ALLOW_EXAMPLES: &str = "\
Examples:
  callgatectl allow --app shop --from PPP009 --to PPP005            one caller, one callee
  callgatectl allow --app shop --from PPP009 --to 'PPP*'            one caller, a group of callees
  callgatectl allow --app shop --from '+7495*' --to PPP005          a range of callers, one callee
  callgatectl allow --app shop --from '*' --to '*'                  everybody, everybody
  callgatectl allow --app shop --from PPP009 --to PPP005 --media audio --until 30d --note 'on trial'
  callgatectl allow --app shop --from '*' --to support --hours 'Mon-Fri 09:00-18:00 Europe/Moscow'";

const DENY_EXAMPLES: &str = "\
Examples:
  callgatectl deny --app shop --from '+881*' --to '*'               a range that reaches nobody
  callgatectl deny --app shop --from '*' --to PPP005                nobody, except whom a longer rule allows
  callgatectl deny --app shop --from anonymous --to PPP005          who withholds the number
  callgatectl deny --app shop --from '*' --to PPP005 --hours 'Fri-Sun 22:00-07:00 Europe/Moscow'";

const IMPORT_EXAMPLES: &str = "\
Examples:
  callgatectl import rules.csv --dry-run                            what would change?
  callgatectl import rules.csv
  callgatectl import - --replace --yes < rules.ndjson               these rules, and no others

  app,from,to,effect,media,hours,expires_at,note
  shop,PPP009,PPP005,allow,audio,,,
  shop,*,support,allow,,Mon-Fri 09:00-18:00 UTC; Sat 10:00-14:00 UTC,2026-12-31T18:00:00Z,on trial";

const CHECK_EXAMPLES: &str = "\
Examples:
  callgatectl check --app shop --from '8 (495) 123-45-67' --to PPP005
  callgatectl check --app shop --from PPP009 --to PPP005 --video --at 2026-12-31T18:00:00+03:00

Exit code 0 when the call goes through, 3 when it is refused.";

/// Runs the command; what it found out, as the contract's exit code.
///
/// # Errors
/// When it could not be done. [`report`] says whether it was said wrongly or failed.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let connection = &cli.connection;
    let outcome = match &cli.command {
        Command::Serve(options) => serve::run(options, connection).await.map(|()| Outcome::Done),
        Command::WcsSimulator(options) => {
            return tokio::task::block_in_place(|| simulator::run(options, connection.output));
        }
        Command::Table(command) => table::run(command, connection).await,
        Command::Allow(said) => rules::write(Effect::Allow, said, connection).await,
        Command::Deny(said) => rules::write(Effect::Deny, said, connection).await,
        Command::Revoke(parties) => rules::revoke(parties, connection).await,
        Command::Suspend(options) => status::set(Status::Suspended, options, connection).await,
        Command::Resume(options) => status::set(Status::Active, options, connection).await,
        Command::Show(whom) => show::run(whom, connection).await,
        Command::Check(options) => check::run(options, connection).await,
        Command::Import(options) => import::run(options, connection).await,
        Command::Export(options) => export::run(options, connection).await,
        Command::Doctor(options) => doctor::run(options, connection).await,
        Command::Completions { shell } => {
            // Into memory first: the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "callgatectl", &mut script);
            io::stdout().write_all(&script)?;
            Ok(Outcome::Done)
        }
        Command::Man { directory } => {
            std::fs::create_dir_all(directory)?;
            clap_mangen::generate_to(Cli::command(), directory)?;
            Ok(Outcome::Done)
        }
    };
    outcome.map(Outcome::code)
}

/// Says why a command could not be done; the contract's exit code for it.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    // Whoever read the output has stopped, as `head` does, and needs no other word.
    let is_unread = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(is_unread) {
        return ExitCode::FAILURE;
    }
    print_error(format!("{error:#}"));
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
