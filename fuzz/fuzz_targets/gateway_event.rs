//! Any JSON as an event of API Gateway: read or refused, and what is read can be answered.
#![no_main]

use callgate::http::{Answer, Request};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let Ok(event) = serde_json::from_str::<&RawValue>(text) else { return };
    let Ok(request) = Request::from_event(event) else { return };
    let _ = (request.hook(), request.authorization(), request.source);
    if let Ok(body) = request.body() {
        assert!(body.len() <= 256 * 1024);
    }
    serde_json::to_string(&request.reply(Answer::Refused)).unwrap();
});
