//! Stored text, files and answers that try to control the terminal: every command shows them escaped.

use std::process::Command;

use serde_json::{Value, json};

use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, TABLE, TempFolder, TestServer, split_words, tool};
use crate::terminal::on_terminal;

/// Clears the screen in two ways, turns the text around, rings, goes back to the start of the line, begins a line of its own,
/// and has characters that nothing shows.
const HOSTILE: &str =
    "x\u{1b}[2J\u{9b}2J\u{202e}\u{2066}\u{7}\u{8}\r\nok\u{7f}\u{200b}\u{200f}\u{ad}\u{e0041}\u{feff}\u{2028}";

/// The styles of the tool itself, and the end of a line on a terminal.
const OWN: [&str; 6] = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\r\n"];

/// Runs a command on a terminal, where it answers no, and then with pipes.
#[track_caller]
fn check(mut command: impl FnMut() -> Command, what: &str) -> String {
    let (_, shown) = on_terminal(command().env_remove("NO_COLOR"), "n\n");
    check_output(&shown, what);
    let run = Run::of(&mut command());
    if !what.starts_with("export") {
        check_output(&run.stdout, what);
    }
    check_output(&run.stderr, what);
    shown
}

#[track_caller]
fn check_output(shown: &str, what: &str) {
    let rest = OWN.into_iter().fold(shown.to_owned(), |text, own| text.replace(own, "\n"));
    let hidden = |c: &char| c.is_control() && *c != '\n' || HOSTILE.contains(*c) && !c.is_ascii();
    assert_eq!(rest.chars().find(hidden), None, "{what}: {shown:?}");
    // A CSV file has fields of several lines.
    assert!(what == "export" || !shown.lines().any(|line| line.starts_with("ok")), "{what}: {shown}");
}

/// A table in which everything is hostile that can be.
fn hostile_table() -> TestServer {
    let server = TestServer::with_table();
    let text = |text: &str| json!({"S": text});
    let rule = json!({"M": {"effect": text("allow"), "note": text(HOSTILE), "updated_by": text(HOSTILE), "updated_at": {"N": "1795500000"}}});
    let list = json!({"M": {
        HOSTILE: rule, format!("{HOSTILE}*"): rule, "+7*": {"M": {"effect": text(HOSTILE)}},
        "+8*": {"M": {"effect": text("allow"), "hours": {"L": [text(HOSTILE)]}}},
        "+9*": {"M": {"effect": text("allow"), HOSTILE: text(HOSTILE)}}, "+1*": rule,
    }});
    let put = |pk: &str, sk: &str, attributes: Value| {
        let mut item = attributes;
        item["pk"] = text(pk);
        item["sk"] = text(sk);
        server.put(&item);
    };
    put("APP#shop", "APP", json!({"note": text(HOSTILE), "callers": list}));
    put("APP#broken", "APP", json!({"status": text(HOSTILE), "callers": list}));
    put(&format!("APP#{HOSTILE}"), "APP", json!({"callers": list}));
    put("PARTY#shop#b", "PARTY", json!({"note": text(HOSTILE), "incoming": list, "outgoing": list}));
    put("PARTY#shop#c", "PARTY", json!({"status": text(HOSTILE), "incoming": list}));
    put(&format!("PARTY#shop#{HOSTILE}"), "PARTY", json!({"incoming": list, "outgoing": list}));
    put("PARTY#shop#b", "CALLER#a", rule["M"].clone());
    put("PARTY#shop#b", "CALLER#i", json!({"effect": text(HOSTILE)}));
    put("PARTY#shop#b", &format!("CALLER#{HOSTILE}"), rule["M"].clone());
    put(HOSTILE, HOSTILE, json!({"x": text(HOSTILE)}));
    server
}

