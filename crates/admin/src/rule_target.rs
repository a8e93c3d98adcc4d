//! The callers and callees of a rule, and where in the table it is stored.

use callgate::store::item::{Attributes, Key};
use callgate_core::{AppKey, DialPlan, PartyId, Pattern};

use crate::error::{Error, Result};

/// The callers and callees that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTarget {
    /// The app that they belong to.
    pub app: AppKey,
    /// The callers.
    pub from: Pattern,
    /// The callees.
    pub to: Pattern,
}

/// The item that holds a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleOwner {
    /// The app's item: door `app`.
    App,
    /// The caller's item: door `caller`.
    Caller(PartyId),
    /// The callee's item: door `callee`.
    Callee(PartyId),
    /// An item of its own, for caller and callee: doors `caller` and `callee`.
    Pair(PartyId, PartyId),
}

/// Where a rule is stored: an item and, if the item has lists, the list and the key of the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleLocation {
    /// The item's key.
    pub key: Key,
    /// The list (`callers`, `incoming` or `outgoing`) and the entry's key. `None` for a pair item.
    pub entry: Option<(&'static str, String)>,
}

impl RuleTarget {
    /// The item that a rule with this target belongs to.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a rule from a pattern to a prefix: no item can hold it.
    pub fn owner(&self) -> Result<RuleOwner> {
        let id = |text: &str| {
            // A canonical id stays as it is under any dial plan.
            PartyId::new(text, &DialPlan::default()).map_err(|error| Error::InvalidInput(format!("`{text}` {error}")))
        };
        Ok(match (&self.from, &self.to) {
            (Pattern::Exact(caller), Pattern::Exact(callee)) => RuleOwner::Pair(id(caller)?, id(callee)?),
            (_, Pattern::Exact(callee)) => RuleOwner::Callee(id(callee)?),
            (Pattern::Exact(caller), _) => RuleOwner::Caller(id(caller)?),
            (_, Pattern::Everyone) => RuleOwner::App,
            (from, to) => {
                return Err(Error::InvalidInput(format!(
                    "`{from}` to `{to}` are two patterns; a rule from a pattern must go to one party or to `*`, and a \
                     rule to a prefix must come from one party: write one rule for each party"
                )));
            }
        })
    }

    /// Where a rule with this target is stored.
    ///
    /// # Errors
    /// As for [`Self::owner`].
    pub fn location(&self) -> Result<RuleLocation> {
        Ok(self.location_in(&self.owner()?))
    }

    /// Where a rule with this target is stored in the item of its owner.
    #[must_use]
    pub fn location_in(&self, owner: &RuleOwner) -> RuleLocation {
        let app = &self.app;
        match owner {
            RuleOwner::App => RuleLocation { key: Key::app(app), entry: Some(("callers", self.from.to_string())) },
            RuleOwner::Caller(id) => {
                RuleLocation { key: Key::party(app, id), entry: Some(("outgoing", self.to.to_string())) }
            }
            RuleOwner::Callee(id) => {
                RuleLocation { key: Key::party(app, id), entry: Some(("incoming", self.from.to_string())) }
            }
            RuleOwner::Pair(caller, callee) => RuleLocation { key: Key::pair(app, caller, callee), entry: None },
        }
    }

    /// Whether the rule matches more than one caller or callee.
    #[must_use]
    pub fn has_pattern(&self) -> bool {
        !matches!((&self.from, &self.to), (Pattern::Exact(_), Pattern::Exact(_)))
    }
}

impl RuleOwner {
    /// The caller and the callee, if the rule names them.
    pub(crate) fn parties(&self) -> (Option<&PartyId>, Option<&PartyId>) {
        match self {
            Self::App => (None, None),
            Self::Caller(caller) => (Some(caller), None),
            Self::Callee(callee) => (None, Some(callee)),
            Self::Pair(caller, callee) => (Some(caller), Some(callee)),
        }
    }
}

impl RuleLocation {
    /// The locations at which a rule between exactly these texts may be stored, even if no call can match it.
    #[must_use]
    pub fn literal(app: &AppKey, from: &str, to: &str) -> Vec<Self> {
        let app_key = Key::app(app);
        let party = |id: &str| {
            let app = app_key.pk.strip_prefix("APP#").unwrap_or_default();
            Key { pk: format!("PARTY#{app}#{id}"), sk: "PARTY".to_owned() }
        };
        let outgoing = Self { key: party(from), entry: Some(("outgoing", to.to_owned())) };
        let incoming = Self { key: party(to), entry: Some(("incoming", from.to_owned())) };
        match (from.ends_with('*'), to.ends_with('*')) {
            (true, true) => vec![Self { key: app_key, entry: Some(("callers", from.to_owned())) }],
            (true, false) => vec![incoming],
            (false, true) => vec![outgoing],
            (false, false) => {
                vec![Self { key: Key { sk: format!("CALLER#{from}"), ..party(to) }, entry: None }, incoming, outgoing]
            }
        }
    }

    /// The entry at this location, in the item as it was read.
    pub(crate) fn entry_of<'a>(
        &self,
        item: Option<&'a Attributes>,
    ) -> Option<&'a aws_sdk_dynamodb::types::AttributeValue> {
        let (list, entry) = self.entry.as_ref()?;
        item?.get(*list)?.as_m().ok()?.get(entry)
    }
}
