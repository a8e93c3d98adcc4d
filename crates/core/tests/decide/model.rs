//! The model sentence by sentence.

use crate::table::{APP, Table, rule};

#[test]
fn nothing_is_permitted_that_nobody_permitted() {
    Table::default().check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["allow PPP001 to PPP005"]).check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["deny * to PPP005"]).check("PPP009 to PPP001", "deny no_rule");
}

#[test]
fn every_rule_means_what_it_says_when_read_aloud() {
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
fn a_deny_at_one_door_cannot_be_undone_at_another() {
    Table::of(&["deny PPP* to *", "allow PPP009 to PPP005"]).check("PPP009 to PPP005", "deny app_rule");
    Table::of(&["deny PPP009 to *", "allow * to PPP005"]).check("PPP009 to PPP005", "deny caller_rule");
    Table::of(&["allow PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny callee_rule");
    Table::of(&["allow * to *", "allow PPP009 to *", "allow * to PPP005", "deny PPP009 to PPP005"])
        .check("PPP009 to PPP005", "deny pair_rule");
}

#[test]
fn the_reason_is_the_first_door_that_denies_and_the_last_that_allows() {
    Table::of(&["deny * to *", "deny PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny app_rule");
    Table::of(&["deny PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny caller_rule");
    Table::of(&["allow * to *", "allow PPP009 to *"]).check("PPP009 to PPP005", "allow caller_rule");
    Table::of(&["allow * to *", "allow PPP009 to *", "allow * to PPP005"])
        .check("PPP009 to PPP005", "allow callee_rule");
}

#[test]
fn the_longest_rule_that_applies_decides() {
    let callee = Table::of(&["deny * to PPP005", "allow +7* to PPP005", "deny +7495* to PPP005"]);
    callee
        .check("+1555 to PPP005", "deny callee_rule")
        .check("+7812 to PPP005", "allow callee_rule")
        .check("+7495 to PPP005", "deny callee_rule");
    Table::of(&["allow * to PPP005", "deny +7* to PPP005 until=1000"]).check("+7812 to PPP005", "allow callee_rule");
    Table::of(&["allow * to PPP005", "deny +7* to PPP005 until=1001"]).check("+7812 to PPP005", "deny callee_rule");
}

#[test]
fn between_equals_deny_wins() {
    let listed = |words| Table::default().incoming("PPP005", "PPP009", words);
    let pair = |table: Table, words: &str| table.with("PPP009", "PPP005", &rule(words));
    pair(listed("deny"), "allow").check("PPP009 to PPP005", "deny callee_rule");
    pair(listed("allow"), "deny").check("PPP009 to PPP005", "deny pair_rule");
    pair(listed("deny"), "deny").check("PPP009 to PPP005", "deny pair_rule");
    pair(listed("allow"), "allow").check("PPP009 to PPP005", "allow pair_rule");
    pair(Table::default().outgoing("PPP009", "PPP005", "deny"), "allow").check("PPP009 to PPP005", "deny caller_rule");
}

#[test]
fn media_narrow_a_rule() {
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
fn status_comes_before_every_rule() {
    let open = Table::of(&["allow * to *", "allow PPP009 to PPP005"]);
    let all = open.clone().suspended("PPP009").suspended("PPP005").suspended(APP);
    all.check("PPP009 to PPP005", "deny app_suspended");
    open.clone().suspended("PPP009").suspended("PPP005").check("PPP009 to PPP005", "deny callee_suspended");
    open.clone().suspended("PPP009").check("PPP009 to PPP005", "deny caller_suspended");
    open.clone().suspended("PPP009").check("PPP009 to PPP009", "deny callee_suspended");
    open.suspended("PPP009").expired("PPP009").check("PPP009 to PPP005", "allow pair_rule");
}

#[test]
fn an_expired_party_is_absent() {
    let table = Table::of(&["allow * to PPP005", "allow PPP009 to PPP*"]);
    table.clone().expired("PPP005").check("PPP009 to PPP005", "allow caller_rule");
    table.clone().expired("PPP009").check("PPP009 to PPP005", "allow callee_rule");
    table.expired("PPP005").expired("PPP009").check("PPP009 to PPP005", "deny no_rule");
}

#[test]
fn what_cannot_be_understood_never_opens_a_door() {
    let open = Table::of(&["allow * to *", "allow PPP009 to PPP005"]);
    for who in [APP, "PPP009", "PPP005"] {
        open.clone().broken(who).check("PPP009 to PPP005", "deny invalid_record");
    }
    // Even where a longer rule, another door or a suspension would decide.
    open.clone().incoming("PPP005", "PPP*", "alow").check("PPP009 to PPP005", "deny invalid_record");
    open.clone().outgoing("PPP009", "*", "alow").check("PPP009 to PPP005", "deny invalid_record");
    open.clone().with("PPP009", "PPP005", &rule("alow")).check("PPP009 to PPP005", "deny invalid_record");
    open.clone().broken("PPP005").suspended(APP).check("PPP009 to PPP005", "deny invalid_record");
    // A broken rule that does not match the call does no harm to it.
    open.incoming("PPP005", "QQQ*", "alow").check("PPP009 to PPP005", "allow pair_rule");
}
