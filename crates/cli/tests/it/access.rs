//! The rights in the book's page on access: each command needs all of those that the page lists for it, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::proxy::{Request, Treatment, start_proxy};
use crate::support::{Run, TABLE, TempFolder, TestServer, split_words, tool};

/// The rights of each command, as the table of the page lists them: the commands, and then the rights.
fn rights() -> BTreeMap<String, BTreeSet<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/operations/access.md");
    let page = std::fs::read_to_string(page).unwrap();
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let rows = page.lines().filter(|line| line.trim_start().starts_with("| `"));
    rows.flat_map(|row| {
        let [_, commands, rights, _] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
        words(commands).into_iter().map(move |command| (command, words(rights)))
    })
    .collect()
}

/// A table with one of everything that a command may meet.
fn full_table() -> TestServer {
    let server = TestServer::with_table();
    let allow = json!({"effect": {"S": "allow"}});
    let expired = json!({"effect": {"S": "allow"}, "expires_at": {"N": "1000000000"}});
    let put = |pk: &str, sk: &str, attributes: &Value| {
        let mut item = attributes.clone();
        item["pk"] = json!({"S": pk});
        item["sk"] = json!({"S": sk});
        server.put(&item);
    };
    let list = |name: &str, pattern: &str, rule: &Value| json!({name: {"M": {pattern: {"M": rule}}}});
    put("APP#shop", "APP", &list("callers", "*", &allow));
    let disabled = json!({"effect": {"S": "deny"}, "disabled": {"BOOL": true}});
    put("PARTY#shop#a", "PARTY", &list("outgoing", "+1*", &disabled));
    put("PARTY#shop#b", "CALLER#q", &disabled);
    put("PARTY#shop#b", "PARTY", &list("incoming", "+1*", &allow));
    put("PARTY#shop#b", "CALLER#a", &allow);
    put("PARTY#shop#c", "PARTY", &json!({"status": {"S": "suspended"}}));
    put("PARTY#shop#d", "PARTY", &list("incoming", "+1*", &expired));
    put("PARTY#shop#d", "CALLER#a", &expired);
    put("PARTY#shop#e", "PARTY", &json!({"expires_at": {"N": "1000000000"}}));
    put("PARTY#shop#g", "PARTY", &json!({"blocked": {"M": {}}, "groups": {"SS": ["vip"]}}));
    put("PARTY#shop#j", "PARTY", &json!({"blocked": {"M": {}}}));
    put("PARTY#shop#h", "PARTY", &json!({"groups": {"SS": ["vip"]}}));
    let listed = json!({"effect": {"S": "allow"}, "list": {"S": "spam"}});
    put("PARTY#shop#i", "PARTY", &list("incoming", "+1*", &listed));
    put("PARTY#shop#i", "CALLER#+1", &listed);
    put("PARTY#shop#+15", "CALLER#a", &allow);
    put("PARTY#shop#f", "PARTY", &list("incoming", "a", &json!({"effect": {"S": "deny"}})));
    server
}

/// What each command does, in full. Everything runs on a new table.
fn commands(folder: &TempFolder) -> Vec<(&'static str, Vec<String>)> {
    let rules = "app,from,to,effect\nshop,a,b,deny\nshop,n,b,allow\nshop,*,d,allow\nshop,*,e,allow\nnew,+1*,d,allow\nnew,*,*,allow\n";
    let import = format!("import {}", folder.write("rules.csv", rules).display());
    let backup = folder.path().join("backup.ndjson");
    let other = TestServer::with_table();
    other.run("allow --app shop --from a --to b --note other").succeeds();
    other.run(&format!("backup {}", backup.display())).succeeds();
    let own = |commands: &[&str]| commands.iter().map(|&command| command.to_owned()).collect();
    let write = |effect: &str| {
        let rules = [
            "--from a --to b --note x",
            "--from n --to n",
            "--from '+1*' --to b --yes",
            "--from '+2*' --to n --yes",
            "--from a --to '+9*' --yes",
            "--from a --to '*' --yes",
            "--from '*' --to '*' --yes",
            "--from '+2*' --to '*' --yes",
        ];
        rules.iter().map(|rule| format!("{effect} --app shop {rule}")).collect()
    };
    let status = |command: &str| {
        ["--app shop b", "--app shop c", "--app shop e", "--app shop --yes", "--app shop n", "--app new --yes"]
            .iter()
            .map(|rest| format!("{command} {rest}"))
            .collect()
    };
    let switch = |command: &str| {
        let rules = ["--from a --to b", "--from q --to b", "--from '+1*' --to b --yes", "--from a --to '+1*' --yes"];
        rules.iter().map(|rule| format!("{command} --app shop {rule}")).collect()
    };
    vec![
        ("table create", own(&["table create", "table create --output json"])),
        ("table describe", own(&["table describe"])),
        ("allow", write("allow")),
        ("deny", write("deny")),
        (
            "revoke",
            own(&[
                "revoke --app shop --from a --to b",
                "revoke --app shop --from '+1*' --to b --yes",
                "revoke --app shop --from '*' --to '*' --yes",
                "revoke --app shop --from a --to '+1*' --yes",
                "revoke --exactly --app shop --from a --to d",
            ]),
        ),
        ("revoke --list", own(&["revoke --app shop --list spam --yes"])),
        ("enable", switch("enable")),
        ("disable", switch("disable")),
        ("block", own(&["block --app shop a --yes", "block --app shop e --yes", "block --app shop n --yes"])),
        ("unblock", own(&["unblock --app shop g", "unblock --app shop j"])),
        ("group add", own(&["group add --app shop @sales a b e n"])),
        ("group remove", own(&["group remove --app shop @vip g h n"])),
        ("group show", own(&["group show --app shop @vip"])),
        ("suspend", status("suspend")),
        ("resume", status("resume")),
        ("show", own(&["show --app shop", "show --app shop b", "show --app shop a", "show --app shop new"])),
        ("who", own(&["who --app shop --to b", "who --app shop --from a"])),
        ("show --list", own(&["show --app shop --list spam"])),
        ("find", own(&["find a", "find a --app shop --output json"])),
        ("forget", own(&["forget --app shop a --yes", "forget --app shop a --dry-run", "forget --app shop n"])),
        (
            "move",
            own(&[
                "move --app shop a --to-party moved --yes",
                "move --app shop --to-app store --yes",
                "move --app shop --to-app store --dry-run",
            ]),
        ),
        ("check", own(&["check --app shop --from a --to b", "check --app shop --from x --to y"])),
        ("import", vec![import.clone(), format!("{import} --dry-run")]),
        ("import --replace", vec![format!("{import} --replace --yes"), format!("{import} --replace --dry-run")]),
        ("export", own(&["export", "export --app shop --format ndjson"])),
        ("backup", own(&["backup -"])),
        (
            "restore",
            vec![format!("restore {} --yes", backup.display()), format!("restore {} --dry-run", backup.display())],
        ),
        ("restore --replace", vec![format!("restore {} --replace --yes", backup.display())]),
        ("doctor", own(&["doctor"])),
        ("doctor --fix", own(&["doctor --fix"])),
    ]
}

