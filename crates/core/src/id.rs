//! Ids of apps and parties in their canonical form, which is the same on write and on read.

use std::borrow::Cow;
use std::fmt;

use crate::phone::{PhoneRegion, check_digits, number};
use crate::text::{fold, is_plain, unseen};
use crate::uri::{address, user_part};

/// The longest id or app key, in bytes.
const MAX_BYTES: usize = 128;

/// The words that gateways and phones send for a withheld number, in lower case and without the characters between words.
const WITHHELD: [&str; 25] = [
    PartyId::ANONYMOUS,
    "anonymouscaller",
    "blocked",
    "blockedcaller",
    "blockednumber",
    "calleridwithheld",
    "hiddennumber",
    "nocallerid",
    "nonumber",
    "notavailable",
    "numberunavailable",
    "numberwithheld",
    "outofarea",
    "private",
    "privatecaller",
    "privatenumber",
    "restricted",
    "restrictednumber",
    "unavailable",
    "undisclosed",
    "unknown",
    "unknowncaller",
    "unknownnumber",
    "withheld",
    "withheldnumber",
];

/// Why a text is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing is left after trimming.
    #[error("is empty")]
    Empty,
    /// A URI without a user part, which names a host and no party.
    #[error("names a host, not a party")]
    NoUser,
    /// One of `@ ; ? < > "`, or a character that a reader would not see as one of its own.
    #[error("contains the character {0:?}, which is not allowed in an id")]
    Forbidden(char),
    /// More digits than any number has.
    #[error("has {0} digits, more than any number")]
    TooManyDigits(usize),
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
    /// When it is empty, longer than 128 bytes, or contains a character that is not allowed or not seen.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        check(text)?;
        // Such a key would look like another one.
        if let Some(c) = text.chars().find(|c| !is_plain(c.encode_utf8(&mut [0; 4]))).filter(|_| !is_plain(text)) {
            return Err(IdError::Forbidden(c));
        }
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
    /// The id of callers that withhold their number.
    pub const ANONYMOUS: &str = "anonymous";

    /// Parses any spelling of a party into its canonical form: SIP and `tel` URIs lose scheme, password, parameters,
    /// headers and host (RFC 3261 §19.1, RFC 3966), numbers their visual separators. With a region, numbers take the form
    /// `+COUNTRYCODE…` that they have when they are dialled there. Every word for a withheld number becomes `anonymous`.
    ///
    /// # Errors
    /// When the result is longer than 128 bytes, contains a character that is not allowed, has more digits than a number,
    /// or would be parsed differently a second time.
    pub fn new(text: &str, region: Option<PhoneRegion>) -> Result<Self, IdError> {
        Ok(Self::parse(text, region)?.unwrap_or_else(Self::anonymous))
    }

    /// As [`Self::new`], for a party that must be given, such as a callee.
    ///
    /// # Errors
    /// As for [`Self::new`], and when the id is missing, or names only a host.
    pub fn required(text: &str, region: Option<PhoneRegion>) -> Result<Self, IdError> {
        let is_empty = || fold(text).trim().is_empty();
        Self::parse(text, region)?.ok_or_else(|| if is_empty() { IdError::Empty } else { IdError::NoUser })
    }

    /// `None` when the text names no party.
    fn parse(text: &str, region: Option<PhoneRegion>) -> Result<Option<Self>, IdError> {
        Ok(match canonical(text, region)? {
            Canonical::NoUser => None,
            Canonical::Withheld => Some(Self::anonymous()),
            Canonical::Number(id) => Some(Self(id)),
            Canonical::Name(id) if id == text => Some(Self(id.into_owned())),
            Canonical::Name(id) => match canonical(&id, region)? {
                Canonical::Name(again) if again == id => Some(Self(id.into_owned())),
                _ => return Err(IdError::Ambiguous),
            },
        })
    }

    /// The party of callers that withhold their number.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(Self::ANONYMOUS.to_owned())
    }

    /// Whether the number is withheld.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.0 == Self::ANONYMOUS
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

/// The canonical form of a text, and what kind of party it is.
enum Canonical<'a> {
    Number(String),
    Name(Cow<'a, str>),
    Withheld,
    /// A URI without a user part, or an empty text.
    NoUser,
}

