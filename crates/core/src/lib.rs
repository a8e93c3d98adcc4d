//! callgate's decision: may this caller call this callee?
//!
//! A call is checked at four doors: the app's two, the caller's and the callee's. It goes through if no door denies it and at
//! least one allows it. [`decide`] computes this from the call, the permissions and the time; [`trace`] explains it rule by
//! rule. This crate does no I/O, writes no log and reads no clock.

mod decide;
mod hours;
mod id;
mod pattern;
mod permissions;
mod phone;
pub mod text;
mod trace;
mod uri;

pub use decide::{Applicability, Decision, Door, InvalidRecord, RecordLocation, RuleKey, decide};
pub use hours::{Hours, HoursError, Window};
pub use id::{AppKey, IdError, PartyId};
pub use pattern::{Pattern, PatternError, is_group_name};
pub use permissions::{
    App, Block, Effect, Groups, MediaSet, ParseError, ParsedItem, Party, Permissions, Rule, Rules, Status, excerpt,
    has_expired,
};
pub use phone::{PhoneRegion, PhoneRegionError};
pub use trace::{EvaluatedRule, Trace, trace};

/// A call to decide: may `caller` call `callee` inside `app`, with these media?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The app both parties belong to.
    pub app: AppKey,
    /// The calling party.
    pub caller: PartyId,
    /// The called party.
    pub callee: PartyId,
    /// The media of the call.
    pub media: MediaSet,
}

/// Seconds since 1970-01-01T00:00:00Z.
pub type EpochSeconds = i64;
