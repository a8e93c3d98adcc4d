//! Reads the lines of a backup, and checks that none is missing.

use std::io::{BufRead, BufReader, Read};

use callgate::store::item::Attributes;
use serde_json::Value;

use super::item_json::from_json;
use super::{FORMAT, Footer, Header};
use crate::error::{Error, Result};
use crate::history::is_change;
use crate::item_kind::ItemKind;
use crate::table::size::{MAX_ITEM_BYTES, size_of_item};

/// The longest line, in bytes. The JSON of an item of 400 KB is several times as long.
const MAX_LINE: u64 = 1 << 24;

/// Calls `take` with every item of a backup, with its JSON. Returns the first and the last line.
///
/// # Errors
/// The line and what is wrong with it, or the error of `take`.
pub(crate) fn read(
    source: impl Read,
    mut take: impl FnMut(u64, &Attributes) -> Result<()>,
) -> Result<(Header, Footer)> {
    let mut lines = Lines { source: BufReader::with_capacity(1 << 16, source), number: 0, line: Vec::new() };
    let header = lines.header()?;
    let mut items = 0;
    loop {
        let Some(mut line) = lines.next()? else {
            return Err(Error::Local(format!(
                "the backup is cut off after line {}: it has no last line with the number of items; nothing was \
                 written",
                lines.number
            )));
        };
        let number = lines.number;
        let Some(item) = line.get_mut("Item").map(Value::take) else {
            let footer: Footer = serde_json::from_value(line)
                .map_err(|_| lines.error("is neither an item nor the last line of a backup"))?;
            if footer.items != items {
                return Err(lines.error(format!("counts {} items, but the file has {items}", footer.items)));
            }
            return match lines.next()? {
                None => Ok((header, footer)),
                Some(_) => Err(lines.error("follows the last line of the backup")),
            };
        };
        let item = from_json(&item).map_err(|why| lines.error(format!("cannot be read: {why}")))?;
        if ItemKind::of(&item).is_none() && !is_change(&item) {
            return Err(lines.error("has an item whose key is not one of callgate's"));
        }
        if size_of_item(&item) > MAX_ITEM_BYTES {
            return Err(lines.error("has an item that is larger than the 400 KB that DynamoDB allows"));
        }
        items += 1;
        take(number, &item)?;
    }
}

struct Lines<R> {
    source: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn error(&self, why: impl std::fmt::Display) -> Error {
        Error::Local(format!("line {} {why}; nothing was written", self.number))
    }

    fn next(&mut self) -> Result<Option<Value>> {
        self.line.clear();
        let mut limited = self.source.by_ref().take(MAX_LINE);
        let length = limited.read_until(b'\n', &mut self.line);
        let length = length.map_err(|error| Error::Local(format!("the backup cannot be read: {error}")))?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        if length as u64 == MAX_LINE {
            return Err(self.error(format!("is longer than {MAX_LINE} bytes")));
        }
        // The last line of a file that was cut off has no end.
        if self.line.last() != Some(&b'\n') {
            return Err(self.error("is cut off"));
        }
        serde_json::from_slice(&self.line).map(Some).map_err(|error| self.error(format!("is not JSON: {error}")))
    }

    fn header(&mut self) -> Result<Header> {
        const NO_BACKUP: &str = "is not the first line of a backup, as `callgatectl backup` writes it";
        let not_a_backup = || Error::Local(format!("line 1 {NO_BACKUP}; nothing was written"));
        let line = match self.next() {
            Ok(Some(line)) => line,
            Ok(None) => return Err(Error::Local("the file is empty; nothing was written".to_owned())),
            Err(_) => return Err(not_a_backup()),
        };
        match line.get("callgate_backup").and_then(Value::as_u64) {
            Some(version) if version == u64::from(FORMAT) => serde_json::from_value(line).map_err(|_| not_a_backup()),
            Some(version) => Err(self.error(format!(
                "has format {version}, and this version of callgatectl reads format {FORMAT}; use the version that wrote it"
            ))),
            None => Err(not_a_backup()),
        }
    }
}
