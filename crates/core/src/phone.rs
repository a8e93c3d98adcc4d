//! Numbers: their separators, and the form that a region's dialling habits give them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use rlibphonenumber::enums::Region;
use rlibphonenumber::{
    PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat, ValidationError,
    get_national_significant_number_owned,
};

use crate::id::IdError;
use crate::text::{digit, is_separator};

/// Numbers with fewer digits are mostly extensions and service numbers. Only valid ones take their international form.
const MIN_DIGITS: usize = 8;

/// An E.164 number has at most 15 digits; an international prefix adds three.
const MAX_DIGITS: usize = 18;

/// The most digits of a country code (ITU-T E.164).
const MAX_COUNTRY_CODE: usize = 3;

/// A country or territory, whose dialling habits complete national numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhoneRegion {
    region: Region,
    country_code: i32,
    trunk_prefix: TrunkPrefix,
}

/// What is dialled in front of a national number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TrunkPrefix {
    Nothing,
    Digit(char),
    /// Several digits, or one that also starts international prefixes: parsing needs all habits of the region.
    Complex,
}

/// The text is not the code of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the ISO 3166 code of a country, such as `US` or `DE`")]
pub struct PhoneRegionError;

impl FromStr for PhoneRegion {
    type Err = PhoneRegionError;

    /// Parses an ISO 3166-1 alpha-2 code, in any case.
    fn from_str(code: &str) -> Result<Self, Self::Err> {
        let region = Region::from_code(&code.to_ascii_uppercase()).map_err(|_| PhoneRegionError)?;
        // Any two letters are a `Region`, but not all have numbers.
        let example = PHONE_NUMBER_UTIL.get_example_number(region).map_err(|_| PhoneRegionError)?;
        let significant = get_national_significant_number_owned(&example);
        let national = example.format_as(PhoneNumberFormat::National);
        let national: String = national.chars().filter(char::is_ascii_digit).collect();
        let trunk_prefix = match national.strip_suffix(&significant).map(str::parse) {
            // Israel: `019…` is dialled to other countries.
            _ if region == Region::IL => TrunkPrefix::Complex,
            Some(Ok(digit)) => TrunkPrefix::Digit(digit),
            _ if national == significant => TrunkPrefix::Nothing,
            _ => TrunkPrefix::Complex,
        };
        let region = Self { region, country_code: example.country_code, trunk_prefix };
        // Compiles the expressions for numbers of this region now, rather than during the first call.
        let _ = region.is_valid(&significant);
        Ok(region)
    }
}

/// The ISO 3166-1 alpha-2 code.
impl fmt::Display for PhoneRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.region.as_region_str())
    }
}

impl PhoneRegion {
    /// Whether a number is assigned to a country's plan, as far as is known. Shorter and longer numbers are not.
    #[must_use]
    pub fn is_valid(self, number: &str) -> bool {
        PHONE_NUMBER_UTIL.parse(number, Some(self.region)).is_ok_and(|parsed| parsed.is_valid())
    }

    /// The international form of a number without separators that is dialled in this region. `None` when the number stays
    /// as it is.
    ///
    /// # Errors
    /// [`IdError::TooManyDigits`] when no number can be so long. Digits added at the end must not make it another party.
    pub(crate) fn international(self, number: &str) -> Result<Option<String>, IdError> {
        if let Some(e164) = self.valid_form(number) {
            return Ok((e164 != number).then_some(e164));
        }
        self.parsed_form(number)
    }

    /// As [`Self::international`], with all habits of the region.
    fn parsed_form(self, number: &str) -> Result<Option<String>, IdError> {
        let parsed = match PHONE_NUMBER_UTIL.parse(number, Some(self.region)) {
            Ok(parsed) => parsed,
            Err(ParseError::TooLongNsn) => return Err(IdError::TooManyDigits(number.trim_start_matches('+').len())),
            Err(_) => return Ok(None),
        };
        let e164 = parsed.format_as(PhoneNumberFormat::E164).into_owned();
        if e164 == number {
            return Ok(None);
        }
        if parsed.is_valid() {
            return Ok(Some(e164));
        }
        // Reading it again could remove digits after the country code, and with them the start that a rule is about.
        if number.starts_with('+') || number.len() < MIN_DIGITS {
            return Ok(None);
        }
        match parsed.is_possible_with_reason() {
            // A length between those that are possible is one with added digits, too.
            Ok(_) | Err(ValidationError::TooLong | ValidationError::InvalidLength) => {
                Ok(Some(self.international(&e164)?.unwrap_or(e164)))
            }
            Err(ValidationError::InvalidCountryCode | ValidationError::TooShort) => Ok(None),
        }
    }

