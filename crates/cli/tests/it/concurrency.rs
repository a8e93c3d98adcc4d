//! Two processes that write to the same party at the same time.

use crate::support::Place;

/// How many rules each process adds one by one; a thousand when all is measured, less in a quick run.
fn rounds() -> usize {
    std::env::var("CALLGATE_CONCURRENT_RULES").ok().and_then(|it| it.parse().ok()).unwrap_or(40)
}

#[test]
fn single_rules_of_two_processes_are_all_kept() {
    let place = Place::new();
    let rounds = rounds();
    std::thread::scope(|scope| {
        for series in ["1", "2"] {
            let place = &place;
            scope.spawn(move || {
                for number in 0..rounds {
                    place.run(&format!("allow --app shop --from '+{series}{number:04}*' --to PPP005 --yes")).done();
                }
            });
        }
    });
    let items = place.items();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["incoming"]["M"].as_object().unwrap().len(), 2 * rounds);
}
