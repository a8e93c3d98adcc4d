//! Finds the steps that turn a decision around: those that permit a refused call, or refuse a permitted one.

use callgate_core::{
    App, Block, Call, Decision, Door, Effect, EpochSeconds, InvalidRecord, ParsedItem, Party, PartyId, Pattern,
    Permissions, RecordLocation, Rule, RuleKey, Rules, Status, decide, has_expired,
};

use crate::action::Action;
use crate::doctor::commands::{item_command, revoke_command, rule_command};
use crate::edit::{BlockEdit, Edit, RuleEdit};
use crate::item_kind::ItemKind;
use crate::rule_target::RuleTarget;
use crate::table::Table;
use crate::wording::{escape, rule_text};

/// With more steps than this, something else is wrong.
const MAX_STEPS: usize = 8;

/// One step of a reversal.
#[derive(Debug, Clone)]
pub struct Step {
    /// The command that takes it.
    pub command: String,
    /// The same as a value.
    pub action: Action,
    /// The same in words: for a rule, the whole rule as it is stored afterwards.
    pub text: String,
    /// What the step changes or removes. `None` if nothing is stored in its place, or for a status.
    pub previous: Option<Previous>,
    /// Whether the step only adds a rule, so that everything is as before once that rule has expired.
    pub only_adds: bool,
}

/// What is stored in the place of a step.
#[derive(Debug, Clone)]
pub enum Previous {
    /// A rule. It may have expired.
    Rule(Rule),
    /// The block of the caller.
    Block(Block),
}

/// How to turn a decision around.
#[derive(Debug, Clone)]
pub enum Reversal {
    /// These steps, one after the other, turn it around.
    Steps(Vec<Step>),
    /// An item or a rule is invalid, or its name cannot be typed. This command shows it.
    Show(String),
}

/// The commands of steps, on one line of a shell.
#[must_use]
pub fn command_line(steps: &[Step]) -> String {
    steps.iter().map(|step| step.command.as_str()).collect::<Vec<_>>().join(" && ")
}

impl Table {
    /// Finds the steps that turn the decision of a call at a moment around. Each step is applied to a copy of the
    /// permissions, so that together they do it.
    #[must_use]
    pub fn reversal(&self, call: &Call, permissions: Permissions<'_>, at: EpochSeconds, now: EpochSeconds) -> Reversal {
        let Permissions { app, caller, callee, pair } = permissions;
        let before = decide(call, permissions, at).effect();
        let wanted = match before {
            Effect::Allow => Effect::Deny,
            Effect::Deny => Effect::Allow,
        };
        let mut copy = Copy {
            table: self,
            call,
            moments: (at, now),
            app: app.clone(),
            caller: caller.clone(),
            callee: callee.clone(),
            pair: pair.clone(),
        };
        let mut steps = Vec::new();
        while steps.len() < MAX_STEPS {
            match copy.next(wanted) {
                Next::Done => return Reversal::Steps(steps),
                Next::Steps(more) if !more.is_empty() => steps.extend(more),
                Next::Steps(_) => break,
                Next::Show(command) => return Reversal::Show(command),
            }
        }
        Reversal::Show(copy.show(Door::Callee))
    }
}

enum Next {
    Done,
    Steps(Vec<Step>),
    Show(String),
}

/// A place where a rule for exactly these two parties can be written.
#[derive(Clone, Copy)]
enum Place {
    Pair,
    /// The app's exception for the caller.
    App,
    /// The app's exception for the callee.
    Destination,
}

/// The permissions of a call, to which the steps are applied.
struct Copy<'a> {
    table: &'a Table,
    call: &'a Call,
    /// The moment of the call, and the current time.
    moments: (EpochSeconds, EpochSeconds),
    app: ParsedItem<App>,
    caller: ParsedItem<Party>,
    callee: ParsedItem<Party>,
    pair: ParsedItem<Rule>,
}

