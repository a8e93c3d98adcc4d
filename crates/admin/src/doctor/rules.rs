//! What a rule tells by itself.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{Attributes, EXPIRES_AT, Key};
use callgate_core::{AppKey, EpochSeconds, ParseError, PartyId, Pattern, Rule, has_expired};

use super::Doctor;
use super::finding::{Finding, Place, key_of, rule_command, say_command};
use super::mend::{Action, Fix};
use crate::dialled::DialPlanWarning;
use crate::items::canonical;
use crate::moment::{self, MILLISECONDS_FROM};
use crate::statement::RuleTarget;
use crate::stored::StoredRule;

/// The command that mends what has one safe mend.
const FIX: &str = "callgatectl doctor --fix";

/// Every window that ever opens does so within a week, and a day to spare.
const EIGHT_DAYS: EpochSeconds = 8 * 24 * 60 * 60;

/// Why no call, or hardly one, leads to a text of the table.
struct Unreachable {
    what: String,
    why: &'static str,
    /// What leads there, where there is one thing.
    instead: Option<String>,
    /// Not even a short number leads there.
    is_never: bool,
}

impl Unreachable {
    fn never(what: String) -> Self {
        Self { what, why: "no call can match it, so it has no effect", instead: None, is_never: true }
    }
}

impl Doctor {
    pub(super) fn rule(&mut self, item: &Attributes, stored: &StoredRule) {
        let StoredRule { app, from, to, list, entry, rule } = stored;
        let place = Place::rule(app, from, to);
        let revoke = rule_command("revoke --exactly", app, from, to);
        let own = if *list == Some("outgoing") { from } else { to };
        *self.loads.entry((app.clone(), own.clone())).or_default() += 1;
        let rule = match rule {
            Ok(rule) => rule,
            Err(ParseError(what)) => {
                let is_unknown = what.ends_with("is no attribute of a rule");
                let kind = if is_unknown { "unknown_attribute" } else { "invalid_record" };
                let why = "the function refuses every call it matches, as `invalid_record`";
                let mend = Some(format!("{revoke}, then say it again"));
                return self.find(Finding::new(kind, &place, what, why, mend));
            }
        };
        if self.rule_expiry(&place, item, stored) {
            return;
        }
        // Of a party's own list the party itself has been looked at already.
        let has_party = matches!(list, Some("incoming" | "outgoing"));
        let mut is_sound = !has_party || canonical(own, &self.table.plan).is_some();
        for (side, is_from) in [(from, true), (to, false)] {
            if has_party && is_from == (*list == Some("outgoing")) {
                continue;
            }
            let Some(unreachable) = self.unreachable(side) else { continue };
            is_sound = is_sound && !unreachable.is_never;
            let said = unreachable.instead.as_ref().unwrap_or(side);
            let again = if is_from { say_command(rule, app, said, to) } else { say_command(rule, app, from, said) };
            let mend = Some(format!("{revoke} && {again}"));
            self.find(Finding::new("never_matches", &place, unreachable.what, unreachable.why, mend));
        }
        if let Some(what) = self.never_opens(rule) {
            let why = "it never applies, so it has no effect";
            return self.find(Finding::new("never_opens", &place, what, why, Some(revoke)));
        }
        if let Some(list) = list.filter(|_| has_party && !entry.ends_with('*')) {
            let what = format!("it stands in a list (`{list}`), where only patterns belong");
            let why = "it counts at one door only, and every call of the party reads it";
            let mend = Some(format!("{revoke} && {}", say_command(rule, app, from, to)));
            self.find(Finding::new("misplaced", &place, what, why, mend));
        }
        if is_sound && let Ok(key) = AppKey::new(app) {
            let target = RuleTarget { app: key, from: Pattern::from_stored(from), to: Pattern::from_stored(to) };
            self.sound.push((target, rule.clone(), list.is_some()));
        }
    }

    /// Finds an id that no call can have.
    pub(super) fn reachable(&mut self, place: &Place, id: &str, mend: Option<String>) {
        if let Some(Unreachable { what, why, .. }) = self.unreachable_id(id) {
            self.find(Finding::new("never_matches", place, what, why, mend));
        }
    }

