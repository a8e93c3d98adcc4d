//! A rule as people say it, from whom to whom, and where in the table it belongs.

use std::fmt::Display;

use callgate::store::item::{Attributes, Key};
use callgate_core::{AppKey, DialPlan, Effect, Hours, IdError, MediaSet, PartyId, Pattern, Rule};
use serde::Serialize;

use crate::moment;
use crate::outcome::{Usage, usage};
use crate::say::visible;

/// The parties a rule is about, from caller to callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuleTarget {
    pub(crate) app: AppKey,
    pub(crate) from: Pattern,
    pub(crate) to: Pattern,
}

/// Where a rule stands: an item, and in an item with lists the list and its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuleLocation {
    pub(crate) key: Key,
    pub(crate) entry: Option<(&'static str, String)>,
}

/// Which kind of item a rule belongs to, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleOwner {
    /// Door 1: the app's list.
    App,
    /// Door 2: the caller's list.
    Caller(PartyId),
    /// Door 3: the callee's list.
    Callee(PartyId),
    /// Doors 2 and 3: an item of its own.
    Pair(PartyId, PartyId),
}

impl RuleTarget {
    /// # Errors
    /// From a pattern to a prefix there is no item such a rule could stand in.
    pub(crate) fn owner(&self) -> Result<RuleOwner, Usage> {
        let id = |text: &str| canonical(text).map_err(|error| Usage(format!("`{text}` {error}")));
        Ok(match (&self.from, &self.to) {
            (Pattern::Exact(caller), Pattern::Exact(callee)) => RuleOwner::Pair(id(caller)?, id(callee)?),
            (_, Pattern::Exact(callee)) => RuleOwner::Callee(id(callee)?),
            (Pattern::Exact(caller), _) => RuleOwner::Caller(id(caller)?),
            (_, Pattern::Everyone) => RuleOwner::App,
            (from, to) => {
                return Err(Usage(format!(
                    "`{from}` to `{to}` are two patterns; a rule from a pattern goes to one party or to `*`, and a \
                     rule to a prefix comes from one party: write one rule a party"
                )));
            }
        })
    }

    /// Where the rule stands.
    ///
    /// # Errors
    /// As for [`Self::home`].
    pub(crate) fn location(&self) -> Result<RuleLocation, Usage> {
        Ok(self.location_of(&self.owner()?))
    }

    /// Where the rule stands, once it is known to which item it belongs.
    pub(crate) fn location_of(&self, owner: &RuleOwner) -> RuleLocation {
        let app = &self.app;
        match owner {
            RuleOwner::App => RuleLocation { key: Key::app(app), entry: Some(("callers", self.from.to_string())) },
            RuleOwner::Caller(id) => {
                RuleLocation { key: Key::party(app, id), entry: Some(("outgoing", self.to.to_string())) }
            }
            RuleOwner::Callee(id) => {
                RuleLocation { key: Key::party(app, id), entry: Some(("incoming", self.from.to_string())) }
            }
            RuleOwner::Pair(caller, callee) => RuleLocation { key: Key::pair(app, caller, callee), entry: None },
        }
    }

    /// It opens or shuts a door for more than one party.
    pub(crate) fn has_pattern(&self) -> bool {
        !matches!((&self.from, &self.to), (Pattern::Exact(_), Pattern::Exact(_)))
    }
}

impl RuleLocation {
    /// Where a rule between these may stand, letter by letter, whether or not any call could lead there.
    pub(crate) fn as_stored(app: &AppKey, from: &str, to: &str) -> Vec<Self> {
        let app_key = Key::app(app);
        let party = |id: &str| {
            let app = app_key.pk.strip_prefix("APP#").unwrap_or_default();
            Key { pk: format!("PARTY#{app}#{id}"), sk: "PARTY".to_owned() }
        };
        let outgoing = Self { key: party(from), entry: Some(("outgoing", to.to_owned())) };
        let incoming = Self { key: party(to), entry: Some(("incoming", from.to_owned())) };
        match (from.ends_with('*'), to.ends_with('*')) {
            (true, true) => vec![Self { key: app_key, entry: Some(("callers", from.to_owned())) }],
            (true, false) => vec![incoming],
            (false, true) => vec![outgoing],
            (false, false) => {
                vec![Self { key: Key { sk: format!("CALLER#{from}"), ..party(to) }, entry: None }, incoming, outgoing]
            }
        }
    }
}

/// An id that is canonical already: under which dial plan does not matter any more.
fn canonical(text: &str) -> Result<PartyId, IdError> {
    PartyId::new(text, &DialPlan::default())
}

/// `allow +7495* to PPP005, audio only, Mon-Fri 09:00-18:00 Europe/Moscow, until 2026-12-31T00:00:00Z`.
pub(crate) fn in_words(from: impl Display, to: impl Display, rule: &Rule) -> String {
    let (from, to) = (visible(&from.to_string()), visible(&to.to_string()));
    format!("{} {from} to {to}{}", rule.effect.as_str(), conditions(rule))
}

