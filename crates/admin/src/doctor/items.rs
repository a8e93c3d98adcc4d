//! What an item as a whole tells.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, EXPIRES_AT, PK, SK};
use callgate_core::ParseError;

use super::Doctor;
use super::finding::{Finding, Place, delete_command, item_command, key_of, remove_attribute_command};
use crate::items::{ItemKind, keys};

/// A strongly consistent read costs one unit for each of these.
const UNIT_BYTES: usize = 4 * 1024;

/// Every attribute that some item has.
const KNOWN: [&str; 8] = [PK, SK, "status", "callers", "incoming", "outgoing", "note", EXPIRES_AT];

impl Doctor {
    pub(super) fn foreign(&mut self, item: &Attributes) {
        let name = keys(item).map_or_else(|| "an item".to_owned(), |(pk, sk)| format!("item `{pk}`, `{sk}`"));
        self.find(Finding::new(
            "foreign_item",
            &Place { app: String::new(), name },
            "its key is none of callgate's",
            "the function never reads it; a rule in it has no effect",
            Some(delete_command(&self.table.name, item)),
        ));
    }

    pub(super) fn item(&mut self, named: &ItemKind, item: &Attributes) {
        self.size(named, item);
        match named {
            ItemKind::App(app) => {
                let found = item::read_app(item.clone());
                self.whole(named, found.as_ref().err());
                self.attributes(named, item, &["callers"]);
                self.apps.insert(app.clone(), found.map(Some));
            }
            ItemKind::Party(app, id) => {
                let found = item::read_party(item.clone());
                self.whole(named, found.as_ref().err());
                self.attributes(named, item, &["incoming", "outgoing", EXPIRES_AT]);
                let place = Place::item(named);
                self.reachable(&place, id, Some(delete_command(&self.table.name, item)));
                self.ids.entry(app.clone()).or_default().insert(id.clone());
                if let (Ok(party), Some(stored)) = (&found, item.get(EXPIRES_AT))
                    && let Some(at) = party.expires_at
                {
                    let why = "the party counts as absent: its rules and its suspension have no effect";
                    self.expiry(&place, key_of(item), None, stored, at, why);
                }
                self.parties.insert((app.clone(), id.clone()), found.map(Some));
            }
            ItemKind::Pair(app, callee, caller) => {
                self.ids.entry(app.clone()).or_default().extend([callee.clone(), caller.clone()]);
            }
        }
    }

    /// An item that cannot be understood as a whole refuses every call it is read for.
    fn whole(&mut self, named: &ItemKind, fault: Option<&ParseError>) {
        let Some(ParseError(what)) = fault else { return };
        self.find(Finding::new(
            "invalid_record",
            &Place::item(named),
            what,
            "the function refuses every call it reads this item for, as `invalid_record`",
            Some(format!("{}, if its status is what is wrong", item_command("resume", named))),
        ));
    }

    fn attributes(&mut self, named: &ItemKind, item: &Attributes, own: &[&str]) {
        let common = [PK, SK, "status", "note"];
        for name in item.keys().filter(|name| !common.contains(&name.as_str()) && !own.contains(&name.as_str())) {
            let why = if name == EXPIRES_AT {
                "DynamoDB deletes the whole item at that moment, rules and suspension included"
            } else if KNOWN.contains(&name.as_str()) {
                "the function ignores it here: such rules belong to another item"
            } else {
                "the function ignores it; a misspelt name looks like this"
            };
            self.find(Finding::new(
                "unknown_attribute",
                &Place::item(named),
                format!("`{name}` is no attribute of such an item"),
                why,
                Some(remove_attribute_command(&self.table.name, item, name)),
            ));
        }
    }

    fn size(&mut self, named: &ItemKind, item: &Attributes) {
        let bytes: usize = item.iter().map(|(name, value)| name.len() + bytes_of(value)).sum();
        let units = bytes.div_ceil(UNIT_BYTES);
        if units > 1 {
            self.find(Finding::new(
                "too_big",
                &Place::item(named),
                format!("it is about {} KB long", bytes.div_ceil(1024)),
                format!(
                    "every call that reads it costs {units} read units instead of 1; DynamoDB takes 400 KB at most"
                ),
                Some(format!("{}, then revoke rules that a shorter prefix can say", item_command("show", named))),
            ));
        }
    }
}

/// Roughly what `DynamoDB` counts, `DynamoDB` Developer Guide, "Item sizes and formats".
fn bytes_of(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().div_ceil(2) + 1,
        AttributeValue::B(blob) => blob.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number.len().div_ceil(2) + 1).sum(),
        AttributeValue::Bs(blobs) => blobs.iter().map(|blob| blob.as_ref().len()).sum(),
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + bytes_of(value)).sum::<usize>(),
        AttributeValue::M(map) => 3 + map.iter().map(|(name, value)| 1 + name.len() + bytes_of(value)).sum::<usize>(),
        _ => 1,
    }
}
