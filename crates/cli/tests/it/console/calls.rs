//! The page of calls: as they come, why, and what changes the answer.

use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::json;

use super::{Console, call};
use crate::serve::ServeProcess;
use crate::support::{TempFolder, TestServer};

/// The page of the newest call, opened.
fn open_newest(console: &Console) -> super::Answer {
    let page = console.get("/calls").is(200);
    let link = page.links("<time").first().unwrap().clone();
    console.get(link.split('#').next().unwrap()).is(200)
}

#[test]
fn a_refused_call_is_allowed_from_its_row_and_refused_again_after_undo() {
    let mut serve = ServeProcess::start(&[], &[]);
    let console = Console::of(&mut serve);
    console.get("/calls").is(200).shows("No call has come yet");
    assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
    let opened = open_newest(&console).shows("refused PPP009 to PPP006").shows("no rule applies at any door");
    let written =
        console.submit(&opened, ("/calls/answer", "allow PPP009 to PPP006"), &[("until", "7d"), ("note", "a trial")]);
    let written = written.is(200).shows("Written: allow PPP009 to PPP006, until ").shows("(a trial)");
    assert_eq!(call(&serve, "PPP009", "PPP006"), 200);
    let undone = console.submit(&written, ("/undo", "Undo"), &[]);
    let undone = undone.is(200).shows("Written: took back console: allow PPP009 to PPP006");
    assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
    // Taking it back is a change too.
    console.submit(&undone, ("/undo", "Undo"), &[]).is(200);
    assert_eq!(call(&serve, "PPP009", "PPP006"), 200);
}

#[test]
fn a_caller_is_blocked_from_a_permitted_call() {
    let mut serve = ServeProcess::start(&[], &[]);
    let console = Console::of(&mut serve);
    assert_eq!(call(&serve, "PPP009", "PPP005"), 200);
    let opened = open_newest(&console).shows("Deny calls from PPP009 to PPP005").shows("Block all calls from PPP009");
    let written = console.submit(&opened, ("/calls/block", "block PPP009"), &[]).is(200).shows("Written: block PPP009");
    assert_eq!(call(&serve, "PPP009", "PPP005"), 403);
    // The call was permitted, and would now be refused for another reason: the form says how to permit it.
    let opened = open_newest(&console).shows("unblock PPP009");
    console.submit(&opened, ("/calls/answer", "unblock PPP009"), &[]).is(200).shows("Written: unblock PPP009");
    assert_eq!(call(&serve, "PPP009", "PPP005"), 200);
    drop(written);
}

/// Every reason for a refusal has its own steps, which permit the call.
#[test]
fn every_refusal_can_be_turned_around() {
    let mut serve = ServeProcess::start(&[], &[("APP_CACHE_SECONDS", "0")]);
    let console = Console::of(&mut serve);
    let refused = [
        ("PPP010", "PPP005"),
        ("PPP009", "PPP007"),
        ("PPP007", "PPP001"),
        ("+15550100199", "PPP004"),
        ("+88161234567", "PPP004"),
        ("PPP002", "+88212345678"),
        ("anonymous", "PPP004"),
        ("PPP006", "PPP003"),
    ];
    for (caller, callee) in refused {
        assert_eq!(call(&serve, caller, callee), 403, "{caller} to {callee}");
        let opened = open_newest(&console);
        let written = console.submit(&opened, ("/calls/answer", "Writes:"), &[]).is(200).shows("Written: ");
        assert_eq!(call(&serve, caller, callee), 200, "{caller} to {callee}");
        console.submit(&written, ("/undo", "Undo"), &[]).is(200);
        assert_eq!(call(&serve, caller, callee), 403, "{caller} to {callee}");
    }
}

#[test]
fn a_change_by_another_person_is_seen_and_not_overwritten() {
    let server = TestServer::with_table();
    let folder = TempFolder::new();
    let log = folder.write("calls.log", &line(1, "a", "b"));
    let console = Console::over(&server, &["--log", log.to_str().unwrap()]);
    wait_for(&console, "a");
    let opened = open_newest(&console);
    server.run("deny --app shop --from a --to b --note mine").succeeds();
    console
        .send_form(&opened, ("/calls/answer", "Writes:"), &[])
        .is(409)
        .shows("changed since the page was loaded")
        .shows("deny a to b (mine)");
    server.run("show --app shop b").succeeds().prints("deny a to b (mine)");
    server.run("block --app shop a --note mine").succeeds();
    console.send_form(&opened, ("/calls/block", "Writes:"), &[("note", "yours")]).is(409).shows("block a (mine)");
}

