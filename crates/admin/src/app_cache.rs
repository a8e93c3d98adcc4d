//! The app's items that functions keep.

use std::time::Duration;

/// How long a decision that is under way may still use an app's item that is older than the function keeps it.
const DECISION: Duration = Duration::from_secs(2);

/// How old an app's item can be that a function uses, if it keeps the item for `app_cache`.
pub(crate) fn max_age(app_cache: Duration) -> Duration {
    if app_cache.is_zero() { app_cache } else { app_cache + DECISION }
}
