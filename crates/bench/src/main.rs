//! `callgate-bench`: compares the function with its peers, and measures how its cost grows.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod calls;
mod capacity;
mod compare;
mod console;
mod cpu_quota;
mod fixture;
mod function;
mod grow;
mod hooks;
mod instructions;
mod plot;
mod program;
mod replay;
mod report;
mod stand_ins;
mod statistics;

use program::Program;

/// Compare callgate with its peers, and measure how its cost grows
#[derive(Debug, Parser)]
#[command(arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compare(CompareArgs),
    Grow(GrowArgs),
    /// Measure what a hook that decides nothing costs, against a decision
    Hooks {
        /// Send both hooks in this many rounds
        #[arg(long, default_value_t = 20)]
        rounds: u32,
        /// Send each hook this many times in a round
        #[arg(long, default_value_t = 200)]
        calls: u32,
        /// Measure this program, instead of building callgate
        #[arg(long)]
        program: Option<PathBuf>,
    },
    /// Measure how long `callgatectl calls` takes for a file of the log, against grep
    Calls {
        /// Run both programs this many times for each search
        #[arg(long, default_value_t = 7)]
        rounds: u32,
        /// Search files of so many lines
        #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
        lines: Vec<u32>,
        /// Measure this program, instead of building `callgatectl`
        #[arg(long)]
        tool: Option<PathBuf>,
    },
    /// Measure how long `callgatectl replay` takes over a million rules
    Replay {
        /// Replay each log this many times
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// The number of calls in a log
        #[arg(long, default_value_t = 100_000)]
        calls: u32,
        /// Measure this program, instead of building `callgatectl`
        #[arg(long)]
        tool: Option<PathBuf>,
    },
    /// Measure how long the pages of `callgatectl console` take over a million rules and 100,000 calls
    Console {
        /// Get each page this many times
        #[arg(long, default_value_t = 15)]
        rounds: u32,
        /// Measure this program, instead of building `callgatectl`
        #[arg(long)]
        tool: Option<PathBuf>,
    },
    /// Count the instructions of a warm call with valgrind
    Instructions {
        /// Count the instructions of this program, instead of building callgate; can be given several times
        #[arg(long = "program", value_name = "NAME=PROGRAM", value_parser = Program::parse)]
        programs: Vec<Program>,
        /// Fail if a program takes more than this number of instructions for a warm call
        #[arg(long)]
        at_most: Option<u64>,
    },
    /// Simulate how often an app's item is read at 10, 1,000 and 100,000 calls per second
    Capacity,
}

