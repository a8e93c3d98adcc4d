//! A simulation of WCS: the hooks that it sends during a session, and what it does with the answers.
//!
//! It follows the published documentation of WCS 5.2, "REST Hooks". It was not compared with a live WCS.

mod answer;
mod events;
mod session;
pub(crate) mod setup;

pub(crate) use session::{ConnectSource, PlannedCall, PlayedHook, Session, Wcs};

/// A browser wants to call out.
const CALL: &str = "call";
/// A SIP call comes in.
const ON_CALL_EVENT: &str = "OnCallEvent";
/// A stream is being published.
const STREAM_KEEP_ALIVE_EVENT: &str = "StreamKeepAliveEvent";
