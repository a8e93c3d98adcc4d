//! Finds the rules of a list that overlap with a pattern, without reading all of them.

use std::sync::Arc;

use callgate_core::{ParseError, Pattern, Rule, Rules};

use super::MAX_RELATED;
use super::patterns::{literal, overlap};
use super::related::Candidate;

/// A list of rules, sorted by their texts, so that the rules that overlap with a pattern are found without reading all of
/// them. A group overlaps with every pattern.
#[derive(Debug, Default)]
pub(crate) struct RuleIndex {
    groups: Box<[IndexedRule]>,
    others: Box<[IndexedRule]>,
}

/// Conditions that several rules have, each of them once in memory: most rules of a table have the same few.
#[derive(Debug, Default)]
pub(crate) struct SharedRules(Vec<Arc<Rule>>);

/// With more different conditions than this, others are not shared.
const MAX_SHARED: usize = 64;

impl SharedRules {
    /// The rule without what does not decide: its note, its list and its author.
    fn share(&mut self, rule: &Rule) -> Arc<Rule> {
        let Rule { effect, media, hours, expires_at, disabled, list: _, note: _, updated_at: _, updated_by: _ } = rule;
        let is_same = |it: &&Arc<Rule>| {
            (&it.effect, &it.media, &it.hours, &it.expires_at, &it.disabled)
                == (effect, media, hours, expires_at, disabled)
        };
        if let Some(shared) = self.0.iter().find(is_same) {
            return Arc::clone(shared);
        }
        let (media, hours, expires_at, disabled) = (*media, hours.clone(), *expires_at, *disabled);
        let rule = Arc::new(Rule { media, hours, expires_at, disabled, ..Rule::new(*effect) });
        if self.0.len() < MAX_SHARED {
            self.0.push(Arc::clone(&rule));
        }
        rule
    }
}

#[derive(Debug, Clone)]
struct IndexedRule {
    pattern: Pattern,
    rule: Result<Arc<Rule>, ParseError>,
    is_removable: bool,
}

impl RuleIndex {
    pub(crate) fn new(rules: &Rules, shared: &mut SharedRules) -> Self {
        let rules = rules.iter().map(|(pattern, rule)| IndexedRule {
            pattern: pattern.clone(),
            rule: rule.map(|rule| shared.share(rule)).map_err(Clone::clone),
            is_removable: false,
        });
        let (groups, mut others): (Vec<_>, Vec<_>) = rules.partition(|it| matches!(it.pattern, Pattern::Group(_)));
        others.sort_by(|one, other| literal(&one.pattern).cmp(literal(&other.pattern)));
        Self { groups: groups.into(), others: others.into() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.others.is_empty()
    }

    /// Marks a rule as one that may be removed.
    pub(crate) fn set_removable(&mut self, pattern: &Pattern) {
        let start = self.others.partition_point(|it| literal(&it.pattern) < literal(pattern));
        let from = self.others.get_mut(start..).unwrap_or_default().iter_mut().take(2);
        if let Some(found) = from.chain(&mut self.groups).find(|it| it.pattern == *pattern) {
            found.is_removable = true;
        }
    }

    /// The rules that match some party that the pattern may match too, at most one more than [`check`](super::check) takes into account.
    pub(crate) fn overlapping(&self, side: &Pattern) -> Vec<Candidate<'_>> {
        let text = if matches!(side, Pattern::Group(_)) { "" } else { literal(side) };
        // A wider pattern has a shorter text. The same text may be an id or a prefix.
        let shorter = text.char_indices().filter_map(|(end, _)| text.get(..end));
        let wider = shorter.flat_map(|text| self.starting_at(text).take_while(move |it| literal(&it.pattern) == text));
        let is_exact = matches!(side, Pattern::Exact(_));
        let narrower = self.starting_at(text).take_while(move |indexed| {
            let it = literal(&indexed.pattern);
            if is_exact { it == text } else { it.starts_with(text) }
        });
        let others = wider.chain(narrower).filter(|it| overlap(&it.pattern, side));
        let overlapping = self.groups.iter().chain(others).take(MAX_RELATED + 1);
        overlapping
            .map(|IndexedRule { pattern, rule, is_removable }| {
                Candidate::new(pattern, rule.as_ref().map(Arc::as_ref)).removable(*is_removable)
            })
            .collect()
    }

    /// The rules from this text on, in the order of their texts.
    fn starting_at(&self, text: &str) -> impl Iterator<Item = &IndexedRule> {
        let start = self.others.partition_point(|it| literal(&it.pattern) < text);
        self.others.get(start..).unwrap_or_default().iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use callgate_core::Effect;

    use super::*;
    use crate::redundancy::patterns::covers;

    #[test]
    fn overlapping_rules_are_those_that_match_a_common_id() {
        let texts = [
            "@a", "@b", "*", "+*", "+7*", "+7", "+74*", "+74", "+749*", "+75*", "+8*", "a*", "a", "ab", "é*", "éa*",
            "ß",
        ];
        let patterns = texts.map(Pattern::from_stored);
        let rules = || patterns.iter().map(|pattern| (pattern.clone(), Ok(Rule::new(Effect::Allow))));
        let index = RuleIndex::new(&rules().collect(), &mut SharedRules::default());
        let texts_of = |patterns: &mut dyn Iterator<Item = &Pattern>| -> BTreeSet<String> {
            patterns.map(ToString::to_string).collect()
        };
        for side in &patterns {
            let overlapping = index.overlapping(side);
            assert_eq!(
                texts_of(&mut overlapping.iter().map(|it| it.pattern)),
                texts_of(&mut patterns.iter().filter(|it| {
                    let has_group = [it, &side].into_iter().any(|it| matches!(it, Pattern::Group(_)));
                    has_group || covers(it, side) || covers(side, it)
                })),
                "{side}"
            );
            assert_eq!(overlapping.len(), texts_of(&mut overlapping.iter().map(|it| it.pattern)).len(), "{side}");
        }
    }
}
