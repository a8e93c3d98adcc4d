//! Can a rule change any answer, as things stand? Asked of the function's own decision, with the rule and without
//! it, for calls that stand for all it is about.

use std::collections::BTreeSet;

use callgate_core::{
    App, Call, Decision, DialPlan, Door, Effect, EpochSeconds, MediaSet, ParseError, ParsedItem, Party, PartyId,
    Pattern, Permissions, Rule, RuleKey, Rules, decide,
};

use crate::statement::{RuleOwner, RuleTarget};

/// What stands in the table around a rule: its app, and the parties it names.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) app: ParsedItem<App>,
    /// The caller, where the rule names one.
    pub(crate) caller: ParsedItem<Party>,
    /// The callee, where the rule names one.
    pub(crate) callee: ParsedItem<Party>,
    /// The rule of exactly these two, where it names both.
    pub(crate) pair: ParsedItem<Rule>,
}

/// A moment a week long window must open in, and a day to spare.
const EIGHT_DAYS: EpochSeconds = 8 * 24 * 60 * 60;

/// More rules of a list than these are not looked at one by one.
const MAX_RELATED: usize = 200;

/// Why no call is answered differently with this rule than without it; `None` when some call may be.
pub(crate) fn why_redundant(target: &RuleTarget, rule: &Rule, around: &Context, now: EpochSeconds) -> Option<String> {
    let owner = target.owner().ok()?;
    let with = related(&around.with(target, &owner, Some(rule)), target, &owner);
    let without = related(&around.with(target, &owner, None), target, &owner);
    if with.len() > MAX_RELATED {
        return None;
    }
    let mut reasons = BTreeSet::new();
    let moments = with.moments(now);
    for (caller, callee) in with.calls(target)? {
        // What the party of a caller or callee that the rule does not name says is not known: it may say anything.
        for (caller_says, callee_says) in unknown_doors(&owner) {
            let [with, without] = [&with, &without].map(|it| it.clone().saying(caller_says, callee_says));
            for media in MEDIA {
                let call = Call { app: target.app.clone(), caller: caller.clone(), callee: callee.clone(), media };
                for &moment in &moments {
                    let (before, after) =
                        (decide(&call, without.permissions(), moment), decide(&call, with.permissions(), moment));
                    if before.effect() != after.effect() {
                        return None;
                    }
                    // Doors nobody knows anything about explain nothing.
                    if caller_says.is_none() && callee_says.is_none() {
                        reasons.insert(explain(&before));
                    }
                }
            }
        }
    }
    Some(if reasons.is_empty() {
        "it never applies".to_owned()
    } else {
        reasons.into_iter().collect::<Vec<_>>().join("; ")
    })
}

const MEDIA: [MediaSet; 4] = [
    MediaSet { audio: true, video: false },
    MediaSet { audio: true, video: true },
    MediaSet { audio: false, video: true },
    MediaSet { audio: false, video: false },
];

/// What decides the calls that the rule is about.
fn explain(decision: &Decision<'_>) -> String {
    match decision {
        Decision::Rule { door, key, effect } => {
            let list = match (door, key) {
                (_, RuleKey::Pair(_)) => "the pair's own rule".to_owned(),
                (Door::App, _) => format!("the app's rule `{key}`"),
                (Door::Caller, _) => format!("the caller's rule `{key}`"),
                (Door::Callee, _) => format!("the callee's rule `{key}`"),
            };
            match effect {
                Effect::Allow => format!("{list} allows these calls already"),
                Effect::Deny => format!("{list} denies these calls"),
            }
        }
        Decision::Suspended(door) => format!("the {} is suspended", door.as_str()),
        Decision::NoRule => "nothing allows these calls anyway".to_owned(),
        Decision::InvalidRecord(invalid) => format!("a record cannot be understood: {}", invalid.error),
    }
}

