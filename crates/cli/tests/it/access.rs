//! The rights of each command and each role: those that its requests need, the ones in the book's page on access, those in
//! [`callgate_admin::access`] and those in the policies. All four are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use callgate_admin::access::{COMMANDS, Role};
use serde_json::{Value, json};

use crate::proxy::{Request, Treatment, start_proxy};
use crate::support::{Run, TABLE, TempFolder, TestServer, split_words, tool};

type Rights = BTreeSet<String>;

/// The role and the rights of each command, as the table of the page lists them.
fn listed() -> BTreeMap<String, (String, Rights)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/operations/access.md");
    let page = std::fs::read_to_string(page).unwrap();
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let rows = page.lines().filter(|line| line.trim_start().starts_with("| `"));
    rows.flat_map(|row| {
        let [_, commands, role, rights, _] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
        words(commands).into_iter().map(move |command| (command, (role.trim().to_owned(), words(rights))))
    })
    .collect()
}

/// Compares two sets of rights, and names what one has and the other does not.
#[track_caller]
fn assert_same(what: &str, listed: &Rights, needed: &Rights) {
    let (missing, unused): (Vec<_>, Vec<_>) =
        (needed.difference(listed).collect(), listed.difference(needed).collect());
    assert!(missing.is_empty() && unused.is_empty(), "{what}: {missing:?} are missing, {unused:?} are not used");
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
    // A list that is not empty without this rule.
    let longer = |name: &str, pattern: &str, rule: &Value| {
        let mut list = list(name, pattern, rule);
        list[name]["M"]["+4*"] = json!({"M": allow});
        list
    };
    put("APP#shop", "APP", &list("callers", "*", &allow));
    let disabled = json!({"effect": {"S": "deny"}, "disabled": {"BOOL": true}});
    put("PARTY#shop#a", "PARTY", &list("outgoing", "+1*", &disabled));
    put("PARTY#shop#b", "CALLER#q", &disabled);
    put("PARTY#shop#b", "PARTY", &longer("incoming", "+1*", &allow));
    put("PARTY#shop#b", "CALLER#a", &allow);
    put("PARTY#shop#k", "PARTY", &list("incoming", "+3*", &disabled));
    put("PARTY#shop#c", "PARTY", &json!({"status": {"S": "suspended"}}));
    put("PARTY#shop#l", "PARTY", &json!({"status": {"S": "suspended"}, "outgoing": {"M": {"+4*": {"M": allow}}}}));
    put("PARTY#shop#d", "PARTY", &longer("incoming", "+1*", &expired));
    put("PARTY#shop#d", "CALLER#a", &expired);
    put("PARTY#shop#e", "PARTY", &json!({"expires_at": {"N": "1000000000"}}));
    put("PARTY#shop#g", "PARTY", &json!({"blocked": {"M": {}}, "groups": {"SS": ["vip"]}}));
    put("PARTY#shop#j", "PARTY", &json!({"blocked": {"M": {}}}));
    put("PARTY#shop#h", "PARTY", &json!({"groups": {"SS": ["vip"]}}));
    let listed = json!({"effect": {"S": "allow"}, "list": {"S": "spam"}});
    put("PARTY#shop#i", "PARTY", &longer("incoming", "+1*", &listed));
    put("PARTY#shop#i", "CALLER#+1", &listed);
    put("PARTY#shop#+15", "CALLER#a", &allow);
    put("PARTY#shop#f", "PARTY", &longer("incoming", "a", &json!({"effect": {"S": "deny"}})));
    let change = |number: u8, value: &Value| {
        let values = json!({"values": {"L": [{"M": value}]}, "by": {"S": "x"}, "command": {"S": "x"}});
        put("HISTORY#shop", &format!("2026-01-01T00:00:00.000000Z#{number}"), &values);
    };
    change(
        1,
        &json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#q"}, "before": {"M": allow}, "after": {"M": disabled}}),
    );
    let entry = |party: &str, list: &str, before: Option<&Value>| {
        let mut value = json!({"pk": {"S": format!("PARTY#shop#{party}")}, "sk": {"S": "PARTY"}, "attribute": {"S": list},
            "entry": {"S": "+1*"}, "after": {"M": if before.is_some() { &disabled } else { &allow }}});
        value.as_object_mut().unwrap().extend(before.map(|before| ("before".to_owned(), json!({"M": before}))));
        value
    };
    change(2, &entry("b", "incoming", None));
    change(3, &entry("a", "outgoing", Some(&allow)));
    server
}

