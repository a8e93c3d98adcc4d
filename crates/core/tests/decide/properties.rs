//! What holds for every table and every call.

use std::collections::BTreeMap;

use callgate_core::{Call, Effect, Rule};
use proptest::prelude::*;

use crate::random::{PATTERNS, any_call, any_id, any_table};
use crate::table::{Entry, NOW, Table};

impl Table {
    fn permits(&self, call: &Call) -> bool {
        self.decided(call, |decision| decision.effect() == Effect::Allow)
    }

    /// The same table without the rules that `unwanted` picks.
    fn without(&self, unwanted: impl Fn(&Entry) -> bool) -> Self {
        let keep = |list: &BTreeMap<String, Entry>| {
            list.iter().filter(|(_, entry)| !unwanted(entry)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let keep_all = |lists: &BTreeMap<String, BTreeMap<String, Entry>>| {
            lists.iter().map(|(id, list)| (id.clone(), keep(list))).collect()
        };
        Self {
            app: keep(&self.app),
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
    fn without_an_allow_nothing_goes_through(table in any_table(), call in any_call()) {
        let table = table.without(|entry| matches!(entry, Ok(rule) if rule.effect == Effect::Allow));
        prop_assert!(!table.permits(&call));
    }

    #[test]
    fn an_expired_rule_equals_an_absent_one(table in any_table(), call in any_call()) {
        let without = table.without(|entry| matches!(entry, Ok(rule) if rule.expires_at.is_some_and(|at| at <= NOW)));
        let verdict = |table: &Table| table.decided(&call, |decision| (decision.effect(), decision.reason()));
        prop_assert_eq!(verdict(&table), verdict(&without));
    }

    #[test]
    fn removing_denies_never_refuses(table in any_table(), call in any_call()) {
        let without = table.without(|entry| matches!(entry, Ok(rule) if rule.effect == Effect::Deny));
        prop_assert!(!table.permits(&call) || without.permits(&call));
    }

    #[test]
    fn adding_a_deny_never_permits(
        table in any_table(),
        call in any_call(),
        (from, to) in prop_oneof![
            (any_id(), any_id()),
            (prop::sample::select(&PATTERNS[..5]).prop_map(str::to_owned), any_id()),
            (any_id(), prop::sample::select(&PATTERNS[..5]).prop_map(str::to_owned)),
            (prop::sample::select(&PATTERNS[..5]).prop_map(str::to_owned), Just("*".to_owned())),
        ],
    ) {
        // Added, not replacing: whoever overwrites a rule has also removed one.
        let taken = match (from.ends_with('*'), to.ends_with('*')) {
            (false, false) => table.pairs.contains_key(&(from.clone(), to.clone())),
            (true, false) => table.incoming.get(&to).is_some_and(|list| list.contains_key(&from)),
            (false, true) => table.outgoing.get(&from).is_some_and(|list| list.contains_key(&to)),
            (true, true) => table.app.contains_key(&from),
        };
        prop_assume!(!taken && !table.permits(&call));
        prop_assert!(!table.with(&from, &to, &Ok(Rule::new(Effect::Deny))).permits(&call));
    }
}
