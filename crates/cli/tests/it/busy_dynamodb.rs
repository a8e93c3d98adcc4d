//! Imports into a DynamoDB that is busy or fails halfway: a proxy in front of the test server leaves items unprocessed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::proxy::{Request, Treatment, start_proxy};
use crate::support::{Run, TestServer, csv, tool};

/// How the proxy treats one `BatchWriteItem` request.
#[derive(Clone, Copy)]
enum Batch {
    /// Forwards it.
    Forward,
    /// Forwards it without so many of its items, and returns those as unprocessed.
    LeaveUnprocessed(usize),
    /// Returns an error.
    Fail,
}

/// Starts a proxy in front of a server. `treatment` gets the number of batches before the one to treat.
///
/// Returns the proxy's URL and its count of batches.
fn start_batch_proxy(server: &TestServer, treatment: fn(usize) -> Batch) -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let batches = Arc::clone(&count);
    let url = start_proxy(server.address, move |request| match request.operation() {
        Some("BatchWriteItem") if request.is_write() => {
            treat(treatment(batches.fetch_add(1, Ordering::SeqCst)), request)
        }
        _ => Treatment::Forward,
    });
    (url, count)
}

fn treat(batch: Batch, request: &Request) -> Treatment {
    match batch {
        Batch::Forward => Treatment::Forward,
        Batch::Fail => {
            let error = json!({"__type": "x#AccessDeniedException", "message": "no longer"});
            Treatment::answer("400 Bad Request", &error)
        }
        Batch::LeaveUnprocessed(count) => {
            let mut request: Value = serde_json::from_slice(&request.body).unwrap();
            let items = request["RequestItems"].as_object_mut().unwrap();
            let (table, all) = items.iter_mut().next().unwrap();
            let all = all.as_array_mut().unwrap();
            let left = all.split_off(all.len().saturating_sub(count));
            let answer = json!({"UnprocessedItems": {table.clone(): left}}).to_string();
            let forwarded = (!all.is_empty()).then(|| request.to_string().into_bytes());
            Treatment::Replace(forwarded, "200 OK", answer)
        }
    }
}

fn import(url: &str, rules: &str) -> Run {
    Run::with_input(tool().args(["import", "-", "--table", crate::support::TABLE, "--endpoint-url", url]), rules)
}

#[test]
fn unprocessed_items_are_sent_again() {
    let server = TestServer::with_table();
    let (url, batches) = start_batch_proxy(&server, |number| match number % 3 {
        0 => Batch::LeaveUnprocessed(25),
        1 => Batch::LeaveUnprocessed(10),
        _ => Batch::Forward,
    });
    import(&url, &csv(0..100, |number| format!("shop,caller{number},callee,allow")))
        .succeeds()
        .prints("100 rules written");
    assert!(batches.load(Ordering::SeqCst) > 4);
    assert_eq!(server.items().len(), 100);
}

#[test]
fn a_failed_import_prints_its_progress_and_can_be_run_again() {
    let server = TestServer::with_table();
    let (url, _) = start_batch_proxy(&server, |number| if number < 40 { Batch::Forward } else { Batch::Fail });
    let rules = csv(0..2_000, |number| format!("shop,caller{number},callee,allow"));
    let run = import(&url, &rules).exits_with(1).prints("AccessDeniedException: no longer");
    run.prints("1000 of 2000 rules are written; run the same command again, which writes the others");
    assert_eq!(server.items().len(), 1_000);
    server.pipe("import -", &rules).succeeds().prints("1000 rules written, 1000 unchanged");
    assert_eq!(server.items().len(), 2_000);
}