impl Copy<'_> {
    /// The next steps on the way to the effect.
    fn next(&mut self, wanted: Effect) -> Next {
        /// What has to change, without a borrow of the permissions.
        enum Obstacle {
            Suspended(Door),
            Blocked,
            Entry(Door),
            Rule(Place),
            Invalid(Door),
        }
        let Self { app, caller, callee, pair, .. } = &*self;
        let decision = decide(self.call, Permissions { app, caller, callee, pair }, self.moments.0);
        if decision.effect() == wanted {
            return Next::Done;
        }
        let obstacle = match &decision {
            _ if wanted == Effect::Deny => Obstacle::Rule(Place::Pair),
            Decision::Suspended(door) => Obstacle::Suspended(*door),
            Decision::Blocked(_) => Obstacle::Blocked,
            Decision::InvalidRecord(InvalidRecord { location, .. }) => Obstacle::Invalid(match location {
                RecordLocation::Item(door) | RecordLocation::Entry(door, _) => *door,
                RecordLocation::Pair => Door::Callee,
            }),
            Decision::Rule { door: Door::App, .. } => Obstacle::Rule(Place::App),
            Decision::Rule { door: Door::Destination, .. } => Obstacle::Rule(Place::Destination),
            Decision::Rule { door, key: RuleKey::Entry(Pattern::Exact(_)), .. } => Obstacle::Entry(*door),
            Decision::Rule { .. } | Decision::NoRule => Obstacle::Rule(Place::Pair),
        };
        match obstacle {
            Obstacle::Suspended(door) => self.resume(door),
            Obstacle::Blocked => self.unblock(),
            Obstacle::Entry(door) => self.revoke_entry(door),
            Obstacle::Rule(place) => self.write(place, wanted),
            Obstacle::Invalid(door) => Next::Show(self.show(door)),
        }
    }

    fn show(&self, door: Door) -> String {
        item_command("show", &self.owner(door))
    }

    fn owner(&self, door: Door) -> ItemKind {
        let Call { app, caller, callee, media: _ } = self.call;
        let party = |id: &PartyId| ItemKind::Party(app.as_str().to_owned(), id.as_str().to_owned());
        match door {
            Door::App | Door::Destination => ItemKind::App(app.as_str().to_owned()),
            Door::Caller => party(caller),
            Door::Callee => party(callee),
        }
    }

    /// The party's item at a door, and the same item at the other one if a party calls itself.
    fn parties(&mut self, door: Door) -> impl Iterator<Item = &mut Party> {
        let is_same = self.call.caller == self.call.callee;
        let caller = (door == Door::Caller || is_same).then_some(&mut self.caller);
        let callee = (door == Door::Callee || is_same).then_some(&mut self.callee);
        [caller, callee].into_iter().flatten().filter_map(|item| item.as_mut().ok()?.as_mut())
    }

    fn resume(&mut self, door: Door) -> Next {
        match door {
            Door::App | Door::Destination => {
                if let Ok(Some(app)) = &mut self.app {
                    app.status = Status::Active;
                }
            }
            Door::Caller | Door::Callee => self.parties(door).for_each(|party| party.status = Status::Active),
        }
        let party = match door {
            Door::App | Door::Destination => None,
            Door::Caller => Some(self.call.caller.clone()),
            Door::Callee => Some(self.call.callee.clone()),
        };
        let app = &self.call.app;
        let text = party
            .as_ref()
            .map_or_else(|| format!("resume app {app}"), |id| format!("resume party {}", escape(id.as_str())));
        let action = Action::SetStatus { app: app.clone(), party, status: Status::Active, note: None };
        let command = item_command("resume", &self.owner(door));
        Next::Steps(vec![Step { command, action, text, previous: None, only_adds: false }])
    }

    fn unblock(&mut self) -> Next {
        let previous = self.parties(Door::Caller).find_map(|party| party.blocked.clone()).map(Previous::Block);
        self.parties(Door::Caller).for_each(|party| party.blocked = None);
        let Call { app, caller, .. } = self.call;
        let text = format!("unblock {}", escape(caller.as_str()));
        let action = Action::Unblock { app: app.clone(), caller: caller.clone() };
        let command = item_command("unblock", &self.owner(Door::Caller));
        Next::Steps(vec![Step { command, action, text, previous, only_adds: false }])
    }

    /// Revokes a rule for exactly the other party that is stored in a list. A rule between the two cannot overrule it.
    fn revoke_entry(&mut self, door: Door) -> Next {
        let Call { app, caller, callee, media: _ } = self.call;
        let pattern = Pattern::Exact(if door == Door::Caller { callee } else { caller }.as_str().to_owned());
        let mut previous = None;
        self.parties(door).for_each(|party| {
            let list = if door == Door::Caller { &mut party.outgoing } else { &mut party.incoming };
            previous = previous.take().or_else(|| rule_of(list, &pattern).cloned().map(Previous::Rule));
            *list = without(list, &pattern);
        });
        let (caller, callee) = (caller.as_str(), callee.as_str());
        let (from, to) = (caller.to_owned(), callee.to_owned());
        let action = Action::Revoke { app: app.clone(), from, to, door: Some(door) };
        let command = revoke_command(self.table.name(), app.as_str(), caller, callee, Some(door));
        let text = format!("revoke the rule from {} to {}", escape(caller), escape(callee));
        Next::Steps(vec![Step { command, action, text, previous, only_adds: false }])
    }

    /// Writes a rule as `allow` or `deny` does, which keeps the conditions of the rule that is stored.
    fn write(&mut self, place: Place, effect: Effect) -> Next {
        let Call { app, caller, callee, media } = self.call;
        let (at, now) = self.moments;
        let exact = |id: &PartyId| Pattern::Exact(id.as_str().to_owned());
        let (from, to, door) = match place {
            Place::Pair => (exact(caller), exact(callee), None),
            Place::App => (exact(caller), Pattern::Everyone, Some(Door::App)),
            Place::Destination => (Pattern::Everyone, exact(callee), Some(Door::Destination)),
        };
        let region = self.table.phone_region();
        let can_be_typed = |side: &Pattern| Pattern::new(&side.to_string(), region).is_ok_and(|it| it == *side);
        if ![&from, &to].into_iter().all(can_be_typed) {
            return Next::Show(self.show(if matches!(place, Place::App) { Door::App } else { Door::Callee }));
        }
        let stored = match place {
            Place::Pair => self.pair.as_ref().ok().and_then(Option::as_ref),
            Place::App => self.app_rule(|app| &app.callers, &from),
            Place::Destination => self.app_rule(|app| &app.destinations, &to),
        };
        let mut previous = stored.cloned().map(Previous::Rule);
        // What has expired is replaced as a whole.
        let stored = stored.filter(|rule| !has_expired(rule.expires_at, now)).cloned();
        let mut rule = stored.clone().unwrap_or_else(|| Rule::new(effect));
        rule.effect = effect;
        let door_option = door.map(|door| format!(" --door {}", door.as_str())).unwrap_or_default();
        let mut options = door_option.clone();
        let common = BlockEdit::default();
        let mut edit = RuleEdit { effect, media: Edit::Keep, hours: Edit::Keep, is_disabled: false, common };
        let fits = |set| if effect == Effect::Allow { media.is_subset_of(set) } else { media.intersects(set) };
        if rule.media.is_some_and(|set| !fits(set)) {
            (rule.media, edit.media, options) = (None, Edit::Clear, options + " --no-media");
        }
        if rule.hours.as_ref().is_some_and(|hours| !hours.contains(at)) {
            (rule.hours, edit.hours, options) = (None, Edit::Clear, options + " --no-hours");
        }
        if has_expired(rule.expires_at, at) {
            (rule.expires_at, edit.common.expires_at, options) = (None, Edit::Clear, options + " --no-until");
        }
        let target = RuleTarget { app: app.clone(), from: from.clone(), to: to.clone() };
        let (app, from_text, to_text) = (app.as_str(), from.to_string(), to.to_string());
        let mut steps = Vec::new();
        if stored.as_ref() != Some(&rule) {
            let mut command = rule_command(effect.as_str(), app, &from_text, &to_text) + &options;
            // The tool refuses to write these otherwise.
            if [&from_text, &to_text].into_iter().any(|text| self.table.check_written(text).is_err()) {
                command += " --exactly";
            }
            let action = Action::WriteRule { target: target.clone(), door, edit };
            let (text, only_adds) = (rule_text(&from, &to, &rule), stored.is_none());
            // The next step changes what this one writes.
            steps.push(Step { command, action, text, previous: previous.take(), only_adds });
        }
        if rule.disabled {
            rule.disabled = false;
            let command = rule_command("enable", app, &from_text, &to_text) + &door_option;
            let text = format!("enable {}", rule_text(&from, &to, &rule));
            let (app, is_disabled) = (target.app, false);
            let action = Action::SwitchRule { app, from: from_text, to: to_text, door, is_disabled };
            steps.push(Step { command, action, text, previous, only_adds: false });
        }
        match place {
            Place::Pair => self.pair = Ok(Some(rule)),
            Place::App => self.set_app_rule(|app| &mut app.callers, from, rule),
            Place::Destination => self.set_app_rule(|app| &mut app.destinations, to, rule),
        }
        Next::Steps(steps)
    }

    fn app_rule(&self, list: impl Fn(&App) -> &Rules, pattern: &Pattern) -> Option<&Rule> {
        rule_of(self.app.as_ref().ok()?.as_ref().map(list)?, pattern)
    }

    fn set_app_rule(&mut self, list: impl Fn(&mut App) -> &mut Rules, pattern: Pattern, rule: Rule) {
        if let Ok(app) = &mut self.app {
            let rules = list(app.get_or_insert_default());
            let others = without(rules, &pattern);
            let others = others.iter().map(|(it, rule)| (it.clone(), rule.cloned().map_err(Clone::clone)));
            *rules = others.chain([(pattern, Ok(rule))]).collect();
        }
    }
}

fn rule_of<'a>(rules: &'a Rules, pattern: &Pattern) -> Option<&'a Rule> {
    rules.iter().find(|(it, _)| *it == pattern)?.1.ok()
}

fn without(rules: &Rules, pattern: &Pattern) -> Rules {
    let others = rules.iter().filter(|(it, _)| *it != pattern);
    others.map(|(it, rule)| (it.clone(), rule.cloned().map_err(Clone::clone))).collect()
}
