//! The README's walk-through, word for word: every command of its section in one shell, beside its output.

use std::path::Path;
use std::process::Command;

use crate::serve::Serving;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
const HEADING: &str = "\n## Manage permissions\n";

/// Where the README lets the store listen, and what stands for it here: somebody else may use that port.
const STORE: &str = "127.0.0.1:8000";

/// The fenced blocks of a section: their kind and what is in them.
fn blocks(section: &str) -> Vec<(String, String)> {
    let mut parts = section.split("```").skip(1);
    let mut blocks = Vec::new();
    while let (Some(block), _) = (parts.next(), parts.next()) {
        let (kind, text) = block.split_once('\n').unwrap();
        blocks.push((kind.to_owned(), text.to_owned()));
    }
    blocks
}

#[test]
fn the_readmes_walk_through_says_what_happens() {
    let readme = std::fs::read_to_string(README).unwrap();
    let (_, section) = readme.split_once(HEADING).unwrap();
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let mut serving = Serving::start(&[], &[]);
    let store = std::iter::repeat_with(|| serving.line())
        .find_map(|line| line.split_once("AWS_ENDPOINT_URL_DYNAMODB=http://").map(|(_, address)| address.to_owned()));
    let store = store.unwrap();

    let folder = std::env::temp_dir().join(format!("callgatectl-walkthrough-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (mut environment, mut ran, mut written) = (String::new(), 0, readme.clone());
    let mut blocks = blocks(section).into_iter().peekable();
    while let Some((kind, commands)) = blocks.next() {
        // The first terminal's command is the one that is running already.
        if kind != "sh" || commands.starts_with("callgatectl serve") {
            continue;
        }
        if commands.starts_with("export ") {
            environment = commands.replace(STORE, &store);
            continue;
        }
        let output = shell(&folder, &format!("{environment}{commands}"));
        let expected = blocks.next_if(|(kind, _)| kind == "text").map(|(_, text)| text).unwrap_or_default();
        written = written.replacen(
            &format!("```sh\n{commands}```\n\n```text\n{expected}```"),
            &format!("```sh\n{commands}```\n\n```text\n{output}```"),
            1,
        );
        if std::env::var_os("UPDATE_README").is_none() {
            assert_eq!(output, expected, "{commands}");
        }
        ran += 1;
    }
    std::fs::remove_dir_all(folder).unwrap();
    assert!(ran >= 8, "{ran} commands were found");
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(README, written).unwrap();
    }
}

/// Both streams, as a terminal shows them.
fn shell(folder: &Path, commands: &str) -> String {
    let tool = Path::new(env!("CARGO_BIN_EXE_callgatectl")).parent().unwrap();
    let path = std::env::join_paths([tool, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let script = format!("exec 2>&1\n{commands}");
    let output =
        Command::new("sh").args(["-c", &script]).current_dir(folder).env_clear().env("PATH", path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
