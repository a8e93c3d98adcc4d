//! Items in DynamoDB's JSON (Amazon DynamoDB Developer Guide, "DynamoDB low-level API"), which loses nothing.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callgate::store::item::Attributes;
use serde_json::{Map, Value, json};

/// An item as JSON. Sets are sorted, because they are stored in no order, so equal items have equal JSON.
///
/// # Errors
/// The name of an attribute whose type this version does not have.
pub(crate) fn to_json(item: &Attributes) -> Result<Value, String> {
    let members = item.iter().map(|(name, value)| Ok((name.clone(), value_to_json(name, value)?)));
    members.collect::<Result<Map<_, _>, String>>().map(Value::Object)
}

fn value_to_json(name: &str, value: &AttributeValue) -> Result<Value, String> {
    let sorted = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort_unstable();
        texts
    };
    let base64 = |blob: &Blob| STANDARD.encode(blob.as_ref());
    Ok(match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::B(blob) => json!({"B": base64(blob)}),
        AttributeValue::Bool(flag) => json!({"BOOL": flag}),
        AttributeValue::Null(flag) => json!({"NULL": flag}),
        AttributeValue::Ss(texts) => json!({"SS": sorted(texts)}),
        AttributeValue::Ns(numbers) => json!({"NS": sorted(numbers)}),
        AttributeValue::Bs(blobs) => json!({"BS": sorted(&blobs.iter().map(base64).collect::<Vec<_>>())}),
        AttributeValue::L(values) => {
            let values = values.iter().map(|value| value_to_json(name, value)).collect::<Result<Vec<_>, _>>()?;
            json!({"L": values})
        }
        AttributeValue::M(map) => json!({"M": to_json(map)?}),
        _ => return Err(format!("the attribute `{name}` has a type that this version does not have")),
    })
}

/// A value as JSON on one line, for people.
pub(crate) fn value_text(value: &AttributeValue) -> String {
    value_to_json("", value).map_or_else(|_| "a value of an unknown type".to_owned(), |json| json.to_string())
}

/// The item of [`to_json`].
///
/// # Errors
/// What is wrong with which value.
pub(crate) fn from_json(item: &Value) -> Result<Attributes, String> {
    let members = item.as_object().ok_or("the item is not an object")?;
    members.iter().map(|(name, value)| Ok((name.clone(), value_from_json(name, value)?))).collect()
}

fn value_from_json(name: &str, value: &Value) -> Result<AttributeValue, String> {
    let invalid = || format!("`{name}` has a value that is not DynamoDB's JSON, such as `{{\"S\":\"text\"}}`");
    let mut members = value.as_object().into_iter().flatten();
    let (Some((kind, value)), None) = (members.next(), members.next()) else { return Err(invalid()) };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let blob = |value: &Value| Some(Blob::new(STANDARD.decode(value.as_str()?).ok()?));
    let parsed = match kind.as_str() {
        "S" => text(value).map(AttributeValue::S),
        "N" => text(value).map(AttributeValue::N),
        "B" => blob(value).map(AttributeValue::B),
        "BOOL" => value.as_bool().map(AttributeValue::Bool),
        "NULL" => value.as_bool().map(AttributeValue::Null),
        "SS" => all(value, text).map(AttributeValue::Ss),
        "NS" => all(value, text).map(AttributeValue::Ns),
        "BS" => all(value, blob).map(AttributeValue::Bs),
        "L" => {
            let values = value.as_array().ok_or_else(invalid)?.iter().map(|value| value_from_json(name, value));
            Some(AttributeValue::L(values.collect::<Result<_, _>>()?))
        }
        "M" => Some(AttributeValue::M(from_json(value)?)),
        _ => None,
    };
    parsed.ok_or_else(invalid)
}

/// The elements of a set, which is never empty.
fn all<T>(value: &Value, one: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(one).collect::<Option<Vec<_>>>().filter(|values| !values.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_value_reads_back() {
        let item = json!({
            "s": {"S": ""}, "n": {"N": "-1.5E+20"}, "b": {"B": "AP8="}, "t": {"BOOL": true}, "z": {"NULL": true},
            "ss": {"SS": ["a", "b"]}, "ns": {"NS": ["1", "2"]}, "bs": {"BS": ["AA==", "AQ=="]},
            "l": {"L": [{"M": {}}, {"L": []}, {"S": "x"}]}, "m": {"M": {"a": {"M": {"": {"N": "0"}}}}},
        });
        assert_eq!(to_json(&from_json(&item).unwrap()).unwrap(), item);
        let unsorted = json!({"ss": {"SS": ["b", "a"]}});
        assert_eq!(to_json(&from_json(&unsorted).unwrap()).unwrap(), json!({"ss": {"SS": ["a", "b"]}}));
    }

    #[test]
    fn other_json_is_refused() {
        for value in [
            json!("x"),
            json!({}),
            json!({"S": 1}),
            json!({"S": "a", "N": "1"}),
            json!({"SS": []}),
            json!({"B": "%"}),
            json!({"X": "a"}),
            json!({"L": ["a"]}),
            json!({"M": {"b": 1}}),
        ] {
            assert!(from_json(&json!({"a": value})).is_err(), "{value}");
        }
    }
}
