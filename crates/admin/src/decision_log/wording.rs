//! Logged decisions in words, and the commands that would change them.

use callgate_core::{Call, EpochSeconds, MediaSet, PartyId, Pattern, PhoneRegion};

use super::{Decided, LoggedCall};
use crate::doctor::commands::{item_command, rule_command};
use crate::error::Result;
use crate::item_kind::ItemKind;
use crate::reversal::Reversal;
use crate::table::Table;

/// The stable words for the reasons of decisions (`docs/src/reference/answers.md`).
pub const REASONS: [&str; 14] = [
    "pair_rule",
    "callee_rule",
    "caller_rule",
    "destination_rule",
    "app_rule",
    "app_suspended",
    "callee_suspended",
    "caller_suspended",
    "caller_blocked",
    "no_rule",
    "invalid_record",
    "bad_signature",
    "source_not_allowed",
    "store_unavailable",
];

/// The decision in one word.
#[must_use]
pub const fn decision_word(decision: Decided) -> &'static str {
    match decision {
        Decided::Allow => "permitted",
        Decided::Deny => "refused",
        Decided::Error => "failed",
    }
}

/// Why a call was decided as it was, in a few words.
#[must_use]
pub fn because(decision: Decided, reason: &str, door: Option<&str>, rule: Option<&str>) -> String {
    let verb = match decision {
        Decided::Allow => "allows",
        Decided::Deny | Decided::Error => "denies",
    };
    match (reason, door, rule) {
        ("pair_rule", ..) => format!("the rule between these two {verb} the call"),
        ("callee_rule" | "caller_rule" | "destination_rule" | "app_rule", Some(door), Some(rule)) => {
            format!("the rule `{rule}` at door {door} {verb} the call")
        }
        ("no_rule", ..) => "no rule applies at any door".to_owned(),
        ("app_suspended", ..) => "the app is suspended".to_owned(),
        ("callee_suspended", ..) => "the callee is suspended".to_owned(),
        ("caller_suspended", ..) => "the caller is suspended".to_owned(),
        ("caller_blocked", ..) => "the caller is blocked".to_owned(),
        ("invalid_record", ..) => "an item or a rule is invalid".to_owned(),
        ("bad_signature", ..) => "the signature is missing or wrong".to_owned(),
        ("source_not_allowed", ..) => "the source address is not allowed".to_owned(),
        ("store_unavailable", ..) => "the permissions could not be read".to_owned(),
        // A reason of a later version.
        (reason, ..) => reason.to_owned(),
    }
}

impl LoggedCall<'_> {
    /// Why the call was decided as it was, in a few words, with the error.
    #[must_use]
    pub fn because(&self) -> String {
        let because = because(self.decision, &self.reason, self.door.as_deref(), self.rule.as_deref());
        match &self.error {
            Some(error) => format!("{because}: {error}"),
            None => because,
        }
    }

    /// The call as it was decided. `None` if the request was not parsed, or has an id that is cut or not in canonical form.
    #[must_use]
    pub fn to_call(&self, region: Option<PhoneRegion>) -> Option<Call> {
        if self.is_masked {
            return None;
        }
        let party = |id: &str| PartyId::new(id, region).ok().filter(|party| party.as_str() == id);
        Some(Call {
            app: callgate_core::AppKey::new(self.app.as_deref()?).ok()?,
            caller: party(self.caller.as_deref()?)?,
            callee: party(self.callee.as_deref()?)?,
            media: self.media.unwrap_or(MediaSet { audio: true, video: false }),
        })
    }

    /// The command that would change the decision, if nothing but the line is known: the table may have other rules that decide
    /// then. `None` if no rule would, or the ids are cut.
    #[must_use]
    pub fn plain_command(&self) -> Option<String> {
        if self.is_masked {
            return None;
        }
        let (app, caller, callee) = (self.app.as_deref()?, self.caller.as_deref()?, self.callee.as_deref()?);
        let item = |command, id: Option<&str>| {
            let app = app.to_owned();
            item_command(command, &id.map_or(ItemKind::App(app.clone()), |id| ItemKind::Party(app, id.to_owned())))
        };
        let exact = |pattern: Option<&str>, id: &str| {
            pattern.is_some_and(|pattern| pattern == id && matches!(Pattern::from_stored(pattern), Pattern::Exact(_)))
        };
        let rule = self.rule.as_deref();
        Some(match (self.decision, self.reason.as_ref()) {
            (Decided::Error, _) | (_, "bad_signature" | "source_not_allowed") => return None,
            (Decided::Allow, _) => rule_command("deny", app, caller, callee),
            (_, "app_suspended") => item("resume", None),
            (_, "caller_suspended") => item("resume", Some(caller)),
            (_, "callee_suspended") => item("resume", Some(callee)),
            (_, "caller_blocked") => item("unblock", Some(caller)),
            (_, "invalid_record") => item("show", Some(callee)),
            (_, "app_rule") => rule_command("allow --door app", app, caller, "*"),
            (_, "destination_rule") => rule_command("allow --door destination", app, "*", callee),
            // A rule between the two does not overrule an entry of a list for exactly the other party.
            (_, "callee_rule") if exact(rule, caller) => rule_command("revoke --door callee", app, caller, callee),
            (_, "caller_rule") if exact(rule, callee) => rule_command("revoke --door caller", app, caller, callee),
            _ => rule_command("allow", app, caller, callee),
        })
    }
}

/// What would change the answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerChange {
    /// These commands, one after the other.
    Commands(Vec<String>),
    /// An item or a rule is invalid. This command shows it.
    Show(String),
    /// Nothing: by the table as it is now, the call has the other answer.
    Changed,
}

impl Table {
    /// Finds the commands that change the answer to a logged call, by the table as it is now.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn answer_change(&self, call: &Call, decision: Decided, now: EpochSeconds) -> Result<AnswerChange> {
        let lookup = self.look_up(call).await?;
        let permissions = lookup.permissions();
        let effect = callgate_core::decide(call, permissions, now).effect();
        if effect.as_str() != decision.as_str() {
            return Ok(AnswerChange::Changed);
        }
        Ok(match self.reversal(call, permissions, now, now) {
            Reversal::Steps(steps) => AnswerChange::Commands(steps.into_iter().map(|step| step.command).collect()),
            Reversal::Show(command) => AnswerChange::Show(command),
        })
    }
}
