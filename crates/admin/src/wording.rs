//! Rules in words, as people read and write them.

use std::fmt::Display;

use callgate_core::{Effect, MediaSet, Pattern, Rule};

use crate::error::{Error, Result};
use crate::rule_target::RuleTarget;
use crate::time;

/// A rule on one line: `allow +7495* to PPP005, audio only, Mon-Fri 09:00-18:00 Europe/Moscow, until 2026-12-31T00:00:00Z`.
#[must_use]
pub fn rule_text(from: impl Display, to: impl Display, rule: &Rule) -> String {
    let (from, to) = (escape(&from.to_string()), escape(&to.to_string()));
    format!("{} {from} to {to}{}", rule.effect.as_str(), conditions_text(rule))
}

/// The conditions and the note of a rule, each after a comma. Empty for a rule without any.
#[must_use]
pub fn conditions_text(rule: &Rule) -> String {
    let Rule { effect: _, media, hours, expires_at, note, updated_at: _, updated_by: _ } = rule;
    let media = media.map(|media| format!(", {}", media_text(media)));
    let hours = hours.as_ref().map(|hours| format!(", {hours}"));
    let until = expires_at.map(|at| format!(", until {}", time::describe(at)));
    let note = note.as_ref().map(|note| format!(" ({})", escape(note)));
    [media, hours, until, note].into_iter().flatten().collect()
}

/// A set of media in words: `audio and video`, `audio only`, `video only`.
#[must_use]
pub fn media_text(media: MediaSet) -> &'static str {
    match (media.audio, media.video) {
        (true, true) => "audio and video",
        (true, false) => "audio only",
        (false, true) => "video only",
        (false, false) => "no medium",
    }
}

/// The stored words of a set of media: `audio`, `video`.
#[must_use]
pub fn media_words(media: MediaSet) -> Vec<&'static str> {
    [(media.audio, "audio"), (media.video, "video")]
        .into_iter()
        .filter_map(|(included, word)| included.then_some(word))
        .collect()
}

/// Parses media separated by spaces, commas or semicolons.
///
/// # Errors
/// [`Error::InvalidInput`] when a word is not `audio` or `video`, or there is none.
pub fn parse_media(text: &str) -> Result<MediaSet> {
    let mut media = MediaSet { audio: false, video: false };
    for word in text.split([' ', ',', ';']).filter(|word| !word.is_empty()) {
        match word {
            "audio" => media.audio = true,
            "video" => media.video = true,
            _ => {
                return Err(Error::InvalidInput(format!("`{word}` is not a medium; expected `audio` or `video`")));
            }
        }
    }
    if media.audio || media.video {
        Ok(media)
    } else {
        Err(Error::InvalidInput("no medium is given; expected `audio` or `video`".to_owned()))
    }
}

/// Parses `allow` or `deny`.
///
/// # Errors
/// [`Error::InvalidInput`] for any other word.
pub fn parse_effect(text: &str) -> Result<Effect> {
    match text {
        "allow" => Ok(Effect::Allow),
        "deny" => Ok(Effect::Deny),
        _ => Err(Error::InvalidInput(format!("`{text}` is not an effect; expected `allow` or `deny`"))),
    }
}

/// Whether two rules are the same, apart from their authors and when they were written.
#[must_use]
pub fn is_same_rule(one: &Rule, other: &Rule) -> bool {
    let Rule { effect, media, hours, expires_at, note, updated_at: _, updated_by: _ } = one;
    let same = (effect, media, hours, expires_at, note);
    let Rule { effect, media, hours, expires_at, note, updated_at: _, updated_by: _ } = other;
    same == (effect, media, hours, expires_at, note)
}

/// The calls that a rule with a pattern matches, in words: `anyone whose id starts with +7495 calling PPP010`.
#[must_use]
pub fn target_text(target: &RuleTarget) -> String {
    let side = |pattern: &Pattern| match pattern {
        Pattern::Everyone => "anyone".to_owned(),
        Pattern::Prefix(prefix) => format!("anyone whose id starts with {}", escape(prefix)),
        Pattern::Exact(id) => escape(id),
    };
    format!("{} calling {}", side(&target.from), side(&target.to))
}

/// Escapes control characters, so that stored text stays on one line and cannot control the terminal.
#[must_use]
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// A number with its noun: `1 rule`, `2 rules`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
