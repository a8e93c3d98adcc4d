//! The three doors.

use std::fmt;

use crate::pattern::EXACT;
use crate::record::{App, Effect, Fault, Found, MediaSet, Party, Rule, Rules, Status, has_expired};
use crate::{Call, EpochSeconds, Hours, PartyId, Pattern};

/// What the table says about a call.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    /// The app's item.
    pub app: &'a Found<App>,
    /// The caller's item.
    pub caller: &'a Found<Party>,
    /// The callee's item; the caller's, when they are the same.
    pub callee: &'a Found<Party>,
    /// The item of exactly this caller and this callee.
    pub pair: &'a Found<Rule>,
}

/// The doors a call passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The app's: who may call anybody here.
    App,
    /// The caller's: whom this caller may call.
    Caller,
    /// The callee's: who may call this callee.
    Callee,
}

impl Door {
    /// All of them, in the order in which a call passes them.
    pub const ALL: [Self; 3] = [Self::App, Self::Caller, Self::Callee];

    /// The word that is logged.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }
}

/// Whom a rule that matches the call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matched<'a> {
    /// An entry of the door's list.
    Listed(&'a Pattern),
    /// The pair item, which stands at door 2 for its callee and at door 3 for its caller.
    Pair(&'a PartyId),
}

impl Matched<'_> {
    /// A longer rule decides before a shorter one.
    pub(crate) const fn length(&self) -> usize {
        match self {
            Self::Listed(pattern) => pattern.length(),
            Self::Pair(_) => EXACT,
        }
    }
}

/// The pattern as it is stored; of a pair the other party's id.
impl fmt::Display for Matched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(pattern) => pattern.fmt(f),
            Self::Pair(id) => id.fmt(f),
        }
    }
}

/// A record nobody can be sure of, so it refuses the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid<'a> {
    /// Where it is.
    pub place: Place<'a>,
    /// What is wrong with it.
    pub fault: &'a Fault,
}

/// An item, or a rule in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The app's item, or the caller's or callee's party.
    Item(Door),
    /// An entry of this door's list.
    Entry(Door, &'a Pattern),
    /// The item of caller and callee.
    Pair,
}

/// Why a call goes through or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// A rule decided.
    Rule {
        /// The door it decided at.
        door: Door,
        /// Whom it is about.
        matched: Matched<'a>,
        /// What it says.
        effect: Effect,
    },
    /// App, callee or caller is suspended.
    Suspended(Door),
    /// No door said anything.
    NoRule,
    /// A record could not be understood.
    InvalidRecord(Invalid<'a>),
}

impl Decision<'_> {
    /// Does the call go through?
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::Rule { effect, .. } => *effect,
            Self::Suspended(_) | Self::NoRule | Self::InvalidRecord(_) => Effect::Deny,
        }
    }

    /// The stable word that logs, metrics and tools use.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Rule { matched: Matched::Pair(_), .. } => "pair_rule",
            Self::Rule { door: Door::App, .. } => "app_rule",
            Self::Rule { door: Door::Caller, .. } => "caller_rule",
            Self::Rule { door: Door::Callee, .. } => "callee_rule",
            Self::Suspended(Door::App) => "app_suspended",
            Self::Suspended(Door::Caller) => "caller_suspended",
            Self::Suspended(Door::Callee) => "callee_suspended",
            Self::NoRule => "no_rule",
            Self::InvalidRecord(_) => "invalid_record",
        }
    }
}

/// A call goes through when no door denies it and at least one allows it.
#[must_use]
pub fn decide<'a>(call: &'a Call, records: Records<'a>, now: EpochSeconds) -> Decision<'a> {
    let doors = match Doors::find(call, records, now) {
        Ok(doors) => doors,
        Err(invalid) => return Decision::InvalidRecord(invalid),
    };
    if let Some(door) = doors.suspended() {
        return Decision::Suspended(door);
    }
    let (mut denied, mut allowed) = (None, None);
    for door in Door::ALL {
        let said = match doors.ask(door, now) {
            Ok(said) => said,
            Err(invalid) => return Decision::InvalidRecord(invalid),
        };
        let Some((matched, rule)) = said else { continue };
        let decision = Decision::Rule { door, matched, effect: rule.effect };
        match rule.effect {
            // The first door that denies is the reason,
            Effect::Deny => denied = denied.or(Some(decision)),
            // and the last one that allows.
            Effect::Allow => allowed = Some(decision),
        }
    }
    denied.or(allowed).unwrap_or(Decision::NoRule)
}

/// The records that are there and count, as the doors see them.
pub(crate) struct Doors<'a> {
    app: Option<&'a App>,
    caller: Option<&'a Party>,
    callee: Option<&'a Party>,
    pair: Option<&'a Rule>,
    call: &'a Call,
}

