//! When WCS sent hooks to this process, and they were answered with 200.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use callgate_core::EpochSeconds;

/// The most hooks that are remembered. The calling side chooses their names.
const MAX_HOOKS: usize = 100;

/// The last time of each hook.
#[derive(Debug, Default)]
pub(crate) struct Activity(Mutex<BTreeMap<String, EpochSeconds>>);

impl Activity {
    /// Remembers a hook that was answered with 200.
    pub(crate) fn answered(&self, hook: &str, at: EpochSeconds) {
        let mut hooks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hooks.len() < MAX_HOOKS || hooks.contains_key(hook) {
            hooks.insert(hook.to_owned(), at);
        }
    }

    /// The hooks with their last times.
    pub(crate) fn hooks(&self) -> BTreeMap<String, EpochSeconds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