/// The conditions and the note, each after a comma.
pub(crate) fn conditions(rule: &Rule) -> String {
    let media = rule.media.map(|media| format!(", {}", media_in_words(media)));
    let hours = rule.hours.as_ref().map(|hours| format!(", {hours}"));
    let until = rule.expires_at.map(|at| format!(", until {}", moment::format(at)));
    let note = rule.note.as_ref().map(|note| format!(" ({})", visible(note)));
    [media, hours, until, note].into_iter().flatten().collect()
}

/// The media a rule is about, for people.
pub(crate) fn media_in_words(media: MediaSet) -> &'static str {
    match (media.audio, media.video) {
        (true, true) => "audio and video",
        (true, false) => "audio only",
        (false, true) => "video only",
        (false, false) => "no medium",
    }
}

/// The words of a set of media.
pub(crate) fn media_words(media: MediaSet) -> Vec<&'static str> {
    [(media.audio, "audio"), (media.video, "video")]
        .into_iter()
        .filter_map(|(meant, word)| meant.then_some(word))
        .collect()
}

/// Reads the words of a set of media, separated by spaces, commas or semicolons.
pub(crate) fn parse_media(text: &str) -> anyhow::Result<MediaSet> {
    let mut media = MediaSet { audio: false, video: false };
    for word in text.split([' ', ',', ';']).filter(|word| !word.is_empty()) {
        match word {
            "audio" => media.audio = true,
            "video" => media.video = true,
            _ => return Err(usage(format!("`{word}` is no medium; expected `audio` or `video`"))),
        }
    }
    if media.audio || media.video { Ok(media) } else { Err(usage("no medium is named; expected `audio` or `video`")) }
}

/// Both say the same; who wrote them, and when, does not matter.
pub(crate) fn same(one: &Rule, other: &Rule) -> bool {
    let said = |rule: &Rule| Rule { updated_at: None, updated_by: None, ..rule.clone() };
    said(one) == said(other)
}

/// A rule in the words of import, export and `--output json`.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub(crate) struct Row {
    pub(crate) app: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) effect: String,
    pub(crate) media: Vec<String>,
    pub(crate) hours: Vec<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) note: Option<String>,
}

impl Row {
    pub(crate) fn new(target: &RuleTarget, rule: &Rule) -> Self {
        Self::of(target.app.as_str(), &target.from.to_string(), &target.to.to_string(), rule)
    }

    /// Of parties in the table's spelling.
    pub(crate) fn of(app: &str, from: &str, to: &str, rule: &Rule) -> Self {
        let windows = rule.hours.iter().flat_map(Hours::windows).map(ToString::to_string).collect();
        Self {
            app: app.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            effect: rule.effect.as_str().to_owned(),
            media: rule.media.map(media_words).unwrap_or_default().into_iter().map(str::to_owned).collect(),
            hours: windows,
            expires_at: rule.expires_at.map(moment::format),
            note: rule.note.clone(),
        }
    }
}

impl Row {
    /// A rule of which only is known whom it is about.
    pub(crate) fn not_understood(app: &str, from: &str, to: &str) -> Self {
        let mut row = Self::of(app, from, to, &Rule::new(Effect::Deny));
        NOT_UNDERSTOOD.clone_into(&mut row.effect);
        row
    }

    /// The rule that the row was made of.
    pub(crate) fn rule(&self) -> anyhow::Result<Rule> {
        let effect = match self.effect.as_str() {
            "allow" => Effect::Allow,
            "deny" => Effect::Deny,
            other => return Err(usage(format!("`{other}` is no effect; expected `allow` or `deny`"))),
        };
        let media = if self.media.is_empty() { None } else { Some(parse_media(&self.media.join(" "))?) };
        let windows = self.hours.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>()?;
        let hours = Hours::new(windows);
        let expires_at = self.expires_at.as_deref().and_then(moment::absolute);
        Ok(Rule { media, hours, expires_at, note: self.note.clone(), ..Rule::new(effect) })
    }

    /// As [`in_words`], with the app.
    pub(crate) fn in_words(&self) -> String {
        let [app, from, to] = [&self.app, &self.from, &self.to].map(|text| visible(text));
        let conditions = self.rule().map(|rule| conditions(&rule)).unwrap_or_default();
        format!("{} {from} to {to}{conditions} in app {app}", self.effect)
    }
}

/// The effect of a rule that cannot be understood.
const NOT_UNDERSTOOD: &str = "(not understood)";

/// What the rule of a spot says now, as attributes, wherever it stands in the item.
pub(crate) fn stored_at<'a>(
    location: &RuleLocation,
    item: Option<&'a Attributes>,
) -> Option<&'a aws_sdk_dynamodb::types::AttributeValue> {
    let (list, entry) = location.entry.as_ref()?;
    item?.get(*list)?.as_m().ok()?.get(entry)
}
