//! `callgatectl`: try the hook on a laptop, and manage permissions.

#![deny(clippy::print_stdout, clippy::print_stderr)] // they panic if nothing reads the output; `output` does not

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use exit::Outcome;
pub use exit::report;

mod args;
mod commands;
mod connection;
mod console;
mod exit;
mod interrupts;
mod log_args;
mod output;
mod progress;
mod prompt;
mod rule_file_args;
mod serve;
mod time;
mod trace_text;
mod wcs;
mod write_import;
mod write_rule;
mod write_status;

use commands::{
    allow, backup, block, calls, check, completions, console as console_command, deny, disable, doctor, enable, export,
    find, forget, group, history, import, man, r#move, policy, replay, restore, resume, revoke, serve as serve_command,
    show, suspend, table, unblock, undo, wcs_simulator, who,
};

/// Try callgate on a laptop, and manage who may call whom
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    global: connection::GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  callgatectl serve                                             try it, without an AWS account
  callgatectl allow --app shop --from PPP009 --to PPP005        one caller, one callee
  callgatectl deny  --app shop --from '+881*' --to '*'          a range that may not call anyone
  callgatectl allow --app shop --from '*' --to support --hours 'Mon-Fri 09:00-18:00 Europe/Moscow'
  callgatectl check --app shop --from PPP009 --to PPP005        decide a call and explain the decision
  callgatectl calls --since 10m --refused --why                 the calls that were refused, and what would permit them

Exit codes: 0 done or permitted, 1 failed, 2 wrong usage, 3 refused (check), 4 findings (doctor, replay)";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve_command::Args),
    Console(console_command::Args),
    WcsSimulator(wcs_simulator::Args),
    Table(table::Args),
    Allow(allow::Args),
    Deny(deny::Args),
    Revoke(revoke::Args),
    Enable(enable::Args),
    Disable(disable::Args),
    Block(block::Args),
    Unblock(unblock::Args),
    Group(group::Args),
    Suspend(suspend::Args),
    Resume(resume::Args),
    Show(show::Args),
    Who(who::Args),
    Find(find::Args),
    Check(check::Args),
    Calls(calls::Args),
    Replay(replay::Args),
    History(history::Args),
    Undo(undo::Args),
    Move(r#move::Args),
    Forget(forget::Args),
    Import(import::Args),
    Export(export::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Doctor(doctor::Args),
    Policy(policy::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// Why the command failed. [`report`] prints it and returns the exit code.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    let outcome = match &cli.command {
        Command::Serve(args) => serve_command::run(args, global).await,
        Command::Console(args) => console_command::run(args, global).await,
        Command::WcsSimulator(args) => tokio::task::block_in_place(|| wcs_simulator::run(args, global)),
        Command::Table(args) => table::run(args, global).await,
        Command::Allow(args) => allow::run(args, global).await,
        Command::Deny(args) => deny::run(args, global).await,
        Command::Revoke(args) => revoke::run(args, global).await,
        Command::Enable(args) => enable::run(args, global).await,
        Command::Disable(args) => disable::run(args, global).await,
        Command::Block(args) => block::run(args, global).await,
        Command::Unblock(args) => unblock::run(args, global).await,
        Command::Group(args) => group::run(args, global).await,
        Command::Suspend(args) => suspend::run(args, global).await,
        Command::Resume(args) => resume::run(args, global).await,
        Command::Show(args) => show::run(args, global).await,
        Command::Who(args) => who::run(args, global).await,
        Command::Find(args) => find::run(args, global).await,
        Command::Check(args) => check::run(args, global).await,
        Command::Calls(args) => calls::run(args, global).await,
        Command::Replay(args) => replay::run(args, global).await,
        Command::History(args) => history::run(args, global).await,
        Command::Undo(args) => undo::run(args, global).await,
        Command::Move(args) => r#move::run(args, global).await,
        Command::Forget(args) => forget::run(args, global).await,
        Command::Import(args) => import::run(args, global).await,
        Command::Export(args) => export::run(args, global).await,
        Command::Backup(args) => backup::run(args, global).await,
        Command::Restore(args) => restore::run(args, global).await,
        Command::Doctor(args) => doctor::run(args, global).await,
        Command::Policy(args) => policy::run(args, global).await,
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    };
    outcome.map(Outcome::code)
}
