//! On a terminal: questions before changes that affect many parties, and colours.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use nix::pty::openpty;

use crate::support::{TestServer, split_words};

/// Runs a command with a terminal as all its streams, and types an answer. Returns the exit code and the terminal's output.
pub(crate) fn on_terminal(command: &mut Command, answer: &str) -> (Option<i32>, String) {
    let pty = openpty(None, None).unwrap();
    let stream = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
    // The terminal closes when no process holds this end of it.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(pty.slave);
    let mut terminal = File::from(pty.master);
    terminal.write_all(answer.as_bytes()).unwrap();
    let (mut shown, mut bytes) = (Vec::new(), [0; 4_096]);
    // On Linux, reading from a closed terminal returns an error.
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..count]);
    }
    (child.wait().unwrap().code(), String::from_utf8(shown).unwrap())
}

/// Runs the tool on a terminal and types an answer.
pub(crate) fn run_and_type(server: &TestServer, arguments: &str, answer: &str) -> (Option<i32>, String) {
    on_terminal(server.tool().args(split_words(arguments)).env_remove("NO_COLOR"), answer)
}

#[test]
fn changes_that_affect_many_parties_need_an_answer() {
    let server = TestServer::with_table();
    let allow = "allow --app shop --from '+7495*' --to PPP005";
    for answer in ["n\n", "\n", "what?\n", "\u{4}"] {
        let (code, shown) = run_and_type(&server, allow, answer);
        assert_eq!(code, Some(1), "{shown}");
        assert!(
            shown.contains("this allows calls: anyone whose id starts with +7495") && shown.contains("Do it? [y/N]")
        );
        assert!(shown.contains("nothing was written"), "{shown}");
        assert!(server.items().is_empty(), "{answer:?}");
    }
    let (code, shown) = run_and_type(&server, allow, "y\n");
    assert!(code == Some(0) && shown.contains("written: allow +7495* to PPP005"), "{shown}");
    let (code, shown) = run_and_type(&server, &allow.replace("allow", "revoke"), "n\n");
    assert!(code == Some(1) && shown.contains("revoke allow +7495* to PPP005"), "{shown}");
    let (code, shown) = run_and_type(&server, "suspend --app shop", "n\n");
    assert!(code == Some(1) && shown.contains("all its calls will be refused"), "{shown}");
    assert_eq!(server.items().len(), 1);
    for quiet in
        ["allow --app shop --from a --to b", "suspend --app shop --yes", "deny --app shop --from '*' --to b -y"]
    {
        let (code, shown) = run_and_type(&server, quiet, "");
        assert!(code == Some(0) && !shown.contains("Do it?"), "{shown}");
    }
}

#[test]
fn import_removes_rules_only_after_a_yes() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    let file = std::env::temp_dir().join(format!("callgatectl-replace-{}.csv", std::process::id()));
    std::fs::write(&file, "app,from,to,effect\nshop,c,d,allow\n").unwrap();
    let import = format!("import {} --replace", file.display());
    let (code, shown) = run_and_type(&server, &import, "n\n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        shown.contains("- allow a to b in app shop\r\n1 rule not in the file will be removed\r\nDo it?"),
        "{shown}"
    );
    assert_eq!(server.run("export").succeeds().stdout.lines().nth(1), Some("shop,a,b,allow,,,,,,"));
    let (code, shown) = run_and_type(&server, &import, "yes\n");
    assert!(code == Some(0) && shown.contains("1 rule written, 1 removed"), "{shown}");
    assert_eq!(server.run("export").succeeds().stdout.lines().nth(1), Some("shop,c,d,allow,,,,,,"));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn colours_are_only_for_terminals_without_no_color() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b --until 2099-12-31").succeeds();
    server.run("suspend --app shop b").succeeds();
    for (command, coloured) in [
        ("check --app shop --from a --to b", "\u{1b}[31mrefused\u{1b}[0m: callee_suspended"),
        ("doctor", "\u{1b}[1msuspended: party `b` of app `shop`\u{1b}[0m"),
        ("show --app nosuch", "\u{1b}[31merror:\u{1b}[0m nothing is stored"),
    ] {
        let plain = coloured.replace("\u{1b}[31m", "").replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        let (_, shown) = run_and_type(&server, command, "");
        assert!(shown.contains(coloured), "{shown:?}");
        let (_, shown) = on_terminal(server.tool().args(split_words(command)).env("NO_COLOR", "1"), "");
        assert!(shown.contains(&plain) && !shown.contains('\u{1b}'), "{shown:?}");
        server.run(command).prints(&plain).does_not_print("\u{1b}");
    }
}