/// A line of the log.
pub(crate) fn line(second: u32, caller: &str, callee: &str) -> String {
    json!({
        "timestamp": format!("2026-11-26T12:{:02}:{:02}.000000Z", second / 60, second % 60), "level": "info",
        "message": "decision", "hook": "OnCallEvent", "decision": "deny", "reason": "no_rule", "app": "shop", "caller": caller,
        "callee": callee, "request_id": format!("r{second}"), "status": 403, "total_ms": 1.5,
    })
    .to_string()
        + "\n"
}

/// Loads the page of calls until it shows a text.
pub(crate) fn wait_for(console: &Console, text: &str) -> super::Answer {
    loop {
        let page = console.get("/calls").is(200);
        if page.text().contains(text) {
            return page;
        }
        std::thread::yield_now();
    }
}

#[test]
fn calls_of_a_file_appear_as_they_are_logged() {
    let server = TestServer::with_table();
    let folder = TempFolder::new();
    let log = folder
        .write("calls.log", &(1..=250).map(|second| line(second, &format!("caller{second}"), "b")).collect::<String>());
    let console = Console::over(&server, &["--log", log.to_str().unwrap(), "--read-only"]);
    let page =
        wait_for(&console, "250 calls in memory").shows("caller250").shows("caller151").does_not_show("caller150");
    let older = page.links("Older calls").first().unwrap().clone();
    let page = console.get(&older).is(200).shows("caller150").shows("caller51").does_not_show("caller151");
    let older = page.links("Older calls").first().unwrap().clone();
    let page = console.get(&older).is(200).shows("caller50").shows("caller1").does_not_show("Older calls");
    assert!(!page.body.contains("data-live"), "an older page does not change");
    OpenOptions::new().append(true).open(&log).unwrap().write_all(line(251, "late", "b").as_bytes()).unwrap();
    wait_for(&console, "late");
    for (query, shown, hidden) in [
        ("party=late", "late", "caller250"),
        ("from=caller7*", "caller70", "caller69"),
        ("to=late", "No call matches", "caller250"),
        ("decision=allow", "No call matches", "late"),
        ("reason=no_rule&app=shop", "late", "No call"),
        ("since=2026-11-26T12:04:10Z", "caller250", "caller249"),
        ("until=2026-11-26T12:00:02Z", "caller1", "caller2"),
        ("id=r12", "caller12", "caller13"),
    ] {
        console.get(&format!("/calls?{query}")).is(200).shows(shown).does_not_show(hidden);
    }
    for query in ["decision=maybe", "from=%40sales", "since=yesterdayish", "app=%00"] {
        // What was typed is still in the form.
        console.get(&format!("/calls?{query}")).is(400).shows("Caller or callee");
    }
}

#[test]
fn the_default_app_is_that_of_the_field() {
    let server = TestServer::with_table();
    for app in ["shop", "store"] {
        server.run(&format!("deny --app {app} --from a --to {app}-callee")).succeeds();
    }
    let folder = TempFolder::new();
    let lines = line(1, "a", "shop-callee") + &line(2, "a", "store-callee").replace("\"shop\"", "\"store\"");
    let log = folder.write("calls.log", &lines);
    let console = Console::over(&server, &["--log", log.to_str().unwrap(), "--app", "shop"]);
    wait_for(&console, "2 calls in memory");
    for path in ["/calls", "/waiting", "/rules", "/parties"] {
        let page = console.get(path).is(200).shows("shop-callee").does_not_show("store-callee");
        assert!(page.body.contains("name=\"app\" value=\"shop\""), "{}", page.body);
        // An empty field is for all apps.
        let all = console.get(&page.links("Show all")[0]).is(200).shows("shop-callee").shows("store-callee");
        assert!(!all.body.contains("name=\"app\" value="), "{}", all.body);
        console.get(&format!("{path}?app=store")).is(200).does_not_show("shop-callee");
    }
    // These are about one app.
    console.get("/check?from=a&to=shop-callee").is(200).shows("In app shop");
    console.get("/history").is(200).shows("deny --app shop").does_not_show("deny --app store");
}