/// What each command does, in full. Everything runs on a new table.
fn commands(folder: &TempFolder) -> Vec<(&'static str, Vec<String>)> {
    commands_without_files().into_iter().chain(commands_with_files(folder)).collect()
}

fn own(commands: &[&str]) -> Vec<String> {
    commands.iter().map(|&command| command.to_owned()).collect()
}

fn commands_with_files(folder: &TempFolder) -> Vec<(&'static str, Vec<String>)> {
    let rules = "app,from,to,effect\nshop,a,b,deny\nshop,n,b,allow\nshop,*,d,allow\nshop,*,e,allow\nnew,+1*,d,allow\nnew,*,*,allow\n";
    let rules = folder.write("rules.csv", rules).display().to_string();
    let import = format!("import {rules}");
    let call = json!({"timestamp": "2026-11-24T00:50:11.431641Z", "message": "decision", "decision": "allow",
        "reason": "pair_rule", "app": "shop", "caller": "a-caller", "callee": "a-callee", "media": ["audio"], "total_ms": 3.6});
    let log = folder.write("log.ndjson", &format!("{call}\n")).display().to_string();
    let backup = folder.path().join("backup.ndjson");
    let other = TestServer::with_table();
    other.run("allow --app shop --from a --to b --note other").succeeds();
    other.run(&format!("backup {}", backup.display())).succeeds();
    vec![
        ("calls", own(&["calls --log-group x --since 1h", &format!("calls --log {log} --why")])),
        (
            "replay",
            own(&[
                &format!("replay --with {rules} --log-group x --since 1h"),
                &format!("replay --with {rules} --log {log}"),
            ]),
        ),
        ("import", vec![import.clone(), format!("{import} --dry-run")]),
        ("import --replace", vec![format!("{import} --replace --yes"), format!("{import} --replace --dry-run")]),
        (
            "restore",
            vec![format!("restore {} --yes", backup.display()), format!("restore {} --dry-run", backup.display())],
        ),
        ("restore --replace", vec![format!("restore {} --replace --yes", backup.display())]),
    ]
}

fn commands_without_files() -> Vec<(&'static str, Vec<String>)> {
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
        [
            "--app shop b",
            "--app shop c",
            "--app shop l",
            "--app shop e",
            "--app shop --yes",
            "--app shop n",
            "--app new --yes",
        ]
        .iter()
        .map(|rest| format!("{command} {rest}"))
        .collect()
    };
    let switch = |command: &str| {
        let rules = [
            "--from a --to b",
            "--from q --to b",
            "--from '+1*' --to b --yes",
            "--from '+3*' --to k --yes",
            "--from a --to '+1*' --yes",
        ];
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
        ("export", own(&["export", "export --app shop --format ndjson"])),
        ("backup", own(&["backup -"])),
        ("doctor", own(&["doctor"])),
        ("doctor --fix", own(&["doctor --fix"])),
        ("history", own(&["history --app shop", "history --app shop a"])),
        (
            "undo",
            own(&[
                "undo --app mine",
                "undo 2026-01-01T00:00:00.000000Z#1",
                "undo --app shop 2026-01-01T00:00:00.000000Z#2",
                "undo --app shop 2026-01-01T00:00:00.000000Z#3",
            ]),
        ),
    ]
}

