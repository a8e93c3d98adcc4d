//! In which order an import writes and removes rules, so that no call is permitted in between that both the old and the
//! new rules refuse.
//!
//! Adding a deny or removing an allow never permits a call. Adding an allow or removing a deny may. So the import first
//! adds the new denies, then adds and removes allows, and removes the old denies last. Before the allows change, the table
//! permits no call that the old rules refuse. After they have changed, it permits no call that the new rules refuse. In
//! between, it has the denies of both. A call is then permitted only if the old or the new rules permit it, with one
//! exception: a new allow overrides an old deny at one door while an old allow overrides a new deny at another door.
//! [`Overrides`] finds the apps in which this is possible. There, the old allows are removed before the new ones are
//! added.

use std::collections::HashSet;

use callgate_core::{Effect, Hours, MediaSet, Pattern, Rule};

/// A part of an import. Each is complete before the next one begins. Within a phase, the order does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Writes the new denies.
    Denies,
    /// Writes the new allows, except those that have to wait.
    Allows,
    /// Removes the old allows that must be gone before the last new ones are written.
    EarlyRemovals,
    /// Writes the new allows that had to wait.
    LateAllows,
    /// Removes the other old allows.
    AllowRemovals,
    /// Removes the old denies, and writes the allows in their place.
    DenyRemovals,
}

impl Phase {
    pub(super) const ALL: [Self; 6] =
        [Self::Denies, Self::Allows, Self::EarlyRemovals, Self::LateAllows, Self::AllowRemovals, Self::DenyRemovals];

    /// Whether the phase adds allows or removes denies, so that what the earlier phases changed must have taken effect.
    pub(super) fn may_permit(self) -> bool {
        matches!(self, Self::Allows | Self::LateAllows | Self::DenyRemovals)
    }
}

/// What an import does with the rule at one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: the rule is not in the file, and the file does not replace the app's rules.
    Keep,
    /// Nothing: the rule is stored already.
    Unchanged,
    /// A deny that applies whenever the stored one does. Also a deny in the place of an allow, and a new rule that is switched
    /// off.
    Deny,
    /// A deny that applies at other times or to other calls than the stored one.
    MovedDeny,
    /// A deny that applies to fewer calls than the stored one.
    NarrowerDeny,
    /// An allow that applies whenever the stored one does.
    Allow,
    /// An allow that applies at other times or to other calls than the stored one.
    MovedAllow,
    /// An allow that applies to fewer calls than the stored one.
    NarrowerAllow,
    /// An allow in the place of a deny, or of a rule that cannot be parsed.
    AllowForDeny,
    /// A deny in the place of a rule that cannot be parsed, which refuses more calls.
    DenyForInvalid,
    /// A stored allow that is not in the file.
    RemovedAllow,
    /// A stored deny that is not in the file, or a rule that cannot be parsed.
    RemovedDeny,
}

/// What a phase does with a rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Writes the file's rule.
    Put,
    /// Writes a deny for the calls that the stored rule or the file's rule denies.
    PutUnion(Rule),
    /// Removes the stored rule.
    Remove,
}

/// An action and its phase.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) phase: Phase,
    pub(super) action: Action,
    /// Whether this completes the change of the rule.
    pub(super) is_last: bool,
}

/// A stored rule. `None` for one that cannot be parsed.
pub(super) type Old<'a> = Option<&'a Rule>;

