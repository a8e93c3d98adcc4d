//! The decision: four doors, each with a list of rules.

use std::fmt;

use crate::pattern::EXACT;
use crate::permissions::{
    App, Block, Effect, Groups, MediaSet, ParseError, ParsedItem, Party, Permissions, Rule, Rules, Status, has_expired,
};
use crate::{Call, EpochSeconds, Hours, PartyId, Pattern};

/// A list of rules that every call is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The app's list, matched against the caller: who may call anyone in this app.
    App,
    /// The app's other list, matched against the callee: whom everyone in this app may call.
    Destination,
    /// The caller's list, matched against the callee: whom this caller may call.
    Caller,
    /// The callee's list, matched against the caller: who may call this callee.
    Callee,
}

impl Door {
    /// All doors, in the order in which they are checked.
    pub const ALL: [Self; 4] = [Self::App, Self::Destination, Self::Caller, Self::Callee];

    /// The stable name used in logs and JSON output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Destination => "destination",
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }
}

/// Identifies a rule at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKey<'a> {
    /// An entry of the door's list, by its pattern.
    Entry(&'a Pattern),
    /// The pair item, by the other party: the callee at door `caller`, the caller at door `callee`.
    Pair(&'a PartyId),
}

impl RuleKey<'_> {
    /// If several rules apply, the one with the greatest number decides.
    #[must_use]
    pub const fn specificity(&self) -> usize {
        match self {
            Self::Entry(pattern) => pattern.specificity(),
            Self::Pair(_) => EXACT,
        }
    }
}

/// The pattern as it is stored, or for a pair the other party's id.
impl fmt::Display for RuleKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(pattern) => pattern.fmt(f),
            Self::Pair(id) => id.fmt(f),
        }
    }
}

/// An item or a rule that could not be parsed. It refuses the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidRecord<'a> {
    /// Where it is stored.
    pub location: RecordLocation<'a>,
    /// What is wrong with it.
    pub error: &'a ParseError,
}

/// The item or rule that an [`InvalidRecord`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordLocation<'a> {
    /// A whole item: the app's, the caller's or the callee's.
    Item(Door),
    /// An entry of this door's list.
    Entry(Door, &'a Pattern),
    /// The pair item.
    Pair,
}

/// Whether a call goes through, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// A rule decided.
    Rule {
        /// The door whose rule decided.
        door: Door,
        /// The rule.
        key: RuleKey<'a>,
        /// The rule's effect.
        effect: Effect,
    },
    /// The app, the callee or the caller is suspended.
    Suspended(Door),
    /// The caller is blocked.
    Blocked(&'a Block),
    /// No rule applied at any door.
    NoRule,
    /// An item or a matching rule could not be parsed.
    InvalidRecord(InvalidRecord<'a>),
}

impl Decision<'_> {
    /// Whether the call goes through.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::Rule { effect, .. } => *effect,
            Self::Suspended(_) | Self::Blocked(_) | Self::NoRule | Self::InvalidRecord(_) => Effect::Deny,
        }
    }

    /// The stable word for the reason, used in logs, metrics and JSON output.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Rule { key: RuleKey::Pair(_), .. } => "pair_rule",
            Self::Rule { door: Door::App, .. } => "app_rule",
            Self::Rule { door: Door::Destination, .. } => "destination_rule",
            Self::Rule { door: Door::Caller, .. } => "caller_rule",
            Self::Rule { door: Door::Callee, .. } => "callee_rule",
            Self::Suspended(Door::App | Door::Destination) => "app_suspended",
            Self::Suspended(Door::Caller) => "caller_suspended",
            Self::Suspended(Door::Callee) => "callee_suspended",
            Self::Blocked(_) => "caller_blocked",
            Self::NoRule => "no_rule",
            Self::InvalidRecord(_) => "invalid_record",
        }
    }
}