/// Applies the canonical form once.
fn canonical(text: &str, region: Option<PhoneRegion>) -> Result<Canonical<'_>, IdError> {
    let id = match fold(text) {
        Cow::Borrowed(text) => user_part(address(text.trim()))?,
        Cow::Owned(text) => user_part(address(text.trim()))?.map(|user| Cow::Owned(user.into_owned())),
    };
    let Some(id) = id else { return Ok(Canonical::Withheld) };
    if id.is_empty() {
        return Ok(Canonical::NoUser);
    }
    if let Some(number) = number(&id) {
        check_digits(&number)?;
        let international = region.map(|region| region.international(&number)).transpose()?.flatten();
        let id = international.unwrap_or_else(|| number.into_owned());
        check_digits(&id)?;
        return Ok(Canonical::Number(id));
    }
    if is_withheld(&id) {
        return Ok(Canonical::Withheld);
    }
    check(&id)?;
    Ok(Canonical::Name(id))
}

/// Whether an id is a word for a withheld number, in any case and with any characters between its words: `Out of area`,
/// `out-of-area`, `OUT_OF_AREA`.
fn is_withheld(id: &str) -> bool {
    let letters =
        || id.bytes().filter(|byte| !matches!(byte, b' ' | b'-' | b'_' | b'.')).map(|byte| byte.to_ascii_lowercase());
    // Most names have a digit.
    !id.bytes().any(|byte| byte.is_ascii_digit()) && WITHHELD.iter().any(|word| letters().eq(word.bytes()))
}