impl Kind {
    /// The kind of the change from the stored rule to the file's. `is_replaced` when rules that are not in the file are
    /// removed.
    pub(super) fn of(old: Option<Old<'_>>, new: Option<&Rule>, is_replaced: bool) -> Self {
        match (old, new) {
            (_, None) if !is_replaced => Self::Keep,
            (Some(Some(Rule { effect: Effect::Allow, .. })), None) => Self::RemovedAllow,
            (_, None) => Self::RemovedDeny,
            (Some(Some(old)), Some(new)) if crate::wording::is_same_rule(old, new) => Self::Unchanged,
            // A rule that is switched off is as if it were absent.
            (Some(Some(Rule { disabled: true, .. })), new) => Self::of(None, new, is_replaced),
            (None, Some(Rule { disabled: true, .. })) => Self::Deny,
            (Some(None | Some(Rule { effect: Effect::Deny, .. })), Some(Rule { disabled: true, .. })) => {
                Self::NarrowerDeny
            }
            (Some(Some(Rule { effect: Effect::Allow, .. })), Some(Rule { disabled: true, .. })) => Self::NarrowerAllow,
            (None, Some(new)) => match new.effect {
                Effect::Allow => Self::Allow,
                Effect::Deny => Self::Deny,
            },
            (Some(None), Some(new)) => match new.effect {
                Effect::Allow => Self::AllowForDeny,
                Effect::Deny => Self::DenyForInvalid,
            },
            (Some(Some(old)), Some(new)) => match (old.effect, new.effect) {
                (Effect::Deny, Effect::Allow) => Self::AllowForDeny,
                (Effect::Allow, Effect::Deny) => Self::Deny,
                (Effect::Deny, Effect::Deny) if covers(new, old) => Self::Deny,
                (Effect::Deny, Effect::Deny) if covers(old, new) => Self::NarrowerDeny,
                (Effect::Deny, Effect::Deny) => Self::MovedDeny,
                (Effect::Allow, Effect::Allow) if covers(new, old) => Self::Allow,
                (Effect::Allow, Effect::Allow) if covers(old, new) => Self::NarrowerAllow,
                (Effect::Allow, Effect::Allow) => Self::MovedAllow,
            },
        }
    }

    /// Whether the change permits calls by an allow that was not there before.
    pub(super) fn adds_allow(self) -> bool {
        matches!(self, Self::Allow | Self::MovedAllow)
    }

    /// Whether the change takes an allow away after the new ones are written.
    pub(super) fn takes_allow(self) -> bool {
        matches!(self, Self::MovedAllow | Self::NarrowerAllow | Self::RemovedAllow)
    }

    /// Whether the change removes a rule for good.
    pub(super) fn is_removal(self) -> bool {
        matches!(self, Self::RemovedAllow | Self::RemovedDeny)
    }

    /// Whether the change, in this phase, refuses calls that were permitted before.
    pub(super) fn may_refuse(self, phase: Phase) -> bool {
        phase == Phase::Denies || (phase != Phase::DenyRemovals && self.takes_allow())
    }

    /// What is done, in which phases. `waits` when the new allow must not be written, and `goes_early` when the old allow
    /// must be gone, before the phase [`Phase::LateAllows`].
    pub(super) fn steps(self, old: Option<Old<'_>>, new: Option<&Rule>, waits: bool, goes_early: bool) -> Vec<Step> {
        let one = |phase, action| vec![Step { phase, action, is_last: true }];
        match self {
            Self::Keep | Self::Unchanged => Vec::new(),
            Self::Deny => one(Phase::Denies, Action::Put),
            Self::MovedDeny => {
                let union = old.flatten().zip(new).map(|(old, new)| union(old, new));
                let first =
                    union.map(|rule| Step { phase: Phase::Denies, action: Action::PutUnion(rule), is_last: false });
                first.into_iter().chain(one(Phase::DenyRemovals, Action::Put)).collect()
            }
            Self::NarrowerDeny | Self::AllowForDeny | Self::DenyForInvalid => one(Phase::DenyRemovals, Action::Put),
            Self::MovedAllow if waits && goes_early => {
                let first = Step { phase: Phase::EarlyRemovals, action: Action::Remove, is_last: false };
                std::iter::once(first).chain(one(Phase::LateAllows, Action::Put)).collect()
            }
            Self::Allow | Self::MovedAllow => one(if waits { Phase::LateAllows } else { Phase::Allows }, Action::Put),
            Self::NarrowerAllow => one(removal_phase(goes_early), Action::Put),
            Self::RemovedAllow => one(removal_phase(goes_early), Action::Remove),
            Self::RemovedDeny => one(Phase::DenyRemovals, Action::Remove),
        }
    }
}

