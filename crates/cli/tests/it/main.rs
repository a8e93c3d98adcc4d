//! The built `callgatectl`, as an operator uses it: every command, against a DynamoDB-compatible server over HTTP.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod bad_input;
mod check;
mod concurrency;
mod doctor;
mod documented;
mod load;
mod million;
mod reference;
mod rules;
mod serve;
mod simulator;
mod support;
mod tables;
#[cfg(unix)]
mod terminal;
mod throttled;
mod transfer;
mod walkthrough;
