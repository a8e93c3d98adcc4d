//! The size of items, as DynamoDB counts it (Amazon DynamoDB Developer Guide, "Item sizes and formats").

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::Attributes;

/// The most bytes of an item.
pub(crate) const MAX_ITEM_BYTES: usize = 400 * 1024;

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
