//! Properties that hold for every table and every call.

use std::collections::BTreeMap;

use callgate_core::{Call, Effect, Rule};
use proptest::prelude::*;

use crate::random::{OPEN_PATTERNS, PATTERNS, any_call, any_id, any_table};
use crate::table::{Entry, NOW, Table, is_pattern};

impl Table {
    fn allows(&self, call: &Call) -> bool {
        self.check_decision(call, |decision| decision.effect() == Effect::Allow)
    }

    /// Returns a copy of the table without the rules for which `unwanted` is true.
    fn without(&self, unwanted: impl Fn(&Entry) -> bool) -> Self {
        let keep = |list: &BTreeMap<String, Entry>| {
            list.iter().filter(|(_, entry)| !unwanted(entry)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let keep_all = |lists: &BTreeMap<String, BTreeMap<String, Entry>>| {
            lists.iter().map(|(id, list)| (id.clone(), keep(list))).collect()
        };
        Self {
            app: keep(&self.app),
            destinations: keep(&self.destinations),
            outgoing: keep_all(&self.outgoing),
            incoming: keep_all(&self.incoming),
            pairs: self.pairs.iter().filter(|(_, e)| !unwanted(e)).map(|(k, v)| (k.clone(), v.clone())).collect(),
            ..self.clone()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        max_global_rejects: 100_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_table_without_allow_rules_denies_every_call(table in any_table(), call in any_call()) {
        let table = table.without(|entry| matches!(entry, Ok(rule) if rule.effect == Effect::Allow));
        prop_assert!(!table.allows(&call));
    }

    #[test]
    fn an_expired_or_disabled_rule_counts_as_absent(table in any_table(), call in any_call()) {
        let is_over = |rule: &Rule| rule.disabled || rule.expires_at.is_some_and(|at| at <= NOW);
        let without = table.without(|entry| matches!(entry, Ok(rule) if is_over(rule)));
        let result = |table: &Table| table.check_decision(&call, |decision| (decision.effect(), decision.reason()));
        prop_assert_eq!(result(&table), result(&without));
    }

    #[test]
    fn a_party_in_no_group_is_untouched_by_rules_about_groups(table in any_table(), call in any_call()) {
        let mut table = table;
        table.groups.clear();
        let mut without = table.clone();
        let lists = without.outgoing.values_mut().chain(without.incoming.values_mut());
        for list in lists.chain([&mut without.app, &mut without.destinations]) {
            list.retain(|pattern, _| !pattern.starts_with('@'));
        }
        let result = |table: &Table| table.check_decision(&call, |decision| (decision.effect(), decision.reason()));
        prop_assert_eq!(result(&table), result(&without));
    }

    #[test]
    fn a_block_never_allows_a_denied_call(table in any_table(), call in any_call(), id in any_id()) {
        prop_assume!(!table.allows(&call));
        prop_assert!(!table.blocked(&id, None).allows(&call));
    }

    #[test]
    fn removing_deny_rules_never_denies_an_allowed_call(table in any_table(), call in any_call()) {
        let without = table.without(|entry| matches!(entry, Ok(rule) if rule.effect == Effect::Deny));
        prop_assert!(!table.allows(&call) || without.allows(&call));
    }

    #[test]
    fn adding_a_deny_rule_never_allows_a_denied_call(
        table in any_table(),
        call in any_call(),
        (from, to) in prop_oneof![
            (any_id(), any_id()),
            (prop::sample::select(&PATTERNS[..OPEN_PATTERNS]).prop_map(str::to_owned), any_id()),
            (any_id(), prop::sample::select(&PATTERNS[..OPEN_PATTERNS]).prop_map(str::to_owned)),
            (prop::sample::select(&PATTERNS[..OPEN_PATTERNS]).prop_map(str::to_owned), Just("*".to_owned())),
            (Just("*".to_owned()), prop::sample::select(&PATTERNS[..OPEN_PATTERNS]).prop_map(str::to_owned)),
        ],
    ) {
        // The rule must be new: replacing a rule would also remove one.
        let rule_exists = match (is_pattern(&from), is_pattern(&to)) {
            (false, false) => table.pairs.contains_key(&(from.clone(), to.clone())),
            (true, false) => table.incoming.get(&to).is_some_and(|list| list.contains_key(&from)),
            (false, true) => table.outgoing.get(&from).is_some_and(|list| list.contains_key(&to)),
            (true, true) if to == "*" => table.app.contains_key(&from),
            (true, true) => table.destinations.contains_key(&to),
        };
        prop_assume!(!rule_exists && !table.allows(&call));
        prop_assert!(!table.with(&from, &to, &Ok(Rule::new(Effect::Deny))).allows(&call));
    }
}