/// Every combination of what the doors say that the rule's item tells nothing about.
fn unknown_doors(owner: &RuleOwner) -> Vec<(Option<Effect>, Option<Effect>)> {
    const ANYTHING: [Option<Effect>; 3] = [None, Some(Effect::Allow), Some(Effect::Deny)];
    match owner {
        RuleOwner::Pair(..) => vec![(None, None)],
        RuleOwner::Caller(_) => ANYTHING.map(|says| (None, says)).to_vec(),
        RuleOwner::Callee(_) => ANYTHING.map(|says| (says, None)).to_vec(),
        // No door beyond the first undoes a deny, and one allow is as good as two.
        RuleOwner::App => ANYTHING.map(|says| (says, None)).to_vec(),
    }
}

impl Context {
    /// The same with this rule in its place, or with none there.
    fn with(&self, target: &RuleTarget, owner: &RuleOwner, rule: Option<&Rule>) -> Self {
        let mut around = self.clone();
        let replace = |rules: &mut Rules, at: &Pattern| {
            let others = rules.iter().filter(|(pattern, _)| *pattern != at);
            let others = others.map(|(pattern, rule)| (pattern.clone(), rule.cloned().map_err(Clone::clone)));
            let one = rule.map(|rule| (at.clone(), Ok::<_, ParseError>(rule.clone())));
            *rules = others.chain(one).collect();
        };
        match owner {
            RuleOwner::Pair(..) => around.pair = Ok(rule.cloned()),
            RuleOwner::App => {
                if let Ok(app) = &mut around.app {
                    replace(&mut app.get_or_insert_default().callers, &target.from);
                }
            }
            RuleOwner::Caller(_) => {
                if let Ok(party) = &mut around.caller {
                    replace(&mut party.get_or_insert_default().outgoing, &target.to);
                }
            }
            RuleOwner::Callee(_) => {
                if let Ok(party) = &mut around.callee {
                    replace(&mut party.get_or_insert_default().incoming, &target.from);
                }
            }
        }
        around
    }

