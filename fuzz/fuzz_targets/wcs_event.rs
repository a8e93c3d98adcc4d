//! Any text as the body of a hook: what `connect` answers is an object again, and asks the same question.
#![no_main]

use callgate::event::{OnCallEvent, with_rest_client_config};
use callgate_core::DialPlan;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|body: &str| {
    let question = OnCallEvent::parse(body, &DialPlan::default());
    let Ok(answer) = with_rest_client_config(body) else {
        assert!(question.is_err());
        return;
    };
    assert!(serde_json::from_str::<&RawValue>(&answer).is_ok());
    assert_eq!(OnCallEvent::parse(&answer, &DialPlan::default()), question);
    // A block that is replaced takes the white space around it along, which from then on is ours.
    let again = with_rest_client_config(&answer).unwrap();
    assert_eq!(with_rest_client_config(&again).as_ref(), Ok(&again));
});
