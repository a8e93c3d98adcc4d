//! Any text either is rejected, or gives a party id that does not change when parsed again.
#![no_main]

use callgate_core::{AppKey, PartyId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = AppKey::new(text);
    for region in [None, "RU".parse().ok(), "US".parse().ok(), "IT".parse().ok()] {
        if let Ok(id) = PartyId::new(text, region) {
            assert!(!id.as_str().is_empty() && id.as_str().len() <= 128);
            assert_eq!(PartyId::new(id.as_str(), region), Ok(id));
        }
    }
});
