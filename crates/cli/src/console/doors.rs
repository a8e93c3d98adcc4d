//! The four doors of a call, drawn: the rules of each, which one decides, and why each other does not.

use callgate_admin::wording::{count, decision_text};
use callgate_core::{Call, Door, Effect, EpochSeconds, EvaluatedRule, Permissions, Trace};
use maud::{Markup, html};

use super::page::text;
use crate::trace_text::{DoorState, MAX_OTHERS, door_text, is_other, why};

/// The doors in their order, and the end of the call.
pub(super) fn doors(call: &Call, trace: &Trace<'_>, permissions: Permissions<'_>, at: EpochSeconds) -> Markup {
    let (class, end) = match trace.decision.effect() {
        Effect::Allow => ("outcome allow", "The call is permitted"),
        Effect::Deny => ("outcome deny", "The call is refused"),
    };
    html! {
        ol class="doors" {
            @for (door, rules) in &trace.doors { (one(*door, rules, call, &DoorState::at(*door, permissions, at))) }
            li class=(class) { p { (end) ": " (text(&decision_text(&trace.decision))) "." } }
        }
    }
}

fn one(door: Door, rules: &[EvaluatedRule<'_>], call: &Call, state: &DoorState) -> Markup {
    let deciding = rules.iter().find(|rule| rule.decides);
    let (class, answer) = match deciding.and_then(|rule| rule.rule.ok()).map(|rule| rule.effect) {
        Some(Effect::Allow) => ("door allow", "Allows the call."),
        Some(Effect::Deny) => ("door deny", "Denies the call."),
        None if rules.is_empty() => ("door none", "Decides nothing: no rules."),
        None => ("door none", "Decides nothing: no rule applies."),
    };
    let others = rules.iter().filter(|rule| is_other(rule)).count();
    let shown = rules.iter().filter(|rule| others <= MAX_OTHERS || !is_other(rule));
    html! {
        li class=(class) {
            h3 { (heading(door)) }
            p class="help" { (text(&capitalised(&door_text(door, call)))) (state) }
            p { (answer) }
            @if !rules.is_empty() {
                ul {
                    @for rule in shown { (evaluated(rule, deciding)) }
                    @if others > MAX_OTHERS {
                        li class="rule other" { "and " (count(others as u64, "rule")) " that do not match" }
                    }
                }
            }
        }
    }
}

fn evaluated(rule: &EvaluatedRule<'_>, deciding: Option<&EvaluatedRule<'_>>) -> Markup {
    let class = match rule {
        rule if rule.decides => "rule deciding",
        rule if is_other(rule) => "rule other",
        _ => "rule applies",
    };
    html! {
        li class=(class) {
            code { (text(&rule.key.to_string())) }
            " " strong { (rule.rule.map_or("?", |rule| rule.effect.as_str())) }
            ": " (text(&why(rule, deciding)))
        }
    }
}

fn heading(door: Door) -> &'static str {
    match door {
        Door::App => "App",
        Door::Destination => "Destination",
        Door::Caller => "Caller",
        Door::Callee => "Callee",
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
