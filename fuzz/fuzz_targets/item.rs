//! Any item either is rejected, or gives a rule, an app and a party that do not change when written and read again.
#![no_main]

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, read_app, read_party, read_rule, write_app, write_party, write_rule};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Converts JSON to a DynamoDB attribute. An array of strings becomes a set.
fn attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            AttributeValue::Ss(items.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
        }
        Value::Array(items) => AttributeValue::L(items.into_iter().map(attribute).collect()),
        Value::Object(map) => {
            AttributeValue::M(map.into_iter().map(|(name, value)| (name, attribute(value))).collect())
        }
    }
}

fuzz_target!(|text: &str| {
    let Ok(Value::Object(item)) = serde_json::from_str(text) else { return };
    let item: Attributes = item.into_iter().map(|(name, value)| (name, attribute(value))).collect();
    // What was read is compared, not the attributes, because sets have no order and an empty set cannot be stored. An app or a
    // party with a rule that could not be parsed cannot be written.
    if let Ok(app) = read_app(item.clone()) {
        if let Ok(written) = write_app(&app) {
            assert_eq!(read_app(written), Ok(app));
        }
    }
    if let Ok(party) = read_party(item.clone()) {
        if let Ok(written) = write_party(&party) {
            assert_eq!(read_party(written), Ok(party));
        }
    }
    if let Ok(rule) = read_rule(item) {
        assert_eq!(read_rule(write_rule(&rule)), Ok(rule));
    }
});
