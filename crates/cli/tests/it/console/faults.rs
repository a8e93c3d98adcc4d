//! What the console reports if requests fail, or if others write at the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Answer, Console};
use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, TestServer, split_words, tool_at};

/// The page of a call, with the steps that turn it around.
fn check(console: &Console) -> Answer {
    console.get("/check?app=shop&from=a&to=b").is(200)
}

/// Another change of the same person does not hide the one that was written.
#[test]
fn a_change_is_found_although_the_same_person_makes_another() {
    let server = TestServer::with_table();
    let (address, has_written) = (server.address, AtomicBool::new(false));
    let url = start_proxy(address, move |request| {
        match request.operation() {
            Some("TransactWriteItems") => has_written.store(true, Ordering::SeqCst),
            Some("Query") if has_written.swap(false, Ordering::SeqCst) => {
                Run::of(tool_at(&format!("http://{address}")).args(split_words("suspend --app shop c"))).succeeds();
            }
            _ => {}
        }
        Treatment::Forward
    });
    let console = Console::of_tool(tool_at(&url), &[]);
    let page = check(&console).shows("refused a to b");
    let written = console.submit(&page, ("/calls/answer", "Writes:"), &[]).shows("Written: allow a to b");
    server.run("show --app shop c").succeeds().prints("suspended");
    console.submit(&written, ("/undo", "Undo"), &[]).shows("Written: took back console: allow a to b");
    server.run("check --app shop --from a --to b").exits_with(3);
}

/// A write is not reported as failed because what was written cannot be read.
#[test]
fn a_change_is_written_although_the_history_cannot_be_read() {
    let server = TestServer::with_table();
    let has_written = AtomicBool::new(false);
    let url = start_proxy(server.address, move |request| match request.operation() {
        Some("TransactWriteItems") => {
            has_written.store(true, Ordering::SeqCst);
            Treatment::Forward
        }
        Some("Query") if has_written.load(Ordering::SeqCst) => Treatment::refuse("AccessDeniedException"),
        _ => Treatment::Forward,
    });
    let console = Console::of_tool(tool_at(&url), &[]);
    let page = check(&console);
    console
        .submit(&page, ("/calls/answer", "Writes:"), &[])
        .shows("Written: allow a to b")
        .shows("undo this on the page History, because its change cannot be read now");
    server.run("check --app shop --from a --to b").succeeds();
}

#[test]
fn an_undo_that_stops_halfway_reports_what_was_taken_back() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from a --to b --disabled").succeeds();
    server.run("suspend --app shop b").succeeds();
    let writes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&writes);
    let url = start_proxy(server.address, move |request| {
        let is_write = request.operation() == Some("TransactWriteItems");
        if is_write && counted.fetch_add(1, Ordering::SeqCst) == 4 {
            return Treatment::refuse("AccessDeniedException");
        }
        Treatment::Forward
    });
    let console = Console::of_tool(tool_at(&url), &[]);
    let page = check(&console).shows("resume party b").shows("enable allow a to b");
    let written =
        console.submit(&page, ("/calls/answer", "Writes:"), &[]).shows("Written: resume party b; allow a to b");
    assert_eq!(writes.load(Ordering::SeqCst), 3);
    // The first of three is taken back.
    console
        .submit(&written, ("/undo", "Undo"), &[])
        .shows("Written: took back console: enable")
        .shows("refused by the test")
        .shows("Undo");
    server.run("show --app shop b").succeeds().prints("allow a to b, disabled");
}
