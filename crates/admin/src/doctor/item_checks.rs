//! Checks of an item as a whole: `foreign_item`, `invalid_record`, `unknown_attribute`, `too_big`.

use callgate::store::item::{self, Attributes, EXPIRES_AT, PK, SK};
use callgate_core::{Block, ParseError, Party};

use super::Inspector;
use super::commands::{delete_item_command, item_command, key_of, remove_attribute_command};
use super::finding::{Finding, FindingKind, Location};
use super::fix::Action;
use crate::item_kind::{ItemKind, keys};
use crate::stored_rule::BLOCKED;
use crate::table::Table;
use crate::table::items::is_empty;
use crate::table::size::{size_of_entry, size_of_item};
use crate::wording::count;

/// A strongly consistent read costs one read unit for each of these.
const READ_UNIT_BYTES: usize = 4 * 1024;

/// The attributes of both apps and parties.
const COMMON_ATTRIBUTES: [&str; 4] = [PK, SK, "status", "note"];
/// The other attributes of an app.
const APP_ATTRIBUTES: [&str; 2] = ["callers", "destinations"];
/// The other attributes of a party.
const PARTY_ATTRIBUTES: [&str; 5] = ["incoming", "outgoing", "groups", "blocked", EXPIRES_AT];

/// An item whose key is not one of callgate's.
pub(super) fn foreign_item(table: &Table, item: &Attributes) -> Finding {
    let text = keys(item).map_or_else(|| "an item".to_owned(), |(pk, sk)| format!("item `{pk}`, `{sk}`"));
    Finding::new(
        FindingKind::ForeignItem,
        &Location::outside_apps(text),
        "its key is not one of callgate's",
        "the function never reads it, so nothing in it has an effect",
    )
    .with_command(delete_item_command(table.name(), &key_of(item)))
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
                if let Ok(party) = &parsed
                    && let Some(at) = party.expires_at
                {
                    let why = "the party counts as absent: its rules and its status have no effect";
                    let finding =
                        self.check_expiry(&Location::item(kind), at, why, &item_command("show", kind), || {
                            Action::Delete(item.clone())
                        });
                    self.findings.extend(finding);
                }
                if let Ok(Party { blocked: Some(Block { expires_at: Some(at), .. }), .. }) = &parsed
                    && let Some(block) = item.get(BLOCKED)
                {
                    let why = "the party is not blocked any more, and DynamoDB never deletes a part of an item";
                    let finding =
                        self.check_expiry(&Location::block(app, id), *at, why, &item_command("show", kind), || {
                            Action::RemoveAttribute(key_of(item), BLOCKED, block.clone())
                        });
                    self.findings.extend(finding);
                }
                // An item that is only left over does not make the party a known one.
                if !is_empty(item, self.now) {
                    self.contents.add_party(app, id, parsed);
                }
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
    )
    .with_advice(format!(
        "{}; once it is repaired, its rules decide again. If only the status is wrong, {} repairs it",
        item_command("show", kind),
        item_command("resume", kind)
    ))
}

fn unknown_attribute(table: &Table, kind: &ItemKind, item: &Attributes, name: &str) -> Finding {
    let why = if name == EXPIRES_AT {
        "DynamoDB deletes the whole item at that moment, with its rules and its status"
    } else if APP_ATTRIBUTES.contains(&name) || PARTY_ATTRIBUTES.contains(&name) {
        "the function ignores it here, because such rules belong to another item"
    } else {
        "the function ignores it; the name may be misspelt"
    };
    let what = format!("`{name}` is not an attribute of such an item");
    let finding = Finding::new(FindingKind::UnknownAttribute, &Location::item(kind), what, why);
    if name != EXPIRES_AT && is_ignored(kind, item, name) {
        finding.with_command(remove_attribute_command(table.name(), &key_of(item), name))
    } else {
        finding.with_advice(format!("{}; removing the attribute may change answers", item_command("show", kind)))
    }
}

/// Whether the function reads an item with only this attribute as it reads an empty one.
fn is_ignored(kind: &ItemKind, item: &Attributes, name: &str) -> bool {
    let only: Attributes =
        item.get_key_value(name).map(|(name, value)| (name.clone(), value.clone())).into_iter().collect();
    match kind {
        ItemKind::App(_) => item::read_app(only) == item::read_app(Attributes::new()),
        ItemKind::Party(..) => item::read_party(only) == item::read_party(Attributes::new()),
        ItemKind::Pair(..) => false,
    }
}

/// The list that makes an item big, in words.
fn largest_list(item: &Attributes) -> String {
    let lists = item.iter().filter_map(|(name, value)| {
        let rules = value.as_m().ok()?;
        let bytes: usize = rules.iter().map(|(entry, rule)| size_of_entry(entry, rule)).sum();
        Some((bytes, name, rules.len()))
    });
    lists.max().map_or_else(String::new, |(_, name, rules)| {
        format!(", most of it in `{name}` with {}", count(rules as u64, "rule"))
    })
}

fn too_big(kind: &ItemKind, item: &Attributes) -> Option<Finding> {
    let bytes = size_of_item(item);
    let units = bytes.div_ceil(READ_UNIT_BYTES);
    (units > 1).then(|| {
        Finding::new(
            FindingKind::TooBig,
            &Location::item(kind),
            format!("its size is about {} KB{}", bytes.div_ceil(1024), largest_list(item)),
            format!("every call that reads it costs {units} read units instead of 1; DynamoDB allows at most 400 KB"),
        )
        .with_advice(format!("{}; one rule with a shorter prefix may replace several", item_command("show", kind)))
    })
}
