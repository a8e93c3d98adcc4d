//! Two processes that write rules of the same party at the same time.

use crate::support::TestServer;

/// The number of rules that each process writes, one at a time. `CALLGATE_CONCURRENT_RULES` sets it for a longer run.
fn rule_count() -> usize {
    std::env::var("CALLGATE_CONCURRENT_RULES").ok().and_then(|it| it.parse().ok()).unwrap_or(40)
}

#[test]
fn rules_that_two_processes_write_are_all_stored() {
    let server = TestServer::with_table();
    let rule_count = rule_count();
    std::thread::scope(|scope| {
        for series in ["1", "2"] {
            let server = &server;
            scope.spawn(move || {
                for number in 0..rule_count {
                    server
                        .run(&format!("allow --app shop --from '+{series}{number:04}*' --to PPP005 --yes"))
                        .succeeds();
                }
            });
        }
    });
    let items = server.items();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["incoming"]["M"].as_object().unwrap().len(), 2 * rule_count);
}
