//! Taking changes back.

use serde_json::{Value, json};

use crate::history::{COMMANDS, REMOVALS};
use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, TestServer, split_words, tool_at};
use crate::terminal::run_and_type;

/// The id of the last change of an app.
fn last_change(server: &TestServer, app: &str) -> String {
    let history = server.json(&format!("history --app '{app}'"));
    history["changes"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn each_change_can_be_taken_back_and_put_again_to_the_byte() {
    let server = TestServer::with_table();
    for command in COMMANDS.iter().chain(&REMOVALS) {
        let app = if command.contains("a#b%") { "a#b%" } else { "shop" };
        let before = server.stored();
        server.run(command).succeeds();
        let after = server.stored();
        assert_ne!(before, after, "{command}");
        let undo = format!("undo --app '{app}'");
        for _ in 0..2 {
            server.run(&undo).succeeds().prints("undone: ");
            assert_eq!(server.stored(), before, "{command}");
            server.run(&undo).succeeds().prints(", which took back ");
            assert_eq!(server.stored(), after, "{command}");
        }
        server.run(&format!("history --app '{app}'")).succeeds().does_not_print("not in the history");
    }
}

#[test]
fn a_change_is_taken_back_although_others_were_made_since() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from '+7*' --to b --yes").succeeds();
    let first = last_change(&server, "shop");
    let before = server.stored();
    server.run("allow --app shop --from '+8*' --to b --yes").succeeds();
    server.run("suspend --app shop b").succeeds();
    // The index leads from the change to its app.
    server
        .run(&format!("undo '{first}'"))
        .succeeds()
        .prints("undone: allow --app shop --from '+7*' --to b --yes\n  - allow +7* to b");
    let item = &server.items()[0];
    assert_eq!(item["status"]["S"], "suspended");
    assert_eq!(item["incoming"]["M"].as_object().unwrap().keys().collect::<Vec<_>>(), ["+8*"]);
    server.run(&format!("undo '{first}' --app shop")).succeeds().prints("unchanged: ");
    let changes = server.json("history --app shop");
    let ids: Vec<_> =
        changes["changes"].as_array().unwrap().iter().rev().map(|it| it["id"].as_str().unwrap()).collect();
    for id in &ids[..3] {
        server.run(&format!("undo '{id}'")).succeeds();
    }
    assert_eq!(server.stored(), before);
}

#[test]
fn a_change_that_was_changed_again_is_only_taken_back_after_a_yes() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b --note first").succeeds();
    let first = last_change(&server, "shop");
    server.run("deny --app shop --from a --to b --note second --yes").succeeds();
    let stored = server.stored();
    let undo = format!("undo '{first}' --app shop");
    server
        .run(&undo)
        .exits_with(1)
        .prints("what the change wrote (-) was changed again since (+):\n  - allow a to b (first)\n  + deny a to b (second)\n")
        .prints("nothing was written; confirm with --yes");
    let (code, shown) = run_and_type(&server, &undo, "n\n");
    assert!(code == Some(1) && shown.contains("+ deny a to b (second)"), "{shown}");
    let dry_run = server.run(&format!("{undo} --dry-run")).succeeds();
    dry_run.prints("would be undone: allow --app shop --from a --to b --note first\n  - deny a to b (second)\n");
    assert_eq!(server.stored(), stored);
    let (code, shown) = run_and_type(&server, &undo, "y\n");
    assert!(code == Some(0) && shown.contains("undone"), "{shown}");
    assert!(server.stored().is_empty());
    server.run("undo --app shop").succeeds();
    assert_eq!(server.stored(), stored);
    let value = server.json(&format!("{undo} --yes"));
    assert_eq!((&value["result"], &value["values"][0]["before"]["note"]), (&json!("undone"), &json!("second")));
}

#[test]
fn the_last_change_of_ones_own_is_not_that_of_another() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    let mut other = server.changes()[0].clone();
    other["sk"]["S"] = json!("2099-01-01T00:00:00.000000Z#0");
    other["by"]["S"] = json!("arn:aws:iam::1:user/other");
    server.put(&other);
    server.run("undo --app shop").succeeds().prints("undone: allow --app shop --from a --to b");
    assert!(server.stored().is_empty());
    server.run("undo --app other").exits_with(1).prints("has changed nothing in app `other`");
    server.run("undo").exits_with(2).prints("name the change, or the app");
    server.run("undo nothing").exits_with(1).prints("there is no change `nothing`");
    server.run("undo nothing --app shop").exits_with(1).prints("there is no change `nothing`");
}

#[test]
fn a_summary_cannot_be_taken_back_but_its_rules_can() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    let before = server.stored();
    server.pipe("import -", "app,from,to,effect\nshop,a,b,deny\n").succeeds();
    let history = server.json("history --app shop");
    let id = |is_summary: bool| {
        let changes = history["changes"].as_array().unwrap().iter().rev();
        let mut found = changes.filter(|it| it["counts"].is_null() != is_summary);
        found.next().unwrap()["id"].as_str().unwrap().to_owned()
    };
    server
        .run(&format!("undo '{}'", id(true)))
        .exits_with(2)
        .prints("is the summary of a command that changed many items");
    server.run(&format!("undo '{}'", id(false))).succeeds();
    assert_eq!(server.stored(), before);
}

#[test]
fn an_undo_whose_request_or_answer_got_lost_is_done_once() {
    for is_answer in [false, true] {
        let server = TestServer::with_table();
        server.run("allow --app shop --from a --to b").succeeds();
        let count = std::sync::atomic::AtomicUsize::new(0);
        let url = start_proxy(server.address, move |request| {
            let is_first = request.is_write() && count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            match (is_first, is_answer) {
                (true, true) => Treatment::LoseAnswer,
                (true, false) => Treatment::LoseRequest,
                (false, _) => Treatment::Forward,
            }
        });
        Run::of(tool_at(&url).args(split_words("undo --app shop"))).succeeds().prints("undone: allow");
        assert_eq!(server.stored(), Vec::<Value>::new());
        assert_eq!(server.changes().len(), 2);
    }
}
