//! The built `callgatectl`, as an operator uses it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod serve;
mod simulator;
