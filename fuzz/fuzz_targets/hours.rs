//! Any text either is rejected, or gives hours that do not change when stored and parsed again. They can be checked at any
//! moment.
#![no_main]

use callgate_core::{EpochSeconds, Hours};
use libfuzzer_sys::fuzz_target;

/// The time span in which transitions are computed.
const WEEK: EpochSeconds = 7 * 24 * 60 * 60;

fuzz_target!(|input: (&str, EpochSeconds)| {
    let (text, now) = input;
    let Ok(hours) = Hours::parse(text) else { return };
    assert!(!hours.windows().is_empty());
    let stored = hours.to_string();
    assert_eq!(Hours::parse(&stored).as_ref(), Ok(&hours), "{stored}");
    let each: Vec<_> = hours.windows().iter().map(|window| window.to_string().parse().unwrap()).collect();
    assert_eq!(Hours::new(each).unwrap().contains(now), hours.contains(now));
    // Must not fail, for dates up to the end of the calendar.
    hours.date_changes().for_each(drop);
    for edge in hours.transitions(now, now.saturating_add(WEEK)) {
        assert!((now..=now.saturating_add(WEEK)).contains(&edge));
    }
});