/// A rule of a door: whom it is about, and what it says or why nobody knows.
type Entry<'a> = (Matched<'a>, Result<&'a Rule, &'a Fault>);

impl<'a> Doors<'a> {
    pub(crate) fn find(call: &'a Call, records: Records<'a>, now: EpochSeconds) -> Result<Self, Invalid<'a>> {
        fn there<'a, T>(found: &'a Found<T>, place: Place<'a>) -> Result<Option<&'a T>, Invalid<'a>> {
            found.as_ref().map(Option::as_ref).map_err(|fault| Invalid { place, fault })
        }
        let not_expired = |party: &&Party| !has_expired(party.expires_at, now);
        Ok(Self {
            app: there(records.app, Place::Item(Door::App))?,
            caller: there(records.caller, Place::Item(Door::Caller))?.filter(not_expired),
            callee: there(records.callee, Place::Item(Door::Callee))?.filter(not_expired),
            pair: there(records.pair, Place::Pair)?,
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

    /// Every rule of a door, in no particular order.
    pub(crate) fn entries(&self, door: Door) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let (list, pair) = match door {
            Door::App => (self.app.map(|app| &app.callers), None),
            Door::Caller => (self.caller.map(|party| &party.outgoing), Some(&self.call.callee)),
            Door::Callee => (self.callee.map(|party| &party.incoming), Some(&self.call.caller)),
        };
        let pair = pair.and_then(|id| self.pair.map(|rule| (Matched::Pair(id), Ok(rule))));
        let listed = list.into_iter().flat_map(Rules::iter).map(|(pattern, rule)| (Matched::Listed(pattern), rule));
        listed.chain(pair)
    }

    /// What the door says: the longest rule that applies, if any.
    pub(crate) fn ask(&self, door: Door, now: EpochSeconds) -> Result<Option<(Matched<'a>, &'a Rule)>, Invalid<'a>> {
        let mut word = None;
        for (matched, rule) in self.entries(door) {
            match self.standing(door, matched, rule, now) {
                Standing::Applies(rule) if word.is_none_or(|word| precedes((matched, rule), word)) => {
                    word = Some((matched, rule));
                }
                Standing::NotUnderstood(fault) => {
                    let place = match matched {
                        Matched::Listed(pattern) => Place::Entry(door, pattern),
                        Matched::Pair(_) => Place::Pair,
                    };
                    return Err(Invalid { place, fault });
                }
                _ => {}
            }
        }
        Ok(word)
    }

    /// How a rule of a door relates to the call, taken by itself.
    pub(crate) fn standing(
        &self,
        door: Door,
        matched: Matched<'a>,
        rule: Result<&'a Rule, &'a Fault>,
        now: EpochSeconds,
    ) -> Standing<'a> {
        let other_party = match door {
            Door::App | Door::Callee => &self.call.caller,
            Door::Caller => &self.call.callee,
        };
        // A broken rule about others does no harm to this call.
        if matches!(matched, Matched::Listed(pattern) if !pattern.matches(other_party)) {
            return Standing::AboutOthers;
        }
        let rule = match rule {
            Ok(rule) => rule,
            Err(fault) => return Standing::NotUnderstood(fault),
        };
        if let Some(at) = rule.expires_at.filter(|_| has_expired(rule.expires_at, now)) {
            return Standing::Expired(at);
        }
        let media = self.call.media;
        match (rule.media, rule.effect) {
            (Some(covered), Effect::Allow) if !media.within(covered) => Standing::OtherMedia(covered),
            (Some(covered), Effect::Deny) if !media.overlaps(covered) => Standing::OtherMedia(covered),
            _ => match &rule.hours {
                Some(hours) if !hours.contain(now) => Standing::OutsideHours(hours),
                _ => Standing::Applies(rule),
            },
        }
    }
}

/// The longer rule decides; between two of the same length the one that denies, and else the pair's.
fn precedes(one: (Matched<'_>, &Rule), other: (Matched<'_>, &Rule)) -> bool {
    let weight = |(matched, rule): (Matched<'_>, &Rule)| {
        (matched.length(), rule.effect == Effect::Deny, matches!(matched, Matched::Pair(_)))
    };
    weight(one) > weight(other)
}

/// Why a rule did or did not apply, taken by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It applies; whether it decides depends on the others.
    Applies(&'a Rule),
    /// It is about other parties.
    AboutOthers,
    /// It applied until this moment.
    Expired(EpochSeconds),
    /// It is about these media, and the call's are others.
    OtherMedia(MediaSet),
    /// It is about these times of the week, and the call comes at another.
    OutsideHours(&'a Hours),
    /// It matches the call and cannot be understood, which refuses the call.
    NotUnderstood(&'a Fault),
}
