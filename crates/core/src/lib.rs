//! callgate's decision: may this caller ring this callee?
//!
//! A call passes three doors: the app's, the caller's and the callee's. It goes through when no door denies
//! it and at least one allows it. [`decide`] is that sentence as a function of the call, the records and the
//! time; [`trace`] explains it rule by rule. Nothing here reads, writes, logs or looks at a clock.

mod decide;
mod hours;
mod id;
mod pattern;
mod record;
mod trace;

pub use decide::{Decision, Door, Invalid, Matched, Place, Records, Standing, decide};
pub use hours::{Hours, HoursError, Window};
pub use id::{AppKey, DialPlan, DialPlanError, IdError, PartyId};
pub use pattern::{Pattern, PatternError};
pub use record::{App, Effect, Fault, Found, MediaSet, Party, Rule, Rules, Status, has_expired};
pub use trace::{Considered, Trace, trace};

/// What the event asks: may `caller` ring `callee` inside `app`, with these media?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The app both parties belong to.
    pub app: AppKey,
    /// Who rings.
    pub caller: PartyId,
    /// Who is rung.
    pub callee: PartyId,
    /// What the call carries.
    pub media: MediaSet,
}

/// Seconds since 1970-01-01T00:00:00Z.
pub type EpochSeconds = i64;
