//! The clock of the commands, and the times that people type. Most of the library code takes the time as an argument.

use std::time::SystemTime;

use callgate::handler::epoch_seconds;
use callgate_admin::time;
use callgate_core::EpochSeconds;

use crate::exit::usage;
use crate::output::print_note;

/// The current time.
pub(crate) fn now() -> EpochSeconds {
    epoch_seconds(SystemTime::now())
}

/// Parses the value of `--at`, or of another option that names a moment.
pub(crate) fn parse_at(text: &str) -> anyhow::Result<EpochSeconds> {
    note_unknown_zone();
    Ok(time::parse(text, now())?)
}

/// Parses the value of `--until`, which is in the future.
pub(crate) fn parse_until(text: &str, now: EpochSeconds) -> anyhow::Result<EpochSeconds> {
    note_unknown_zone();
    let at = time::parse_until(text, now)?;
    if at > now { Ok(at) } else { Err(usage(format!("--until {} is not in the future", time::describe(at)))) }
}

/// Parses the value of `--since`, which is in the past.
pub(crate) fn parse_since(text: &str) -> anyhow::Result<EpochSeconds> {
    note_unknown_zone();
    let now = now();
    let at = time::parse_since(text, now)?;
    if at <= now { Ok(at) } else { Err(usage(format!("--since {} is in the future", time::describe(at)))) }
}

fn note_unknown_zone() {
    if !time::is_zone_known() {
        print_note("the time zone of this machine is not known, so times without a zone are in UTC; TZ can name it");
    }
}
