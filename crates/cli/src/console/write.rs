//! Writes what a person decided on a page, if what is stored is still what the page showed.

use callgate_admin::action::Action;
use callgate_admin::blocks::{BlockChange, Unblocking};
use callgate_admin::groups::MembershipChange;
use callgate_admin::history::Change;
use callgate_admin::rules::{MAX_ATTEMPTS, retry_pause};
use callgate_admin::status::StatusChange;
use callgate_admin::wording::{escape, rule_text};
use callgate_admin::{Author, Revocation, RuleChange, RuleLocation, RuleTarget, time};
use callgate_core::{AppKey, Block, Door, ParseError, PartyId, Pattern, Rule, Status};

use super::Console;
use super::page::PageError;
use super::undo::{Message, Reference};
use crate::commands::block::block_text;
use crate::time::now;
use crate::write_rule::{notices, party_expiry_notice};

/// An action that was compared with the table.
pub(super) struct Plan {
    /// What is stored now, in words, with its author. Empty for nothing. A form carries it, so that a change by another person is seen.
    pub(super) before: String,
    /// What the action does, in words: for the button and for the history.
    pub(super) text: String,
    /// What is to be noticed about it.
    pub(super) notices: Vec<String>,
    /// Whether it would change nothing.
    pub(super) is_unchanged: bool,
    planned: Planned,
}

enum Planned {
    Rule(Box<RuleChange>),
    Revocation(Box<Revocation>),
    Block(Box<BlockChange>),
    Unblocking(Box<Unblocking>),
    Status(Box<StatusChange>),
    Membership(Box<MembershipChange>),
    /// The rule or the block that is to be deleted is not there.
    Nothing,
    /// The rule that is to be changed is not there.
    Missing,
}

/// An action that was written, or had no effect.
pub(super) struct Performed {
    /// What was done, in words.
    text: String,
    pub(super) notices: Vec<String>,
    pub(super) is_written: bool,
    /// The change, to take it back. `None` if nothing was written, or if the history could not be read.
    pub(super) change: Option<Reference>,
}

impl Performed {
    /// The same if the last attempt was not answered: it is written only if its change is found.
    pub(super) fn if_found(self) -> Self {
        Self { is_written: self.change.is_some(), ..self }
    }

    /// What was done, and whether that was needed.
    pub(super) fn what(&self) -> String {
        let Self { text, is_written, .. } = self;
        if *is_written { text.clone() } else { format!("{text} (no change was needed)") }
    }
}

impl Console {
    /// Compares an action with the table. Writes nothing.
    pub(super) async fn plan(&self, action: &Action) -> Result<Plan, PageError> {
        let (table, now) = (&self.settings.table, now());
        Ok(match action {
            Action::WriteRule { target, door, edit } => {
                Plan::of_rule(Box::pin(table.plan_rule(target.clone(), *door, edit, now)).await?, None)
            }
            Action::SwitchRule { app, from, to, door, is_disabled } => {
                let (target, location) = literal_rule(app, from, to, *door);
                let verb = if *is_disabled { "disable" } else { "enable" };
                let change = Box::pin(table.plan_switch(&target, &location, *is_disabled, now)).await?;
                change.map_or_else(|| Plan::missing(from, to), |change| Plan::of_rule(change, Some(verb)))
            }
            Action::SetExpiry { app, from, to, door, expires_at } => {
                let (target, location) = literal_rule(app, from, to, *door);
                let change = Box::pin(table.plan_expiry(&target, &location, *expires_at, now)).await?;
                change.map_or_else(|| Plan::missing(from, to), |change| Plan::of_rule(change, None))
            }
            Action::Revoke { app, from, to, door } => {
                match table.plan_revocation(RuleLocation::literal(app, from, to, *door)).await? {
                    Some(revocation) => Plan::of_revocation(revocation, from, to),
                    None => Plan::nothing(format!("revoke the rule from {} to {}", escape(from), escape(to))),
                }
            }
            Action::Block { app, caller, edit } => {
                Plan::of_block(table.plan_block(app, caller, edit, now).await?, caller)
            }
            Action::Unblock { app, caller } => {
                let text = format!("unblock {}", escape(caller.as_str()));
                match table.plan_unblocking(app, caller).await? {
                    Some(unblocking) => Plan {
                        before: unblocking.previous().map(|block| stored_block(caller, block)).unwrap_or_default(),
                        text,
                        notices: Vec::new(),
                        is_unchanged: false,
                        planned: Planned::Unblocking(Box::new(unblocking)),
                    },
                    None => Plan::nothing(text),
                }
            }
            Action::SetStatus { app, party, status, note } => {
                let change = table.plan_status(app, party.as_ref(), *status, note.as_deref(), now).await?;
                Plan::of_status(
                    change,
                    &party.as_ref().map_or_else(|| format!("app {app}"), |id| format!("party {id}")),
                )
            }
            Action::SetMembership { app, group, party, is_member } => {
                let change = table.plan_membership(app, party, group, *is_member, now).await?;
                let (party, group) = (escape(party.as_str()), group.pattern());
                let text =
                    if *is_member { format!("add {party} to {group}") } else { format!("remove {party} from {group}") };
                let notice =
                    party_expiry_notice(change.party_expires_at, change.is_party_expired, None, "this membership");
                Plan {
                    before: String::new(),
                    text,
                    notices: notice.into_iter().collect(),
                    is_unchanged: change.is_unchanged,
                    planned: Planned::Membership(Box::new(change)),
                }
            }
        })
    }

