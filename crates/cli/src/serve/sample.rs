//! Sample permissions to try the hook with, around the call of WCS's own documentation: PPP009 to PPP005.

use anyhow::Context as _;
use dynoxide::Database;
use dynoxide::actions::batch_write_item::BatchWriteItemRequest;

/// The app the samples are in.
pub(crate) const APP: &str = "defaultApp";

/// The items, as `aws dynamodb batch-write-item --request-items` takes them.
const ITEMS: &str = include_str!("../../../events/permissions.json");

/// What the samples permit and refuse, in the words of the operator.
pub(crate) const IN_WORDS: &str = "\
    deny  +881* to *              nobody with such a number gets through to anybody
    allow PPP009 to PPP005        one caller, one callee
    deny  * to PPP005             ... who takes calls from nobody else
    allow PPP00* to PPP001        a group may call one callee
    allow PPP002 to *             one caller may call everybody
    allow PPP009 to PPP003        with sound only (--media audio)
    allow * to PPP004             everybody may call one callee
    deny  anonymous to PPP004     ... but who withholds the number
    allow +7* to +74951234567     numbers match however they are written
    PPP007 is suspended           neither calls nor is called";

/// Writes the samples.
pub(crate) fn seed(database: &Database) -> anyhow::Result<()> {
    let request_items = serde_json::from_str(ITEMS).context("the samples are broken")?;
    database.batch_write_item(BatchWriteItemRequest { request_items, ..Default::default() })?;
    Ok(())
}
