//! Texts that look like numbers and are none: what spreadsheets, address books and web pages make of a number.

use callgate_core::text::{fold, is_separator};
use callgate_core::{Pattern, PhoneRegion};

use crate::prefix_warning::PrefixWarning;

/// The fewest digits of a text that looks like a number.
const MIN_DIGITS: usize = 7;

/// The most letters of a text that looks like a number. Names of devices and accounts have more.
const MAX_LETTERS: usize = 4;

/// Why an id or a pattern that a person wrote is hardly meant: it looks like a number and is none, or it is a prefix that no
/// number has in this region.
#[must_use]
pub fn mistake(text: &str, region: Option<PhoneRegion>) -> Option<String> {
    number_mistake(text).or_else(|| {
        let pattern = Pattern::new(text, region).ok()?;
        let warning = PrefixWarning::for_pattern(&pattern, region).filter(PrefixWarning::is_mistake)?;
        Some(format!("is a prefix that numbers do not have: {}", warning.text()))
    })
}

/// What is wrong with an id or a pattern that looks like a number and is none. `None` for numbers, names, feature codes and
/// prefixes. A calling side may have such an id, but a person who writes it means something else.
#[must_use]
pub fn number_mistake(text: &str) -> Option<String> {
    let text = fold(text);
    let text = text.trim();
    let literal = text.strip_suffix('*').unwrap_or(text);
    if let Some(formula) = literal.strip_prefix('=') {
        return starts_a_number(formula.trim_matches(['"', '+']))
            .then(|| "is a spreadsheet's formula; write only the number".to_owned());
    }
    if let Some(quoted) = literal.strip_prefix(['\'', '’', '‘', '`', '´']) {
        return starts_a_number(quoted)
            .then(|| "begins with an apostrophe, as in a spreadsheet; write only the number".to_owned());
    }
    let is_error_value = literal.starts_with("#DIV/0") || !literal.contains(|c: char| c.is_ascii_digit());
    if literal.starts_with('#') && is_error_value {
        return Some(
            "is what a spreadsheet shows in place of a value; widen the column or correct the formula".to_owned(),
        );
    }
    if is_scientific(literal) {
        return Some(
            "is how a spreadsheet shortens a number, so digits are lost; format the column as text and enter it again"
                .to_owned(),
        );
    }
    if is_decimal(literal) {
        return Some(
            "is a decimal number; format the column as text, and write the number without its decimals".to_owned(),
        );
    }
    let mistaken = mistaken_character(literal)?;
    Some(format!(
        "looks like a number, but contains {mistaken:?}; write the number alone, without an extension or a pause"
    ))
}

/// The first character that makes a text with many digits something else than a number.
fn mistaken_character(text: &str) -> Option<char> {
    let digits = text.chars().filter(|c| c.is_numeric()).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let starts = text.starts_with(|c: char| c.is_numeric() || matches!(c, '+' | '('));
    // A URI has a user part of its own, and a feature code its own signs.
    if !starts || digits == 0 || text.contains(['@', ':', '*', '#']) {
        return None;
    }
    let is_long = digits >= MIN_DIGITS && letters <= MAX_LETTERS;
    // Some spreadsheets write a comma between thousands.
    let has_commas = text.contains(',') && letters == 0;
    if !text.starts_with('+') && !is_long && !has_commas {
        return None;
    }
    let rest = text.strip_prefix('+').unwrap_or(text);
    rest.chars().find(|&c| !c.is_numeric() && !is_separator(c))
}

fn starts_a_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '('))
        && text.chars().filter(char::is_ascii_digit).count() >= 3
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `1.5550100123E+10`, or `7,9E+10` with a decimal comma.
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let mantissa = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    is_digits(exponent) && exponent.len() <= 2 && is_digits(whole) && is_digits(fraction)
}

/// `79160035333.0` or `1001,00`: digits, and one or two after the only dot or comma. Parsed as a number, it would have them at
/// its end.
fn is_decimal(text: &str) -> bool {
    let Some((whole, fraction)) = text.split_once(['.', ',']) else { return false };
    let whole = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    is_digits(whole) && is_digits(fraction) && fraction.len() <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_number_and_is_none_is_named() {
        for text in [
            "1.5550100123E+10",
            "7,9E+10",
            "1E+11",
            "'+15550100123",
            "’15550100123",
            "=\"+79160035333\"",
            "=+15550100123",
            "79160035333.0",
            "79160035333,00",
            "1001.0",
            "1,001",
            "15,550,100,123",
            "1.5550100123E+10*",
            "１.５５５E+10",
            "\u{2068}'+15550100123\u{2069}",
            "#N/A",
            "#REF!",
            "#ССЫЛКА!",
            "#DIV/0!",
            "########",
            "+1 555 010 0123 ext. 12",
            "+1 555 010 0123x12",
            "5550100123 p 12",
            "+44-20-7946-0100,1234",
            "+7 495 123-45-67 доб. 12",
            "+7495x*",
            "+1 555 010 0123;12",
        ] {
            assert!(number_mistake(text).is_some(), "{text}");
        }
    }

    #[test]
    fn numbers_names_and_codes_are_no_mistakes() {
        for text in [
            "+1 (555) 010-0123",
            "030/23125012",
            "8.800.555.35.35",
            "01.23.45.67.89",
            "555.0100",
            "03ー1234ー5678",
            "+49 (0) 30*",
            "+7495*",
            "*",
            "+*",
            "PPP009",
            "1001",
            "1-800-FLOWERS",
            "550e8400-e29b-41d4-a716-446655440000",
            "alice",
            "*98",
            "#31#",
            "*21#5550100123",
            "sip:+15550100123@carrier.example;user=phone",
            "tel:+15550100123",
            "2e",
            "john.smith",
            "+1\u{202f}555\u{2011}0100",
            "\u{2068}+15550100123\u{2069}",
        ] {
            assert_eq!(number_mistake(text), None, "{text}");
        }
    }
}