/// Checks the limits of ids, app keys and patterns.
pub(crate) fn check(id: &str) -> Result<(), IdError> {
    let forbidden = id.chars().find(|&c| matches!(c, '@' | ';' | '?' | '<' | '>' | '"'));
    if let Some(c) = forbidden.or_else(|| unseen(id)) {
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
        assert_eq!(PartyId::new(text, None).as_ref().map(PartyId::as_str), Ok(id), "{text}");
    }

    #[track_caller]
    fn check_in(region: &str, text: &str, id: &str) {
        let region = region.parse().ok();
        assert!(region.is_some());
        assert_eq!(PartyId::new(text, region).as_ref().map(PartyId::as_str), Ok(id), "{text}");
    }

    #[track_caller]
    fn check_error(text: &str, error: &IdError) {
        assert_eq!(PartyId::new(text, None).as_ref(), Err(error), "{text}");
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
        check("030/23125012", "03023125012");
        check("+1 [555] 010·0123", "+15550100123");
        check("+81 3ー1234〜5678~9", "+813123456789");
        check("+1\u{2011}555\u{2011}010\u{2013}0123", "+15550100123");
        check("+1 555\u{a0}010\u{a0}0123", "+15550100123");
        check("＋１５５５０１００１２３", "+15550100123");
        check("+٧ ٤٩٥", "+7495");
        check("+ 7 495", "+7495");
        check("+-7 495", "+7495");
        check("-12", "12");
        check("(+1) 555", "+1555");
    }

    #[test]
    fn characters_that_are_not_seen_change_nothing() {
        check("\u{2068}+15550100123\u{2069}", "+15550100123");
        check("\u{202a}+8815550100\u{202c}", "+8815550100");
        check("sip:%E2%80%8B+8815550100@carrier.example", "+8815550100");
        check("+1\u{ad}555\u{ad}0100123", "+15550100123");
        check("sip:PPP\u{200d}009@example.com", "PPP009");
        check("s\u{200b}ip:PPP009@example.com", "PPP009");
        check("Jose\u{301}", "José");
        check("José", "José");
        check("John\u{a0}Smith", "John Smith");
    }

    #[test]
    fn a_trunk_zero_in_brackets_is_removed() {
        check("+49 (0) 30 23125012", "+493023125012");
        check("+49(0)30", "+4930");
        check("+44 ( 0 ) 20", "+4420");
        check("+7 (495) 123", "+7495123");
        check("+(0)49", "+049");
        check("0049 (0) 30", "0049030");
        check("+4930 (0) 30", "+4930030");
    }

    #[test]
    fn withheld_callers_become_anonymous() {
        for text in WITHHELD {
            check(text, "anonymous");
            check(&text.to_uppercase(), "anonymous");
        }
        for text in ["Out of area", "out-of-area", "OUT_OF_AREA", "OutOfArea", " Out\u{a0}of  area. ", "No Caller ID"] {
            check(text, "anonymous");
        }
        check("privateer", "privateer");
        let page = include_str!("../../../docs/src/reference/ids.md");
        let (_, listed) = page.split_once("or without:").unwrap();
        let (listed, _) = listed.split_once("So does").unwrap();
        let listed: Vec<_> = listed.split('`').skip(1).step_by(2).map(|word| word.replace([' ', '\n'], "")).collect();
        assert_eq!(listed, WITHHELD);
        for text in ["", "  ", "\u{200b}", "sip:@example.com", "sip:%61nonymous@example.com", "sip:Private%20Number@a"]
        {
            check(text, "anonymous");
        }
        check("\"Anonymous\" <sip:anonymous@anonymous.invalid>", "anonymous");
        check("sip:+15550100@anonymous.invalid", "anonymous");
        check("<sips:alice:x@Anonymous.Invalid:5061;transport=tls>", "anonymous");
        check("+15550100@anonymous.invalid", "anonymous");
        check("sip:+15550100@anonymous.invalid.", "anonymous");
        check("sip:+15550100@anonymous.invalid.example", "+15550100");
    }

    #[test]
    fn a_uri_without_user_part_names_no_party() {
        for text in
            ["<sip:198.51.100.7>", "sip:pbx.example.com:5060", "sip:alice", "sips:[2001:db8::1]", "sip://+15550100"]
        {
            check(text, "anonymous");
            assert_eq!(PartyId::required(text, None), Err(IdError::NoUser), "{text}");
        }
        check("tel://+1 555 010 0123", "+15550100123");
        check("sip://PPP009@example.com", "PPP009");
    }

    #[test]
    fn a_required_party_must_have_an_id() {
        for text in ["", " ", "\u{feff}"] {
            assert_eq!(PartyId::required(text, None), Err(IdError::Empty), "{text}");
        }
        for text in ["<>", "sip:", "tel:", "@host", "sip:@host", "sip:%20@host", "sip::secret@host"] {
            assert_eq!(PartyId::required(text, None), Err(IdError::NoUser), "{text}");
        }
        assert_eq!(PartyId::required("anonymous", None), Ok(PartyId::anonymous()));
        assert_eq!(PartyId::required("sip:b@c", None).unwrap().as_str(), "b");
    }

    #[test]
    fn a_region_completes_numbers_as_they_are_dialled_there() {
        check_in("US", "5550100123", "+15550100123");
        check_in("US", "15550100123", "+15550100123");
        check_in("US", "(555) 010-0123", "+15550100123");
        check_in("IT", "06 5550 0100", "+390655500100");
        check_in("RU", "9161234567", "+79161234567");
        check_in("RU", "8 916 123-45-67", "+79161234567");
        check_in("ru", "810 1 555 010 0123", "+15550100123");
        check_in("DE", "+49 (0) 30 23125012", "+493023125012");
        check_in("DE", "tel:030/23125012", "+493023125012");
        check_in("DE", "0049 30 23125012", "+493023125012");
        check_in("US", "+493023125012", "+493023125012");
    }

    #[test]
    fn a_region_keeps_short_numbers_and_names() {
        for (region, text) in
            [("DE", "1001"), ("DE", "116117"), ("DE", "112"), ("US", "911"), ("RU", "8495"), ("DE", "*98")]
        {
            check_in(region, text, text);
        }
        check_in("RU", "8x4951234567", "8x4951234567");
        check_in("RU", "PPP009", "PPP009");
        assert_eq!("XX".parse::<PhoneRegion>(), Err(crate::PhoneRegionError));
        assert_eq!("ru".parse::<PhoneRegion>().unwrap().to_string(), "RU");
    }

    #[test]
    fn digits_at_the_end_do_not_get_around_a_prefix() {
        check_in("US", "1 876 926 1234 99", "+1876926123499");
        for added in 0..8 {
            let text = format!("876 926 1234{}", "9".repeat(added));
            let region = "US".parse().ok();
            let id = PartyId::new(&text, region);
            assert!(id.is_err() || id.is_ok_and(|id| id.as_str().starts_with("+1876")), "{text}");
        }
        check_error(&"1".repeat(19), &IdError::TooManyDigits(19));
        check_error("+1234567890123456789", &IdError::TooManyDigits(19));
        check("123456789012345678", "123456789012345678");
    }

    #[test]
    fn invalid_ids_are_rejected() {
        check_error("a;b", &IdError::Forbidden(';'));
        check_error("a@b@c", &IdError::Forbidden('@'));
        check_error("sip:a@b@c", &IdError::Forbidden('@'));
        check_error("sip:a%40b@c", &IdError::Forbidden('@'));
        check_error("a\u{0}b", &IdError::Forbidden('\0'));
        check_error("1\t2", &IdError::Forbidden('\t'));
        check_error("5\u{301}", &IdError::Forbidden('\u{301}'));
        check_error("a\u{e000}", &IdError::Forbidden('\u{e000}'));
        check_error("sip:a%EE%80%80@x", &IdError::Forbidden('\u{e000}'));
        check_error("sip:a%0Ab@c", &IdError::Forbidden('\n'));
        check_error("<sip:a@x>, <sip:b@x>", &IdError::Forbidden('<'));
        check_error("a> <sip:b@x>", &IdError::Forbidden('>'));
        check_error("\"a\" <b> \"c\"", &IdError::Forbidden('"'));
        check_error("sip:%FF@x", &IdError::NotUtf8);
        check_error("sip:sip:alice@x", &IdError::Ambiguous);
        check_error("sip:sip%3Aalice@x", &IdError::Ambiguous);
        check_error("sip:tel%3Aalice@x", &IdError::Ambiguous);
        check_error(&"x".repeat(129), &IdError::TooLong(129));
        check(&"x".repeat(128), &"x".repeat(128));
    }

    #[test]
    fn an_app_key_is_only_trimmed() {
        assert_eq!(AppKey::new(" defaultApp ").unwrap().as_str(), "defaultApp");
        assert_eq!(AppKey::new("+7 495").unwrap().as_str(), "+7 495");
        assert_eq!(AppKey::new(" \t"), Err(IdError::Empty));
        for key in ["a\u{200b}b", "a\u{ad}", "a\u{a0}b", "a\u{301}", "5\u{301}", "a\u{e000}", "ａ", "a\u{fe0f}"] {
            assert!(matches!(AppKey::new(key), Err(IdError::Forbidden(_))), "{key:?}");
        }
        assert_eq!(AppKey::new("José").unwrap().as_str(), "José");
        assert_eq!(AppKey::new("a\"b"), Err(IdError::Forbidden('"')));
        assert_eq!(AppKey::new(&"x".repeat(129)), Err(IdError::TooLong(129)));
    }

    /// Generates texts from parts of URIs, numbers and names, so that many of them are almost valid ids.
    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "sip:|SIPS:|tel:|<|>|\"|@|;|\\?|%[0-9a-fA-F]{2}|%|\\+|\\(|\\)|-|\\.| |\\*|\\\\",
            "[0-9]{1,9}",
            "anonymous|Private|PPP009|иван",
            "\\PC|\\p{Cf}|\\p{Mn}|\\p{Zs}|\\p{Pd}|\\p{Nd}",
            "\\(0\\)|//|anonymous\\.invalid|withheld",
            any::<char>().prop_map(String::from),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(80 * ProptestConfig::default().cases))]

        #[test]
        fn a_canonical_id_does_not_change_when_parsed_again(
            text in any_text(),
            region in proptest::option::of(prop_oneof![Just("US"), Just("RU"), Just("DE"), Just("IT"), Just("AR")]),
        ) {
            let region = region.and_then(|code| code.parse().ok());
            if let Ok(id) = PartyId::new(&text, region) {
                prop_assert_eq!(PartyId::new(id.as_str(), region), Ok(id.clone()));
                prop_assert!(!id.as_str().is_empty() && id.as_str().len() <= 128);
                prop_assert!(!id.as_str().contains(|c: char| c.is_control() || "@;?<>\"".contains(c)));
            }
        }
    }
}
