//! The built function with real parts around it: a Lambda Runtime API, events of API Gateway, a DynamoDB-compatible server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod authentication;
mod concurrency;
mod configuration;
mod connect;
mod corpus;
mod decisions;
mod dynamodb;
mod faults;
mod gateway;
mod hooks;
mod item;
mod lambda;
mod log;
mod memory;
mod odd_events;
mod proxy;
mod soak;
mod spellings;
mod start;
mod store;
mod template;
