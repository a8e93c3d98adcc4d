//! The members of a JSON object, each as the bytes that were received.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// A member of a JSON object, as it was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    key: &'a str,
    /// The value's JSON text, without the white space around it.
    pub(crate) value: &'a str,
}

impl<'a> Member<'a> {
    /// The key's text, or an empty one if the key is not Unicode (a lone surrogate).
    pub(crate) fn name(&self) -> Cow<'a, str> {
        match self.key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) {
            Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
            _ => Cow::Owned(serde_json::from_str(self.key).unwrap_or_default()),
        }
    }
}

/// Calls `visit` for each member of a JSON object, in order and duplicates included.
///
/// The object is checked to its end, but the values are not parsed: numbers of any size, lone surrogates and any depth
/// of nesting are accepted.
///
/// # Errors
/// When `object` is not a JSON object; otherwise the first error of `visit`.
pub(crate) fn for_each_member<'a, E: From<serde_json::Error>>(
    object: &'a str,
    visit: impl FnMut(Member<'a>) -> Result<(), E>,
) -> Result<(), E> {
    struct Members<F>(F);

    impl<'de, E, F: FnMut(Member<'de>) -> Result<(), E>> Visitor<'de> for Members<F> {
        type Value = Result<(), E>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut outcome = Ok(());
            while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                outcome = outcome.and_then(|()| (self.0)(Member { key: key.get(), value: value.get() }));
            }
            Ok(outcome)
        }
    }

    let mut json = serde_json::Deserializer::from_str(object);
    json.deserialize_map(Members(visit)).and_then(|outcome| json.end().map(|()| outcome))?
}
