//! callgate answers one question for a Flashphoner Web Call Server: may this call go through?
//!
//! The library is the Lambda function without its start-up, so that the operator's tool can run the very same
//! hook on a laptop. [`handler`] is the way in.

pub mod authentication;
pub mod config;
pub mod event;
pub mod handler;
pub mod http;
pub mod log;
pub mod store;
