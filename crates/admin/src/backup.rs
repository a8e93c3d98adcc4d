//! Backs up every item of the table, whatever it holds, as a file that [`restore`](crate::restore) reads.
//!
//! The first line of the file describes it, the last one has the number of items, so that a file that was cut off is
//! recognised. Each line between has one item, with values in DynamoDB's JSON.

use std::io::Write;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{Error, Result};
use crate::history::is_change;
use crate::item_kind::ItemKind;
use crate::table::Table;
use crate::table::batch::unix_time;
use crate::time;

pub(crate) mod item_json;
pub(crate) mod reader;

/// The version of the format.
pub(crate) const FORMAT: u32 = 1;

/// The first line of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub callgate_backup: u32,
    /// The version of the tool that made the backup.
    pub callgate: String,
    /// The table.
    pub table: String,
    /// When the backup began, as RFC 3339 in UTC. Items that were written later may be in it as they were before or after.
    pub taken_at: String,
}

/// The last line of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// The number of items.
    pub items: u64,
    /// The number of items that are not callgate's, which are not in the backup.
    pub foreign: u64,
    /// When the backup ended.
    pub ended_at: String,
}

impl Table {
    /// Writes every item of callgate's to a file, with several scans at once. Each item is as it was at one moment during the
    /// backup.
    ///
    /// # Errors
    /// Why the table cannot be read, or the error of `out`.
    pub async fn backup<E: From<Error> + From<std::io::Error>>(
        &self,
        out: &mut impl Write,
        segments: u16,
    ) -> Result<(Header, Footer), E> {
        let now = || time::format(unix_time());
        let callgate = env!("CARGO_PKG_VERSION").to_owned();
        let header = Header { callgate_backup: FORMAT, callgate, table: self.name().to_owned(), taken_at: now() };
        let (mut items, mut foreign) = (0, 0);
        let mut pages = self.scan_where(segments, None);
        let mut is_started = false;
        while let Some(page) = pages.recv().await {
            let page = page?;
            // A table that cannot be read leaves nothing in the output.
            if !std::mem::replace(&mut is_started, true) {
                writeln!(out, "{}", json!(header))?;
            }
            for item in page {
                if ItemKind::of(&item).is_none() && !is_change(&item) {
                    foreign += 1;
                    continue;
                }
                items += 1;
                writeln!(out, "{}", json!({"Item": item_json::to_json(&item).map_err(Error::Local)?}))?;
            }
        }
        let footer = Footer { items, foreign, ended_at: now() };
        writeln!(out, "{}", json!(footer))?;
        out.flush()?;
        Ok((header, footer))
    }
}
