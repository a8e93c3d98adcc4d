//! Runs the commands in the README and the guides, and compares the output of each ```` ```sh ```` block with the
//! ```` ```text ```` block below it. A block without one has to succeed and print nothing. With `UPDATE_DOCS=1`, writes the
//! output into the page instead.

use std::path::Path;
use std::process::Command;

use crate::serve::ServeProcess;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The section of the README that runs here. `tests/readme.py` runs the others.
const HEADING: &str = "\n## Manage permissions\n";

/// The store's address in the README. The test uses a free port instead.
const STORE: &str = "127.0.0.1:8000";

/// The fenced blocks of a page: the language and the text of each.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut parts = page.split("```").skip(1);
    let mut blocks = Vec::new();
    while let (Some(block), _) = (parts.next(), parts.next()) {
        blocks.push(block.split_once('\n').unwrap());
    }
    blocks
}

/// The commands of a page, each with its expected output, if it has one.
fn commands(page: &str) -> Vec<(&str, Option<&str>)> {
    let blocks = blocks(page);
    let below = blocks.iter().skip(1).map(Some).chain([None]);
    let commands = blocks.iter().zip(below).filter(|((kind, _), _)| *kind == "sh");
    commands
        .map(|((_, typed), below)| (*typed, below.filter(|(kind, _)| *kind == "text").map(|(_, text)| *text)))
        .filter(|(typed, expected)| expected.is_some() || !cannot_run_here(typed))
        .collect()
}

/// Whether a block without expected output has only commands that this test cannot run:
///
/// - `callgatectl serve` runs until it is stopped. The test starts it itself.
/// - `export` sets the environment of the reader's shell. Each block here has a shell of its own, and the test sets the
///   variables of the README in all of them.
/// - `sam` deploys to AWS. The tests of the template check its parameters.
/// - `--table` names a table of the reader, which the store does not have. `.ci/runbook.py` runs these commands.
fn cannot_run_here(typed: &str) -> bool {
    typed.lines().map(str::trim).filter(|line| !line.is_empty()).all(|line| {
        ["callgatectl serve ", "export ", "sam ", "callgatectl --table "].iter().any(|start| line.starts_with(start))
    })
}

/// The text from a heading to the next one of its level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(heading).unwrap();
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// Runs the commands of a page, or of one section, on a store with the sample permissions. Returns how many blocks ran.
fn run(path: &Path, heading: Option<&str>, environment: &str) -> usize {
    let page = std::fs::read_to_string(path).unwrap();
    let part = heading.map_or(page.as_str(), |heading| section(&page, heading));
    let commands = commands(part);
    if commands.is_empty() {
        return 0;
    }
    let mut serve = ServeProcess::start(&[], &[]);
    let store = std::iter::repeat_with(|| serve.line())
        .find_map(|line| line.split_once("AWS_ENDPOINT_URL_DYNAMODB=http://").map(|(_, address)| address.to_owned()));
    let environment = environment.replace(STORE, &store.unwrap());
    let folder = std::env::temp_dir().join(format!("callgatectl-walkthrough-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // As if the store's hook had written it.
    std::fs::copy(Path::new(ROOT).join("docs/src/guides/calls.log"), folder.join("calls.log")).unwrap();
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let mut updated = page.clone();
    for (typed, expected) in &commands {
        // A command whose output is shown may fail, as `doctor` does when it finds something.
        let stop_at_failure = if expected.is_some() { "" } else { "set -e\n" };
        let (output, succeeded) = shell(&folder, &format!("{environment}{stop_at_failure}{typed}"));
        match expected {
            None => assert_eq!((output.as_str(), succeeded), ("", true), "{}: {typed}", path.display()),
            Some(expected) if masked(expected) == masked(&output) => {}
            Some(expected) if update => {
                let below = |text| format!("```sh\n{typed}```\n\n```text\n{text}```");
                updated = updated.replacen(&below(*expected), &below(output.as_str()), 1);
            }
            Some(expected) => assert_eq!(&output, expected, "{}: {typed}", path.display()),
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
    if update {
        std::fs::write(path, updated).unwrap();
    }
    commands.len()
}

/// The output of `history` and `undo` without what differs between runs: times, the user, and the ids of changes.
fn masked(text: &str) -> String {
    let is_time = |text: &str| text.len() >= 16 && text.get(..4).is_some_and(|year| year.parse::<u16>().is_ok());
    let line = |line: &str| {
        if let Some((time, (_, command))) = line.split_once(" UTC, ").and_then(|(a, b)| Some((a, b.split_once(": ")?)))
            && is_time(time)
        {
            return format!("TIME, USER: {command}\n");
        }
        let mut masked = line.to_owned();
        for (at, _) in line.match_indices("Z#") {
            let id = at.checked_sub("2026-11-26T11:32:28.039418".len()).and_then(|start| line.get(start..at + 10));
            masked = id.filter(|id| is_time(id)).map_or(masked.clone(), |id| masked.replace(id, "ID"));
        }
        masked + "\n"
    };
    text.lines().map(line).collect()
}

#[test]
fn commands_in_the_readme_and_the_guides_print_what_is_below_them() {
    let readme = Path::new(ROOT).join("README.md");
    let text = std::fs::read_to_string(&readme).unwrap();
    let (_, environment) = *blocks(&text).iter().find(|(_, text)| text.starts_with("export ")).unwrap();
    assert!(environment.contains(STORE), "{environment}");
    let mut ran = run(&readme, Some(HEADING), environment);
    for guide in std::fs::read_dir(Path::new(ROOT).join("docs/src/guides")).unwrap() {
        ran += run(&guide.unwrap().path(), None, environment);
    }
    assert!(ran >= 15, "only {ran} blocks of commands ran");
}

/// Runs commands in a shell. Returns both output streams, as a terminal shows them, and whether they succeeded.
fn shell(folder: &Path, commands: &str) -> (String, bool) {
    let tool = Path::new(env!("CARGO_BIN_EXE_callgatectl")).parent().unwrap();
    let path = std::env::join_paths([tool, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let script = format!("exec 2>&1\n{commands}");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("APP_CACHE_SECONDS", "0")
        .env("TZ", "UTC");
    let output = command.output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}
