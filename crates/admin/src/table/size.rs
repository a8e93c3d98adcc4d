//! The size of items, as DynamoDB counts it (Amazon DynamoDB Developer Guide, "Item sizes and formats").

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, Key};

use crate::error::{Error, Result};
use crate::item_kind::ItemKind;
use crate::stored_rule::own_rules_of;
use crate::wording::{count, escape};

/// The most bytes of an item.
pub(crate) const MAX_ITEM_BYTES: usize = 400 * 1024;

/// Checks that an item is not too big with what is added to it: `this rule`, `this block` or `this group`.
///
/// # Errors
/// [`Error::InvalidItem`], with the number of rules that fit.
pub(crate) fn check_size(key: &Key, attributes: &Attributes, addition: &str) -> Result<()> {
    let item: Attributes = key.attributes().into_iter().chain(attributes.clone()).collect();
    let bytes = size_of_item(&item);
    if bytes <= MAX_ITEM_BYTES {
        return Ok(());
    }
    let rules = own_rules_of(&item).unwrap_or_default().len() as u64;
    let fitting = if addition == "this rule" {
        format!("{} would fit without it", count(rules.saturating_sub(1), "rule"))
    } else {
        format!("it holds {} already", count(rules, "rule"))
    };
    Err(too_big(key, bytes as u64, &format!("with {addition}"), &fitting))
}

/// The error of an item that would be too big: when it would be, and how many rules would fit.
pub(crate) fn too_big(key: &Key, bytes: u64, when: &str, fitting: &str) -> Error {
    let item = match ItemKind::of(&key.attributes()) {
        Some(ItemKind::Party(app, id)) => format!("party `{}` of app `{}`", escape(&id), escape(&app)),
        Some(ItemKind::Pair(app, callee, caller)) => {
            format!("the rule from `{}` to `{}` of app `{}`", escape(&caller), escape(&callee), escape(&app))
        }
        Some(ItemKind::App(app)) => format!("app `{}`", escape(&app)),
        None => "an item".to_owned(),
    };
    Error::InvalidItem(format!(
        "{item} would take {} KB {when}, and DynamoDB allows {} KB; {fitting}; nothing was written; write fewer rules there, \
         with shorter prefixes or shorter notes, or remove old rules first",
        bytes.div_ceil(1024),
        MAX_ITEM_BYTES / 1024
    ))
}

/// The approximate size of an item in bytes.
pub(crate) fn size_of_item(item: &Attributes) -> usize {
    item.iter().map(|(name, value)| name.len() + size_of(value)).sum()
}

/// The approximate size of an entry of a map in bytes.
pub(crate) fn size_of_entry(name: &str, value: &AttributeValue) -> usize {
    1 + name.len() + size_of(value)
}

/// The approximate size of a value in bytes.
fn size_of(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().div_ceil(2) + 1,
        AttributeValue::B(blob) => blob.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number.len().div_ceil(2) + 1).sum(),
        AttributeValue::Bs(blobs) => blobs.iter().map(|blob| blob.as_ref().len()).sum(),
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + size_of(value)).sum::<usize>(),
        AttributeValue::M(map) => 3 + map.iter().map(|(name, value)| size_of_entry(name, value)).sum::<usize>(),
        _ => 1,
    }
}