/// The rights that a request needs. A transaction needs those of its parts (Amazon DynamoDB Developer Guide, "Using IAM with
/// DynamoDB transactions").
fn needed_rights(request: &Request) -> BTreeSet<String> {
    let operation = request.operation().unwrap();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    if operation != "TransactWriteItems" {
        let index = body.get("IndexName").map(|name| format!("index/{}", name.as_str().unwrap()));
        return [operation.to_owned()].into_iter().chain(index).collect();
    }
    let parts = body["TransactItems"].as_array().unwrap().iter().flat_map(|part| part.as_object().unwrap().keys());
    parts
        .map(|part| if part == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{part}Item") })
        .collect()
}

/// Every command with exactly the rights that the page lists for it.
#[test]
fn the_listed_rights_suffice_and_each_of_them_is_used() {
    let (rights, folder) = (rights(), TempFolder::new());
    let commands = commands(&folder);
    let listed: BTreeSet<_> = rights.keys().map(String::as_str).collect();
    assert_eq!(listed, commands.iter().map(|(name, _)| *name).collect());
    for (name, runs) in commands {
        let used = Arc::<Mutex<BTreeSet<String>>>::default();
        let granted = &rights[name];
        for arguments in runs {
            let server = match arguments.as_str() {
                "table create" => TestServer::empty(),
                _ if name == "table create" => TestServer::with_table_and_index(None),
                _ => full_table(),
            };
            let (granted, used) = (granted.clone(), Arc::clone(&used));
            let url = start_proxy(server.address, move |request| {
                let needed = needed_rights(request);
                used.lock().unwrap().extend(needed.iter().cloned());
                let Some(missing) = needed.iter().find(|right| !granted.contains(*right)) else {
                    return Treatment::Forward;
                };
                let message = format!("not authorized to perform: dynamodb:{missing}");
                Treatment::answer("400 Bad Request", &json!({"__type": "x#AccessDeniedException", "message": message}))
            });
            let mut command = tool();
            let run = Run::of(command.args(["--table", TABLE, "--endpoint-url", &url]).args(split_words(&arguments)));
            // A file cannot contain everything in this table.
            let codes: &[i32] = if name == "export" { &[1] } else { &[0, 3, 4] };
            assert!(codes.contains(&run.code), "{arguments}: {run:?}");
            run.does_not_print("AccessDenied").does_not_print("not authorized");
        }
        assert_eq!(&*used.lock().unwrap(), granted, "`{name}` uses, and the page lists");
    }
}

/// The page names every command that reads or writes a table.
#[test]
fn the_rights_of_all_commands_are_listed() {
    let help = Run::of(tool().arg("--help")).succeeds().stdout;
    let (_, help) = help.split_once("Commands:\n").unwrap();
    let (help, _) = help.split_once("\n\n").unwrap();
    let names =
        help.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    let listed: BTreeSet<_> = rights().keys().map(|name| name.split(' ').next().unwrap().to_owned()).collect();
    let others = ["serve", "wcs-simulator", "completions", "man", "help"];
    let expected: BTreeSet<_> = names.filter(|name| !others.contains(name)).map(str::to_owned).collect();
    assert_eq!(listed, expected);
}

/// Without the right to describe the table, the error of `check` is still why the permissions could not be read.
#[test]
fn the_first_error_is_reported_and_not_a_missing_right_to_explain_it() {
    let server = full_table();
    let url = start_proxy(server.address, |request| {
        let code =
            if request.operation() == Some("BatchGetItem") { "ValidationException" } else { "AccessDeniedException" };
        Treatment::answer("400 Bad Request", &json!({"__type": format!("x#{code}"), "message": "no"}))
    });
    let mut command = tool();
    command.args(["--table", TABLE, "--endpoint-url", &url]).args(split_words("check --app shop --from a --to b"));
    Run::of(&mut command).exits_with(1).prints("cannot read the permissions").does_not_print("AccessDenied");
}
