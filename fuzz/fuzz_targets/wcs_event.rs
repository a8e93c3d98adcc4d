//! Any text as the body of a hook: the response to `connect` is valid JSON, and parses to the same call.
#![no_main]

use callgate::event::{CallEvent, check_object, with_rest_client_config};
use callgate::hook::GatedHooks;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|body: &str| {
    let question = CallEvent::parse(body, None);
    let connect = |body: &str| with_rest_client_config(body, GatedHooks::IncomingAndOutgoing);
    let answer = connect(body);
    assert_eq!(check_object(body).is_ok(), answer.is_ok());
    let Ok(answer) = answer else {
        assert!(question.is_err());
        return;
    };
    assert!(serde_json::from_str::<&RawValue>(&answer).is_ok());
    assert_eq!(CallEvent::parse(&answer, None), question);
    // Replacing the block again may change the white space around it once, but not after that.
    let again = connect(&answer).unwrap();
    assert_eq!(connect(&again).as_ref(), Ok(&again));
});
