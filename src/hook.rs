//! The REST hooks of WCS, and how the function treats each of them (WCS 5.2, "REST Hooks").

use lambda_http::RequestExt as _;
use lambda_http::http::Method;
use lambda_http::http::request::Parts;

use crate::request::Rejection;

/// The longest name of a hook, in bytes.
const MAX_NAME: usize = 64;

/// A hook, by the last segment of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook<'a> {
    /// A client connects. The answer sets how WCS treats the answers to the other hooks.
    Connect,
    /// The answer decides whether a call goes through.
    Gated(&'a str),
    /// The answer is the event itself, and nothing is decided.
    Other(&'a str),
}

/// The hooks whose answer decides whether a call goes through (`GATED_HOOKS`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GatedHooks {
    /// `OnCallEvent`: SIP calls to browsers.
    #[default]
    Incoming,
    /// `OnCallEvent` and `call`: calls that browsers make, too.
    IncomingAndOutgoing,
}

/// The answer to a hook that is neither `connect` nor gated (`OTHER_HOOKS`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OtherHooks {
    /// 200 with the event, as WCS's own `EchoApp` answers.
    #[default]
    Echo,
    /// 404.
    Refuse,
}

impl GatedHooks {
    /// Parses names that are separated by commas, in any order.
    #[must_use]
    pub fn parse(names: &str) -> Option<Self> {
        let mut names: Vec<_> = names.split(',').map(str::trim).collect();
        names.sort_unstable();
        [Self::Incoming, Self::IncomingAndOutgoing].into_iter().find(|hooks| hooks.names() == names)
    }

    /// The names of the hooks.
    #[must_use]
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Incoming => &["OnCallEvent"],
            Self::IncomingAndOutgoing => &["OnCallEvent", "call"],
        }
    }

    /// Whether a hook is gated.
    #[must_use]
    pub fn contains(self, name: &str) -> bool {
        self.names().contains(&name)
    }
}

impl<'a> Hook<'a> {
    /// The hook that a request calls.
    pub(crate) fn of(parts: &'a Parts, gated: GatedHooks, others: OtherHooks) -> Result<Self, Rejection> {
        let name = parts.raw_http_path().rsplit('/').next().unwrap_or_default();
        let hook = match gated.names().iter().chain(&["connect"]).find(|known| known.eq_ignore_ascii_case(name)) {
            Some(&"connect") if name == "connect" => Self::Connect,
            Some(&gated) if name == gated => Self::Gated(name),
            // Something in front changes the case of paths. An echo would permit every call.
            Some(&known) => return Err(Rejection::OtherCase(known)),
            None if !is_name(name) => return Err(Rejection::NotAHook),
            None => match others {
                OtherHooks::Echo => Self::Other(name),
                OtherHooks::Refuse => return Err(Rejection::OtherHook),
            },
        };
        if parts.method == Method::POST { Ok(hook) } else { Err(Rejection::NotPost) }
    }

    pub(crate) const fn name(self) -> &'a str {
        match self {
            Self::Connect => "connect",
            Self::Gated(name) | Self::Other(name) => name,
        }
    }
}

/// Whether a hook may have this name. WCS adds hooks from release to release, so there is no list of them.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gated_hooks_are_a_list_in_any_order() {
        assert_eq!(GatedHooks::parse("OnCallEvent"), Some(GatedHooks::Incoming));
        for both in ["OnCallEvent,call", " call , OnCallEvent "] {
            assert_eq!(GatedHooks::parse(both), Some(GatedHooks::IncomingAndOutgoing));
        }
        for wrong in ["call", "", "OnCallEvent,", "OnCallEvent,OnCallEvent", "oncallevent", "OnCallEvent,hold"] {
            assert_eq!(GatedHooks::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_is_1_to_64_letters_and_digits_with_a_letter_first() {
        for name in ["a", "StreamKeepAliveEvent", "x264", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2x", "On-Call", "On_Call", "caf\u{e9}", "a.b", "a b", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
