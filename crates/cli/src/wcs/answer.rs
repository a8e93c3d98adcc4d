//! What WCS does with an answer, under the configuration of the hook in the answer to `connect` (`restClientConfig`).

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::events::Event;
use super::{CALL, ON_CALL_EVENT, STREAM_KEEP_ALIVE_EVENT};

/// WCS's configuration of a hook.
#[derive(Debug, Clone)]
pub(crate) struct HookConfig {
    /// `restOnError`
    pub(crate) on_error: String,
    /// `restPolicy`
    pub(crate) policy: String,
    /// `restOverwrite`
    overwrite: String,
    /// `restExclude`
    exclude: String,
}

/// WCS's defaults, for a hook that the answer does not name.
impl Default for HookConfig {
    fn default() -> Self {
        let text = str::to_owned;
        Self { on_error: text("LOG"), policy: text("NOTIFY"), overwrite: text(""), exclude: text("") }
    }
}

impl HookConfig {
    fn parse(config: &Value) -> anyhow::Result<Self> {
        ensure!(config.is_object(), "`{config}` is not a JSON object, such as {{\"restOnError\":\"FAIL\"}}");
        let member = |name: &str, default: String| match config.get(name) {
            None => Ok(default),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => bail!("`{name}` is `{other}`, which is not a text, such as \"{default}\""),
        };
        let Self { on_error, policy, overwrite, exclude } = Self::default();
        Ok(Self {
            on_error: member("restOnError", on_error)?,
            policy: member("restPolicy", policy)?,
            overwrite: member("restOverwrite", overwrite)?,
            exclude: member("restExclude", exclude)?,
        })
    }

    /// Whether a call goes through if the hook does not permit it.
    pub(crate) fn fails_open(&self) -> bool {
        !self.refuses_on_error() || self.is_disabled()
    }

    /// Whether WCS does not send the hook.
    pub(super) fn is_disabled(&self) -> bool {
        self.policy == "DISABLE"
    }

    fn refuses_on_error(&self) -> bool {
        self.on_error == "FAIL"
    }

    /// The event without the members that WCS does not send.
    pub(super) fn sent(&self, event: &Event) -> Event {
        let mut event = event.clone();
        for name in names(&self.exclude) {
            event.remove(name);
        }
        event
    }

    /// What WCS does with this status, or without an answer.
    pub(super) fn outcome(&self, hook: &str, status: Option<u16>) -> HookOutcome {
        match status {
            Some(200) => HookOutcome::Accepted,
            Some(403) if self.refuses_on_error() || hook == STREAM_KEEP_ALIVE_EVENT => HookOutcome::Refused,
            _ if self.refuses_on_error() => HookOutcome::Failed,
            _ => HookOutcome::Ignored,
        }
    }

    /// Overwrites the members of the event that the policy lets a 200 overwrite. Returns a note if the answer is not the
    /// event that was sent.
    pub(super) fn overwrite(&self, event: &mut Event, sent: &Event, answer: &str) -> Option<String> {
        let Ok(Value::Object(answer)) = serde_json::from_str(answer) else {
            let what = if answer.trim().is_empty() { "is empty" } else { "is not a JSON object" };
            return Some(format!("its body {what}, and it is not documented what WCS does then"));
        };
        let mut notes = Vec::new();
        let may_overwrite = |name: &str| self.policy == "OVERWRITE" && names(&self.overwrite).any(|it| it == name);
        let mut differing = Vec::new();
        for (name, value) in &answer {
            if sent.get(name) == Some(value) {
                continue;
            }
            if may_overwrite(name) {
                event.insert(name.clone(), value.clone());
                let unknown = "which members it never overwrites is not documented";
                notes.push(format!("WCS overwrites `{name}` with `{value}` ({unknown})"));
            } else {
                differing.push(name);
            }
        }
        differing.extend(sent.keys().filter(|name| !answer.contains_key(*name)));
        if !differing.is_empty() {
            let first: Vec<_> = differing.iter().take(3).map(|name| format!("`{name}`")).collect();
            let more = differing.len() - first.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let names = first.join(", ") + &more;
            notes.push(format!("its body differs from what was sent in {names}, which WCS does not overwrite"));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

impl fmt::Display for HookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "restOnError={}", self.on_error)?;
        if self.policy != "NOTIFY" {
            write!(f, " restPolicy={}", self.policy)?;
        }
        if self.fails_open() {
            f.write_str(" (fails open: WCS lets calls through that the hook does not permit)")?;
        }
        Ok(())
    }
}

/// The names in a comma-separated list.
fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// The configuration of the hooks that the answer to `connect` names.
#[derive(Debug, Default)]
pub(super) struct RestClientConfig(BTreeMap<String, HookConfig>);

