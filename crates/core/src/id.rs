//! Ids of apps and parties in their canonical form, which is the same on write and on read.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

/// The longest id or app key, in bytes.
const MAX_BYTES: usize = 128;

/// The id of callers that withhold their number.
const ANONYMOUS: &str = "anonymous";

/// The words that gateways and phones send for a withheld number.
const WITHHELD: [&str; 6] = [ANONYMOUS, "unknown", "unavailable", "private", "restricted", "blocked"];

/// Why a text is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing is left after trimming.
    #[error("is empty")]
    Empty,
    /// A control character, or one of `@ ; ? < > "`.
    #[error("holds the character {0:?}, which no id may hold")]
    Forbidden(char),
    /// More than 128 bytes are left.
    #[error("is {0} bytes long; at most {MAX_BYTES} are allowed")]
    TooLong(usize),
    /// The percent-encoded part of a URI is not UTF-8.
    #[error("is percent-encoded, but not as UTF-8")]
    NotUtf8,
    /// Parsing it a second time would give another id, such as `sip:sip:alice`.
    #[error("is ambiguous: the user part of its URI would itself be read as a URI or a number")]
    Ambiguous,
}

/// The key of an app, used as it is, trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppKey(String);

impl AppKey {
    /// Trims and checks an app key.
    ///
    /// # Errors
    /// When it is empty, longer than 128 bytes, or contains a character that is not allowed.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The key as WCS sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A caller or a callee in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartyId(String);

impl PartyId {
    /// Parses any spelling of a party into its canonical form: SIP and `tel` URIs lose scheme, password, parameters,
    /// headers and host (RFC 3261 §19.1, RFC 3966), numbers their visual separators and, with a dial plan, their
    /// national prefix. Every word for a withheld number becomes `anonymous`.
    ///
    /// # Errors
    /// When the result is longer than 128 bytes, contains a character that is not allowed, or would be parsed differently
    /// a second time.
    pub fn new(text: &str, plan: &DialPlan) -> Result<Self, IdError> {
        let id = canonical(text, plan)?;
        if canonical(&id, plan)? != id {
            return Err(IdError::Ambiguous);
        }
        Ok(Self(id.into_owned()))
    }

    /// As [`Self::new`], for a party that must be given, such as a callee.
    ///
    /// # Errors
    /// As for [`Self::new`], and when the id is missing.
    pub fn required(text: &str, plan: &DialPlan) -> Result<Self, IdError> {
        let id = Self::new(text, plan)?;
        // A missing id and the words for a withheld number both become `anonymous`.
        if id.0 == ANONYMOUS && user_part(address(text.trim()))?.is_empty() {
            return Err(IdError::Empty);
        }
        Ok(id)
    }

    /// The party of callers that withhold their number.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(ANONYMOUS.to_owned())
    }

    /// The canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How national numbers become international ones, for example with country code `7`, trunk prefix `8` and international
/// prefix `810`. The default changes no number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DialPlan {
    /// Trunk prefix and country code: the start of a national number, and its replacement after `+`.
    national: Option<(String, String)>,
    international_prefix: Option<String>,
}

/// Why the settings are not a valid dial plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialPlanError {
    /// Not one to seven digits.
    #[error("`{0}` is not one to seven digits")]
    NotDigits(String),
    /// A trunk prefix can only be replaced by a country code.
    #[error("a trunk prefix needs a country code")]
    NoCountryCode,
}

impl DialPlan {
    /// Numbers with fewer digits are extensions and service numbers, which the dial plan leaves as they are.
    pub const MIN_DIGITS: usize = 8;

    /// Each part may be missing. Without a trunk prefix the country code is not used.
    ///
    /// # Errors
    /// When a part is not one to seven digits, or a trunk prefix has no country code to be replaced by.
    pub fn new(
        country_code: Option<&str>,
        trunk_prefix: Option<&str>,
        international_prefix: Option<&str>,
    ) -> Result<Self, DialPlanError> {
        // At most seven, so that a prefix is never a whole number.
        let digits = |text: &str| match text.len() {
            1..Self::MIN_DIGITS if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(text.to_owned()),
            _ => Err(DialPlanError::NotDigits(text.to_owned())),
        };
        let country_code = country_code.map(digits).transpose()?;
        let national = match trunk_prefix.map(digits).transpose()? {
            Some(trunk) => Some((trunk, country_code.ok_or(DialPlanError::NoCountryCode)?)),
            None => None,
        };
        Ok(Self { national, international_prefix: international_prefix.map(digits).transpose()? })
    }