    /// Writes an action. `seen` is what the page showed as stored ([`Plan::before`]), if it showed it.
    ///
    /// # Errors
    /// [`PageError::conflict`] if something else is stored by now, or why the table cannot be used.
    pub(super) async fn perform(&self, action: &Action, seen: Option<&str>) -> Result<Performed, PageError> {
        let mut author: Option<Author> = None;
        for attempt in 0..MAX_ATTEMPTS {
            let plan = self.plan(action).await?;
            if matches!(plan.planned, Planned::Missing) {
                return Err(PageError::conflict(format!("Nothing was written: {}.", plan.text)));
            }
            // After an attempt, that one may have been written although its answer was lost.
            if plan.is_unchanged {
                return Ok(self.performed(plan.text, plan.notices, action.app(), author.as_ref()).await.if_found());
            }
            if let Some(seen) = seen.filter(|seen| *seen != plan.before) {
                return Err(changed_meanwhile(seen, &plan));
            }
            let author: &Author = match author {
                Some(ref author) => author,
                None => author.insert(self.author(&plan.text).await),
            };
            match self.write(&plan.planned, author).await {
                Ok(true) => {
                    return Ok(self.performed(plan.text, plan.notices, action.app(), Some(author)).await);
                }
                Ok(false) => {}
                Err(error) if error.is_unanswered() && attempt == 0 => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(retry_pause(attempt)).await;
        }
        Err(PageError::conflict("Other writers keep changing this. Nothing was written; try again."))
    }

    /// Performs actions one after the other, each with what the page showed as stored, until one fails. The message has what was
    /// written, and why the others were not.
    ///
    /// # Errors
    /// Why the first action was not performed.
    pub(super) async fn perform_all(&self, actions: Vec<(Action, Option<String>)>) -> Result<Message, PageError> {
        let mut performed = Vec::new();
        for (action, seen) in actions {
            match self.perform(&action, seen.as_deref()).await {
                Ok(done) => performed.push(done),
                Err(error) if performed.is_empty() => return Err(error),
                Err(error) => return Ok(Message::of_part(performed, &error)),
            }
        }
        Ok(performed.into())
    }

    async fn write(&self, planned: &Planned, author: &Author) -> callgate_admin::Result<bool> {
        match planned {
            Planned::Rule(change) => self.settings.table.write_rule(change, author).await,
            Planned::Revocation(revocation) => self.settings.table.delete_rule(revocation, author).await,
            Planned::Block(change) => self.settings.table.write_block(change, author).await,
            Planned::Unblocking(unblocking) => self.settings.table.delete_block(unblocking, author).await,
            Planned::Status(change) => self.settings.table.write_status(change, author).await,
            Planned::Membership(change) => self.settings.table.write_membership(change, author).await,
            Planned::Nothing | Planned::Missing => Ok(true),
        }
    }

    /// What was done, with the change that the author wrote. Without an author, nothing was written.
    pub(super) async fn performed(
        &self,
        text: String,
        mut notices: Vec<String>,
        app: &AppKey,
        author: Option<&Author>,
    ) -> Performed {
        let Some(author) = author else { return Performed { text, notices, is_written: false, change: None } };
        let is_own = |it: &Change| it.author == author.name && it.command == author.command;
        let change = self.settings.table.last_change(app, Some(author.at), is_own).await.unwrap_or_else(|error| {
            notices.push(format!("undo this on the page History, because its change cannot be read now: {error}"));
            None
        });
        let change = change.map(|change| Reference { app: app.clone(), id: change.id });
        Performed { text, notices, is_written: true, change }
    }
}

impl Plan {
    fn of_rule(change: RuleChange, verb: Option<&str>) -> Self {
        let RuleTarget { from, to, .. } = &change.target;
        let text = rule_text(from, to, &change.rule);
        Self {
            before: change.previous().map(|rule| stored_rule(from, to, rule)).unwrap_or_default(),
            text: verb.map_or_else(|| text.clone(), |verb| format!("{verb} {text}")),
            notices: notices(&change).into_iter().chain(app_cache_notice(&change.doors())).collect(),
            is_unchanged: change.is_unchanged(),
            planned: Planned::Rule(Box::new(change)),
        }
    }

