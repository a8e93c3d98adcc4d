//! Patterns: the parties that a rule matches.

use std::fmt;

use crate::Groups;
use crate::id::{self, IdError, PartyId};
use crate::phone::{PhoneRegion, check_digits, number};
use crate::text::fold;
use crate::uri::strip_scheme;

/// The specificity of an id: more than any group.
pub(crate) const EXACT: usize = usize::MAX;

/// The specificity of a group: more than any prefix.
const GROUP: usize = EXACT - 1;

/// The longest name of a group, in bytes.
const MAX_GROUP: usize = 64;

/// An id, a group, a literal prefix followed by `*`, or `*` alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `*`: everyone, withheld callers included.
    Everyone,
    /// `+7495*`: every id that starts with the text before the `*`. Never empty.
    Prefix(String),
    /// `@sales`: every party of this group, named without the `@`.
    Group(String),
    /// Exactly this id.
    Exact(String),
}

/// The kinds of patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Everyone,
    Prefix,
    Group,
    Exact,
}

/// Why a text is not a valid pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `*` that is not the last character.
    #[error("contains a `*` that is not its last character; only the end can be open, as in `+7495*`")]
    StarInside,
    /// A prefix with the scheme of a URI, which ids do not have.
    #[error("starts with a scheme, which ids do not keep; leave it out, as in `+7495*`")]
    Scheme,
    /// Not the name of a group.
    #[error("is not the name of a group: `@` and 1 to 64 of the characters a-z, 0-9, `_` and `-`")]
    Group,
    /// The text, or the part before the `*`, is not a valid id.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl Pattern {
    /// Parses a pattern as people write it into its canonical form.
    ///
    /// # Errors
    /// When a `*` is not the last character, or the rest is not a valid id.
    pub fn new(text: &str, region: Option<PhoneRegion>) -> Result<Self, PatternError> {
        let text = fold(text);
        let text = text.trim();
        if let Some(name) = text.strip_prefix('@') {
            return if is_group_name(name) { Ok(Self::Group(name.to_owned())) } else { Err(PatternError::Group) };
        }
        let literal = text.strip_suffix('*').unwrap_or(text);
        if is_feature_code(text) || literal.len() == text.len() {
            let id = PartyId::required(text, region)?;
            // `sip:%2a@host` is the id `*`, which would mean everyone once it is stored.
            return match Self::from_stored(id.as_str()) {
                Self::Exact(id) if is_feature_code(&id) || !id.contains('*') => Ok(Self::Exact(id)),
                _ => Err(PatternError::StarInside),
            };
        }
        if literal.contains('*') {
            return Err(PatternError::StarInside);
        }
        let literal = literal.trim_end();
        if literal.is_empty() {
            return Ok(Self::Everyone);
        }
        // `#7 *` is stored as `#7*`, which is a code.
        let without_space = format!("{literal}*");
        if is_feature_code(&without_space) {
            return Ok(Self::Exact(without_space));
        }
        // A prefix is a part of an id: there is no URI to parse, and the length of the number, which its region needs, is
        // not known.
        if strip_scheme(literal).is_some() {
            return Err(PatternError::Scheme);
        }
        let Some(number) = number(literal) else {
            id::check(literal)?;
            return Ok(Self::Prefix(literal.to_owned()));
        };
        check_digits(&number)?;
        Ok(Self::Prefix(number.into_owned()))
    }

    /// Parses a pattern as it is stored. Any text is accepted; one that is not canonical never matches.
    #[must_use]
    pub fn from_stored(key: impl Into<String>) -> Self {
        let mut key = key.into();
        if let Some(name) = key.strip_prefix('@').filter(|name| is_group_name(name)) {
            return Self::Group(name.to_owned());
        }
        if !key.ends_with('*') || is_feature_code(&key) {
            return Self::Exact(key);
        }
        key.pop();
        if key.is_empty() { Self::Everyone } else { Self::Prefix(key) }
    }

    /// Whether the pattern matches a party of these groups.
    #[must_use]
    pub fn matches(&self, id: &PartyId, groups: &Groups) -> bool {
        match self {
            Self::Everyone => true,
            // A withheld number has no digits or letters to start with.
            Self::Prefix(prefix) => id.as_str().starts_with(prefix.as_str()) && !id.is_anonymous(),
            Self::Group(name) => groups.contains(name),
            Self::Exact(exact) => id.as_str() == exact,
        }
    }

    /// The kind and the text of the pattern, which no other has.
    pub(crate) fn sort_key(&self) -> (Kind, &str) {
        match self {
            Self::Everyone => (Kind::Everyone, ""),
            Self::Prefix(prefix) => (Kind::Prefix, prefix),
            Self::Group(name) => (Kind::Group, name),
            Self::Exact(id) => (Kind::Exact, id),
        }
    }

    /// If several patterns match, the one with the greatest number decides.
    #[must_use]
    pub const fn specificity(&self) -> usize {
        match self {
            Self::Everyone => 0,
            Self::Prefix(prefix) => prefix.len(),
            Self::Group(_) => GROUP,
            Self::Exact(_) => EXACT,
        }
    }
}

