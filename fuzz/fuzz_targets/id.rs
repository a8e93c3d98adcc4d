//! Any text either is rejected, or gives a party id that does not change when parsed again.
#![no_main]

use callgate_core::{AppKey, DialPlan, PartyId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = AppKey::new(text);
    for plan in [DialPlan::default(), DialPlan::new(Some("7"), Some("8"), Some("810")).unwrap()] {
        if let Ok(id) = PartyId::new(text, &plan) {
            assert!(!id.as_str().is_empty() && id.as_str().len() <= 128);
            assert_eq!(PartyId::new(id.as_str(), &plan), Ok(id));
        }
    }
});
