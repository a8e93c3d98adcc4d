//! `calls --follow` on a file.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{LogFile, Logged, PERMITTED, REFUSED};
use crate::support::tool;

/// `calls --follow`, and what it prints. Killed when dropped.
pub(super) struct Following {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Following {
    pub(super) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for the next call, and asserts its id.
    #[track_caller]
    pub(super) fn prints(&mut self, id: &str) {
        let line = self.lines.next().unwrap().unwrap();
        assert!(line.contains(&format!("(call {id})")), "{line}");
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_file_is_followed_when_it_grows_is_replaced_or_truncated() {
    let named = |id: &str| Logged { call_id: Some(id), ..REFUSED }.line();
    let file = LogFile::new(named("first") + "\n");
    let path = file.path();
    let mut following = Following::start(tool().args(["calls", "--follow", "--refused", "--log"]).arg(&path));
    following.prints("first");
    append(&path, &format!("{}\n{}\n", PERMITTED.line(), named("second")));
    following.prints("second");
    // A line that is written in two parts.
    let line = named("third");
    let (start, end) = line.split_at(100);
    append(&path, start);
    append(&path, &format!("{end}\nhalf of a li"));
    following.prints("third");
    fs::rename(&path, path.with_extension("1")).unwrap();
    append(&path.with_extension("1"), &format!("ne\n{}\nhalf of a li", named("fourth")));
    following.prints("fourth");
    append(&path, &format!("{}\n", named("fifth")));
    following.prints("fifth");
    append(&path, &format!("{}\n", named("sixth")));
    following.prints("sixth");
    fs::write(&path, named("seventh") + "\n").unwrap();
    following.prints("seventh");
}
