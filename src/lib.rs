//! callgate decides for a Flashphoner Web Call Server whether a call may go through.
//!
//! The library is the Lambda function without its start-up, so that the operator's tool can run the same hook on a
//! laptop. Start reading at [`handler`].

pub mod authentication;
pub mod config;
pub mod event;
pub mod gateway;
pub mod handler;
pub mod hook;
mod json;
pub mod log;
pub mod request;
pub mod response;
pub mod store;

/// The types of requests and responses.
pub use lambda_http;
