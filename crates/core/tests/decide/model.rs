//! The rules of the permission model, each with examples.

use crate::table::{APP, Table, rule};

#[test]
fn a_call_without_a_matching_rule_is_denied() {
    Table::default().check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["allow PPP001 to PPP005"]).check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["deny * to PPP005"]).check("PPP009 to PPP001", "deny no_rule");
}

#[test]
fn a_rule_applies_to_the_parties_that_it_matches() {
    Table::of(&["allow * to *", "deny +881* to *"])
        .check("PPP009 to PPP005", "allow app_rule")
        .check("anonymous to PPP005", "allow app_rule")
        .check("+8812345678 to PPP005", "deny app_rule");
    Table::of(&["allow PPP009 to PPP*"])
        .check("PPP009 to PPP005", "allow caller_rule")
        .check("PPP009 to QQQ005", "deny no_rule")
        .check("PPP001 to PPP005", "deny no_rule");
    Table::of(&["deny * to PPP005", "allow PPP009 to PPP005"])
        .check("PPP009 to PPP005", "allow pair_rule")
        .check("PPP001 to PPP005", "deny callee_rule");
    Table::of(&["allow * to *", "deny anonymous to PPP005"])
        .check("anonymous to PPP005", "deny pair_rule")
        .check("anonymous to PPP001", "allow app_rule");
}