/// Decides a call: it goes through if no door denies it and at least one allows it.
#[must_use]
pub fn decide<'a>(call: &'a Call, permissions: Permissions<'a>, now: EpochSeconds) -> Decision<'a> {
    let rules = match CallRules::new(call, permissions, now) {
        Ok(rules) => rules,
        Err(invalid) => return Decision::InvalidRecord(invalid),
    };
    if let Some(door) = rules.suspended() {
        return Decision::Suspended(door);
    }
    if let Some(block) = rules.blocked(now) {
        return Decision::Blocked(block);
    }
    let (mut denied, mut allowed) = (None, None);
    for door in Door::ALL {
        let deciding = match rules.deciding(door, now) {
            Ok(deciding) => deciding,
            Err(invalid) => return Decision::InvalidRecord(invalid),
        };
        let Some((key, rule)) = deciding else { continue };
        let decision = Decision::Rule { door, key, effect: rule.effect };
        match rule.effect {
            // The reason is the first door that denies,
            Effect::Deny => denied = denied.or(Some(decision)),
            // or else the last one that allows.
            Effect::Allow => allowed = Some(decision),
        }
    }
    denied.or(allowed).unwrap_or(Decision::NoRule)
}

/// The items of a call that exist and have not expired.
pub(crate) struct CallRules<'a> {
    app: Option<&'a App>,
    caller: Option<&'a Party>,
    callee: Option<&'a Party>,
    pair: Option<&'a Rule>,
    call: &'a Call,
}

/// A rule at a door, or why it could not be parsed.
type KeyedRule<'a> = (RuleKey<'a>, Result<&'a Rule, &'a ParseError>);