#[test]
fn an_expired_block_is_not_a_block() {
    let server = TestServer::with_table();
    server.put(&json!({"pk": {"S": "PARTY#shop#a"}, "sk": {"S": "PARTY"},
        "blocked": {"M": {"expires_at": {"N": "1700000000"}, "note": {"S": "old"}}}}));
    let folder = TempFolder::new();
    let log = folder.write("calls.log", &line(1, "a", "b"));
    let console = Console::over(&server, &["--log", log.to_str().unwrap()]);
    wait_for(&console, "a");
    let opened = open_newest(&console).shows("block aStored now: block a, until 2023-11-14");
    console
        .submit(&opened, ("/calls/block", "Block all calls from a"), &[("note", "new")])
        .shows("Written: block a (new)");
    let blocked = open_newest(&console).shows("The caller is blocked already: block a (new)");
    assert!(!blocked.body.contains("action=\"/calls/block\""), "{}", blocked.body);
    let page = console.get("/parties/shop/a").shows("Unblock a");
    console.submit(&page, ("/parties/change", "Unblock a"), &[("action", "unblock")]).shows("Block all calls from a");
}

/// A call without audio is decided, allowed and checked as one.
#[test]
fn a_call_with_video_only_stays_one() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from a --to b --media audio").succeeds();
    server.run("allow --app shop --from '*' --to '*' --yes").succeeds();
    let folder = TempFolder::new();
    let log = folder.write("calls.log", &line(1, "a", "b").replace('{', r#"{"media":["video"],"#));
    let console = Console::over(&server, &["--log", log.to_str().unwrap()]);
    wait_for(&console, "a");
    let opened = open_newest(&console).shows("this call is permitted");
    console.submit(&opened, ("/calls/answer", "Writes:"), &[]).shows("Written: deny a to b");
    let check = console.get(&opened.links("at another time")[0]).is(200).shows("In app shop, video, at");
    assert!(check.body.contains("name=\"audio\" value=\"no\" checked"), "{}", check.body);
}

/// Other changes of the same author do not hide the one that was written.
#[test]
fn several_steps_are_written_and_taken_back_together() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from a --to b").succeeds();
    server.run("disable --app shop --from a --to b").succeeds();
    let before = server.items();
    let folder = TempFolder::new();
    let log = folder.write("calls.log", &line(1, "a", "b"));
    let console = Console::over(&server, &["--log", log.to_str().unwrap()]);
    wait_for(&console, "a");
    let opened = open_newest(&console).shows("allow a to b, disabled").shows("enable allow a to b");
    let written = console
        .submit(&opened, ("/calls/answer", "Writes:"), &[])
        .shows("Written: allow a to b, disabled; enable allow a to b");
    assert_ne!(server.items(), before);
    // What the second step changed does not conflict with the first.
    console.submit(&written, ("/undo", "Undo"), &[]).shows("Written: took back");
    assert_eq!(server.items(), before);
    // Only the step that enables a rule, after another person changed the rule.
    server.run("allow --app shop --from a --to b --disabled").succeeds();
    let opened = open_newest(&console).shows("enable allow a to b");
    server.run("allow --app shop --from a --to b --note theirs").succeeds();
    console.send_form(&opened, ("/calls/answer", "Writes:"), &[]).is(409).shows("theirs");
}

/// A browser that polls gets the page only if it changed.
#[test]
fn an_unchanged_page_is_not_sent_again() {
    let mut serve = ServeProcess::start(&[], &[]);
    let console = Console::of(&mut serve);
    let tag = console.get("/calls").is(200).header("etag").unwrap().to_owned();
    let again = || {
        let (host, cookie) = (console.address, &console.cookie);
        console.send(&format!(
            "GET /calls HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"
        ))
    };
    assert_eq!(again().is(304).body, "");
    call(&serve, "PPP009", "PPP006");
    again().is(200).shows("PPP006");
}

/// What is planted in ids, notes and the log is text on every page.
#[test]
fn markup_and_hidden_characters_are_shown_as_text() {
    let server = TestServer::with_table();
    let folder = TempFolder::new();
    let planted = "<script>alert(1)</script>\"'&\u{202e}\u{200b}";
    let log = folder.write("calls.log", &line(1, planted, "b"));
    let console = Console::over(&server, &["--log", log.to_str().unwrap()]);
    let page = wait_for(&console, "alert(1)").shows("<script>alert(1)</script>\"'&\\u{202e}\\u{200b}");
    let opened = console.get(page.links("<time").first().unwrap().split('#').next().unwrap()).is(200);
    for page in [page, opened] {
        assert!(!page.body.contains("<script>") && !page.body.contains('\u{202e}'), "{}", page.body);
    }
}