fn removal_phase(goes_early: bool) -> Phase {
    if goes_early { Phase::EarlyRemovals } else { Phase::AllowRemovals }
}

/// Whether a rule applies whenever the other rule of the same effect and key does.
pub(crate) fn covers(one: &Rule, other: &Rule) -> bool {
    let Rule { effect: _, media, hours, expires_at, disabled: _, list: _, note: _, updated_at: _, updated_by: _ } = one;
    let covers_media = media.is_none_or(|all| other.media.is_some_and(|media| media.is_subset_of(all)));
    let covers_hours = hours.is_none() || *hours == other.hours;
    let covers_expiry = expires_at.is_none_or(|last| other.expires_at.is_some_and(|at| at <= last));
    covers_media && covers_hours && covers_expiry
}

/// A deny that applies whenever one of the two does.
pub(crate) fn union(one: &Rule, other: &Rule) -> Rule {
    let hours = one.hours.as_ref().zip(other.hours.as_ref());
    let media =
        |one: MediaSet, other: MediaSet| MediaSet { audio: one.audio || other.audio, video: one.video || other.video };
    // In full, so that a new condition cannot be forgotten here.
    Rule {
        effect: other.effect,
        media: one.media.zip(other.media).map(|(one, other)| media(one, other)),
        hours: hours.and_then(|(one, other)| Hours::new([one.windows(), other.windows()].concat())),
        expires_at: one.expires_at.zip(other.expires_at).map(|(one, other)| one.max(other)),
        disabled: one.disabled && other.disabled,
        list: other.list.clone(),
        note: other.note.clone(),
        updated_at: other.updated_at,
        updated_by: other.updated_by.clone(),
    }
}

/// The denies of a list, by the texts of their patterns.
#[derive(Debug, Default)]
pub(super) struct Denies<'a> {
    texts: HashSet<&'a str>,
    has_group: bool,
    has_prefix: bool,
}

impl<'a> Denies<'a> {
    pub(super) fn add(&mut self, text: &'a str) {
        match Pattern::from_stored(text) {
            Pattern::Group(_) => self.has_group = true,
            Pattern::Prefix(_) | Pattern::Everyone => self.has_prefix = true,
            Pattern::Exact(_) => {}
        }
        self.texts.insert(text);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether the entry of a list is more specific than one of these, and may match some of the same parties.
    pub(super) fn are_overridden_by(&self, entry: &str) -> bool {
        let (literal, longest) = match Pattern::from_stored(entry) {
            Pattern::Everyone => return false,
            // Any party may be in a group.
            Pattern::Group(_) => return self.has_prefix,
            // A prefix does not override itself.
            Pattern::Prefix(literal) => {
                let longest = literal.len() - 1;
                (literal, longest)
            }
            Pattern::Exact(_) if self.has_group => return true,
            Pattern::Exact(id) => {
                let longest = id.len();
                (id, longest)
            }
        };
        let prefixes = literal.char_indices().map(|(at, _)| at).chain([literal.len()]).filter(|&at| at <= longest);
        prefixes.filter_map(|at| literal.get(..at)).any(|prefix| self.texts.contains(format!("{prefix}*").as_str()))
    }
}

/// The lists in which rules override each other. A pair, whose list has no name, belongs to the caller's and the callee's door
/// at once.
pub(super) const LISTS: [&str; 5] = ["callers", "destinations", "incoming", "outgoing", ""];

/// Where an app's new allows override old denies, and its old allows new denies, for each of [`LISTS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    pub(super) new: [bool; 5],
    pub(super) old: [bool; 5],
    /// Whether lists of parties have old and new denies, which pairs override.
    pub(super) party_denies: [bool; 2],
}