/// The rights that a request needs. A transaction needs those of its parts (Amazon DynamoDB Developer Guide, "Using IAM with
/// DynamoDB transactions").
fn needed_rights(request: &Request) -> Rights {
    if let Some((_, operation)) = request.head.split_once("Logs_20140328.") {
        return [format!("logs:{}", operation.lines().next().unwrap().trim())].into();
    }
    let operation = request.operation().unwrap();
    let body = request.json();
    if operation != "TransactWriteItems" {
        // A right on the table is not one on its index.
        let index = body.get("IndexName").map(|name| format!("index/{}", name.as_str().unwrap()));
        return [index.unwrap_or_else(|| operation.to_owned())].into();
    }
    let parts = body["TransactItems"].as_array().unwrap().iter().flat_map(|part| part.as_object().unwrap().keys());
    parts
        .map(|part| if part == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{part}Item") })
        .collect()
}

/// The rights that the runs of a command need. Each run has the rights in `granted`, and no others.
fn used_rights(name: &str, runs: Vec<String>, granted: &Rights) -> Rights {
    let used = Arc::<Mutex<Rights>>::default();
    for arguments in runs {
        let server = match arguments.as_str() {
            "table create" => TestServer::empty(),
            _ if name == "table create" => TestServer::with_table_and_index(None),
            _ => full_table(),
        };
        if name == "undo" {
            server.run("allow --app mine --from a --to b").succeeds();
        }
        let (granted, recorded) = (granted.clone(), Arc::clone(&used));
        let url = start_proxy(server.address, move |request| {
            let needed = needed_rights(request);
            recorded.lock().unwrap().extend(needed.iter().cloned());
            match needed.iter().find(|right| !granted.contains(*right)) {
                Some(missing) => {
                    Treatment::refuse_with("AccessDeniedException", &format!("not authorized to perform: {missing}"))
                }
                // There is no server of logs. This one has no events.
                None if request.operation().is_none() => Treatment::answer("200 OK", &json!({"events": []})),
                None => Treatment::Forward,
            }
        });
        let mut command = tool();
        let variables = [
            ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", url.as_str()),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "a"),
        ];
        command.envs(variables);
        let run = Run::of(command.args(["--table", TABLE, "--endpoint-url", &url]).args(split_words(&arguments)));
        // A file cannot contain everything in this table.
        let codes: &[i32] = if name == "export" { &[1] } else { &[0, 3, 4] };
        assert!(codes.contains(&run.code), "{arguments}: {run:?}");
        run.does_not_print("AccessDenied").does_not_print("not authorized");
    }
    std::mem::take(&mut *used.lock().unwrap())
}

/// The rights that a policy allows, in the words of the page.
fn allowed(role: Role) -> Rights {
    let arguments =
        "policy --region eu-central-1 --account 123456789012 --log-group /aws/lambda/callgate --output json";
    let run = Run::of(tool().args(["--table", TABLE]).args(split_words(arguments)).arg(role.as_str())).succeeds();
    let policy: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    let table = format!("arn:aws:dynamodb:eu-central-1:123456789012:table/{TABLE}");
    let log_group = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/callgate:*";
    let mut rights = Rights::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        let resource = statement["Resource"].as_str().unwrap();
        let right = |action: &str| match action.split_once(':').unwrap() {
            ("dynamodb", "Query") if resource == format!("{table}/index/inverted") => "index/inverted".to_owned(),
            ("dynamodb", action) if resource == table => action.to_owned(),
            ("logs", _) if resource == log_group => action.to_owned(),
            _ => panic!("{statement}"),
        };
        for action in statement["Action"].as_array().unwrap() {
            assert!(rights.insert(right(action.as_str().unwrap())), "{action} twice");
        }
    }
    rights
}

/// Every command with exactly the rights that the page lists for it, and every role with those of its commands.
#[test]
fn the_listed_rights_suffice_and_each_of_them_is_used() {
    let (listed, folder) = (listed(), TempFolder::new());
    let of_code = COMMANDS.iter().map(|it| {
        let rights = it.rights.iter().map(|&right| right.to_owned()).collect();
        (it.command.to_owned(), (it.role.as_str().to_owned(), rights))
    });
    for (command, of_code) in &of_code.collect::<BTreeMap<String, (String, Rights)>>() {
        assert_eq!(listed.get(command), Some(of_code), "`{command}`: the page lists, and the code has");
    }
    assert_eq!(listed.len(), COMMANDS.len());
    let commands = commands(&folder);
    let names: BTreeSet<_> = commands.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    let mut used_by_role = Role::ALL.map(|role| (role, Rights::new()));
    for (name, runs) in commands {
        let (role, rights) = &listed[name];
        let used = used_rights(name, runs, rights);
        assert_same(&format!("`{name}`"), rights, &used);
        for (_, all) in used_by_role.iter_mut().skip_while(|(it, _)| it.as_str() != role) {
            all.extend(used.iter().cloned());
        }
    }
    for (role, used) in used_by_role {
        assert_same(&format!("the policy of the {}", role.as_str()), &allowed(role), &used);
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
    let listed: BTreeSet<_> = listed().keys().map(|name| name.split(' ').next().unwrap().to_owned()).collect();
    // The console needs the rights of the commands that do what its pages do.
    let others = ["serve", "console", "wcs-simulator", "policy", "completions", "man", "help"];
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