    /// The international form of a number that is valid without any conversion: after its country code, or as a national number
    /// with or without its trunk prefix. Most numbers are, and parsing them takes three times as long.
    fn valid_form(self, number: &str) -> Option<String> {
        let Some(digits) = number.strip_prefix('+') else {
            let significant = match self.trunk_prefix {
                TrunkPrefix::Nothing => number,
                TrunkPrefix::Digit(digit) => number.strip_prefix(digit).unwrap_or(number),
                TrunkPrefix::Complex => return None,
            };
            // Other regions with this country code may have other habits.
            let is_valid = |number: &PhoneNumber| PHONE_NUMBER_UTIL.is_valid_number_for_region(number, self.region);
            return valid_number(self.country_code, significant, is_valid);
        };
        // No country code starts with 0, but it would be parsed as a number.
        let digits = Some(digits).filter(|digits| !digits.starts_with('0'))?;
        let (country_code, significant) = (1..=MAX_COUNTRY_CODE).find_map(|length| {
            let (code, significant) = digits.split_at_checked(length)?;
            let code = code.parse().ok()?;
            PHONE_NUMBER_UTIL.get_region_for_country_code(code).map(|_| (code, significant))
        })?;
        valid_number(country_code, significant, PhoneNumber::is_valid)
    }
}

/// The international form of a number, if it is valid.
fn valid_number(country_code: i32, significant: &str, is_valid: impl Fn(&PhoneNumber) -> bool) -> Option<String> {
    let zeros = significant.bytes().take_while(|byte| *byte == b'0').count();
    let number = PhoneNumber {
        country_code,
        national_number: significant.parse().ok()?,
        // An integer has no leading zeros, so they are counted.
        italian_leading_zero: Some(true),
        number_of_leading_zeros: i32::try_from(zeros).ok(),
        ..PhoneNumber::default()
    };
    is_valid(&number).then(|| format!("+{country_code}{significant}"))
}

/// A number without separators, and without the trunk zero of `+49 (0) 30`. `None` when the folded text is not a number.
pub(crate) fn number(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim_start_matches(is_separator);
    let (plus, digits) = text.strip_prefix('+').map_or(("", text), |digits| ("+", digits));
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return (!digits.is_empty()).then_some(Cow::Borrowed(text));
    }
    if !digits.chars().all(|c| is_separator(c) || digit(c).is_some()) {
        return None;
    }
    let digits = if plus.is_empty() { Cow::Borrowed(digits) } else { without_trunk_zero(digits) };
    let digits: String = digits.chars().filter_map(digit).collect();
    (!digits.is_empty()).then(|| Cow::Owned(format!("{plus}{digits}")))
}

/// Checks the length of a number.
pub(crate) fn check_digits(number: &str) -> Result<(), IdError> {
    let digits = number.trim_start_matches('+').len();
    if digits > MAX_DIGITS { Err(IdError::TooManyDigits(digits)) } else { Ok(()) }
}

