//! The command at the end of `check`: it is run, and the same call is decided the other way.

use serde_json::{Value, json};

use crate::support::{TestServer, split_words};

/// The command that `check` prints for a call, in text and in JSON the same.
fn command(server: &TestServer, check: &str) -> (String, String) {
    let json = server.json(check);
    let reason = json["reason"].as_str().unwrap().to_owned();
    let command = json["command"].as_str().unwrap_or_else(|| panic!("{check}: {json}")).to_owned();
    let aim = if json["decision"] == "allow" { "refuse" } else { "permit" };
    server.run(check).prints(&format!("\nto {aim} it: {command}\n"));
    (reason, command)
}

/// Runs what is printed as a shell would. The tool's options are added to each command.
#[track_caller]
fn run(server: &TestServer, commands: &str) {
    for command in commands.split(" && ") {
        let arguments = command.strip_prefix("callgatectl ").unwrap();
        server.run(arguments).succeeds();
    }
}

/// Checks a call that is decided for a reason, and turns its decision around twice.
#[track_caller]
fn turns_around(server: &TestServer, check: &str, reason: &str) {
    let (before, commands) = command(server, check);
    assert_eq!(before, reason, "{check}");
    let decision = server.json(check)["decision"].clone();
    run(server, &commands);
    let after = server.json(check);
    assert_ne!(after["decision"], decision, "{check}: `{commands}` left it at {after}");
    let (_, back) = command(server, check);
    run(server, &back);
    assert_eq!(server.json(check)["decision"], decision, "{check}: `{back}`");
}

const CALL: &str = "check --app shop --from a --to b";

#[test]
fn the_command_turns_the_decision_around_whatever_the_reason() {
    let at_night = "--at 2026-11-24T03:00:00Z";
    let hours = "--hours 'Mon-Fri 09:00-18:00 UTC'";
    for (setup, check, reason) in [
        (vec![], "", "no_rule"),
        (vec!["allow --app shop --from a --to b"], "", "pair_rule"),
        (vec!["deny --app shop --from a --to b"], "", "pair_rule"),
        (vec!["deny --app shop --from a* --to b"], "", "callee_rule"),
        (vec!["allow --app shop --from * --to b"], "", "callee_rule"),
        (vec!["deny --app shop --from a --to b*"], "", "caller_rule"),
        (vec!["allow --app shop --from a --to *"], "", "caller_rule"),
        (vec!["deny --app shop --from a* --to *"], "", "app_rule"),
        (vec!["deny --app shop --from a --to * --door app"], "", "app_rule"),
        (vec!["allow --app shop --from * --to *"], "", "app_rule"),
        (vec!["deny --app shop --from * --to b*"], "", "destination_rule"),
        (vec!["deny --app shop --from * --to b --door destination"], "", "destination_rule"),
        (vec!["allow --app shop --from * --to b*"], "", "destination_rule"),
        (
            vec![
                "deny --app shop --from a* --to *",
                "deny --app shop --from * --to b*",
                "deny --app shop --from a --to b",
            ],
            "",
            "app_rule",
        ),
        (vec!["allow --app shop --from a --to b", "suspend --app shop"], "", "app_suspended"),
        (vec!["allow --app shop --from a --to b", "suspend --app shop a"], "", "caller_suspended"),
        (vec!["suspend --app shop b --note x", "deny --app shop --from a --to b"], "", "callee_suspended"),
        (vec!["allow --app shop --from a --to b", "block --app shop a"], "", "caller_blocked"),
        (
            vec!["suspend --app shop", "suspend --app shop a", "suspend --app shop b", "block --app shop a"],
            "",
            "app_suspended",
        ),
        (vec!["allow --app shop --from a --to b --disabled"], "", "no_rule"),
        (vec!["deny --app shop --from a --to b --disabled", "allow --app shop --from * --to b"], "", "callee_rule"),
        (vec!["allow --app shop --from a --to b --disabled --media video"], "", "no_rule"),
        (vec!["allow --app shop --from a --to b --media video"], "", "no_rule"),
        (vec!["allow --app shop --from a --to b --media audio"], "--video", "no_rule"),
        (vec!["deny --app shop --from a --to b --media video", "allow --app shop --from * --to b"], "", "callee_rule"),
        (vec![&format!("allow --app shop --from a --to b {hours}")], at_night, "no_rule"),
        (
            vec![&format!("deny --app shop --from a --to b {hours}"), "allow --app shop --from * --to b"],
            at_night,
            "callee_rule",
        ),
        (vec!["allow --app shop --from a --to b --until 30d"], "--at 60d", "no_rule"),
        (vec!["group add --app shop @sales a", "deny --app shop --from @sales --to b"], "", "callee_rule"),
        (vec!["group add --app shop @sales a", "deny --app shop --from @sales --to *"], "", "app_rule"),
    ] {
        let server = TestServer::with_table();
        for arguments in setup {
            // A star is quoted for a shell only.
            server.run(arguments).succeeds();
        }
        turns_around(&server, &format!("{CALL} {check}"), reason);
    }
}