    /// The international form of a number without separators. `None` when the number stays as it is.
    fn international(&self, number: &str) -> Option<String> {
        if number.starts_with('+') || number.len() < Self::MIN_DIGITS {
            return None;
        }
        if let Some(rest) = self.international_prefix.as_deref().and_then(|prefix| number.strip_prefix(prefix)) {
            return Some(format!("+{rest}"));
        }
        let (trunk, country) = self.national.as_ref()?;
        number.strip_prefix(trunk.as_str()).map(|rest| format!("+{country}{rest}"))
    }
}

/// Applies the canonical form once.
fn canonical<'a>(text: &'a str, plan: &DialPlan) -> Result<Cow<'a, str>, IdError> {
    let id = user_part(address(text.trim()))?;
    let id = match number(&id) {
        Some(number) => match plan.international(&number) {
            Some(international) => Cow::Owned(international),
            None => Cow::Owned(number.into_owned()),
        },
        None => id,
    };
    if id.is_empty() || WITHHELD.iter().any(|word| id.eq_ignore_ascii_case(word)) {
        return Ok(Cow::Borrowed(ANONYMOUS));
    }
    check(&id)?;
    Ok(id)
}

/// The URI of `"Name" <uri>;parameters`, or else the whole text (RFC 3261 §20.10, `name-addr`).
fn address(text: &str) -> &str {
    let uri = after_display_name(text).and_then(|rest| rest.split_once('>'));
    match uri {
        Some((uri, rest)) if rest.is_empty() || rest.trim_start().starts_with(';') => uri.trim(),
        // Anything else keeps its angle brackets, and is refused because of them.
        _ => text,
    }
}

/// The text after the `<` that ends the display name, which may be quoted, unquoted or missing.
fn after_display_name(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split_once('<').filter(|(name, _)| !name.contains(['"', '>'])).map(|(_, rest)| rest);
    };
    let mut escaped = false;
    let (_, rest) = quoted.split_once(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    })?;
    rest.trim_start().strip_prefix('<')
}

/// The user part of a SIP, SIPS or tel URI, or of `user@host`. Any other text as it is.
fn user_part(address: &str) -> Result<Cow<'_, str>, IdError> {
    fn before(text: &str, end: char) -> &str {
        text.split_once(end).map_or(text, |(before, _)| before)
    }

    let Some(uri) = strip_scheme(address) else {
        let user = address.rsplit_once('@').map_or(address, |(user, _)| user);
        return Ok(Cow::Borrowed(user.trim()));
    };
    let bare = |text| before(before(text, ';'), '?');
    let user = match uri.split_once('@') {
        Some((user, _)) if strip_scheme(user).is_some() => return Err(IdError::Ambiguous),
        Some((_, host)) if bare(host).contains('@') => return Err(IdError::Forbidden('@')),
        // The password is not part of the id (RFC 3261 §25.1, `userinfo`). Without a host, a port follows the colon.
        Some((user, _)) => before(bare(user), ':'),
        None => bare(uri),
    };
    let decoded = percent_decode_str(user).decode_utf8().map_err(|_| IdError::NotUtf8)?;
    Ok(match decoded {
        Cow::Borrowed(user) => Cow::Borrowed(user.trim()),
        Cow::Owned(user) => Cow::Owned(user.trim().to_owned()),
    })
}

/// A SIP, SIPS or tel URI without its scheme.
pub(crate) fn strip_scheme(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    ["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(rest)
}

/// A number without its visual separators (RFC 3966 §5.1.1, and spaces). `None` when the text is not a number.
pub(crate) fn number(text: &str) -> Option<Cow<'_, str>> {
    let is_separator = |c: char| matches!(c, ' ' | '.' | '-' | '(' | ')');
    let digits = text.strip_prefix('+').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '(' || (digits.len() < text.len() && is_separator(c)))
        || !digits.contains(|c: char| c.is_ascii_digit())
        || !digits.chars().all(|c| c.is_ascii_digit() || is_separator(c))
    {
        return None;
    }
    if digits.contains(is_separator) {
        return Some(Cow::Owned(text.chars().filter(|&c| !is_separator(c)).collect()));
    }
    Some(Cow::Borrowed(text))
}

