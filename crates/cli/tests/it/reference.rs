//! Compares `docs/src/reference/commands.md` with the tool's help. With `UPDATE_DOCS=1`, writes the page.

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

/// The help of a command on a terminal with 100 columns.
fn help(command: &[String]) -> String {
    let run = Run::of(tool().args(command).arg("--help").env("COLUMNS", "100"));
    assert_eq!(run.code, 0, "{run:?}");
    run.stdout
}

/// The names in the section `Commands:` of a help text, except `help`.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // The lines of a long description continue below, with more indentation.
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Splits a help text into the section `Global options:` and the rest.
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
fn the_command_reference_is_the_help_of_the_tool() {
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
    let stored = std::fs::read_to_string(PAGE).unwrap();
    assert!(stored == page, "the page differs from the tool's help: update it with UPDATE_DOCS=1\n{page}");
}