/// Measure how the cost of a call grows with the rules in the table, the patterns of a callee, and concurrent calls
#[derive(Debug, clap::Args)]
struct GrowArgs {
    /// Measure every size this many times
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// Send this many calls of every size in each round
    #[arg(long, default_value_t = 200)]
    calls: u32,
    /// Measure this program, instead of building the function
    #[arg(long)]
    program: Option<PathBuf>,
    /// Measure this program, instead of building `callgatectl`
    #[arg(long)]
    tool: Option<PathBuf>,
    /// Write the plots to this directory
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

/// Build callgate and its peers, and measure them in interleaved runs
#[derive(Debug, clap::Args)]
struct CompareArgs {
    /// Start every program this many times
    #[arg(long, default_value_t = 20)]
    runs: u32,
    /// Send this many calls after the first in each run
    #[arg(long, default_value_t = 300)]
    calls: u32,
    /// Measure this program, instead of building callgate and its peers; can be given several times
    #[arg(long = "program", value_name = "NAME=PROGRAM", value_parser = Program::parse)]
    programs: Vec<Program>,
    /// Trust only the root certificate of the stand-ins, without those of this machine
    #[arg(long)]
    lone_root: bool,
    /// Write `compare.json` and the plots to this directory
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare(args) => compare(args).await,
        Command::Grow(args) => grow(args).await,
        Command::Hooks { rounds, calls, program } => hooks(rounds, calls, program).await,
        Command::Calls { rounds, lines, tool } => measure_calls(rounds, &lines, tool),
        Command::Replay { rounds, calls, tool } => replay(rounds, calls, tool).await,
        Command::Console { rounds, tool } => console(rounds, tool).await,
        Command::Instructions { programs, at_most } => instructions(programs, at_most).await,
        Command::Capacity => {
            println!("{}", capacity::table());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(args: CompareArgs) -> anyhow::Result<()> {
    let CompareArgs { runs, calls, programs, lone_root, out } = args;
    let programs = if programs.is_empty() { program::build_all(&project())? } else { programs };
    let settings = compare::Settings { runs, calls, only_own_root: lone_root };
    let comparison = compare::compare(programs, settings).await?;
    println!("{}\n{}", report::table(&comparison), report::targets(&comparison));
    println!("{runs} runs, {calls} warm calls each; {}", report::machine());
    if let Some(error) = &comparison.cpu_quota_error {
        println!("No figures for 7.2 % of a core: {error}");
    }
    if let Some(out) = out {
        std::fs::create_dir_all(&out)?;
        let json = serde_json::to_string_pretty(&report::json(&comparison, runs, calls))?;
        std::fs::write(out.join("compare.json"), json + "\n")?;
        plot::comparison(&comparison, &out)?;
    }
    Ok(())
}

async fn grow(args: GrowArgs) -> anyhow::Result<()> {
    let GrowArgs { rounds, calls, program, tool, out } = args;
    let callgate = program_or_build(program, "callgate", "Cargo.toml")?;
    let tool = program_or_build(tool, "callgatectl", "crates/cli/Cargo.toml")?;
    let rules = grow::rules(&callgate, rounds, calls).await?;
    println!("{}", grow::format_points("rules in the table", &rules));
    let patterns = grow::patterns(&callgate, rounds, calls).await?;
    println!("{}", grow::format_points("patterns of the callee", &patterns));
    println!("{}", grow::format_throughputs(&grow::concurrency(&tool, 4_096).await?));
    println!("{rounds} rounds of {calls} calls; {}", report::machine());
    if let Some(out) = out {
        std::fs::create_dir_all(&out)?;
        plot::growth(&rules, &patterns, &out)?;
    }
    Ok(())
}

async fn hooks(rounds: u32, calls: u32, program: Option<PathBuf>) -> anyhow::Result<()> {
    let callgate = program_or_build(program, "callgate", "Cargo.toml")?;
    let costs = hooks::measure(&callgate, rounds, calls).await?;
    println!("{}", costs.table());
    println!("{rounds} rounds of {calls} calls; {}", report::machine());
    costs.check()
}

fn measure_calls(rounds: u32, lines: &[u32], tool: Option<PathBuf>) -> anyhow::Result<()> {
    let tool = program_or_build(tool, "callgatectl", "crates/cli/Cargo.toml")?;
    let times = calls::measure(&tool, rounds, lines)?;
    println!("{}", calls::table(&times));
    println!("{rounds} rounds; {}", report::machine());
    calls::check(&times)
}

async fn replay(rounds: u32, calls: u32, tool: Option<PathBuf>) -> anyhow::Result<()> {
    let tool = program_or_build(tool, "callgatectl", "crates/cli/Cargo.toml")?;
    let measurements = replay::measure(&tool, rounds, calls).await?;
    println!("{}", replay::format(&measurements));
    println!("{rounds} rounds; {}", report::machine());
    measurements.iter().try_for_each(replay::Measurement::check)
}

async fn console(rounds: u32, tool: Option<PathBuf>) -> anyhow::Result<()> {
    let tool = program_or_build(tool, "callgatectl", "crates/cli/Cargo.toml")?;
    let times = console::measure(&tool, rounds).await?;
    println!("{}", console::table(&times));
    println!("{rounds} rounds; {}", report::machine());
    console::check(&times)
}

async fn instructions(mut programs: Vec<Program>, at_most: Option<u64>) -> anyhow::Result<()> {
    if programs.is_empty() {
        programs.push(program::build(&project(), "callgate", "Cargo.toml")?);
    }
    println!("| | instructions of a warm call | of start and 50 calls |\n|---|---:|---:|");
    for program in &programs {
        let instructions::Count { short_run, warm_call } = instructions::count(program).await?;
        println!("| {} | {warm_call} | {short_run} |", program.name);
        let limit = at_most.unwrap_or(u64::MAX);
        anyhow::ensure!(
            warm_call <= limit,
            "{} takes {warm_call} instructions for a warm call; the limit is {limit}",
            program.name
        );
    }
    Ok(())
}

fn program_or_build(path: Option<PathBuf>, package: &str, manifest: &str) -> anyhow::Result<Program> {
    match path {
        Some(path) => Ok(Program { name: package.to_owned(), path }),
        None => program::build(&project(), package, manifest),
    }
}

/// The root directory of the project, two levels above this package.
fn project() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}
