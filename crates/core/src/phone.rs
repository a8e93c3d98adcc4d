//! Numbers: their separators, and the form that a region's dialling habits give them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use rlibphonenumber::enums::Region;
use rlibphonenumber::{
    PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, ValidationError, get_national_significant_number_owned,
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
pub struct PhoneRegion(Region);

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
        let region = Self(region);
        // Compiles the expressions for numbers of this region now, rather than during the first call.
        let _ = region.is_valid(&get_national_significant_number_owned(&example));
        Ok(region)
    }
}

/// The ISO 3166-1 alpha-2 code.
impl fmt::Display for PhoneRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.as_region_str())
    }
}

impl PhoneRegion {
    /// Whether a number is assigned to a country's plan, as far as is known. Shorter and longer numbers are not.
    #[must_use]
    pub fn is_valid(self, number: &str) -> bool {
        PHONE_NUMBER_UTIL.parse(number, Some(self.0)).is_ok_and(|parsed| parsed.is_valid())
    }

    /// The international form of a number without separators that is dialled in this region. `None` when the number stays
    /// as it is.
    ///
    /// # Errors
    /// [`IdError::TooManyDigits`] when no number can be so long. Digits added at the end must not make it another party.
    pub(crate) fn international(self, number: &str) -> Result<Option<String>, IdError> {
        let parsed = match PHONE_NUMBER_UTIL.parse(number, Some(self.0)) {
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
