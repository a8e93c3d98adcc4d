//! Checks of an item as a whole: `foreign_item`, `invalid_record`, `unknown_attribute`, `too_big`.

use callgate::store::item::{self, Attributes, EXPIRES_AT, PK, SK};
use callgate_core::ParseError;

use super::Inspector;
use super::commands::{delete_item_command, item_command, key_of, remove_attribute_command};
use super::finding::{Finding, FindingKind, Location};
use crate::item_kind::{ItemKind, keys};
use crate::rule_target::RuleLocation;
use crate::table::Table;
use crate::table::size::size_of_item;

/// A strongly consistent read costs one read unit for each of these.
const READ_UNIT_BYTES: usize = 4 * 1024;

/// The attributes of both apps and parties.
const COMMON_ATTRIBUTES: [&str; 4] = [PK, SK, "status", "note"];
/// The other attributes of an app.
const APP_ATTRIBUTES: [&str; 1] = ["callers"];
/// The other attributes of a party.
const PARTY_ATTRIBUTES: [&str; 3] = ["incoming", "outgoing", EXPIRES_AT];

/// An item whose key is not one of callgate's.
pub(super) fn foreign_item(table: &Table, item: &Attributes) -> Finding {
    let text = keys(item).map_or_else(|| "an item".to_owned(), |(pk, sk)| format!("item `{pk}`, `{sk}`"));
    Finding::new(
        FindingKind::ForeignItem,
        &Location::outside_apps(text),
        "its key is not one of callgate's",
        "the function never reads it, so nothing in it has an effect",
        Some(delete_item_command(table.name(), item)),
    )
}

impl Inspector<'_> {
    /// Checks an item, but not the rules in it.
    pub(super) fn check_item(&mut self, kind: &ItemKind, item: &Attributes) {
        self.findings.extend(too_big(kind, item));
        match kind {
            ItemKind::App(app) => {
                let parsed = item::read_app(item.clone());
                self.findings.extend(parsed.as_ref().err().map(|error| invalid_item(kind, error)));
                self.check_attributes(kind, item, &APP_ATTRIBUTES);
                self.contents.add_app(app, parsed);
            }
            ItemKind::Party(app, id) => {
                let parsed = item::read_party(item.clone());
                self.findings.extend(parsed.as_ref().err().map(|error| invalid_item(kind, error)));
                self.check_attributes(kind, item, &PARTY_ATTRIBUTES);
                self.findings.extend(self.unreachable_party(kind, id, item));
                if let (Ok(party), Some(stored)) = (&parsed, item.get(EXPIRES_AT))
                    && let Some(at) = party.expires_at
                {
                    let location = RuleLocation { key: key_of(item), entry: None };
                    let why = "the party counts as absent: its rules and its status have no effect";
                    self.findings.extend(self.check_expiry(&Location::item(kind), location, stored, at, why));
                }
                self.contents.add_party(app, id, parsed);
            }
            ItemKind::Pair(app, callee, caller) => self.contents.add_pair(app, caller, callee),
        }
    }

    fn check_attributes(&mut self, kind: &ItemKind, item: &Attributes, own: &[&str]) {
        let is_known = |name: &str| COMMON_ATTRIBUTES.contains(&name) || own.contains(&name);
        let unknown = item.keys().map(String::as_str).filter(|name| !is_known(name));
        self.findings.extend(unknown.map(|name| unknown_attribute(self.table, kind, item, name)));
    }
}

/// An item that cannot be parsed as a whole, so that every call that reads it is refused.
fn invalid_item(kind: &ItemKind, error: &ParseError) -> Finding {
    let ParseError(what) = error;
    Finding::new(
        FindingKind::InvalidRecord,
        &Location::item(kind),
        what,
        "every call that reads this item is refused with reason `invalid_record`",
        Some(format!("{}, if only the status is wrong", item_command("resume", kind))),
    )
}

fn unknown_attribute(table: &Table, kind: &ItemKind, item: &Attributes, name: &str) -> Finding {
    let why = if name == EXPIRES_AT {
        "DynamoDB deletes the whole item at that moment, with its rules and its status"
    } else if APP_ATTRIBUTES.contains(&name) || PARTY_ATTRIBUTES.contains(&name) {
        "the function ignores it here, because such rules belong to another item"
    } else {
        "the function ignores it; the name may be misspelt"
    };
    Finding::new(
        FindingKind::UnknownAttribute,
        &Location::item(kind),
        format!("`{name}` is not an attribute of such an item"),
        why,
        Some(remove_attribute_command(table.name(), item, name)),
    )
}

fn too_big(kind: &ItemKind, item: &Attributes) -> Option<Finding> {
    let bytes = size_of_item(item);
    let units = bytes.div_ceil(READ_UNIT_BYTES);
    (units > 1).then(|| {
        Finding::new(
            FindingKind::TooBig,
            &Location::item(kind),
            format!("its size is about {} KB", bytes.div_ceil(1024)),
            format!("every call that reads it costs {units} read units instead of 1; DynamoDB allows at most 400 KB"),
            Some(format!("{}, then replace rules by one with a shorter prefix", item_command("show", kind))),
        )
    })
}