    fn unreachable(&self, text: &str) -> Option<Unreachable> {
        if text.ends_with('*') { self.unreachable_pattern(text) } else { self.unreachable_id(text) }
    }

    fn unreachable_id(&self, id: &str) -> Option<Unreachable> {
        if canonical(id, &self.table.plan).is_some() {
            return None;
        }
        Some(Unreachable::never(match PartyId::new(id, &self.table.plan) {
            Ok(other) => format!("`{id}` is not how calls name it: under this dial plan they say `{other}`"),
            Err(error) => format!("`{id}` {error}"),
        }))
    }

    fn unreachable_pattern(&self, pattern: &str) -> Option<Unreachable> {
        let stored = Pattern::from_stored(pattern);
        match Pattern::new(pattern, &self.table.plan) {
            Ok(said) if said == stored => {}
            Ok(other) => {
                return Some(Unreachable::never(format!("`{pattern}` is not how calls spell it: they say `{other}`")));
            }
            Err(error) => return Some(Unreachable::never(format!("`{pattern}` {error}"))),
        }
        let dialled = DialPlanWarning::of(&stored, &self.table.plan)?;
        let DialPlanWarning { prefix, instead } = &dialled;
        Some(Unreachable {
            what: format!("under this dial plan numbers that were dialled as {prefix}… start with {instead}…"),
            why: dialled.consequence(),
            instead: Some(format!("{instead}*")),
            is_never: dialled.is_never(),
        })
    }

    /// The rule has expired.
    fn rule_expiry(&mut self, place: &Place, item: &Attributes, stored: &StoredRule) -> bool {
        // The item of a pair is the rule; in a list the entry is.
        let whole = stored.list.and_then(|list| item.get(list)?.as_m().ok()?.get(&stored.entry));
        let expires_at = match whole {
            Some(entry) => entry.as_m().ok().and_then(|entry| entry.get(EXPIRES_AT)),
            None => item.get(EXPIRES_AT),
        };
        let at = expires_at.and_then(|value| value.as_n().ok()?.parse::<EpochSeconds>().ok());
        let (Some(expires_at), Some(at)) = (expires_at, at) else { return false };
        let has_expired = has_expired(Some(at), self.now);
        // Of an entry the whole rule must still be what it was when it is removed.
        let expected = whole.filter(|_| has_expired).unwrap_or(expires_at);
        let why = if whole.is_some() {
            "it has no effect, and DynamoDB never deletes an entry of a list"
        } else {
            "it has no effect; DynamoDB deletes it within some days"
        };
        self.expiry(place, key_of(item), stored.list.map(|list| (list, stored.entry.clone())), expected, at, why);
        has_expired
    }

    /// What a moment tells that is over, or rather one in milliseconds.
    pub(super) fn expiry(
        &mut self,
        place: &Place,
        key: Key,
        entry: Option<(&'static str, String)>,
        expected: &AttributeValue,
        at: EpochSeconds,
        why: &str,
    ) {
        let (finding, action) = if at >= MILLISECONDS_FROM {
            let seconds = at / 1_000;
            let what = format!("`expires_at` is {at}: milliseconds, for {}", moment::format(seconds));
            let why = "it is read as seconds, so it never expires";
            (Finding::new("milliseconds", place, what, why, Some(FIX.to_owned())), Action::SetExpiry(seconds))
        } else if has_expired(Some(at), self.now) {
            let what = format!("it expired at {}", moment::format(at));
            (Finding::new("expired", place, what, why, Some(FIX.to_owned())), Action::Remove)
        } else {
            return;
        };
        let fix = Fix { key, entry, expected: expected.clone(), action };
        self.found.push((Finding { fixable: true, ..finding }, Some(fix)));
    }

    /// Why its hours never let it apply.
    fn never_opens(&self, rule: &Rule) -> Option<String> {
        let hours = rule.hours.as_ref()?;
        let end = rule.expires_at.filter(|&end| end < self.now.saturating_add(EIGHT_DAYS))?;
        let opens = hours.contains(self.now) || hours.transitions(self.now, end - 1).any(|edge| hours.contains(edge));
        (!opens).then(|| format!("none of {hours} comes before it expires"))
    }
}
