//! On a terminal: questions before what is about many, and colour.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use nix::pty::openpty;

use crate::support::{Place, words};

/// Runs a command with a terminal for all its streams and types an answer; the exit code and what the terminal showed.
fn on_terminal(command: &mut Command, answer: &str) -> (Option<i32>, String) {
    let pty = openpty(None, None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    // The terminal is closed when nobody holds that end any more.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(pty.slave);
    let mut terminal = File::from(pty.master);
    terminal.write_all(answer.as_bytes()).unwrap();
    let (mut shown, mut bytes) = (Vec::new(), [0; 4_096]);
    // At its end Linux answers with an error.
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..count]);
    }
    (child.wait().unwrap().code(), String::from_utf8(shown).unwrap())
}

fn typed(place: &Place, arguments: &str, answer: &str) -> (Option<i32>, String) {
    on_terminal(place.tool().args(words(arguments)).env_remove("NO_COLOR"), answer)
}

#[test]
fn what_is_about_many_is_asked_about() {
    let place = Place::new();
    let allow = "allow --app shop --from '+7495*' --to PPP005";
    for answer in ["n\n", "\n", "what?\n", "\u{4}"] {
        let (code, shown) = typed(&place, allow, answer);
        assert_eq!(code, Some(1), "{shown}");
        assert!(
            shown.contains("this allows calls: anyone whose id starts with +7495") && shown.contains("Do it? [y/N]")
        );
        assert!(shown.contains("nothing was written"), "{shown}");
        assert!(place.items().is_empty(), "{answer:?}");
    }
    let (code, shown) = typed(&place, allow, "y\n");
    assert!(code == Some(0) && shown.contains("written: allow +7495* to PPP005"), "{shown}");
    let (code, shown) = typed(&place, &allow.replace("allow", "revoke"), "n\n");
    assert!(code == Some(1) && shown.contains("revoke allow +7495* to PPP005"), "{shown}");
    let (code, shown) = typed(&place, "suspend --app shop", "n\n");
    assert!(code == Some(1) && shown.contains("all its calls will be refused"), "{shown}");
    assert_eq!(place.items().len(), 1);
    for quiet in
        ["allow --app shop --from a --to b", "suspend --app shop --yes", "deny --app shop --from '*' --to b -y"]
    {
        let (code, shown) = typed(&place, quiet, "");
        assert!(code == Some(0) && !shown.contains("Do it?"), "{shown}");
    }
}

#[test]
fn rules_go_only_when_somebody_says_yes() {
    let place = Place::new();
    place.run("allow --app shop --from a --to b").done();
    let file = std::env::temp_dir().join(format!("callgatectl-replace-{}.csv", std::process::id()));
    std::fs::write(&file, "app,from,to,effect\nshop,c,d,allow\n").unwrap();
    let import = format!("import {} --replace", file.display());
    let (code, shown) = typed(&place, &import, "n\n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        shown.contains("- allow a to b in app shop\r\n1 rule not in the file will be removed\r\nDo it?"),
        "{shown}"
    );
    assert_eq!(place.run("export").done().out.lines().nth(1), Some("shop,a,b,allow,,,,"));
    let (code, shown) = typed(&place, &import, "yes\n");
    assert!(code == Some(0) && shown.contains("1 rule written, 1 removed"), "{shown}");
    assert_eq!(place.run("export").done().out.lines().nth(1), Some("shop,c,d,allow,,,,"));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let place = Place::new();
    place.run("allow --app shop --from a --to b --until 2100-01-01").done();
    place.run("suspend --app shop b").done();
    for (command, coloured) in [
        ("check --app shop --from a --to b", "\u{1b}[31mrefused\u{1b}[0m: callee_suspended"),
        ("doctor", "\u{1b}[1msuspended: party `b` of app `shop`\u{1b}[0m"),
        ("show --app nosuch", "\u{1b}[31merror:\u{1b}[0m nothing is stored"),
    ] {
        let plain = coloured.replace("\u{1b}[31m", "").replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        let (_, shown) = typed(&place, command, "");
        assert!(shown.contains(coloured), "{shown:?}");
        let (_, shown) = on_terminal(place.tool().args(words(command)).env("NO_COLOR", "1"), "");
        assert!(shown.contains(&plain) && !shown.contains('\u{1b}'), "{shown:?}");
        place.run(command).says(&plain).keeps_quiet_about("\u{1b}");
    }
}