    fn permissions(&self) -> Permissions<'_> {
        Permissions { app: &self.app, caller: &self.caller, callee: &self.callee, pair: &self.pair }
    }

    /// Lets the parties nobody knows say something to everybody.
    fn saying(mut self, caller: Option<Effect>, callee: Option<Effect>) -> Self {
        let everyone =
            |effect| -> Rules { [(Pattern::Everyone, Ok::<_, ParseError>(Rule::new(effect)))].into_iter().collect() };
        if let Some(effect) = caller {
            self.caller = Ok(Some(Party { outgoing: everyone(effect), ..Party::default() }));
        }
        if let Some(effect) = callee {
            self.callee = Ok(Some(Party { incoming: everyone(effect), ..Party::default() }));
        }
        self
    }

    fn lists(&self) -> impl Iterator<Item = (&Pattern, Result<&Rule, &ParseError>)> {
        let app = self.app.iter().flatten().flat_map(|app| app.callers.iter());
        let caller = self.caller.iter().flatten().flat_map(|party| party.outgoing.iter());
        let callee = self.callee.iter().flatten().flat_map(|party| party.incoming.iter());
        app.chain(caller).chain(callee)
    }

    fn len(&self) -> usize {
        self.lists().count()
    }

    /// Now, and every later moment at which one of the rules may begin or cease to apply.
    fn moments(&self, now: EpochSeconds) -> Vec<EpochSeconds> {
        let rules = || self.lists().filter_map(|(_, rule)| rule.ok()).chain(self.pair.iter().flatten());
        let expiries = rules().filter_map(|rule| rule.expires_at);
        let parties = [&self.caller, &self.callee].into_iter().flatten().flatten().filter_map(|it| it.expires_at);
        let steps: BTreeSet<_> = expiries.chain(parties).filter(|&at| at > now).chain([now]).collect();
        let edges = |&step: &EpochSeconds| {
            rules()
                .filter_map(|rule| rule.hours.as_ref())
                .flat_map(move |it| it.transitions(step, step.saturating_add(EIGHT_DAYS)))
        };
        let all: BTreeSet<_> = steps.iter().flat_map(edges).chain(steps.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// Callers and callees that stand for all that the rule is about: whom it or a related rule names, and, for each
    /// prefix, somebody no longer rule knows.
    fn calls(&self, target: &RuleTarget) -> Option<Vec<(PartyId, PartyId)>> {
        let named: Vec<_> = self.lists().map(|(pattern, _)| pattern.clone()).collect();
        let stand_for = |side: &Pattern| -> Option<Vec<PartyId>> {
            if let Pattern::Exact(id) = side {
                return Some(vec![id_of(id)?]);
            }
            let within = named.iter().filter(|it| covers(side, it)).chain([side]);
            Some(within.filter_map(|pattern| somebody(pattern, &named)).collect())
        };
        let (callers, callees) = (stand_for(&target.from)?, stand_for(&target.to)?);
        if callers.is_empty() || callees.is_empty() {
            return None;
        }
        Some(callers.iter().flat_map(|caller| callees.iter().map(|callee| (caller.clone(), callee.clone()))).collect())
    }
}

/// Only the rules that may match a call the rule is about.
fn related(around: &Context, target: &RuleTarget, owner: &RuleOwner) -> Context {
    let keep = |rules: &Rules, side: &Pattern| -> Rules {
        let touching = rules.iter().filter(|(pattern, _)| covers(side, pattern) || covers(pattern, side));
        touching.map(|(pattern, rule)| (pattern.clone(), rule.cloned().map_err(Clone::clone))).collect()
    };
    let mut around = around.clone();
    if let Ok(Some(app)) = &mut around.app {
        app.callers = keep(&app.callers, &target.from);
    }
    if let Ok(Some(party)) = &mut around.caller {
        party.outgoing = keep(&party.outgoing, &target.to);
        party.incoming = Rules::default();
    }
    if let Ok(Some(party)) = &mut around.callee {
        party.incoming = keep(&party.incoming, &target.from);
        party.outgoing = Rules::default();
    }
    if !matches!(owner, RuleOwner::Pair(..)) {
        around.pair = Ok(None);
    }
    around
}

/// Everybody the second matches, the first matches too.
fn covers(wide: &Pattern, narrow: &Pattern) -> bool {
    match (wide, narrow) {
        (Pattern::Everyone, _) => true,
        (Pattern::Prefix(wide), Pattern::Prefix(id) | Pattern::Exact(id)) => id.starts_with(wide.as_str()),
        (Pattern::Exact(wide), Pattern::Exact(id)) => id == wide,
        _ => false,
    }
}

/// An id that the pattern matches and no longer pattern knows.
fn somebody(pattern: &Pattern, named: &[Pattern]) -> Option<PartyId> {
    let stem = match pattern {
        Pattern::Exact(id) => return id_of(id),
        Pattern::Everyone => "",
        Pattern::Prefix(prefix) => prefix,
    };
    let unknown = |end: &str| {
        let id = format!("{stem}{end}");
        let longer = named.iter().filter(|it| *it != pattern && covers(pattern, it));
        let is_known = longer.into_iter().any(|it| covers(it, &Pattern::Exact(id.clone())));
        (!is_known).then_some(id)
    };
    // A digit for numbers, a letter for names; one of them is free unless the list names all of them.
    ["0000000", "1111111", "5555555", "9999999", "zzz", "ZZZ", "~", ""].iter().find_map(|end| id_of(&unknown(end)?))
}

fn id_of(text: &str) -> Option<PartyId> {
    PartyId::new(text, &DialPlan::default()).ok().filter(|id| id.as_str() == text)
}

/// The items a rule's surroundings are made of.
pub(crate) fn parties_of(owner: &RuleOwner) -> (Option<&PartyId>, Option<&PartyId>) {
    match owner {
        RuleOwner::App => (None, None),
        RuleOwner::Caller(caller) => (Some(caller), None),
        RuleOwner::Callee(callee) => (None, Some(callee)),
        RuleOwner::Pair(caller, callee) => (Some(caller), Some(callee)),
    }
}
