//! Rules in words, as people read and write them.

use std::fmt::{Display, Write as _};

use callgate_core::{Decision, Door, Effect, InvalidRecord, MediaSet, Pattern, RecordLocation, Rule, RuleKey};

use crate::error::{Error, Result};
use crate::rule_target::RuleTarget;
use crate::time;

/// A rule on one line: `allow +7495* to PPP005, audio only, Mon-Fri 09:00-18:00 Europe/Moscow, until 2026-12-31 18:00 UTC`.
#[must_use]
pub fn rule_text(from: impl Display, to: impl Display, rule: &Rule) -> String {
    let (from, to) = (escape(&from.to_string()), escape(&to.to_string()));
    format!("{} {from} to {to}{}", rule.effect.as_str(), conditions_text(rule))
}

/// The conditions and the note of a rule, each after a comma. Empty for a rule without any.
#[must_use]
pub fn conditions_text(rule: &Rule) -> String {
    let Rule { effect: _, media, hours, expires_at, disabled, list, note, updated_at: _, updated_by: _ } = rule;
    let media = media.map(|media| format!(", {}", media_text(media)));
    let hours = hours.as_ref().map(|hours| format!(", {hours}"));
    let until = expires_at.map(|at| format!(", until {}", time::describe(at)));
    let disabled = disabled.then(|| ", disabled".to_owned());
    let list = list.as_ref().map(|list| format!(", list {}", escape(list)));
    let note = note.as_ref().map(|note| format!(" ({})", escape(note)));
    [media, hours, until, disabled, list, note].into_iter().flatten().collect()
}

/// The decision in a few words.
#[must_use]
pub fn decision_text(decision: &Decision<'_>) -> String {
    match decision {
        Decision::Rule { door, key, effect } => {
            let verb = match effect {
                Effect::Allow => "allows",
                Effect::Deny => "denies",
            };
            match key {
                RuleKey::Pair(_) => format!("the rule between these two {verb} the call"),
                RuleKey::Entry(pattern) => format!("the rule `{pattern}` at door {} {verb} the call", door.as_str()),
            }
        }
        Decision::Suspended(door) => format!("the {} is suspended", door.as_str()),
        Decision::Blocked(block) => {
            let until = block.expires_at.map(|at| format!(" until {}", time::describe(at))).unwrap_or_default();
            let note = block.note.as_ref().map(|note| format!(", {note}")).unwrap_or_default();
            format!("the caller is blocked{until}{note}")
        }
        Decision::NoRule => "no rule applies at any door".to_owned(),
        Decision::InvalidRecord(invalid) => format!("{}: {}", location(invalid), invalid.error),
    }
}

fn location(invalid: &InvalidRecord<'_>) -> String {
    match invalid.location {
        RecordLocation::Item(door) => {
            let owner = if door == Door::Destination { Door::App } else { door };
            format!("the {}'s item is invalid", owner.as_str())
        }
        RecordLocation::Entry(door, pattern) => format!("the rule `{pattern}` at door {} is invalid", door.as_str()),
        RecordLocation::Pair => "the rule between these two is invalid".to_owned(),
    }
}

/// The doors at which a rule decides, in words: `door callee`, `doors caller and callee`.
#[must_use]
pub fn doors_text(doors: &[Door]) -> String {
    let names: Vec<_> = doors.iter().map(|door| door.as_str()).collect();
    format!("door{} {}", if names.len() == 1 { "" } else { "s" }, names.join(" and "))
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
    let Rule { effect, media, hours, expires_at, disabled, list, note, updated_at: _, updated_by: _ } = one;
    let same = (effect, media, hours, expires_at, disabled, list, note);
    let Rule { effect, media, hours, expires_at, disabled, list, note, updated_at: _, updated_by: _ } = other;
    same == (effect, media, hours, expires_at, disabled, list, note)
}

/// The calls that a rule with a pattern matches, in words: `anyone whose id starts with +7495 calling PPP010`.
#[must_use]
pub fn target_text(target: &RuleTarget) -> String {
    let side = |pattern: &Pattern| match pattern {
        Pattern::Everyone => "anyone".to_owned(),
        Pattern::Prefix(prefix) => format!("anyone whose id starts with {}", escape(prefix)),
        Pattern::Group(name) => format!("anyone in group @{name}"),
        Pattern::Exact(id) => escape(id),
    };
    format!("{} calling {}", side(&target.from), side(&target.to))
}

/// Escapes every character that a terminal obeys or does not show, so that stored text stays on one line and looks like
/// what it is.
#[must_use]
pub fn escape(text: &str) -> String {
    if !text.contains(is_hidden) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Escapes the same characters in whole lines, as JSON does, so that JSON stays the same JSON. Keeps the ends of lines.
#[must_use]
pub fn escape_lines(text: &str) -> String {
    if !text.contains(|c| c != '\n' && is_hidden(c)) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c != '\n' && is_hidden(c) {
            shown.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Quotes a text as one word of a shell command. Characters that [`escape`] changes, because a terminal must not get them,
/// are written as `$'\x1b'`, which bash and zsh understand.
#[must_use]
pub fn quote(text: &str) -> String {
    let is_unquoted = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.,:/@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_unquoted) {
        return text.to_owned();
    }
    if escape(text) == text {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let quoted = text.chars().fold("$'".to_owned(), |mut quoted, c| {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            c if escape(c.encode_utf8(&mut [0; 4])) != c.to_string() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a string cannot fail.
                    let _ = write!(quoted, "\\x{byte:02x}");
                }
            }
            c => quoted.push(c),
        }
        quoted
    });
    quoted + "'"
}

/// Control characters, and those that Unicode shows as nothing or that change the direction of text
/// (`Default_Ignorable_Code_Point`, `Bidi_Control`, and the separators of lines).
fn is_hidden(c: char) -> bool {
    // Most texts have no other characters.
    if (' '..='~').contains(&c) {
        return false;
    }
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}')
        || matches!(c, '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

/// A number with its noun: `1 rule`, `2 rules`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
