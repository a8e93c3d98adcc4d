//! Where a page of a list ended, as a text that can be in a URL.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callgate::store::item::Key;

use crate::error::Error;

/// The place at which the next page of a list begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The part of the list.
    pub(crate) stage: String,
    /// The last item that was read of this part. `None` for its beginning.
    pub(crate) key: Option<Key>,
    /// The last rule of that item that was listed, as its list and entry, if the item may have more.
    pub(crate) rule: Option<(String, String)>,
}

impl Cursor {
    /// The beginning of a part of the list.
    pub(crate) fn start_of(stage: &str) -> Self {
        Self { stage: stage.to_owned(), key: None, rule: None }
    }
}

/// The cursor as it is in a URL.
type Parts = (String, Option<(String, String)>, Option<(String, String)>);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, key, rule } = self;
        let parts: Parts = (stage.clone(), key.clone().map(|Key { pk, sk }| (pk, sk)), rule.clone());
        let json = serde_json::to_vec(&parts).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice::<Parts>(&json).ok());
        let (stage, key, rule) = parts.ok_or_else(|| {
            Error::InvalidInput(format!("`{text}` is not the beginning of a page; go back to the first page"))
        })?;
        Ok(Self { stage, key: key.map(|(pk, sk)| Key { pk, sk }), rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_from_a_url() {
        let key = Key { pk: "PARTY#a%23b#<i>/ \u{202e}".to_owned(), sk: "CALLER#?&+=%".to_owned() };
        for cursor in [
            Cursor { stage: "table".to_owned(), key: None, rule: None },
            Cursor { stage: "table".to_owned(), key: Some(key.clone()), rule: None },
            Cursor { stage: String::new(), key: Some(key), rule: Some(("incoming".to_owned(), "+7*".to_owned())) },
        ] {
            let text = cursor.to_string();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
            assert_eq!(text.parse::<Cursor>().ok(), Some(cursor));
        }
        for text in ["", "x", "!", "bnVsbA", "W10", "eyJhIjoxfQ"] {
            assert!(matches!(text.parse::<Cursor>(), Err(Error::InvalidInput(_))), "{text}");
        }
    }
}