/// Whether a group may have this name: 1 to 64 of the characters a-z, 0-9, `_` and `-`.
#[must_use]
pub fn is_group_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=MAX_GROUP).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Whether the text is what a phone sends for a service of its exchange, such as `*98` or `*21#`, and so an id.
fn is_feature_code(text: &str) -> bool {
    text.starts_with(['*', '#'])
        && text.contains(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'#'))
}

/// The pattern as it is stored.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Group(name) => write!(f, "@{name}"),
            Self::Exact(id) => f.write_str(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str) -> String {
        Pattern::new(text, None).unwrap().to_string()
    }

    #[track_caller]
    fn check_match(key: &str, id: &str, expected: bool) {
        let id = PartyId::new(id, None).unwrap();
        assert_eq!(Pattern::from_stored(key).matches(&id, &Groups::new()), expected, "{key} ~ {id}");
    }

    #[test]
    fn patterns_are_stored_in_canonical_form() {
        assert_eq!(stored(" * "), "*");
        assert_eq!(stored("+7 (495)*"), "+7495*");
        assert_eq!(stored("8-800-*"), "8800*");
        assert_eq!(stored("PPP*"), "PPP*");
        assert_eq!(stored("sip:PPP009@example.com"), "PPP009");
        assert_eq!(stored("Private"), "anonymous");
        assert_eq!(stored("+1\u{202f}555*"), "+1555*");
        assert_eq!(stored("+49 (0)30*"), "+4930*");
        assert_eq!(stored("\u{2068}+7495*\u{2069}"), "+7495*");
        assert_eq!(stored(" @sales_2-b "), "@sales_2-b");
        assert_eq!(Pattern::new("#7 *", None), Ok(Pattern::Exact("#7*".to_owned())));
        for code in ["*98", "*21#", "#31#", "*#06#", "*98*", "*21*5550100#"] {
            assert_eq!(stored(code), code);
        }
    }

    #[test]
    fn invalid_patterns_are_rejected() {
        let error = |text| Pattern::new(text, None).unwrap_err();
        assert_eq!(error("79*5"), PatternError::StarInside);
        assert_eq!(error("**"), PatternError::StarInside);
        assert_eq!(error("*x98"), PatternError::StarInside);
        // A percent-encoded `*` is part of the id, and must not become a wildcard.
        for star in ["sip:%2a@x", "sip:+7495%2A@x", "sip:9*8@x", "sip:%2a%2a@x"] {
            assert_eq!(error(star), PatternError::StarInside, "{star}");
        }
        let too_long = format!("@{}", "a".repeat(65));
        for name in ["@", "@Sales", "@a b", "@a*", "@@a", "@é", &too_long] {
            assert_eq!(error(name), PatternError::Group, "{name}");
        }
        assert_eq!(error("a@b*"), PatternError::Id(IdError::Forbidden('@')));
        assert_eq!(error("tel:+7495*"), PatternError::Scheme);
        assert_eq!(error("SIP:*"), PatternError::Scheme);
        assert_eq!(error(&"x".repeat(129)), PatternError::Id(IdError::TooLong(129)));
    }

    #[test]
    fn a_pattern_matches_an_id_a_prefix_or_everyone() {
        check_match("*", "anonymous", true);
        check_match("*", "PPP009", true);
        check_match("PPP*", "PPP009", true);
        check_match("PPP*", "ppp009", false);
        check_match("PPP009*", "PPP009", true);
        check_match("PPP009", "PPP009", true);
        check_match("PPP009", "PPP0091", false);
        check_match("98*", "98*", true);
        check_match("*98", "sip:*98@x", true);
        check_match("*98*", "*98*", true);
        check_match("*98*", "*981", false);
        check_match("a*", "anonymous", false);
        check_match("anonymous", "anonymous", true);
        check_match("+7 495*", "+74951234567", false);
        check_match("", "anonymous", false);
    }

    #[test]
    fn a_group_matches_its_parties() {
        let groups = Groups::from(["sales".to_owned(), "staff".to_owned()]);
        let id = PartyId::new("PPP009", None).unwrap();
        for (key, expected) in
            [("@sales", true), ("@staff", true), ("@sale", false), ("@sales2", false), ("sales", false)]
        {
            assert_eq!(Pattern::from_stored(key).matches(&id, &groups), expected, "{key}");
            assert_eq!(Pattern::from_stored(key).to_string(), key);
        }
        // Not the name of a group, so it never matches.
        assert_eq!(Pattern::from_stored("@Sales"), Pattern::Exact("@Sales".to_owned()));
    }

    #[test]
    fn a_longer_pattern_is_more_specific() {
        let specificities = ["*", "9*", "PPP*", "PPP00*", "@a", "A"].map(|key| Pattern::from_stored(key).specificity());
        assert!(specificities.is_sorted_by(|a, b| a < b));
    }
}
