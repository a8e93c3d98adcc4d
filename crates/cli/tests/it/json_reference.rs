//! Compares the JSON members that `docs/src/reference/json.md` lists with the ones that every command prints.

use std::collections::BTreeSet;

use callgate_admin::doctor::FindingKind;
use serde_json::{Value, json};

use crate::support::TestServer;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/reference/json.md"));

type Names = BTreeSet<String>;

/// The members in a part of the page: the quoted words, except values, which follow a `:` or a `|`.
fn documented(text: &str) -> Names {
    let mut names = Names::new();
    for object in text.split('`').skip(1).step_by(2) {
        let mut before = ' ';
        let mut parts = object.split('"');
        while let (Some(between), Some(word)) = (parts.next(), parts.next()) {
            before = between.trim_end().chars().last().unwrap_or(before);
            if !":|".contains(before) {
                names.insert(word.to_owned());
            }
        }
    }
    names
}

/// The members in the page's row for a command.
#[track_caller]
fn row(command: &str) -> Names {
    let row = PAGE.lines().find(|line| line.starts_with(&format!("| {command} |")));
    documented(row.unwrap_or_else(|| panic!("no row for {command}")))
}

/// Adds the members of a value, at every depth.
fn add_members(value: &Value, names: &mut Names) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            names.insert(name.clone());
            add_members(value, names);
        }),
        Value::Array(values) => values.iter().for_each(|value| add_members(value, names)),
        _ => {}
    }
}