impl RestClientConfig {
    /// Takes the configuration out of an answer to `connect`.
    pub(super) fn parse(answer: &str) -> anyhow::Result<Self> {
        let answer: Value = serde_json::from_str(answer).context("the answer is not JSON")?;
        ensure!(answer.is_object(), "the answer is JSON, but not an object");
        let Some(hooks) = answer.get("restClientConfig") else { return Ok(Self::default()) };
        let Value::Object(hooks) = hooks else {
            bail!("`restClientConfig` is `{hooks}`, which is not a JSON object");
        };
        let configs = hooks.iter().map(|(hook, config)| {
            let config = HookConfig::parse(config).with_context(|| format!("`restClientConfig`, `{hook}`"))?;
            Ok((hook.clone(), config))
        });
        configs.collect::<anyhow::Result<_>>().map(Self)
    }

    /// The configuration of a hook.
    pub(super) fn hook(&self, hook: &str) -> HookConfig {
        self.0.get(hook).cloned().unwrap_or_default()
    }

    /// Whether the backend decides calls with this hook.
    pub(super) fn is_gated(&self, hook: &str) -> bool {
        hook == ON_CALL_EVENT || (hook == CALL && self.0.contains_key(CALL))
    }
}

/// What WCS does after a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HookOutcome {
    /// The answer is 200.
    Accepted,
    /// The answer is 403, and WCS obeys it.
    Refused,
    /// There is no answer, or another one, and WCS treats that as a refusal.
    Failed,
    /// The answer is not 200, and WCS carries on.
    Ignored,
    /// WCS does not send the hook, and carries on.
    NotSent,
}

impl HookOutcome {
    /// Whether WCS carries on, so that a call goes through.
    pub(super) const fn goes_through(self) -> bool {
        matches!(self, Self::Accepted | Self::Ignored | Self::NotSent)
    }

    /// The stable word for programs.
    pub(super) fn as_str(self, hook: &str) -> &'static str {
        match (hook, self) {
            (ON_CALL_EVENT, Self::Accepted) => "rings",
            (ON_CALL_EVENT, Self::Refused) => "forbidden",
            (ON_CALL_EVENT, Self::Failed) => "forbidden_by_failure",
            (ON_CALL_EVENT, Self::Ignored) => "rings_unpermitted",
            (ON_CALL_EVENT, Self::NotSent) => "rings_unasked",
            (CALL, Self::Accepted) => "goes_out",
            (CALL, Self::Refused) => "refused",
            (CALL, Self::Failed) => "refused_by_failure",
            (CALL, Self::Ignored) => "goes_out_unpermitted",
            (CALL, Self::NotSent) => "goes_out_unasked",
            (STREAM_KEEP_ALIVE_EVENT, Self::Refused) => "stream_ended",
            (_, Self::Accepted) => "accepted",
            (_, Self::Refused | Self::Failed) => "client_error",
            (_, Self::Ignored) => "logged",
            (_, Self::NotSent) => "not_sent",
        }
    }

    /// What happens, for people.
    pub(super) fn text(self, hook: &str, config: &HookConfig, is_gated: bool, status: Option<u16>) -> String {
        let on_error = format!("(restOnError={})", config.on_error);
        let call = if hook == CALL { "goes out" } else { "rings" };
        let refusal = if hook == CALL { "the page gets a failed call" } else { "the SIP side gets 403 FORBIDDEN" };
        match (hook, self) {
            (CALL, Self::Ignored) if !is_gated && status == Some(403) => {
                "goes out although the hook refused it, because `call` is not gated".to_owned()
            }
            (CALL, _) if !is_gated => "goes out, because `call` is not gated".to_owned(),
            (CALL | ON_CALL_EVENT, Self::Accepted) => call.to_owned(),
            (CALL | ON_CALL_EVENT, Self::Refused) => refusal.to_owned(),
            (CALL | ON_CALL_EVENT, Self::Failed) => format!("{refusal} {on_error}"),
            (CALL | ON_CALL_EVENT, Self::Ignored) => format!("{call} although the hook did not permit it {on_error}"),
            (CALL | ON_CALL_EVENT, Self::NotSent) => format!("{call} although the hook did not permit it"),
            (STREAM_KEEP_ALIVE_EVENT, Self::Accepted) => "the stream continues".to_owned(),
            (STREAM_KEEP_ALIVE_EVENT, Self::Refused) => "WCS ends the stream".to_owned(),
            (_, Self::Accepted | Self::NotSent) => "WCS carries on".to_owned(),
            (_, Self::Refused | Self::Failed) => format!("the client gets an error {on_error}"),
            (_, Self::Ignored) => format!("WCS logs the error and carries on {on_error}"),
        }
    }
}
