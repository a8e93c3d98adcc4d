//! `callgate-bench`: measures the function beside its peers, and how its cost grows.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod capacity;
mod compare;
mod contender;
mod fixture;
mod grow;
mod instructions;
mod plot;
mod process;
mod quota;
mod report;
mod stand_in;
mod statistics;

use contender::Contender;

/// Measure callgate beside its peers, and how its cost grows
#[derive(Debug, Parser)]
#[command(arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compare(Compare),
    Grow(Grow),
    /// Count the instructions of a warm call, by valgrind
    Instructions {
        /// The built programs to count; callgate is built where there is none
        #[arg(long = "program", value_name = "NAME=PROGRAM", value_parser = Contender::parse)]
        programs: Vec<Contender>,
        /// Fail when one takes more for a warm call
        #[arg(long)]
        at_most: Option<u64>,
    },
    /// Simulate how often an app's item is read at 10, 1,000 and 100,000 calls a second
    Capacity,
}

/// Measure how the cost grows with the rules of a table, the patterns of a callee, and calls at once
#[derive(Debug, clap::Args)]
struct Grow {
    /// Rounds over all sizes
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// Calls of every size in a round
    #[arg(long, default_value_t = 200)]
    calls: u32,
    /// Measure this built function, instead of building it
    #[arg(long)]
    program: Option<PathBuf>,
    /// Measure this built `callgatectl`, instead of building it
    #[arg(long)]
    tool: Option<PathBuf>,
    /// Write the plots here
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

/// Build callgate and its peers, and measure them side by side in interleaved runs
#[derive(Debug, clap::Args)]
struct Compare {
    /// Starts of every program
    #[arg(long, default_value_t = 20)]
    runs: u32,
    /// Calls after the first, in every run
    #[arg(long, default_value_t = 300)]
    calls: u32,
    /// Measure only these built programs, instead of building the usual four
    #[arg(long = "program", value_name = "NAME=PROGRAM", value_parser = Contender::parse)]
    programs: Vec<Contender>,
    /// Trust the stand-in's own root alone, not among those of this machine
    #[arg(long)]
    lone_root: bool,
    /// Write `compare.json` and the plots here
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Compare(options) => compare(options).await,
        Command::Grow(options) => grow(options).await,
        Command::Instructions { programs, at_most } => instructions(programs, at_most).await,
        Command::Capacity => {
            println!("{}", capacity::table());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(options: Compare) -> anyhow::Result<()> {
    let Compare { runs, calls, programs, lone_root, out } = options;
    let contenders = if programs.is_empty() { contender::build(&project())? } else { programs };
    let plan = compare::Plan { runs, calls, lone_root };
    let comparison = compare::compare(contenders, plan).await?;
    println!("{}\n{}", report::table(&comparison), report::targets(&comparison));
    println!("{runs} runs, {calls} warm calls each; {}", report::machine());
    if let Some(why) = &comparison.no_quota {
        println!("No figures on 7.2 % of a core: {why}");
    }
    if let Some(out) = out {
        std::fs::create_dir_all(&out)?;
        let json = serde_json::to_string_pretty(&report::json(&comparison, runs, calls))?;
        std::fs::write(out.join("compare.json"), json + "\n")?;
        plot::comparison(&comparison, &out)?;
    }
    Ok(())
}

async fn grow(options: Grow) -> anyhow::Result<()> {
    let Grow { rounds, calls, program, tool, out } = options;
    let built = |program: Option<PathBuf>, package: &str, manifest: &str| match program {
        Some(program) => Ok(Contender { name: package.to_owned(), program }),
        None => contender::build_one(&project(), package, manifest),
    };
    let callgate = built(program, "callgate", "Cargo.toml")?;
    let tool = built(tool, "callgatectl", "crates/cli/Cargo.toml")?;
    let rules = grow::rules(&callgate, rounds, calls).await?;
    println!("{}", grow::table_of("rules in the table", &rules));
    let patterns = grow::patterns(&callgate, rounds, calls).await?;
    println!("{}", grow::table_of("patterns of the callee", &patterns));
    println!("{}", grow::table_of_loads(&grow::concurrency(&tool, 4_096).await?));
    println!("{rounds} rounds of {calls} calls; {}", report::machine());
    if let Some(out) = out {
        std::fs::create_dir_all(&out)?;
        plot::growth(&rules, &patterns, &out)?;
    }
    Ok(())
}

async fn instructions(mut programs: Vec<Contender>, at_most: Option<u64>) -> anyhow::Result<()> {
    if programs.is_empty() {
        programs.push(contender::build_one(&project(), "callgate", "Cargo.toml")?);
    }
    println!("| | instructions of a warm call | of start and 50 calls |\n|---|---:|---:|");
    for program in &programs {
        let instructions::Count { short_run, warm_call } = instructions::count(program).await?;
        println!("| {} | {warm_call} | {short_run} |", program.name);
        let most = at_most.unwrap_or(u64::MAX);
        anyhow::ensure!(warm_call <= most, "{} takes {warm_call} instructions for a call, over {most}", program.name);
    }
    Ok(())
}

/// The project's root, two directories above this package.
fn project() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}