/// Asserts that the runs print all members in the command's row, and no others except `other_members`.
#[track_caller]
fn check(server: &TestServer, command: &str, runs: &[&str], other_members: &Names) {
    let mut names = Names::new();
    for arguments in runs {
        let run = server.run(&format!("{arguments} --output json"));
        for line in run.stdout.lines() {
            add_members(&serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {run:?}")), &mut names);
        }
    }
    let documented = row(command);
    assert!(documented.is_subset(&names), "{command}: {documented:?} is documented, {names:?} is printed");
    let known: Names = documented.union(other_members).cloned().collect();
    assert!(names.is_subset(&known), "{command}: {documented:?} is documented, {names:?} is printed");
}

#[test]
fn every_command_prints_the_documented_json_members() {
    let server = TestServer::with_table();
    let paragraph = PAGE.lines().find(|line| line.starts_with("A **rule** is")).unwrap();
    let rule = documented(paragraph);
    assert_eq!(rule.len(), 10, "{rule:?}");
    let shown: Names = rule.iter().cloned().chain(["updated_at", "updated_by", "fault"].map(str::to_owned)).collect();
    let none = Names::new();
    let file = std::env::temp_dir().join(format!("callgatectl-json-reference-{}.csv", std::process::id()));
    std::fs::write(&file, "app,from,to,effect\nshop,a,b,deny\nshop,c,d,allow\n").unwrap();
    let bad = file.with_extension("bad.csv");
    std::fs::write(&bad, "app,from,to,effect\nshop,a*,b*,alow\n").unwrap();
    let (file_name, bad_name) = (file.display(), bad.display());

    let allow = "allow --app shop --from a --to b --note x";
    check(
        &server,
        "`allow`, `deny`",
        &[allow, "deny --app shop --from a --to b", "deny --app shop --from '*' --to b"],
        &rule,
    );
    check(
        &server,
        "`enable`, `disable`",
        &["disable --app shop --from a --to b", "enable --app shop --from a --to b"],
        &rule,
    );
    check(&server, "`revoke`", &["revoke --app shop --from x --to y", "revoke --app shop --from '*' --to b"], &rule);
    server.run("allow --app shop --from '*' --to '*'").succeeds();
    check(&server, "`block`", &["block --app shop a", "block --app shop a --note x"], &rule);
    check(&server, "`unblock`", &["unblock --app shop a", "unblock --app shop a"], &rule);
    check(
        &server,
        "`group add`, `group remove`",
        &["group add --app shop @s a", "group remove --app shop @s a"],
        &none,
    );
    server.run("group add --app team @sales b").succeeds();
    server.run("deny --app team --from @sales --to b").succeeds();
    check(&server, "`group show`", &["group show --app team @sales"], &rule);
    check(&server, "`suspend`, `resume`", &["suspend --app shop b", "resume --app shop b"], &none);
    server.put(&json!({"pk": {"S": "APP#odd"}, "sk": {"S": "APP"}, "status": {"S": "on"}}));
    check(&server, "`show --app A`", &["show --app shop", "show --app odd"], &shown);
    server.put(&json!({"pk": {"S": "PARTY#odd#p"}, "sk": {"S": "PARTY"}, "status": {"S": "on"}}));
    check(&server, "`show --app A PARTY`", &["show --app shop b", "show --app odd p", "show --app shop new"], &shown);
    server.put(&json!({"pk": {"S": "APP#team"}, "sk": {"S": "APP"}, "note": {"S": "n"}}));
    server.put(&json!({"pk": {"S": "PARTY#team#g"}, "sk": {"S": "PARTY"}, "groups": {"SS": ["sales"]}}));
    server.run("deny --app team --from '@sales' --to b --yes").succeeds();
    server.run("deny --app team --from a --to b").succeeds();
    check(&server, "`who`", &["who --app team --to b", "who --app team --from a"], &rule);
    check(&server, "`find`", &["find team", "find @sales"], &rule);
    check(&server, "`forget`", &["forget --app team a --dry-run"], &rule);
    check(&server, "`move --to-party`", &["move --app team a --to-party n --dry-run"], &rule);
    check(&server, "`move --to-app`", &["move --app team --to-app n --dry-run"], &none);
    check(&server, "`check`", &["check --app shop --from a --to b"], &none);
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/guides/calls.log");
    check(&server, "`calls`", &[&format!("calls --log {log} --why")], &none);
    check(&server, "`calls --group`", &[&format!("calls --log {log} --group")], &none);
    check(&server, "`calls --stats`", &[&format!("calls --log {log} --stats")], &none);
    let line = |reason: &str, callee: &str| {
        json!({"timestamp": "2026-11-24T10:00:00Z", "message": "decision", "decision": "deny", "reason": reason,
            "app": "shop", "caller": "PPP009", "callee": callee, "media": ["audio"], "total_ms": 1})
    };
    let replayed = file.with_extension("log");
    std::fs::write(&replayed, format!("{}\n{}\n", line("no_rule", "PPP005"), line("no_rule", "b"))).unwrap();
    let rules = file.with_extension("replay.csv");
    std::fs::write(&rules, "app,from,to,effect\nshop,PPP009,*,deny\n").unwrap();
    let replay = |rules: &std::path::Path| format!("replay --with {} --log {}", rules.display(), replayed.display());
    check(&server, "`replay`", &[&replay(&rules), &replay(&bad)], &none);
    check(&server, "`import --dry-run`", &[&format!("import {file_name} --dry-run --replace")], &rule);
    check(&server, "`import`", &[&format!("import {file_name}"), &format!("import {bad_name}")], &none);
    server.run(&format!("import {file_name} --list spam")).succeeds();
    check(&server, "`show --list`", &["show --app shop --list spam"], &shown);
    let list = ["revoke --app shop --list spam --yes"];
    check(&server, "`revoke --list`", &list, &none);
    let backup = file.with_extension("backup");
    check(&server, "`backup`", &[&format!("backup {}", backup.display())], &none);
    server.run("allow --app shop --from new --to b").succeeds();
    let restore = format!("restore {} --replace", backup.display());
    check(&server, "`restore --dry-run`", &[&format!("{restore} --dry-run")], &none);
    check(&server, "`restore`", &[&format!("{restore} --yes")], &none);
    std::fs::remove_file(backup).unwrap();
    check(&server, "`doctor`", &["doctor"], &none);
    check(&server, "`table`", &["table describe"], &none);
    check(&server, "`wcs-simulator`", &["wcs-simulator http://127.0.0.1:1/x --no-connect"], &none);
    check(&server, "`wcs-simulator --setup`", &["wcs-simulator http://127.0.0.1:1/x --setup"], &none);
    let exported = server.run("export --app shop --output json").succeeds().stdout;
    let exported: Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    let mut names = Names::new();
    add_members(&exported, &mut names);
    assert_eq!(names, rule);
    let kinds = PAGE.split("Kinds of findings: ").nth(1).unwrap();
    for finding in server.json("doctor")["findings"].as_array().unwrap() {
        assert!(kinds.contains(&format!("`{}`", finding["kind"].as_str().unwrap())), "{finding}");
    }
    for kind in FindingKind::ALL {
        assert!(kinds.contains(&format!("`{}`", kind.as_str())), "{kind:?}");
    }
    std::fs::remove_file(file).unwrap();
    std::fs::remove_file(bad).unwrap();
    std::fs::remove_file(replayed).unwrap();
    std::fs::remove_file(rules).unwrap();
}

#[test]
fn the_history_prints_the_documented_json_members() {
    let server = TestServer::with_table();
    let paragraph = PAGE.lines().find(|line| line.starts_with("A **rule** is")).unwrap();
    let (rule, none) = (documented(paragraph), Names::new());
    server.run("suspend --app past q").succeeds();
    server.run("allow --app past --from q --to q").succeeds();
    server.pipe("import -", "app,from,to,effect\npast,q,q,deny\n").succeeds();
    check(&server, "`history`", &["history --app past"], &rule);
    server.run("resume --app past q").succeeds();
    check(&server, "`undo`", &["undo --app past"], &none);
}
