//! A deny for a pattern names the more specific rules that still allow some of its calls.

use serde_json::json;

use crate::changed_meanwhile::run;
use crate::proxy::{Treatment, start_proxy};
use crate::support::TestServer;

const BLOCK: &str = "to refuse all calls of this party: `callgatectl block --app shop a`";

fn allow(server: &TestServer, rules: &[&str]) {
    for rule in rules {
        server.run(&format!("allow --app shop --yes {rule}")).succeeds();
    }
}

#[test]
fn what_still_lets_calls_through_is_named() {
    let server = TestServer::with_table();
    allow(
        &server,
        &["--from a --to b", "--from a --to c", "--from a --to 'd*'", "--from a --to @vip", "--from x --to y"],
    );
    let run = server.run("deny --app shop --from a --to '*'").succeeds();
    // In the question, and after the answer.
    assert!(run.stderr.contains(BLOCK) && run.stdout.contains(BLOCK), "{run:?}");
    run.prints(
        "4 more specific rules at this door still allow calls: allow a to b; allow a to c; allow a to @vip; and 1 more",
    )
    .prints(BLOCK);
    server.run("check --app shop --from a --to b").succeeds();
    let notice = server.json("deny --app shop --from a --to '*' --yes")["notice"].as_str().unwrap().to_owned();
    assert!(notice.contains("4 more specific rules") && notice.contains(BLOCK), "{notice}");
    server.run("block --app shop a --yes").succeeds();
    server.run("check --app shop --from a --to b").exits_with(3);
}

#[test]
fn only_effective_rules_for_the_denied_calls_are_named() {
    let server = TestServer::with_table();
    for rule in ["--from a --to c1 --disabled", "--from a --to 'c*'", "--from a --to d1", "--from b --to c3"] {
        allow(&server, &[rule]);
    }
    server.put(&json!({
        "pk": {"S": "PARTY#shop#c2"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"}, "expires_at": {"N": "1767225600"},
    }));
    server.run("deny --app shop --from a --to c4").succeeds();
    server.run("deny --app shop --from a --to 'c*' --yes").succeeds().does_not_print("more specific");
    allow(&server, &["--from a --to c5"]);
    let run = server.run("deny --app shop --from a --to 'c*' --yes").succeeds();
    // A block would refuse more than this rule.
    run.prints("1 more specific rule at this door still allows calls: allow a to c5")
        .does_not_print("callgatectl block");
    server.run("deny --app shop --from a --to 'c*' --yes --disabled").succeeds().does_not_print("more specific");
    server.run("enable --app shop --from a --to 'c*' --yes").succeeds().prints("1 more specific rule");
}

#[test]
fn each_door_has_its_own_exceptions() {
    for (rules, deny, expected) in [
        (["--from a --to b", "--from '+7*' --to b"], "--from '*' --to b", "2 more specific rules"),
        (
            ["--from '+7*' --to '*'", "--from a --to b"],
            "--from '*' --to '*'",
            "1 more specific rule at this door still allows calls: allow +7* to *",
        ),
        (
            ["--from '*' --to '+7495*'", "--from a --to +74951"],
            "--from '*' --to '+7*'",
            "1 more specific rule at this door still allows calls: allow * to +7495*",
        ),
        (
            ["--from a --to '*' --door app", "--from a --to b"],
            "--from '*' --to '*'",
            "1 more specific rule at this door still allows calls: allow a to *",
        ),
    ] {
        let server = TestServer::with_table();
        allow(&server, &rules);
        server
            .run(&format!("deny --app shop {deny} --yes"))
            .succeeds()
            .prints(expected)
            .does_not_print("callgatectl block");
    }
}

/// What is only information does not stop a command that refuses calls.
#[test]
fn a_deny_is_written_if_its_exceptions_cannot_be_read() {
    let server = TestServer::with_table();
    let proxy = start_proxy(server.address, |request| match request.operation() {
        Some("Query" | "Scan") => Treatment::refuse("AccessDeniedException"),
        _ => Treatment::Forward,
    });
    for rule in ["--from a --to '*'", "--from '*' --to b"] {
        let run = run(&proxy, &format!("deny --app shop {rule} --yes")).succeeds();
        run.prints("written: deny").prints("rules between two parties may still allow calls: cannot read the");
    }
}
