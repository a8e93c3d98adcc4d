//! Two calls to try the hook with: one that the served table permits now, and one that it refuses.

use callgate::event::CallEvent;
use callgate::store::client::describe;
use callgate::store::item::{self, Attributes};
use callgate_admin::Table;
use callgate_admin::item_kind::ItemKind;
use callgate_admin::stored_rule::{StoredRule, rules_of};
use callgate_core::{Effect, MediaSet, Pattern, Rule, decide, has_expired};
use serde_json::json;

use super::samples;
use crate::time::now;

/// How many items of the table are searched.
const PAGE: i32 = 100;

/// How many calls are tried for each effect.
const MAX_TRIES: usize = 20;

/// An app that no table has, so that its calls are refused.
const UNKNOWN_APP: &str = "no-such-app";

/// The bodies of the two calls, and why one of them is missing.
#[derive(Debug, Default)]
pub(crate) struct Examples {
    pub(crate) permitted: Option<String>,
    pub(crate) refused: Option<String>,
    pub(crate) note: Option<String>,
}

impl Examples {
    /// Finds the calls: those of the samples if they get the same answers here, and otherwise others from the first items
    /// of the table. Nothing is logged.
    ///
    /// # Errors
    /// Why the permissions of a call cannot be read.
    pub(crate) async fn find(table: &Table) -> callgate_admin::Result<Self> {
        let mut found = Self::default();
        let [first, second] =
            [samples::PERMITTED, samples::REFUSED].map(|(from, to)| body(samples::APP, from, to, None));
        found.decide(table, first).await?;
        found.decide(table, second).await?;
        if found.is_complete() {
            return Ok(found);
        }
        // It says little about the rules that are stored, so it is printed only if there is no better one.
        let fallback = found.refused.take();
        found.search(table).await;
        found.refused = found.refused.or(fallback);
        if found.refused.is_none() {
            found.decide(table, body(UNKNOWN_APP, samples::PERMITTED.0, samples::PERMITTED.1, None)).await?;
        }
        Ok(found)
    }

    /// Decides calls that the rules on the first page of the table match. An error ends the search, and is the note.
    async fn search(&mut self, table: &Table) {
        let page = match table.client().scan().table_name(table.name()).limit(PAGE).send().await {
            Ok(page) => page,
            Err(error) => {
                self.note =
                    Some(format!("No permitted call is shown, because the table was not listed: {}", describe(&error)));
                return;
            }
        };
        let rules: Vec<_> = page.items().iter().filter_map(rules_of).flatten().collect();
        for effect in [Effect::Allow, Effect::Deny] {
            let in_effect =
                |rule: &Rule| rule.effect == effect && !rule.disabled && !has_expired(rule.expires_at, now());
            let tried = rules.iter().filter(|stored| stored.rule.as_ref().is_ok_and(in_effect));
            let calls = tried.filter_map(|stored| matching_call(stored, page.items()));
            // A call that no rule matches is refused, unless the app has a rule for everyone.
            let other = rules
                .first()
                .filter(|_| effect == Effect::Deny)
                .map(|stored| body(&stored.app, samples::REFUSED.0, samples::REFUSED.1, None));
            for call in calls.take(MAX_TRIES).chain(other) {
                let is_found = if effect == Effect::Allow { self.permitted.is_some() } else { self.refused.is_some() };
                if is_found {
                    break;
                }
                if let Err(error) = self.decide(table, call).await {
                    self.note = Some(format!("The search for calls to show ended: {error}"));
                    return;
                }
            }
        }
        if self.permitted.is_none() {
            let is_whole = page.last_evaluated_key().is_none();
            self.note = Some(match (is_whole, rules.is_empty()) {
                (true, true) => "The table has no rules, so every call is refused.".to_owned(),
                (true, false) => "No call was found that is permitted now.".to_owned(),
                (false, _) => format!(
                    "No call was found that is permitted now; the first {} items of the table were searched.",
                    page.items().len()
                ),
            });
        }
    }

    /// Decides a call as the hook does, and keeps the first of each effect. A call that is not valid is left out.
    async fn decide(&mut self, table: &Table, body: String) -> callgate_admin::Result<()> {
        let Ok(CallEvent { call, .. }) = CallEvent::parse(&body, table.phone_region()) else { return Ok(()) };
        let lookup = table.look_up(&call).await?;
        let example = match decide(&call, lookup.permissions(), now()).effect() {
            Effect::Allow => &mut self.permitted,
            Effect::Deny => &mut self.refused,
        };
        example.get_or_insert(body);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.permitted.is_some() && self.refused.is_some()
    }
}

/// The body of an event.
fn body(app: &str, caller: &str, callee: &str, media: Option<MediaSet>) -> String {
    let [app, caller, callee] = [app, caller, callee].map(|text| json!(text));
    let media = media.map(|MediaSet { audio, video }| format!(r#","hasAudio":{audio},"hasVideo":{video}"#));
    format!(r#"{{"appKey":{app},"caller":{caller},"callee":{callee}{}}}"#, media.unwrap_or_default())
}

/// A call that a rule matches. `None` if it is for a group without a known party.
fn matching_call(stored: &StoredRule, items: &[Attributes]) -> Option<String> {
    let (from, to) = stored.patterns();
    let caller = matching_party(&from, &stored.app, items, samples::PERMITTED.0)?;
    let callee = matching_party(&to, &stored.app, items, samples::PERMITTED.1)?;
    Some(body(&stored.app, &caller, &callee, stored.rule.as_ref().ok()?.media))
}

/// A party that a pattern matches.
fn matching_party(pattern: &Pattern, app: &str, items: &[Attributes], anyone: &str) -> Option<String> {
    Some(match pattern {
        Pattern::Everyone => anyone.to_owned(),
        Pattern::Exact(id) => id.clone(),
        Pattern::Group(group) => items.iter().find_map(|item| match ItemKind::of(item)? {
            ItemKind::Party(of_app, id) if of_app == app => {
                item::read_party(item.clone()).ok()?.groups.contains(group).then_some(id)
            }
            _ => None,
        })?,
        // Digits up to the length of most international numbers.
        Pattern::Prefix(prefix) => {
            let missing = "+12345678901".len().saturating_sub(prefix.chars().count()).max(1);
            let is_number = prefix.starts_with(|c: char| c == '+' || c.is_ascii_digit());
            format!("{prefix}{}", "1".repeat(if is_number { missing } else { 1 }))
        }
    })
}
