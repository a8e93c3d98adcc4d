//! The clock of the commands. Most of the library code takes the time as an argument.

use std::time::SystemTime;

use callgate::handler::epoch_seconds;
use callgate_core::EpochSeconds;

/// The current time.
pub(crate) fn now() -> EpochSeconds {
    epoch_seconds(SystemTime::now())
}
