//! The kind of an item, parsed from its key.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, Key, PK, SK};
use callgate_core::{AppKey, PartyId, PhoneRegion};

use crate::wording::escape;

/// The kind of an item, with the app and the parties that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemKind {
    /// An app's item.
    App(String),
    /// A party's item: app and id.
    Party(String, String),
    /// A rule between two parties: app, callee and caller.
    Pair(String, String, String),
}

impl ItemKind {
    /// Parses an item's key. `None` when it is not one of callgate's.
    #[must_use]
    pub fn of(item: &Attributes) -> Option<Self> {
        let (pk, sk) = keys(item)?;
        if let Some(app) = pk.strip_prefix("APP#") {
            return (sk == "APP").then(|| unescape(app)).flatten().map(Self::App);
        }
        let (app, id) = pk.strip_prefix("PARTY#")?.split_once('#')?;
        let (app, id) = (unescape(app)?, id.to_owned());
        match sk.strip_prefix("CALLER#") {
            Some(caller) => Some(Self::Pair(app, id, caller.to_owned())),
            None => (sk == "PARTY").then_some(Self::Party(app, id)),
        }
    }

    /// The key of its app.
    #[must_use]
    pub fn app(&self) -> &str {
        let (Self::App(app) | Self::Party(app, _) | Self::Pair(app, ..)) = self;
        app
    }
}

/// The item for people: ``party `PPP005` of app `shop` ``.
impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(app) => write!(f, "app `{}`", escape(app)),
            Self::Party(app, id) => write!(f, "party `{}` of app `{}`", escape(id), escape(app)),
            Self::Pair(app, callee, caller) => {
                write!(f, "the rule from `{}` to `{}` of app `{}`", escape(caller), escape(callee), escape(app))
            }
        }
    }
}

/// The partition key and the sort key of an item, if both are strings.
pub(crate) fn keys(item: &Attributes) -> Option<(&str, &str)> {
    let text = |name| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).map(String::as_str);
    Some((text(PK)?, text(SK)?))
}

/// The key of an item, if it has one.
pub(crate) fn key_of(item: &Attributes) -> Option<Key> {
    keys(item).map(|(pk, sk)| Key { pk: pk.to_owned(), sk: sk.to_owned() })
}

/// The key of the pair item of two parties as they are stored, even if no call has such ids.
pub(crate) fn pair_key(app: &str, caller: &str, callee: &str) -> Key {
    Key { sk: format!("CALLER#{caller}"), ..party_key(app, callee) }
}

/// The key of a party's item as it is stored, even if no call has such an id.
pub(crate) fn party_key(app: &str, id: &str) -> Key {
    let pk = AppKey::new(app).map(|app| Key::app(&app).pk).unwrap_or_default();
    let app = pk.strip_prefix("APP#").unwrap_or_default();
    Key { pk: format!("PARTY#{app}#{id}"), sk: "PARTY".to_owned() }
}

/// The app's key in a partition key, if it is escaped as the function escapes it.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let app = text.replace("%23", "#").replace("%25", "%");
    let key = AppKey::new(&app).ok().filter(|key| key.as_str() == app)?;
    (Key::app(&key).pk.strip_prefix("APP#") == Some(text)).then_some(app)
}

/// The id in a stored key, if it is canonical in this region, so that the function can look it up.
pub(crate) fn canonical_id(id: &str, region: Option<PhoneRegion>) -> Option<PartyId> {
    PartyId::new(id, region).ok().filter(|party| party.as_str() == id)
}