#[test]
fn what_is_stored_does_not_control_the_terminal() {
    let folder = TempFolder::new();
    let problems =
        folder.write("problems.csv", &format!("app,from,to,effect\nshop,a,b,\"{HOSTILE}\"\n\"{HOSTILE}\",a,b,allow\n"));
    let header = folder.write("header.csv", &format!("app,\"{HOSTILE}\"\n"));
    let json_lines =
        folder.write("problems.ndjson", &format!("{}\n{{\u{1b}\n", json!({"app": HOSTILE, HOSTILE: HOSTILE})));
    let rules = folder.write(
        "rules.csv",
        &format!("app,from,to,effect,note\nshop,a,b,deny,\"{HOSTILE}\"\nshop,n,b,allow,\"{HOSTILE}\"\n"),
    );
    let import = |file: &std::path::Path, rest: &str| format!("import {} {rest}", file.display());
    let mut all = String::new();
    for arguments in [
        "show --app shop",
        "show --app broken",
        "show --app shop b",
        "show --app shop c",
        "show --app shop b --output json",
        "show --app nosuch\u{1b}[2J",
        "check --app shop --from a --to b",
        "check --app shop --from +7123456789 --to b",
        "check --app shop --from a --to c",
        "check --app shop --from +8123456789 --to b --output json",
        "check --app shop --from a --to b --at \u{202e}\u{1b}[2J",
        "revoke --app shop --from '+1*' --to b",
        "revoke --app shop --from '+7*' --to b",
        "revoke --app shop --from a --to b",
        "revoke --app shop --from i --to b --output json",
        "allow --app shop --from '+1*' --to b",
        "allow --app shop --from a --to b --note \u{202e}x",
        "deny --app shop --from i --to b",
        "deny --app shop --from '+7*' --to b --yes",
        "deny --app shop --from '+7*' --to c --yes",
        "who --app shop --to b",
        "who --app shop --to b --output json",
        "who --app shop --from a",
        "find a",
        "find a --output json",
        "find \u{202e}",
        "forget --app shop b --dry-run",
        "forget --app shop b",
        "move --app shop b --to-party \u{202e}n --dry-run",
        "move --app shop b --to-party n",
        "move --app shop --to-app n",
        "suspend --app shop",
        "suspend --app shop b",
        "resume --app shop b",
        "suspend --app shop c",
        "export",
        "export --output json",
        &import(&problems, ""),
        &import(&problems, "--output json"),
        &import(&header, ""),
        &import(&json_lines, ""),
        &import(&rules, "--dry-run"),
        &import(&rules, "--dry-run --replace"),
        &import(&rules, "--dry-run --replace --output json"),
        &import(&rules, "--replace"),
        "doctor",
        "doctor --output json",
        "doctor --fix",
        "table describe",
        "table create",
    ] {
        let server = hostile_table();
        let command = || {
            let mut command = server.tool();
            command.args(split_words(arguments));
            command
        };
        all += &check(command, arguments);
    }
    assert!(all.contains("\\u{202e}") && all.contains("\\u202e") && all.contains("\\u{1b}[2J"), "{all}");
}

/// Only a terminal gets the escaped form of a file.
#[test]
fn an_exported_file_keeps_what_is_stored() {
    let server = hostile_table();
    for format in ["csv", "ndjson"] {
        let run = server.run(&format!("export --format {format}")).exits_with(1);
        assert!(run.stdout.contains('\u{202e}') && run.stdout.contains('\u{e0041}'), "{run:?}");
    }
}

#[test]
fn what_a_server_answers_does_not_control_the_terminal() {
    let server = TestServer::with_table();
    let error = json!({"__type": format!("x#{HOSTILE}"), "message": HOSTILE}).to_string();
    let failing = start_proxy(server.address, move |_| Treatment::answer("400 Bad Request", &error));
    let table = json!({"Table": {"TableStatus": HOSTILE, "KeySchema": [{"AttributeName": HOSTILE, "KeyType": "HASH"}]},
        "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": HOSTILE}});
    let described = start_proxy(server.address, move |_| Treatment::answer("200 OK", &table));
    let mut all = String::new();
    for (url, arguments) in [
        (&failing, "show --app shop"),
        (&failing, "export"),
        (&described, "table describe"),
        (&described, "table describe --output json"),
    ] {
        let command = || {
            let mut command = tool();
            command.args(["--table", TABLE, "--endpoint-url", url]).args(split_words(arguments));
            command
        };
        all += &check(command, arguments);
    }
    for policy in ["FAIL", HOSTILE] {
        let answer = json!({"restClientConfig": {"OnCallEvent": {"restOnError": HOSTILE, "restPolicy": policy, "restExclude": HOSTILE}}});
        let hook = start_proxy(server.address, move |request| {
            if request.head.contains("/connect ") {
                Treatment::answer("200 OK", &answer)
            } else {
                Treatment::answer("200 OK", HOSTILE)
            }
        });
        let broken = start_proxy(server.address, |_| Treatment::answer("200 OK", HOSTILE));
        for (url, rest) in [(&hook, ""), (&hook, "--output json"), (&broken, ""), (&hook, "--call \u{202e}a b")] {
            let command = || {
                let mut command = tool();
                command.args(["wcs-simulator", url]).args(split_words(rest));
                command
            };
            all += &check(command, rest);
        }
    }
    assert!(all.contains("\\u{202e}") && all.contains("\\u202e"), "{all}");
}
