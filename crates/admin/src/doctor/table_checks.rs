//! Checks across items: `shadowed`, `contradicted`, `short_prefix`, `suspended`.

use std::collections::{BTreeSet, HashMap};

use callgate_core::{App, Effect, EpochSeconds, ParseError, ParsedItem, Party, Pattern, Rule, Rules, Status};

use super::commands::{item_command, revoke_command};
use super::finding::{Finding, FindingKind, Location};
use crate::item_kind::ItemKind;
use crate::redundancy::{Context, Redundancy, RuleIndex, why_redundant};
use crate::rule_target::RuleTarget;
use crate::wording::{count, rule_text};

/// With fewer known parties than this, it does not matter how many of them a prefix matches.
const MIN_PARTIES: usize = 20;

/// The parts of all items that the checks across items need.
#[derive(Default)]
pub(super) struct Contents {
    /// By app: the rules of its item.
    apps: HashMap<String, Result<RuleIndex, ParseError>>,
    /// By app and id.
    parties: HashMap<(String, String), Result<PartyRules, ParseError>>,
    /// By app: every id in the key of an item.
    ids: HashMap<String, BTreeSet<String>>,
    /// The valid rules that a call can match.
    rules: Vec<CheckedRule>,
    /// By app and id: how many rules are stored with the party.
    rule_counts: HashMap<(String, String), u64>,
}

/// A party with its rules.
struct PartyRules {
    party: Party,
    incoming: RuleIndex,
    outgoing: RuleIndex,
}

/// A valid rule that a call can match.
pub(super) struct CheckedRule {
    pub(super) target: RuleTarget,
    pub(super) rule: Rule,
    /// Whether it is stored in a list rather than as an item of its own.
    pub(super) is_listed: bool,
}

impl Contents {
    pub(super) fn add_app(&mut self, app: &str, parsed: Result<App, ParseError>) {
        self.apps.insert(app.to_owned(), parsed.map(|app| RuleIndex::new(&app.callers)));
    }

    pub(super) fn add_party(&mut self, app: &str, id: &str, parsed: Result<Party, ParseError>) {
        self.ids.entry(app.to_owned()).or_default().insert(id.to_owned());
        let parsed = parsed.map(|party| PartyRules {
            incoming: RuleIndex::new(&party.incoming),
            outgoing: RuleIndex::new(&party.outgoing),
            party: Party { incoming: Rules::default(), outgoing: Rules::default(), ..party },
        });
        self.parties.insert((app.to_owned(), id.to_owned()), parsed);
    }

    pub(super) fn add_pair(&mut self, app: &str, caller: &str, callee: &str) {
        self.ids.entry(app.to_owned()).or_default().extend([callee.to_owned(), caller.to_owned()]);
    }

    pub(super) fn add_rule(&mut self, rule: CheckedRule) {
        self.rules.push(rule);
    }

    pub(super) fn count_rule(&mut self, app: &str, owner: &str) {
        *self.rule_counts.entry((app.to_owned(), owner.to_owned())).or_default() += 1;
    }

    /// Runs the checks, after everything was added.
    pub(super) fn check(&self, now: EpochSeconds) -> Vec<Finding> {
        let ids: HashMap<_, Vec<_>> = self.ids.iter().map(|(app, ids)| (app.as_str(), ids.iter().collect())).collect();
        let mut findings = Vec::new();
        for checked in &self.rules {
            findings.extend(self.redundant(checked, now));
            let ids = ids.get(checked.target.app.as_str()).map(Vec::as_slice).unwrap_or_default();
            let sides = [&checked.target.from, &checked.target.to];
            findings.extend(sides.into_iter().filter_map(|side| short_prefix(&checked.target, side, ids)));
        }
        findings.extend(self.parties.keys().filter_map(|(app, id)| self.suspended(app, id)));
        findings
    }

    /// A rule that cannot change any decision.
    fn redundant(&self, checked: &CheckedRule, now: EpochSeconds) -> Option<Finding> {
        let CheckedRule { target, rule, is_listed } = checked;
        let is_misplaced = *is_listed && !target.has_pattern();
        if is_misplaced {
            return None;
        }
        let Redundancy { why, is_denied } = why_redundant(target, rule, &self.context(target), now)?;
        let kind =
            if rule.effect == Effect::Allow && is_denied { FindingKind::Contradicted } else { FindingKind::Shadowed };
        let what = format!("{} has no effect", rule_text(&target.from, &target.to, rule));
        let (location, revoke) = rule_location(target);
        Some(Finding::new(kind, &location, what, why, Some(revoke)))
    }

    /// The rules that may decide the same calls. Suspended parties count as active, because they are findings of their own.
    fn context(&self, target: &RuleTarget) -> Context {
        let app = self.apps.get(target.app.as_str()).map(|rules| {
            let rules = rules.as_ref().map_err(Clone::clone)?;
            Ok(App { callers: rules.overlapping(&target.from), ..App::default() })
        });
        let party = |pattern: &Pattern| -> ParsedItem<Party> {
            let Pattern::Exact(id) = pattern else { return Ok(None) };
            let Some(found) = self.parties.get(&(target.app.as_str().to_owned(), id.clone())) else { return Ok(None) };
            let PartyRules { party, incoming, outgoing } = found.as_ref().map_err(Clone::clone)?;
            Ok(Some(Party {
                status: Status::Active,
                incoming: incoming.overlapping(&target.from),
                outgoing: outgoing.overlapping(&target.to),
                ..party.clone()
            }))
        };
        Context {
            app: app.transpose(),
            caller: party(&target.from),
            callee: party(&target.to),
            // Only a rule between two parties matches the calls of a pair item, and that item is the rule itself.
            pair: Ok(None),
        }
    }

    /// A suspended party that has rules.
    fn suspended(&self, app: &str, id: &str) -> Option<Finding> {
        let key = (app.to_owned(), id.to_owned());
        let PartyRules { party, .. } = self.parties.get(&key)?.as_ref().ok()?;
        let rules = self.rule_counts.get(&key).filter(|_| party.status == Status::Suspended)?;
        Some(Finding::new(
            FindingKind::Suspended,
            &Location::party(app, id),
            format!("it is suspended and has {}", count(*rules, "rule")),
            "its rules have no effect until it is resumed",
            Some(item_command("resume", &ItemKind::Party(app.to_owned(), id.to_owned()))),
        ))
    }
}

/// A prefix that matches most of the known parties of the app, given their sorted ids.
fn short_prefix(target: &RuleTarget, side: &Pattern, ids: &[&String]) -> Option<Finding> {
    let Pattern::Prefix(prefix) = side else { return None };
    if ids.len() < MIN_PARTIES {
        return None;
    }
    let from = ids.get(ids.partition_point(|id| *id < prefix)..)?;
    let matching = from.partition_point(|id| id.starts_with(prefix.as_str()));
    if matching * 2 <= ids.len() {
        return None;
    }
    let (location, revoke) = rule_location(target);
    Some(Finding::new(
        FindingKind::ShortPrefix,
        &location,
        format!("`{side}` is so short that it matches {matching} of the {} known parties", ids.len()),
        "it may match more parties than intended; write `*` if everyone is meant",
        Some(revoke),
    ))
}

/// The location of a rule, and the command that revokes it.
fn rule_location(target: &RuleTarget) -> (Location, String) {
    let (app, from, to) = (target.app.as_str(), target.from.to_string(), target.to.to_string());
    (Location::rule(app, &from, &to), revoke_command(app, &from, &to))
}