#[test]
fn expired_rules_and_misplaced_ones_are_no_obstacle() {
    let server = TestServer::with_table();
    let entry = |effect: &str| json!({"M": {"effect": {"S": effect}}});
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"}, "expires_at": {"N": "1000000000"}}));
    turns_around(&server, CALL, "no_rule");
    // A deny for exactly this caller in the list wins against a rule between the two.
    server.run("allow --app shop --from a --to b").succeeds();
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"a": entry("deny")}}}));
    turns_around(&server, CALL, "callee_rule");
    server.put(&json!({"pk": {"S": "PARTY#shop#a"}, "sk": {"S": "PARTY"}, "outgoing": {"M": {"b": entry("deny")}}}));
    server.run("allow --app shop --from a --to b").succeeds();
    turns_around(&server, CALL, "caller_rule");
    turns_around(&server, "check --app shop --from anonymous --to b", "no_rule");
    turns_around(&server, "check --app shop --from c --to c", "no_rule");
    turns_around(&server, "check --app shop --from *98 --to b", "no_rule");
}

#[test]
fn an_invalid_record_is_shown() {
    let server = TestServer::with_table();
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "alow"}}));
    let run = server.run(CALL).exits_with(3).prints("invalid_record");
    assert!(run.stdout.ends_with("\nlook at it: callgatectl show --app shop b\n"), "{run:?}");
    let json = server.json(CALL);
    assert_eq!((&json["command"], &json["advice"]), (&Value::Null, &json!("callgatectl show --app shop b")));
    server.run("show --app shop b").prints("invalid");
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "status": {"S": "on"}}));
    server.run("check --app shop --from a --to c").exits_with(3).prints("look at it: callgatectl show --app shop\n");
}

#[test]
fn many_rules_that_do_not_match_are_counted() {
    let server = TestServer::with_table();
    let rules = |count: usize| {
        let rules: serde_json::Map<_, _> =
            (0..count).map(|number| (format!("+7{number:05}*"), json!({"M": {"effect": {"S": "deny"}}}))).collect();
        json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "destinations": {"M": rules}})
    };
    server.put(&rules(3_000));
    let check = "check --app shop --from a --to +70000112345";
    let run = server.run(check).exits_with(3);
    assert!(run.stdout.contains("\n> +700001*  deny   decides\n  and 2999 rules that do not match\n"), "{run:?}");
    assert!(run.stdout.lines().count() < 20, "{run:?}");
    assert_eq!(server.json(check)["doors"][1]["rules"].as_array().unwrap().len(), 3_000);
    server.put(&rules(8));
    let run = server.run(check).exits_with(3);
    assert_eq!(run.stdout.matches("does not match").count(), 7, "{run:?}");
}

/// The words of a printed command are those that a shell passes on.
#[test]
fn names_that_a_shell_would_change_are_quoted() {
    let server = TestServer::with_table();
    let check = "check --app 'my shop' --from 'Anna B' --to '#21#'";
    let (_, commands) = command(&server, check);
    assert_eq!(commands, "callgatectl allow --app 'my shop' --from 'Anna B' --to '#21#'");
    assert_eq!(split_words(&commands).len(), 8);
    turns_around(&server, check, "no_rule");
}
