//! The callers and callees of a rule, and where in the table it is stored.

use callgate::store::item::{Attributes, Key};
use callgate_core::{AppKey, Door, PartyId, Pattern};

use crate::error::{Error, Result};
use crate::item_kind::{pair_key, party_key};
use crate::stored_rule::BLOCKED;

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
    /// The app's item: door `destination`.
    Destination,
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
    /// The list (`callers`, `destinations`, `incoming` or `outgoing`) and the entry's key. `None` for a pair item. For the
    /// block of a caller, `blocked` and an empty key.
    pub entry: Option<(&'static str, String)>,
}

impl RuleTarget {
    /// The item that a rule with this target belongs to.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a rule between two patterns, neither of which is `*`: no item can hold it.
    pub fn owner(&self) -> Result<RuleOwner> {
        self.owner_at(None)
    }

    /// The item whose list for this door holds a rule with this target. Without a door, the item that the rule belongs to.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the door has no place for such a rule.
    pub fn owner_at(&self, door: Option<Door>) -> Result<RuleOwner> {
        let id = |text: &str| {
            // A canonical id stays as it is in any region.
            PartyId::new(text, None).map_err(|error| Error::InvalidInput(format!("`{text}` {error}")))
        };
        let misplaced = |text: String| Err(Error::InvalidInput(text));
        Ok(match (door, &self.from, &self.to) {
            (None, Pattern::Exact(caller), Pattern::Exact(callee)) => RuleOwner::Pair(id(caller)?, id(callee)?),
            (None | Some(Door::Callee), _, Pattern::Exact(callee)) => RuleOwner::Callee(id(callee)?),
            (None | Some(Door::Caller), Pattern::Exact(caller), _) => RuleOwner::Caller(id(caller)?),
            (None | Some(Door::App), _, Pattern::Everyone) => RuleOwner::App,
            (None | Some(Door::Destination), Pattern::Everyone, _) => RuleOwner::Destination,
            (None, from, to) => {
                return misplaced(format!(
                    "`{from}` to `{to}` are two patterns, and one call has to pass several doors: write one rule from \
                     `{from}` to `*` and one from `*` to `{to}`, or one rule for each party"
                ));
            }
            (Some(Door::App), _, to) => return misplaced(format!("a rule of door `app` goes to `*`, not to `{to}`")),
            (Some(Door::Destination), from, _) => {
                return misplaced(format!("a rule of door `destination` comes from `*`, not from `{from}`"));
            }
            (Some(Door::Caller), from, _) => {
                return misplaced(format!("a rule of door `caller` comes from one party, not from `{from}`"));
            }
            (Some(Door::Callee), _, to) => {
                return misplaced(format!("a rule of door `callee` goes to one party, not to `{to}`"));
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
            RuleOwner::Destination => {
                RuleLocation { key: Key::app(app), entry: Some(("destinations", self.to.to_string())) }
            }
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
            Self::App | Self::Destination => (None, None),
            Self::Caller(caller) => (Some(caller), None),
            Self::Callee(callee) => (None, Some(callee)),
            Self::Pair(caller, callee) => (Some(caller), Some(callee)),
        }
    }
}

impl RuleLocation {
    /// The location of a rule between exactly these texts, even if no call can match them. Without a door, it is where
    /// rules between such texts are stored: a pair item, if neither is a pattern.
    #[must_use]
    pub fn literal(app: &AppKey, from: &str, to: &str, door: Option<Door>) -> Self {
        match door.or_else(|| usual_door(from, to)) {
            Some(Door::App) => Self { key: Key::app(app), entry: Some(("callers", from.to_owned())) },
            Some(Door::Destination) => Self { key: Key::app(app), entry: Some(("destinations", to.to_owned())) },
            Some(Door::Caller) => Self { key: party_key(app.as_str(), from), entry: Some(("outgoing", to.to_owned())) },
            Some(Door::Callee) => Self { key: party_key(app.as_str(), to), entry: Some(("incoming", from.to_owned())) },
            None => Self { key: pair_key(app.as_str(), from, to), entry: None },
        }
    }

    /// The place for the block of a caller.
    pub(crate) fn block(app: &AppKey, caller: &PartyId) -> Self {
        Self { key: Key::party(app, caller), entry: Some((BLOCKED, String::new())) }
    }

    /// Whether this is the place for the block of a caller.
    #[must_use]
    pub fn is_block(&self) -> bool {
        matches!(self.entry, Some((BLOCKED, _)))
    }

    /// The door that reads this location. `None` for a pair item, which decides at doors `caller` and `callee`.
    #[must_use]
    pub fn door(&self) -> Option<Door> {
        self.entry.as_ref().map(|(list, _)| door_of_list(list))
    }

    /// The doors at which a rule at this location decides.
    #[must_use]
    pub fn doors(&self) -> Vec<Door> {
        self.door().map_or_else(|| vec![Door::Caller, Door::Callee], |door| vec![door])
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

/// The door that reads a list.
pub(crate) fn door_of_list(list: &str) -> Door {
    match list {
        "callers" => Door::App,
        "destinations" => Door::Destination,
        "outgoing" => Door::Caller,
        _ => Door::Callee,
    }
}

/// The door whose list holds a rule between these texts if no door is given. `None` for a pair item.
pub(crate) fn usual_door(from: &str, to: &str) -> Option<Door> {
    match (Pattern::from_stored(from), Pattern::from_stored(to)) {
        (Pattern::Exact(_), Pattern::Exact(_)) => None,
        (_, Pattern::Exact(_)) => Some(Door::Callee),
        (Pattern::Exact(_), _) => Some(Door::Caller),
        (_, Pattern::Everyone) => Some(Door::App),
        // Between two other patterns there is no rule at all.
        _ => Some(Door::Destination),
    }
}