/// Removes a `(0)` that follows a country code.
fn without_trunk_zero(digits: &str) -> Cow<'_, str> {
    let Some((code, rest)) = digits.split_once('(') else { return Cow::Borrowed(digits) };
    let zero = rest
        .split_once(')')
        .filter(|(inside, _)| inside.chars().filter(|c| !c.is_whitespace()).map(digit).eq([Some('0')]));
    match zero {
        Some((_, rest)) if (1..=MAX_COUNTRY_CODE).contains(&code.chars().filter_map(digit).count()) => {
            Cow::Owned(format!("{code} {rest}"))
        }
        _ => Cow::Borrowed(digits),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;
    use rlibphonenumber::PhoneNumberType as Type;

    use super::*;

    const TYPES: [Type; 8] = [
        Type::FixedLine,
        Type::Mobile,
        Type::TollFree,
        Type::PremiumRate,
        Type::SharedCost,
        Type::VoIP,
        Type::PersonalNumber,
        Type::UAN,
    ];

    #[track_caller]
    fn check_valid_form(region: &str, number: &str, e164: Option<&str>) {
        let region: PhoneRegion = region.parse().unwrap();
        assert_eq!(region.valid_form(number).as_deref(), e164, "{number}");
        if let Some(e164) = e164 {
            assert!(region.is_valid(number));
            assert_eq!(region.international(number).unwrap().as_deref().unwrap_or(number), e164);
        }
    }

    #[test]
    fn usual_numbers_are_valid_as_they_are() {
        check_valid_form("US", "2125550123", Some("+12125550123"));
        check_valid_form("US", "+442079460018", Some("+442079460018"));
        check_valid_form("RU", "4951234567", Some("+74951234567"));
        check_valid_form("RU", "84951234567", Some("+74951234567"));
        check_valid_form("DE", "03023125012", Some("+493023125012"));
        check_valid_form("DE", "+3780549886377", Some("+3780549886377"));
        check_valid_form("IT", "0655500100", Some("+390655500100"));
        // These are parsed.
        check_valid_form("IT", "00655500100", None);
        check_valid_form("RU", "+784951234567", None);
        check_valid_form("RU", "+04951234567", None);
        check_valid_form("IL", "0312345678", None);
        check_valid_form("HU", "0612345678", None);
        check_valid_form("IL", "01919123456", None);
        check_valid_form("BY", "8100234567", None);
        check_valid_form("AX", "358102345", None);
        check_valid_form("US", "5550100", None);
        assert!(!"US".parse::<PhoneRegion>().unwrap().is_valid("5550100"));
    }

    #[test]
    fn only_valid_numbers_of_less_than_eight_digits_change() {
        let in_germany = |number| "DE".parse::<PhoneRegion>().unwrap().international(number).unwrap();
        assert_eq!(in_germany("9999999"), None);
        assert_eq!(in_germany("99999999").as_deref(), Some("+4999999999"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(80 * ProptestConfig::default().cases))]

        /// Numbers of every region, with some digits changed, added or missing, as they are dialled there and elsewhere.
        #[test]
        fn a_number_that_is_valid_as_it_is_is_parsed_to_the_same(
            region: Index, other: Index, kind in 0..TYPES.len(), form in 0..6, edits: Vec<(Index, u8)>,
        ) {
            let regions: Vec<_> = PHONE_NUMBER_UTIL.get_supported_regions().collect();
            let (region, other) = (*region.get(&regions), *other.get(&regions));
            let example = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, TYPES[kind]);
            let Ok(example) = example else { return Ok(()) };
            let mut digits = get_national_significant_number_owned(&example).into_bytes();
            for (at, edit) in edits.into_iter().take(4) {
                let (at, digit) = (at.index(digits.len()), b'0' + edit % 10);
                match edit / 10 {
                    0 => digits.insert(at, digit),
                    1 if digits.len() > 3 => _ = digits.remove(at),
                    _ => digits[at] = digit,
                }
            }
            let digits = String::from_utf8(digits).unwrap();
            let region = if form == 0 { other } else { region };
            let region: PhoneRegion = region.as_region_str().parse().unwrap();
            let code = example.country_code;
            let trunk = match region.trunk_prefix {
                TrunkPrefix::Digit(digit) => String::from(digit),
                _ => String::new(),
            };
            let number = match form {
                0 | 1 => format!("+{code}{digits}"),
                2 => digits,
                3 => format!("{trunk}{digits}"),
                4 => format!("{code}{digits}"),
                _ => format!("+{code}{trunk}{digits}"),
            };
            if let Some(valid) = region.valid_form(&number) {
                prop_assert_eq!(region.parsed_form(&number), Ok(Some(valid).filter(|valid| *valid != number)));
            }
        }
    }
}