    fn of_revocation(revocation: Revocation, from: &str, to: &str) -> Self {
        let text = match revocation.rule() {
            Ok(rule) => rule_text(from, to, rule),
            Err(_) => format!("an invalid rule from {} to {}", escape(from), escape(to)),
        };
        Self {
            before: stored_rule(from, to, revocation.rule()),
            text: format!("revoke {text}"),
            notices: app_cache_notice(&revocation.doors()).into_iter().collect(),
            is_unchanged: false,
            planned: Planned::Revocation(Box::new(revocation)),
        }
    }

    fn of_block(change: BlockChange, caller: &PartyId) -> Self {
        let BlockChange { block, party_expires_at, is_party_expired, .. } = &change;
        let notice = party_expiry_notice(*party_expires_at, *is_party_expired, block.expires_at, "this block");
        Self {
            before: change.previous().map(|block| stored_block(caller, block)).unwrap_or_default(),
            text: block_text(caller, block),
            notices: notice.into_iter().collect(),
            is_unchanged: change.is_unchanged(),
            planned: Planned::Block(Box::new(change)),
        }
    }

    fn of_status(change: StatusChange, name: &str) -> Self {
        let verb = if change.status == Status::Suspended { "suspend" } else { "resume" };
        let note = change.remaining_note.as_ref().map(|note| format!("its note stays: {}", escape(note)));
        let expiry = change.expired_at.map(|at| {
            format!(
                "the party had expired at {}; it no longer expires, and its former rules are removed",
                time::describe(at)
            )
        });
        Self {
            before: String::new(),
            text: format!("{verb} {name}"),
            notices: [note, expiry].into_iter().flatten().collect(),
            is_unchanged: change.is_unchanged,
            planned: Planned::Status(Box::new(change)),
        }
    }

    fn nothing(text: String) -> Self {
        Self { before: String::new(), text, notices: Vec::new(), is_unchanged: true, planned: Planned::Nothing }
    }

    fn missing(from: &str, to: &str) -> Self {
        let text = format!("there is no longer a rule from {} to {}, or it has expired", escape(from), escape(to));
        Self { planned: Planned::Missing, ..Self::nothing(text) }
    }
}

/// A stored rule between these texts, whatever they are.
fn literal_rule(app: &AppKey, from: &str, to: &str, door: Option<Door>) -> (RuleTarget, RuleLocation) {
    let target = RuleTarget { app: app.clone(), from: Pattern::from_stored(from), to: Pattern::from_stored(to) };
    (target, RuleLocation::literal(app, from, to, door))
}

/// When a change of an app's own rules takes effect.
fn app_cache_notice(doors: &[Door]) -> Option<String> {
    let is_of_app = doors.iter().any(|door| matches!(door, Door::App | Door::Destination));
    is_of_app.then(|| {
        "the function may use the app's rules as they were for up to APP_CACHE_SECONDS, 5 by default".to_owned()
    })
}

fn changed_meanwhile(seen: &str, plan: &Plan) -> PageError {
    let shown = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
    PageError::conflict(format!(
        "Nothing was written, because it changed since the page was loaded. The page showed: {}. Now it is: {}.",
        shown(seen),
        shown(&plan.before)
    ))
}

/// A stored rule with its author, as a page shows it.
pub(super) fn stored_rule(
    from: impl std::fmt::Display,
    to: impl std::fmt::Display,
    rule: Result<&Rule, &ParseError>,
) -> String {
    match rule {
        Ok(rule) => rule_text(from, to, rule) + &author_text(rule.updated_by.as_deref(), rule.updated_at),
        Err(ParseError(why)) => {
            format!(
                "an invalid rule from {} to {}: {}",
                escape(&from.to_string()),
                escape(&to.to_string()),
                escape(why)
            )
        }
    }
}

/// A stored block with its author, as a page shows it.
pub(super) fn stored_block(caller: &PartyId, block: Result<&Block, &ParseError>) -> String {
    match block {
        Ok(block) => block_text(caller, block) + &author_text(block.updated_by.as_deref(), block.updated_at),
        Err(ParseError(why)) => format!("an invalid block: {}", escape(why)),
    }
}

/// Who wrote a rule, and when.
pub(super) fn author_text(by: Option<&str>, at: Option<i64>) -> String {
    match (by, at) {
        (Some(by), Some(at)) => format!(" [{}, {}]", escape(by), time::format_local(at)),
        _ => String::new(),
    }
}