impl Overrides {
    /// Whether there are two different doors of one call with a new allow at one and an old allow at the other.
    ///
    /// A pair is the most specific rule of two doors. Where it permits the call at one of them, no other allow can override
    /// what denies the call at the other. So a pair only conflicts with the app's lists.
    pub(super) fn conflict(&self) -> bool {
        let Self {
            new: [new @ .., new_pair],
            old: [old @ .., old_pair],
            party_denies: [old_party_deny, new_party_deny],
        } = *self;
        let ([new_callers, new_destinations, ..], [old_callers, old_destinations, ..]) = (new, old);
        let lists = || (0..new.len()).flat_map(|one| (0..old.len()).map(move |other| (one, other)));
        lists().any(|(one, other)| one != other && new.get(one) == Some(&true) && old.get(other) == Some(&true))
            || ((new_callers || new_destinations) && old_pair && new_party_deny)
            || ((old_callers || old_destinations) && new_pair && old_party_deny)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(effect: Effect, hours: &str, media: Option<MediaSet>, expires_at: Option<i64>) -> Rule {
        Rule { media, hours: Hours::parse(hours).ok(), expires_at, ..Rule::new(effect) }
    }

    #[track_caller]
    fn check(old: Option<Old<'_>>, new: Option<&Rule>, is_conflict: bool, expected: &[(Phase, bool)]) {
        let steps = Kind::of(old, new, true).steps(old, new, is_conflict, is_conflict);
        let found: Vec<_> = steps.iter().map(|step| (step.phase, step.action == Action::Remove)).collect();
        assert_eq!(found, expected, "{old:?} {new:?}");
        assert!(steps.iter().rev().map(|step| step.is_last).eq((0..steps.len()).map(|at| at == 0)));
    }

    #[test]
    fn denies_come_first_and_go_last() {
        let [allow, deny] = [Effect::Allow, Effect::Deny].map(Rule::new);
        let [day, night] =
            ["Mon 09:00-18:00 UTC", "Mon 18:00-24:00 UTC"].map(|hours| rule(Effect::Deny, hours, None, None));
        let [open_day, open_night] = [&day, &night].map(|rule| Rule { effect: Effect::Allow, ..rule.clone() });
        check(None, Some(&deny), false, &[(Phase::Denies, false)]);
        check(None, Some(&allow), false, &[(Phase::Allows, false)]);
        check(Some(Some(&allow)), None, false, &[(Phase::AllowRemovals, true)]);
        check(Some(Some(&deny)), None, false, &[(Phase::DenyRemovals, true)]);
        check(Some(None), None, false, &[(Phase::DenyRemovals, true)]);
        check(Some(Some(&allow)), Some(&deny), false, &[(Phase::Denies, false)]);
        check(Some(Some(&deny)), Some(&allow), false, &[(Phase::DenyRemovals, false)]);
        // A rule that cannot be parsed refuses more calls than any deny.
        check(Some(None), Some(&deny), false, &[(Phase::DenyRemovals, false)]);
        check(Some(None), Some(&allow), false, &[(Phase::DenyRemovals, false)]);
        check(Some(Some(&day)), Some(&deny), false, &[(Phase::Denies, false)]);
        check(Some(Some(&deny)), Some(&day), false, &[(Phase::DenyRemovals, false)]);
        check(Some(Some(&day)), Some(&night), false, &[(Phase::Denies, false), (Phase::DenyRemovals, false)]);
        check(Some(Some(&open_day)), Some(&allow), false, &[(Phase::Allows, false)]);
        check(Some(Some(&allow)), Some(&open_day), false, &[(Phase::AllowRemovals, false)]);
        check(Some(Some(&open_day)), Some(&open_night), false, &[(Phase::Allows, false)]);
        check(Some(Some(&day)), Some(&day), false, &[]);
    }

    #[test]
    fn in_a_conflict_old_allows_go_before_new_ones_come() {
        let [day, night] =
            ["Mon 09:00-18:00 UTC", "Mon 18:00-24:00 UTC"].map(|hours| rule(Effect::Allow, hours, None, None));
        let allow = Rule::new(Effect::Allow);
        check(None, Some(&allow), true, &[(Phase::LateAllows, false)]);
        check(Some(Some(&allow)), None, true, &[(Phase::EarlyRemovals, true)]);
        check(Some(Some(&allow)), Some(&day), true, &[(Phase::EarlyRemovals, false)]);
        check(Some(Some(&day)), Some(&allow), true, &[(Phase::LateAllows, false)]);
        check(Some(Some(&day)), Some(&night), true, &[(Phase::EarlyRemovals, true), (Phase::LateAllows, false)]);
    }

    #[test]
    fn a_union_applies_whenever_one_of_the_rules_does() {
        let audio = Some(MediaSet { audio: true, video: false });
        let video = Some(MediaSet { audio: false, video: true });
        let [one, other] = [
            rule(Effect::Deny, "Mon 09:00-18:00 UTC", audio, Some(5)),
            rule(Effect::Deny, "Tue 09:00-18:00 UTC", video, Some(9)),
        ];
        let both = union(&one, &other);
        let hours = "Mon 09:00-18:00 UTC; Tue 09:00-18:00 UTC";
        assert_eq!(both, rule(Effect::Deny, hours, Some(MediaSet { audio: true, video: true }), Some(9)));
        for unconditional in [union(&one, &Rule::new(Effect::Deny)), union(&Rule::new(Effect::Deny), &one)] {
            assert_eq!(unconditional, Rule::new(Effect::Deny));
            assert!(covers(&unconditional, &one) && !covers(&one, &unconditional));
        }
    }

    #[test]
    fn a_longer_pattern_overrides_a_shorter_one_that_it_starts_with() {
        let check = |entry: &str, others: &[&str]| {
            let mut denies = Denies::default();
            for text in others {
                denies.add(text);
            }
            denies.are_overridden_by(entry)
        };
        assert!(check("+7495*", &["*"]) && check("+7495*", &["+7*"]) && check("+7495", &["+7495*"]));
        assert!(check("\u{fc}ber", &["\u{fc}*"]) && check("a", &["*"]));
        assert!(
            !check("*", &["*", "+7*"]) && !check("+7*", &["+7*", "+74*", "+7"]) && !check("+7495", &["+7495", "+8*"])
        );
        // Any party may be in a group.
        assert!(check("@a", &["*"]) && check("@a", &["+7*"]) && check("+7495", &["@a"]) && check("*98*", &["@a"]));
        assert!(!check("@a", &["@a", "@b", "+7"]) && !check("+7*", &["@a"]) && !check("*", &["@a"]));
    }

    #[test]
    fn a_rule_that_is_switched_off_is_as_if_it_were_absent() {
        let [allow, deny] = [Effect::Allow, Effect::Deny].map(Rule::new);
        let [off_allow, off_deny] = [&allow, &deny].map(|rule| Rule { disabled: true, ..rule.clone() });
        for off in [&off_allow, &off_deny] {
            check(Some(Some(off)), Some(&allow), false, &[(Phase::Allows, false)]);
            check(Some(Some(off)), Some(&deny), false, &[(Phase::Denies, false)]);
            check(Some(Some(&allow)), Some(off), false, &[(Phase::AllowRemovals, false)]);
            check(Some(Some(&deny)), Some(off), false, &[(Phase::DenyRemovals, false)]);
            check(Some(None), Some(off), false, &[(Phase::DenyRemovals, false)]);
            check(None, Some(off), false, &[(Phase::Denies, false)]);
            check(Some(Some(off)), Some(off), false, &[]);
        }
        check(Some(Some(&off_allow)), Some(&off_deny), false, &[(Phase::Denies, false)]);
    }
}
