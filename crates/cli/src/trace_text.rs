//! The explanation of a decision in words, for the command `check` and for the pages of the console.

use std::fmt;

use callgate_admin::time;
use callgate_admin::wording::{conditions_text, media_text};
use callgate_core::{
    Applicability, Call, Door, EpochSeconds, EvaluatedRule, ParsedItem, Party, Permissions, RuleKey, Status,
    has_expired,
};

/// The state of a door's item besides its rules.
pub(crate) struct DoorState {
    pub(crate) is_suspended: bool,
    /// The moment at which the party expired, if it has.
    pub(crate) expired_at: Option<EpochSeconds>,
}

impl DoorState {
    pub(crate) fn at(door: Door, permissions: Permissions<'_>, at: EpochSeconds) -> Self {
        let party =
            |item: &ParsedItem<Party>| item.as_ref().ok().and_then(Option::as_ref).map(|it| (it.status, it.expires_at));
        let (status, expires_at) = match door {
            Door::App | Door::Destination => {
                permissions.app.as_ref().ok().and_then(Option::as_ref).map(|app| (app.status, None))
            }
            Door::Caller => party(permissions.caller),
            Door::Callee => party(permissions.callee),
        }
        .unwrap_or_default();
        let expired_at = expires_at.filter(|_| has_expired(expires_at, at));
        Self { is_suspended: status == Status::Suspended && expired_at.is_none(), expired_at }
    }
}

impl fmt::Display for DoorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expired_at {
            Some(at) => write!(f, " (expired at {}, so it counts as absent)", time::describe(at)),
            None if self.is_suspended => f.write_str(" (suspended)"),
            None => Ok(()),
        }
    }
}

/// With more rules that do not match than this at a door, only their number is printed.
pub(crate) const MAX_OTHERS: usize = 10;

pub(crate) fn is_other(rule: &EvaluatedRule<'_>) -> bool {
    matches!(rule.applicability, Applicability::DoesNotMatch)
}

/// Which calls a door is about.
pub(crate) fn door_text(door: Door, call: &Call) -> String {
    match door {
        Door::App => format!("who may call anyone in app {}", call.app),
        Door::Destination => format!("whom anyone in app {} may call", call.app),
        Door::Caller => format!("whom {} may call", call.caller),
        Door::Callee => format!("who may call {}", call.callee),
    }
}

/// Why a rule did or did not decide.
pub(crate) fn why(rule: &EvaluatedRule<'_>, deciding: Option<&EvaluatedRule<'_>>) -> String {
    let kind = if matches!(rule.key, RuleKey::Pair(_)) { "rule between these two, " } else { "" };
    // The reason why a rule does not apply names the condition that does not hold.
    let conditions = match rule.applicability {
        Applicability::Applies(rule) => conditions_text(rule),
        _ => String::new(),
    };
    let why = match (rule.applicability, deciding) {
        (Applicability::Applies(_), _) if rule.decides => "decides".to_owned(),
        (Applicability::Applies(_), Some(other)) => {
            if other.key.specificity() > rule.key.specificity() {
                format!("applies, but `{}` is more specific", other.key)
            } else {
                "applies, but of two equally specific rules deny decides, then the rule between these two".to_owned()
            }
        }
        (Applicability::Applies(_), None) => "applies, but another rule is invalid".to_owned(),
        (Applicability::DoesNotMatch, _) => "does not match".to_owned(),
        (Applicability::Disabled, _) => "is disabled".to_owned(),
        (Applicability::Expired(at), _) => format!("expired at {}", time::describe(at)),
        (Applicability::OtherMedia(media), _) => format!("is for {}", media_text(media)),
        (Applicability::OutsideHours(hours), _) => format!("the call is outside {hours}"),
        (Applicability::Invalid(error), _) => format!("is invalid, so it refuses the call: {error}"),
    };
    format!("{kind}{why}{conditions}")
}
