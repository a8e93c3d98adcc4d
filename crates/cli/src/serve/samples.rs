//! Sample permissions to try the hook with, around the call in WCS's documentation: PPP009 to PPP005.

use anyhow::Context as _;
use dynoxide::Database;
use dynoxide::actions::batch_write_item::BatchWriteItemRequest;

/// The app of the samples.
pub(crate) const APP: &str = "defaultApp";

/// Caller and callee of a call that the samples permit.
pub(crate) const PERMITTED: (&str, &str) = ("PPP009", "PPP005");

/// Caller and callee of a call that the samples refuse.
pub(crate) const REFUSED: (&str, &str) = ("PPP009", "PPP006");

/// The items, in the form that `aws dynamodb batch-write-item --request-items` takes.
const ITEMS: &str = include_str!("../../../../events/permissions.json");

/// The samples, for people.
pub(crate) const TEXT: &str = "\
    deny  +881* to *              satellite numbers may not call anyone
    deny  * to +882*              no one may call international premium numbers
    allow PPP009 to PPP005        one caller, one callee
    deny  * to PPP005             no one else may call that callee
    allow PPP00* to PPP001        a range of callers, one callee
    allow PPP002 to *             one caller may call everyone
    allow PPP009 to PPP003        audio calls only (--media audio)
    allow * to PPP004             everyone may call one callee,
    deny  anonymous to PPP004     except callers that withhold their number
    deny  PPP006 to PPP004        disabled, so it has no effect
    allow @sales to PPP011        a group of callers: PPP012 is in @sales
    allow +7* to +74951234567     numbers match in any spelling
    block +15550100199            may not call anyone
    PPP007 is suspended           may neither call nor be called";

/// Writes the samples.
pub(crate) fn write(database: &Database) -> anyhow::Result<()> {
    let request_items = serde_json::from_str(ITEMS).context("the samples are not valid")?;
    database.batch_write_item(BatchWriteItemRequest { request_items, ..Default::default() })?;
    Ok(())
}
