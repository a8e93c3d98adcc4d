//! The page of the history, and taking changes back from it.

use serde_json::json;

use super::{Answer, Console, encode};
use crate::support::TestServer;

fn history(console: &Console, fields: &[(&str, &str)]) -> Answer {
    console.get(&format!("/history?{}", encode(fields)))
}

#[test]
fn changes_are_listed_with_their_values_before_and_after() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005 --note 'on trial'").succeeds();
    server.run("deny --app shop --from PPP009 --to PPP005").succeeds();
    server.run("allow --app shop --from PPP001 --to PPP002").succeeds();
    server.run("suspend --app shop PPP007").succeeds();
    server.run("allow --app other --from PPP001 --to PPP003").succeeds();
    let console = Console::over(&server, &[]);
    console.get("/history").is(200).shows("No app is chosen");
    let page = history(&console, &[("app", "shop")])
        .shows("allow --app shop --from PPP001 --to PPP002")
        .shows("after: allow PPP009 to PPP005 (on trial)")
        .shows("before: allow PPP009 to PPP005 (on trial)after: deny PPP009 to PPP005 (on trial)")
        .shows("the status of party `PPP007` of app `shop`: suspended")
        .does_not_show("PPP003");
    let text = page.text();
    assert!(text.find("PPP007").unwrap() < text.find("on trial").unwrap(), "the newest is first: {text}");
    history(&console, &[("app", "shop"), ("party", "PPP009")]).shows("on trial").does_not_show("PPP001");
    history(&console, &[("app", "shop"), ("party", "PPP*")]).is(400).shows("is a pattern, not one party");
    history(&console, &[("app", "shop"), ("since", "1h")]).shows("on trial");
    history(&console, &[("app", "shop"), ("since", "soon")])
        .is(400)
        .shows("Since")
        .shows("`soon`")
        .does_not_show("on trial");
    history(&console, &[("app", "nothing")]).shows("No changes match");
}

#[test]
fn a_change_is_taken_back_and_put_again() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005").succeeds();
    let before = server.items();
    server.run("deny --app shop --from PPP009 --to PPP005").succeeds();
    let after = server.items();
    let console = Console::over(&server, &["--app", "shop"]);
    let page = console.get("/history").is(200);
    let page = console.submit(&page, ("/undo", "deny --app shop"), &[]).is(200);
    let page = page.shows("Written: took back deny --app shop").shows("Takes back ");
    assert_eq!(server.items(), before);
    // The change that took it back is taken back.
    console.submit(&page, ("/undo", "console: undo "), &[]).is(200).shows("Written: took back console: undo");
    assert_eq!(server.items(), after);
}

#[test]
fn a_change_that_was_changed_again_is_taken_back_only_after_a_look() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005").succeeds();
    server.run("deny --app shop --from PPP009 --to PPP005 --note '<b>later</b>'").succeeds();
    let after = server.items();
    let console = Console::over(&server, &["--app", "shop"]);
    let page = console.get("/history").is(200);
    let question = console.send_form(&page, ("/undo", "allow --app shop --from PPP009"), &[]).is(200);
    let question = question.shows("was changed again since").shows("deny PPP009 to PPP005 (<b>later</b>)");
    assert!(!question.body.contains("<b>later"), "{}", question.body);
    assert_eq!(server.items(), after);
    console.submit(&question, ("/undo", "all the same"), &[]).is(200).shows("Written: took back allow");
    assert_eq!(server.items().len(), 0);
}

#[test]
fn an_import_is_a_summary_that_cannot_be_taken_back() {
    let server = TestServer::with_table();
    server.pipe("import -", "app,from,to,effect\nshop,PPP009,PPP005,allow\n").succeeds();
    let console = Console::over(&server, &["--app", "shop"]);
    let page = console.get("/history").is(200).shows("1 added, 0 changed, 0 removed");
    assert!(!page.body.contains("action=\"/undo\""), "{}", page.body);
}

#[test]
fn what_another_program_wrote_is_found() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005").succeeds();
    let console = Console::over(&server, &["--app", "shop"]);
    history(&console, &[("unrecorded", "yes")]).shows("Everything that is stored was written by callgatectl");
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "CALLER#PPP009"}, "effect": {"S": "deny"}}));
    history(&console, &[("unrecorded", "yes"), ("party", "PPP009")])
        .shows("Not in the history, so another program wrote it")
        .shows("before: allow PPP009 to PPP005after: deny PPP009 to PPP005");
}

#[test]
fn a_long_history_is_read_page_by_page() {
    let server = TestServer::with_table();
    let value = |number: usize| {
        json!({"M": {"pk": {"S": format!("PARTY#shop#PPP{number}")}, "sk": {"S": "PARTY"}, "attribute": {"S": "note"},
            "after": {"S": format!("note-{number}-")}}})
    };
    for number in 0..1_101 {
        let time =
            format!("2026-11-{:02}T{:02}:{:02}:00.000000Z#00000001", number / 720 + 1, number / 60 % 12, number % 60);
        server.put(&json!({"pk": {"S": "HISTORY#shop"}, "sk": {"S": time}, "by": {"S": "<i>bob\u{202e}"},
            "command": {"S": format!("<script>\u{202e}{number}-")}, "values": {"L": [value(number)]}}));
    }
    let console = Console::over(&server, &["--app", "shop", "--read-only"]);
    let page = history(&console, &[]).shows("<script>\\u{202e}1100-").shows("by <i>bob\\u{202e}").shows("note-1051-");
    let page = page.does_not_show("note-1050-");
    assert!(!page.body.contains("<script>\u{5c}") && !page.body.contains("<i>") && !page.body.contains('\u{202e}'));
    assert!(!page.body.contains("action=\"/undo\""), "it is read-only");
    let older = console.get(&page.links("Older changes")[0]).is(200).shows("note-1050-").shows("note-1001-");
    older.does_not_show("note-1000-").shows("Newest changes");
    // One change among many that are about other parties: a page reads 1,000 of them.
    let page = history(&console, &[("party", "PPP5")]).does_not_show("note-5-").shows("searched so far");
    let found = console.get(&page.links("Older changes")[0]).is(200).shows("note-5-");
    assert!(found.links("Older changes").is_empty(), "{}", found.body);
}