impl<'a> CallRules<'a> {
    pub(crate) fn new(
        call: &'a Call,
        permissions: Permissions<'a>,
        now: EpochSeconds,
    ) -> Result<Self, InvalidRecord<'a>> {
        fn parsed<'a, T>(
            item: &'a ParsedItem<T>,
            location: RecordLocation<'a>,
        ) -> Result<Option<&'a T>, InvalidRecord<'a>> {
            item.as_ref().map(Option::as_ref).map_err(|error| InvalidRecord { location, error })
        }
        let not_expired = |party: &&Party| !has_expired(party.expires_at, now);
        Ok(Self {
            app: parsed(permissions.app, RecordLocation::Item(Door::App))?,
            caller: parsed(permissions.caller, RecordLocation::Item(Door::Caller))?.filter(not_expired),
            callee: parsed(permissions.callee, RecordLocation::Item(Door::Callee))?.filter(not_expired),
            pair: parsed(permissions.pair, RecordLocation::Pair)?,
            call,
        })
    }

    fn suspended(&self) -> Option<Door> {
        let status = |party: Option<&Party>| party.map(|party| party.status);
        [
            (Door::App, self.app.map(|app| app.status)),
            (Door::Callee, status(self.callee)),
            (Door::Caller, status(self.caller)),
        ]
        .into_iter()
        .find_map(|(door, status)| (status == Some(Status::Suspended)).then_some(door))
    }

    fn blocked(&self, now: EpochSeconds) -> Option<&'a Block> {
        let block = self.caller.and_then(|party| party.blocked.as_ref());
        block.filter(|block| !has_expired(block.expires_at, now))
    }

    /// Every rule of a door, in no particular order.
    pub(crate) fn at(&self, door: Door) -> impl Iterator<Item = KeyedRule<'a>> + use<'a> {
        let entries = self.list(door).into_iter().flat_map(Rules::iter);
        entries.map(|(pattern, rule)| (RuleKey::Entry(pattern), rule)).chain(self.pair_rule(door))
    }

    /// The rules of a door that match the call, in no particular order.
    fn matching(&self, door: Door) -> impl Iterator<Item = KeyedRule<'a>> + use<'a> {
        let (id, groups) = self.other_party(door);
        let entries = self.list(door).into_iter().flat_map(move |list| list.matching(id, groups));
        entries.map(|(pattern, rule)| (RuleKey::Entry(pattern), rule)).chain(self.pair_rule(door))
    }

    fn list(&self, door: Door) -> Option<&'a Rules> {
        match door {
            Door::App => self.app.map(|app| &app.callers),
            Door::Destination => self.app.map(|app| &app.destinations),
            Door::Caller => self.caller.map(|party| &party.outgoing),
            Door::Callee => self.callee.map(|party| &party.incoming),
        }
    }

    /// The pair item, which is a rule of the caller's and of the callee's door.
    fn pair_rule(&self, door: Door) -> Option<KeyedRule<'a>> {
        let id = match door {
            Door::App | Door::Destination => return None,
            Door::Caller => &self.call.callee,
            Door::Callee => &self.call.caller,
        };
        self.pair.map(|rule| (RuleKey::Pair(id), Ok(rule)))
    }

    /// The party that the patterns of a door are matched against, and its groups.
    fn other_party(&self, door: Door) -> (&'a PartyId, &'a Groups) {
        static NONE: Groups = Groups::new();
        let (id, party) = match door {
            Door::App | Door::Callee => (&self.call.caller, self.caller),
            Door::Destination | Door::Caller => (&self.call.callee, self.callee),
        };
        (id, party.map_or(&NONE, |party| &party.groups))
    }

    /// The most specific rule of a door that applies.
    pub(crate) fn deciding(
        &self,
        door: Door,
        now: EpochSeconds,
    ) -> Result<Option<(RuleKey<'a>, &'a Rule)>, InvalidRecord<'a>> {
        let mut deciding = None;
        for (key, rule) in self.matching(door) {
            match self.applicability(door, key, rule, now) {
                Applicability::Applies(rule) if deciding.is_none_or(|other| precedes((key, rule), other)) => {
                    deciding = Some((key, rule));
                }
                Applicability::Invalid(error) => {
                    let location = match key {
                        RuleKey::Entry(pattern) => RecordLocation::Entry(door, pattern),
                        RuleKey::Pair(_) => RecordLocation::Pair,
                    };
                    return Err(InvalidRecord { location, error });
                }
                _ => {}
            }
        }
        Ok(deciding)
    }

    /// Whether a rule applies to the call, without regard to the other rules.
    pub(crate) fn applicability(
        &self,
        door: Door,
        key: RuleKey<'a>,
        rule: Result<&'a Rule, &'a ParseError>,
        now: EpochSeconds,
    ) -> Applicability<'a> {
        let (id, groups) = self.other_party(door);
        // An invalid rule only harms the calls that its pattern matches.
        if matches!(key, RuleKey::Entry(pattern) if !pattern.matches(id, groups)) {
            return Applicability::DoesNotMatch;
        }
        let rule = match rule {
            Ok(rule) => rule,
            Err(error) => return Applicability::Invalid(error),
        };
        // Destructured in full, so that a new condition cannot be forgotten here.
        let Rule { effect, media, hours, expires_at, disabled, list: _, note: _, updated_at: _, updated_by: _ } = rule;
        if *disabled {
            return Applicability::Disabled;
        }
        if let Some(at) = expires_at.filter(|_| has_expired(*expires_at, now)) {
            return Applicability::Expired(at);
        }
        if let Some(rule_media) = *media {
            let is_covered = match effect {
                Effect::Allow => self.call.media.is_subset_of(rule_media),
                Effect::Deny => self.call.media.intersects(rule_media),
            };
            if !is_covered {
                return Applicability::OtherMedia(rule_media);
            }
        }
        match hours {
            Some(hours) if !hours.contains(now) => Applicability::OutsideHours(hours),
            _ => Applicability::Applies(rule),
        }
    }
}

/// The more specific rule comes first; between two that are equally specific, the one that denies, then the pair item.
fn precedes(one: (RuleKey<'_>, &Rule), other: (RuleKey<'_>, &Rule)) -> bool {
    let rank = |(key, rule): (RuleKey<'_>, &Rule)| {
        (key.specificity(), rule.effect == Effect::Deny, matches!(key, RuleKey::Pair(_)))
    };
    rank(one) > rank(other)
}

/// Whether a rule applies to a call, without regard to the other rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applicability<'a> {
    /// The pattern matches and all conditions hold.
    Applies(&'a Rule),
    /// The pattern does not match.
    DoesNotMatch,
    /// The rule is switched off.
    Disabled,
    /// The rule expired at this moment.
    Expired(EpochSeconds),
    /// The call's media are not those of the rule.
    OtherMedia(MediaSet),
    /// The call comes outside these hours.
    OutsideHours(&'a Hours),
    /// The pattern matches, but the rule could not be parsed. It refuses the call.
    Invalid(&'a ParseError),
}
