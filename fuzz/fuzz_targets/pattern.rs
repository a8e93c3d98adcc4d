//! Any text either is rejected, or gives a pattern that does not change when stored and parsed again.
#![no_main]

use callgate_core::{Groups, PartyId, Pattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let (text, id) = texts;
    let stored = Pattern::from_stored(text);
    assert_eq!(stored.to_string(), text);
    if let Ok(id) = PartyId::new(id, None) {
        let groups = Groups::from(["sales".to_owned()]);
        assert!(Pattern::Everyone.matches(&id, &groups));
        let _ = stored.matches(&id, &groups);
    }
    if let Ok(pattern) = Pattern::new(text, None) {
        assert_eq!(Pattern::from_stored(&pattern.to_string()), pattern);
        assert_eq!(Pattern::new(&pattern.to_string(), None), Ok(pattern));
    }
});
