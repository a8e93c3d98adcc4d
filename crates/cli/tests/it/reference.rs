//! `docs/src/reference/commands.md` is the tool's own help. `UPDATE_DOCS=1` writes it.

use std::fmt::Write as _;

use crate::support::{Run, tool};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/reference/commands.md");

const INTRODUCTION: &str = "\
# Commands

<!-- Written by `UPDATE_DOCS=1 cargo test -p callgatectl --test it reference`. Edit the tool's help instead. -->

This page is the help of `callgatectl`, as `callgatectl COMMAND --help` prints it. The options that all commands have are listed
once, [below](#global-options). For the output of `--output json` and the formats of files, see
[JSON output and files](json.md).
";

/// The help of a command, as a terminal with 100 columns shows it.
fn help(command: &[String]) -> String {
    let run = Run::of(tool().args(command).arg("--help").env("COLUMNS", "100"));
    assert_eq!(run.code, 0, "{run:?}");
    run.out
}

/// The names in the section `Commands:`, without `help`.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A longer description goes on below, further to the right.
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The section `Global options:`, and the help without it.
fn split_global_options(help: &str) -> (String, String) {
    let is_heading = |line: &str| line.starts_with(|c: char| !c.is_whitespace());
    let (mut global, mut rest, mut is_global) = (String::new(), String::new(), false);
    for line in help.lines() {
        if is_heading(line) {
            is_global = line == "Global options:";
        }
        let part = if is_global { &mut global } else { &mut rest };
        *part += line.trim_end();
        *part += "\n";
    }
    (global, rest)
}

/// Adds the help of a command and of all its subcommands to the page.
fn add(page: &mut String, command: &[String], global: &str) {
    let (options, help) = split_global_options(&help(command));
    assert_eq!(options, global, "{command:?}");
    let (name, text) = (command.join(" "), help.trim_end());
    write!(page, "\n## callgatectl {name}\n\n```text\n{text}\n```\n").unwrap();
    for subcommand in subcommands(&help) {
        add(page, &[command, &[subcommand]].concat(), global);
    }
}

#[test]
fn the_reference_of_commands_is_the_help_of_the_tool() {
    let (global, overview) = split_global_options(&help(&[]));
    let commands = subcommands(&overview);
    assert!(!global.is_empty() && commands.len() >= 14, "{overview}");
    let mut page = format!(
        "{INTRODUCTION}\n```text\n{}\n```\n\n## Global options\n\n```text\n{}\n```\n",
        overview.trim_end(),
        global.trim_end()
    );
    for command in commands {
        add(&mut page, &[command], &global);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap();
    assert!(written == page, "the page is not the tool's help: write it again with UPDATE_DOCS=1\n{page}");
}
