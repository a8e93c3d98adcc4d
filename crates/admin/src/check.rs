//! The permissions of a call, read exactly as the function reads them.

use std::time::{Duration, SystemTime};

use callgate::store::{Lookup, Settings, Store};
use callgate_core::Call;

use crate::error::{Error, Result};
use crate::table::Table;

/// How long the lookup may take. A person waits for it, not a call.
const DEADLINE: Duration = Duration::from_secs(10);

impl Table {
    /// Reads the permissions that decide a call. [`callgate_core::trace`] explains the decision.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn look_up(&self, call: &Call) -> Result<Lookup> {
        let settings = Settings {
            table: self.name().to_owned(),
            strong_reads: true,
            app_cache: Duration::ZERO,
            deadline: DEADLINE,
        };
        let store = Store::new(self.client().clone(), settings);
        match store.look_up(call, SystemTime::now()).await {
            Ok(lookup) => Ok(lookup),
            Err(error) => {
                // The function's error is meant for its log. A missing table, for example, has a clearer one here, if the
                // table may be described.
                match self.check_keys().await {
                    Ok(()) => {}
                    Err(Error::Request { code: Some(code), .. }) if code == "AccessDeniedException" => {}
                    Err(clearer) => return Err(clearer),
                }
                Err(Error::Request {
                    action: "cannot read the permissions".to_owned(),
                    code: None,
                    message: error.to_string(),
                })
            }
        }
    }
}
