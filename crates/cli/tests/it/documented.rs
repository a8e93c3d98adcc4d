//! `docs/src/reference/json.md`: what programs are promised is what every command prints.

use std::collections::BTreeSet;

use callgate_admin::doctor::FindingKind;
use serde_json::{Value, json};

use crate::support::Place;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/reference/json.md"));

type Names = BTreeSet<String>;

/// The members that the page names: quoted words that no `:` or `|` makes a value.
fn promised(text: &str) -> Names {
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

/// The row of the table that begins so.
#[track_caller]
fn row(command: &str) -> Names {
    let row = PAGE.lines().find(|line| line.starts_with(&format!("| {command} |")));
    promised(row.unwrap_or_else(|| panic!("no row for {command}")))
}

/// The members of a value and of all in it.
fn printed(value: &Value, names: &mut Names) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            names.insert(name.clone());
            printed(value, names);
        }),
        Value::Array(values) => values.iter().for_each(|value| printed(value, names)),
        _ => {}
    }
}

/// All that is printed is promised, and all that is promised printed.
#[track_caller]
fn keeps(place: &Place, command: &str, runs: &[&str], besides: &Names) {
    let mut names = Names::new();
    for arguments in runs {
        let run = place.run(&format!("{arguments} --output json"));
        for line in run.out.lines() {
            printed(&serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {run:?}")), &mut names);
        }
    }
    let promised = row(command);
    assert!(promised.is_subset(&names), "{command}: {promised:?} is promised, {names:?} printed");
    let known: Names = promised.union(besides).cloned().collect();
    assert!(names.is_subset(&known), "{command}: {promised:?} is promised, {names:?} printed");
}

#[test]
fn what_programs_are_promised_is_what_every_command_prints() {
    let place = Place::new();
    let paragraph = PAGE.lines().find(|line| line.starts_with("A **rule** is")).unwrap();
    let rule = promised(paragraph);
    assert_eq!(rule.len(), 8, "{rule:?}");
    let shown: Names = rule.iter().cloned().chain(["updated_at", "updated_by", "fault"].map(str::to_owned)).collect();
    let none = Names::new();
    let file = std::env::temp_dir().join(format!("callgatectl-documented-{}.csv", std::process::id()));
    std::fs::write(&file, "app,from,to,effect\nshop,a,b,deny\nshop,c,d,allow\n").unwrap();
    let bad = file.with_extension("bad.csv");
    std::fs::write(&bad, "app,from,to,effect\nshop,a*,b*,alow\n").unwrap();
    let (file_name, bad_name) = (file.display(), bad.display());

    let allow = "allow --app shop --from a --to b --note x";
    keeps(
        &place,
        "`allow`, `deny`",
        &[allow, "deny --app shop --from a --to b", "deny --app shop --from '*' --to b"],
        &rule,
    );
    keeps(&place, "`revoke`", &["revoke --app shop --from x --to y", "revoke --app shop --from '*' --to b"], &rule);
    place.run("allow --app shop --from '*' --to '*'").done();
    keeps(&place, "`suspend`, `resume`", &["suspend --app shop b", "resume --app shop b"], &none);
    place.put(&json!({"pk": {"S": "APP#odd"}, "sk": {"S": "APP"}, "status": {"S": "on"}}));
    keeps(&place, "`show --app A`", &["show --app shop", "show --app odd"], &shown);
    place.put(&json!({"pk": {"S": "PARTY#odd#p"}, "sk": {"S": "PARTY"}, "status": {"S": "on"}}));
    keeps(&place, "`show --app A PARTY`", &["show --app shop b", "show --app odd p"], &shown);
    keeps(&place, "`check`", &["check --app shop --from a --to b"], &none);
    keeps(&place, "`import --dry-run`", &[&format!("import {file_name} --dry-run --replace")], &rule);
    keeps(&place, "`import`", &[&format!("import {file_name}"), &format!("import {bad_name}")], &none);
    keeps(&place, "`doctor`", &["doctor"], &none);
    keeps(&place, "`table`", &["table describe"], &none);
    keeps(&place, "`wcs-simulator`", &["wcs-simulator http://127.0.0.1:1/x --no-connect"], &none);
    let exported: Value =
        serde_json::from_str(place.run("export --output json").done().out.lines().next().unwrap()).unwrap();
    let mut names = Names::new();
    printed(&exported, &mut names);
    assert_eq!(names, rule);
    let kinds = PAGE.split("Kinds of findings: ").nth(1).unwrap();
    for finding in place.json("doctor")["findings"].as_array().unwrap() {
        assert!(kinds.contains(&format!("`{}`", finding["kind"].as_str().unwrap())), "{finding}");
    }
    for kind in FindingKind::ALL {
        assert!(kinds.contains(&format!("`{}`", kind.as_str())), "{kind:?}");
    }
    std::fs::remove_file(file).unwrap();
    std::fs::remove_file(bad).unwrap();
}
