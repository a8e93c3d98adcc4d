//! The changes that a person makes to one rule, block, status or membership, as values.

use callgate_core::{AppKey, Door, EpochSeconds, PartyId, Status};

use crate::edit::{BlockEdit, RuleEdit};
use crate::groups::GroupName;
use crate::rule_target::RuleTarget;

/// A change that is not yet compared with the table.
#[derive(Debug, Clone)]
pub enum Action {
    /// Writes a rule, or edits the one that is stored.
    WriteRule {
        /// The callers and callees.
        target: RuleTarget,
        /// Chooses between two possible lists, as for [`Table::plan_rule`](crate::Table::plan_rule).
        door: Option<Door>,
        /// What is written. The rest of a stored rule stays.
        edit: RuleEdit,
    },
    /// Switches a stored rule on or off. The texts are taken literally too.
    SwitchRule {
        /// The app.
        app: AppKey,
        /// The callers.
        from: String,
        /// The callees.
        to: String,
        /// The list that holds the rule. `None` is the usual place.
        door: Option<Door>,
        /// Whether it is switched off.
        is_disabled: bool,
    },
    /// Changes the expiry of a stored rule. The texts are taken literally too.
    SetExpiry {
        /// The app.
        app: AppKey,
        /// The callers.
        from: String,
        /// The callees.
        to: String,
        /// The list that holds the rule. `None` is the usual place.
        door: Option<Door>,
        /// The new expiry. `None` removes it.
        expires_at: Option<EpochSeconds>,
    },
    /// Deletes a stored rule. The texts are taken literally, so that a rule that no call can match is found too.
    Revoke {
        /// The app.
        app: AppKey,
        /// The callers.
        from: String,
        /// The callees.
        to: String,
        /// The list that holds the rule. `None` is the usual place.
        door: Option<Door>,
    },
    /// Blocks a caller, or edits its block.
    Block {
        /// The app.
        app: AppKey,
        /// The caller.
        caller: PartyId,
        /// What is written.
        edit: BlockEdit,
    },
    /// Ends the block of a caller.
    Unblock {
        /// The app.
        app: AppKey,
        /// The caller.
        caller: PartyId,
    },
    /// Suspends or resumes a party, or the app itself.
    SetStatus {
        /// The app.
        app: AppKey,
        /// The party. `None` for the app itself.
        party: Option<PartyId>,
        /// The new status.
        status: Status,
        /// The new note. `None` keeps the stored one.
        note: Option<String>,
    },
    /// Adds a party to a group, or removes it.
    SetMembership {
        /// The app.
        app: AppKey,
        /// The group.
        group: GroupName,
        /// The party.
        party: PartyId,
        /// Whether it is in the group afterwards.
        is_member: bool,
    },
}

impl Action {
    /// The app that is changed.
    #[must_use]
    pub fn app(&self) -> &AppKey {
        match self {
            Self::WriteRule { target, .. } => &target.app,
            Self::SwitchRule { app, .. }
            | Self::SetExpiry { app, .. }
            | Self::Revoke { app, .. }
            | Self::Block { app, .. }
            | Self::Unblock { app, .. }
            | Self::SetStatus { app, .. }
            | Self::SetMembership { app, .. } => app,
        }
    }
}
