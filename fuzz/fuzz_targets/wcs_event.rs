//! Any text as the body of a hook: the response to `connect` is valid JSON, and parses to the same call.
#![no_main]

use callgate::event::{OnCallEvent, with_rest_client_config};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|body: &str| {
    let question = OnCallEvent::parse(body, None);
    let Ok(answer) = with_rest_client_config(body) else {
        assert!(question.is_err());
        return;
    };
    assert!(serde_json::from_str::<&RawValue>(&answer).is_ok());
    assert_eq!(OnCallEvent::parse(&answer, None), question);
    // Replacing the block again may change the white space around it once, but not after that.
    let again = with_rest_client_config(&answer).unwrap();
    assert_eq!(with_rest_client_config(&again).as_ref(), Ok(&again));
});