#[test]
fn an_allow_at_one_door_does_not_override_a_deny_at_another() {
    Table::of(&["deny PPP* to *", "allow PPP009 to PPP005"]).check("PPP009 to PPP005", "deny app_rule");
    Table::of(&["deny PPP009 to *", "allow * to PPP005"]).check("PPP009 to PPP005", "deny caller_rule");
    Table::of(&["allow PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny callee_rule");
    Table::of(&["allow * to *", "allow PPP009 to *", "allow * to PPP005", "deny PPP009 to PPP005"])
        .check("PPP009 to PPP005", "deny pair_rule");
}

#[test]
fn the_reason_is_the_first_door_that_denies_or_the_last_that_allows() {
    Table::of(&["deny * to *", "deny PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny app_rule");
    Table::of(&["deny PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny caller_rule");
    Table::of(&["allow * to *", "allow PPP009 to *"]).check("PPP009 to PPP005", "allow caller_rule");
    Table::of(&["allow * to *", "allow PPP009 to *", "allow * to PPP005"])
        .check("PPP009 to PPP005", "allow callee_rule");
}

#[test]
fn the_most_specific_rule_that_applies_decides() {
    let table = Table::of(&["deny * to PPP005", "allow +7* to PPP005", "deny +7495* to PPP005"]);
    table
        .check("+1555 to PPP005", "deny callee_rule")
        .check("+7812 to PPP005", "allow callee_rule")
        .check("+7495 to PPP005", "deny callee_rule");
    Table::of(&["allow * to PPP005", "deny +7* to PPP005 until=1000"]).check("+7812 to PPP005", "allow callee_rule");
    Table::of(&["allow * to PPP005", "deny +7* to PPP005 until=1001"]).check("+7812 to PPP005", "deny callee_rule");
}

#[test]
fn deny_wins_between_equally_specific_rules() {
    let entry = |words| Table::default().incoming("PPP005", "PPP009", words);
    let with_pair = |table: Table, words: &str| table.with("PPP009", "PPP005", &rule(words));
    with_pair(entry("deny"), "allow").check("PPP009 to PPP005", "deny callee_rule");
    with_pair(entry("allow"), "deny").check("PPP009 to PPP005", "deny pair_rule");
    with_pair(entry("deny"), "deny").check("PPP009 to PPP005", "deny pair_rule");
    with_pair(entry("allow"), "allow").check("PPP009 to PPP005", "allow pair_rule");
    with_pair(Table::default().outgoing("PPP009", "PPP005", "deny"), "allow")
        .check("PPP009 to PPP005", "deny caller_rule");
}

#[test]
fn media_limit_the_calls_that_a_rule_applies_to() {
    Table::of(&["allow PPP009 to PPP005 audio"])
        .check("PPP009 to PPP005", "allow pair_rule")
        .check("PPP009 to PPP005 video", "deny no_rule")
        .check("PPP009 to PPP005 silent", "allow pair_rule");
    Table::of(&["allow * to *", "deny * to PPP005 video"])
        .check("PPP009 to PPP005", "allow app_rule")
        .check("PPP009 to PPP005 video", "deny callee_rule")
        .check("PPP009 to PPP005 silent", "allow app_rule");
    Table::of(&["allow PPP009 to PPP005 audio video"]).check("PPP009 to PPP005 video", "allow pair_rule");
}

#[test]
fn a_suspension_overrides_every_rule() {
    let table = Table::of(&["allow * to *", "allow PPP009 to PPP005"]);
    let all = table.clone().suspended("PPP009").suspended("PPP005").suspended(APP);
    all.check("PPP009 to PPP005", "deny app_suspended");
    table.clone().suspended("PPP009").suspended("PPP005").check("PPP009 to PPP005", "deny callee_suspended");
    table.clone().suspended("PPP009").check("PPP009 to PPP005", "deny caller_suspended");
    table.clone().suspended("PPP009").check("PPP009 to PPP009", "deny callee_suspended");
    table.suspended("PPP009").expired("PPP009").check("PPP009 to PPP005", "allow pair_rule");
}

#[test]
fn an_expired_party_counts_as_absent() {
    let table = Table::of(&["allow * to PPP005", "allow PPP009 to PPP*"]);
    table.clone().expired("PPP005").check("PPP009 to PPP005", "allow caller_rule");
    table.clone().expired("PPP009").check("PPP009 to PPP005", "allow callee_rule");
    table.expired("PPP005").expired("PPP009").check("PPP009 to PPP005", "deny no_rule");
}

#[test]
fn an_invalid_item_or_matching_rule_denies_the_call() {
    let table = Table::of(&["allow * to *", "allow PPP009 to PPP005"]);
    for name in [APP, "PPP009", "PPP005"] {
        table.clone().invalid(name).check("PPP009 to PPP005", "deny invalid_record");
    }
    // An invalid rule denies the call even if a more specific rule, another door or a suspension would decide.
    table.clone().incoming("PPP005", "PPP*", "alow").check("PPP009 to PPP005", "deny invalid_record");
    table.clone().outgoing("PPP009", "*", "alow").check("PPP009 to PPP005", "deny invalid_record");
    table.clone().with("PPP009", "PPP005", &rule("alow")).check("PPP009 to PPP005", "deny invalid_record");
    table.clone().invalid("PPP005").suspended(APP).check("PPP009 to PPP005", "deny invalid_record");
    // An invalid rule has no effect on a call that it does not match.
    table.incoming("PPP005", "QQQ*", "alow").check("PPP009 to PPP005", "allow pair_rule");
}

#[test]
fn destinations_decide_whom_everyone_may_call() {
    let table = Table::of(&["allow * to *", "deny * to +882*", "allow * to +7*", "deny * to PPP01* until=1001"]);
    table
        .check("PPP009 to +8821", "deny destination_rule")
        .check("PPP009 to +7495", "allow destination_rule")
        .check("PPP009 to PPP011", "deny destination_rule")
        .check("+8821 to PPP009", "allow app_rule");
    Table::of(&["deny * to +882*", "allow PPP009 to +8821"]).check("PPP009 to +8821", "deny destination_rule");
    Table::of(&["allow * to +7*", "allow PPP009 to *"]).check("PPP009 to +7495", "allow caller_rule");
    Table::of(&["deny * to +7*", "deny PPP009 to *"]).check("PPP009 to +7495", "deny destination_rule");
    Table::of(&["deny +7* to *", "deny * to +7*"]).check("+7495 to +7495", "deny app_rule");
}

#[test]
fn a_group_is_less_specific_than_an_id_and_more_than_a_prefix() {
    let table = Table::of(&["deny PPP009* to PPP005", "allow @sales to PPP005"]).group("sales", "PPP009");
    table.check("PPP009 to PPP005", "allow callee_rule").check("PPP0091 to PPP005", "deny callee_rule");
    table.clone().with("PPP009", "PPP005", &rule("deny")).check("PPP009 to PPP005", "deny pair_rule");
    let two = table.with("@staff", "PPP005", &rule("deny")).group("staff", "PPP009");
    two.check("PPP009 to PPP005", "deny callee_rule");
    let from_group = Table::of(&["allow @sales to *", "deny * to @staff", "allow PPP009 to @staff"]);
    from_group
        .clone()
        .group("sales", "PPP009")
        .check("PPP009 to PPP005", "allow app_rule")
        .check("PPP001 to PPP005", "deny no_rule");
    from_group
        .group("staff", "PPP005")
        .check("PPP009 to PPP005", "deny destination_rule")
        .check("PPP009 to PPP001", "deny no_rule");
    // An expired party is in no group.
    Table::of(&["allow @sales to PPP005"])
        .group("sales", "PPP009")
        .expired("PPP009")
        .check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["allow @withheld to PPP005"])
        .group("withheld", "anonymous")
        .check("anonymous to PPP005", "allow callee_rule");
}

#[test]
fn a_blocked_caller_is_refused_whatever_the_rules_are() {
    let table = Table::of(&["allow * to *", "allow PPP009 to PPP005", "allow PPP005 to PPP009"]);
    let blocked = table.clone().blocked("PPP009", None);
    blocked.check("PPP009 to PPP005", "deny caller_blocked").check("PPP005 to PPP009", "allow pair_rule");
    blocked.clone().suspended("PPP009").check("PPP009 to PPP005", "deny caller_suspended");
    blocked.clone().suspended("PPP005").check("PPP009 to PPP005", "deny callee_suspended");
    blocked.expired("PPP009").check("PPP009 to PPP005", "allow pair_rule");
    table.clone().blocked("PPP009", Some(1_000)).check("PPP009 to PPP005", "allow pair_rule");
    table.blocked("PPP009", Some(1_001)).check("PPP009 to PPP005", "deny caller_blocked");
}

#[test]
fn a_disabled_rule_counts_as_absent() {
    Table::of(&["allow * to *", "deny * to PPP005 disabled"]).check("PPP009 to PPP005", "allow app_rule");
    Table::of(&["allow PPP009 to PPP005 disabled"]).check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["allow * to PPP005", "deny PPP* to PPP005 disabled"]).check("PPP009 to PPP005", "allow callee_rule");
}