/// Checks the limits of ids, app keys and patterns.
pub(crate) fn check(id: &str) -> Result<(), IdError> {
    if let Some(c) = id.chars().find(|&c| c.is_control() || matches!(c, '@' | ';' | '?' | '<' | '>' | '"')) {
        return Err(IdError::Forbidden(c));
    }
    if id.len() > MAX_BYTES {
        return Err(IdError::TooLong(id.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, id: &str) {
        assert_eq!(PartyId::new(text, &DialPlan::default()).as_ref().map(PartyId::as_str), Ok(id), "{text}");
    }

    #[track_caller]
    fn check_with_dial_plan(text: &str, id: &str) {
        let plan = DialPlan::new(Some("7"), Some("8"), Some("810")).unwrap();
        assert_eq!(PartyId::new(text, &plan).as_ref().map(PartyId::as_str), Ok(id), "{text}");
    }

    #[track_caller]
    fn check_error(text: &str, error: &IdError) {
        assert_eq!(PartyId::new(text, &DialPlan::default()).as_ref(), Err(error), "{text}");
    }

    #[test]
    fn plain_ids_are_unchanged() {
        for id in ["PPP009", "ppp009", "иван", "a:b", "50%41", "*98", "98*", "John Smith", "1-800-FLOWERS", "+", "a-b"]
        {
            check(id, id);
        }
        check("  PPP009\r\n", "PPP009");
    }

    #[test]
    fn only_the_user_part_of_a_uri_is_kept() {
        check("sip:PPP009@192.168.1.5:5060;transport=udp?subject=x", "PPP009");
        check("SIPS:alice@example.com", "alice");
        check("sip:alice;day=tuesday@atlanta.example", "alice");
        check("tel:+7-495-123-45-67;phone-context=example.com", "+74951234567");
        check("PPP009@example.com", "PPP009");
        check("sip:%D0%B8%D0%B2%D0%B0%D0%BD@example.com", "иван");
        check("sip:a%20b%20@example.com", "a b");
        check("sip:%2B7495@example.com", "+7495");
        check("sip:*98@example.com", "*98");
        check("sip:alice:secret@example.com", "alice");
        check("sips:alice:@example.com;x=y", "alice");
        check("sip:alice:secret;day=tuesday@example.com", "alice");
        check("sip:+7495:secret:2@example.com", "+7495");
        check("sip:alice%3Abob@example.com", "alice:bob");
    }

    #[test]
    fn display_names_are_ignored() {
        check("\"Alice\" <sip:PPP009@example.com>", "PPP009");
        check("Alice <sip:PPP009@example.com>;tag=1928301774", "PPP009");
        check("<tel:+15551234567>", "+15551234567");
        check(r#""a \" <sip:evil@x> \\" <sip:PPP009@example.com>"#, "PPP009");
        check(r#""" < sip:PPP009@example.com >"#, "PPP009");
    }

    #[test]
    fn separators_are_removed_from_numbers() {
        check("+7 (495) 123-45-67", "+74951234567");
        check("(495) 123.45.67", "4951234567");
        check("8 800 555 35 35", "88005553535");
        check("12-", "12");
        check("+ 7 495", "+7495");
        check("+-7 495", "+7495");
        check("-12", "-12");
    }

    #[test]
    fn withheld_callers_become_anonymous() {
        for text in ["", "  ", "Anonymous", "UNKNOWN", "unavailable", "private", "restricted", "blocked"] {
            check(text, "anonymous");
        }
        check("\"Anonymous\" <sip:anonymous@anonymous.invalid>", "anonymous");
        check("sip:@example.com", "anonymous");
        check("sip:%61nonymous@example.com", "anonymous");
    }

    #[test]
    fn a_required_party_must_have_an_id() {
        let required = |text| PartyId::required(text, &DialPlan::default());
        for text in ["", " ", "<>", "sip:", "tel:", "@host", "sip:@host", "sip:%20@host", "sip::secret@host"] {
            assert_eq!(required(text), Err(IdError::Empty), "{text}");
        }
        assert_eq!(required("anonymous"), Ok(PartyId::anonymous()));
        assert_eq!(required("sip:b@c").unwrap().as_str(), "b");
    }

    #[test]
    fn the_dial_plan_converts_national_numbers() {
        check_with_dial_plan("8 (495) 123-45-67", "+74951234567");
        check_with_dial_plan("810 1 555 123 4567", "+15551234567");
        check_with_dial_plan("tel:84951234567", "+74951234567");
        check_with_dial_plan("+84951234567", "+84951234567");
        check_with_dial_plan("8495123", "8495123");
        check_with_dial_plan("84951234", "+74951234");
        check_with_dial_plan("4951234567", "4951234567");
        check_with_dial_plan("8x4951234567", "8x4951234567");
    }

    #[test]
    fn dial_plan_settings_are_validated() {
        assert_eq!(DialPlan::new(Some("7"), None, None), Ok(DialPlan::default()));
        assert_eq!(DialPlan::new(None, Some("8"), None), Err(DialPlanError::NoCountryCode));
        for bad in ["", "+7", "12345678", "seven"] {
            assert_eq!(DialPlan::new(None, None, Some(bad)), Err(DialPlanError::NotDigits(bad.to_owned())));
        }
        assert_eq!(DialPlan::new(None, None, None), Ok(DialPlan::default()));
    }

    #[test]
    fn invalid_ids_are_rejected() {
        check_error("a;b", &IdError::Forbidden(';'));
        check_error("a@b@c", &IdError::Forbidden('@'));
        check_error("sip:a@b@c", &IdError::Forbidden('@'));
        check_error("sip:a%40b@c", &IdError::Forbidden('@'));
        check_error("a\u{0}b", &IdError::Forbidden('\0'));
        check_error("sip:a%0Ab@c", &IdError::Forbidden('\n'));
        check_error("<sip:a@x>, <sip:b@x>", &IdError::Forbidden('<'));
        check_error("a> <sip:b@x>", &IdError::Forbidden('>'));
        check_error("\"a\" <b> \"c\"", &IdError::Forbidden('"'));
        check_error("sip:%FF@x", &IdError::NotUtf8);
        check_error("sip:sip:alice@x", &IdError::Ambiguous);
        check_error("sip:sip%3Aalice@x", &IdError::Ambiguous);
        check_error(&"x".repeat(129), &IdError::TooLong(129));
        check(&"x".repeat(128), &"x".repeat(128));
    }

    #[test]
    fn an_app_key_is_only_trimmed() {
        assert_eq!(AppKey::new(" defaultApp ").unwrap().as_str(), "defaultApp");
        assert_eq!(AppKey::new("+7 495").unwrap().as_str(), "+7 495");
        assert_eq!(AppKey::new(" \t"), Err(IdError::Empty));
        assert_eq!(AppKey::new("a\"b"), Err(IdError::Forbidden('"')));
        assert_eq!(AppKey::new(&"x".repeat(129)), Err(IdError::TooLong(129)));
    }

    /// Generates texts from parts of URIs, numbers and names, so that many of them are almost valid ids.
    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "sip:|SIPS:|tel:|<|>|\"|@|;|\\?|%[0-9a-fA-F]{2}|%|\\+|\\(|\\)|-|\\.| |\\*|\\\\",
            "[0-9]{1,9}",
            "anonymous|Private|PPP009|иван",
            "\\PC",
            any::<char>().prop_map(String::from),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(80 * ProptestConfig::default().cases))]

        #[test]
        fn a_canonical_id_does_not_change_when_parsed_again(text in any_text(), with_plan in any::<bool>()) {
            let plan = if with_plan { DialPlan::new(Some("7"), Some("8"), Some("810")).unwrap() } else { DialPlan::default() };
            if let Ok(id) = PartyId::new(&text, &plan) {
                prop_assert_eq!(PartyId::new(id.as_str(), &plan), Ok(id.clone()));
                prop_assert!(!id.as_str().is_empty() && id.as_str().len() <= 128);
                prop_assert!(!id.as_str().contains(|c: char| c.is_control() || "@;?<>\"".contains(c)));
            }
        }
    }
}
