//! Keeps a spreadsheet from reading a text of a CSV file as a formula (OWASP, "CSV Injection").
//!
//! An apostrophe before the text keeps it a text, and an import removes it again. An apostrophe that is there already gets
//! another one if it would be removed, so every text reads back as it was written.

use std::borrow::Cow;

/// The characters with which a spreadsheet lets a formula begin, in any width, or that it skips before one.
const STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// The value of a column as it is written to a file.
pub(super) fn escape<'a>(column: &str, value: &'a str) -> Cow<'a, str> {
    if is_escaped(column, value) { Cow::Owned(format!("'{value}")) } else { Cow::Borrowed(value) }
}

/// The value of a column that [`escape`] wrote.
pub(super) fn unescape(column: &str, value: String) -> String {
    match value.strip_prefix('\'') {
        Some(escaped) if is_escaped(column, escaped) => escaped.to_owned(),
        _ => value,
    }
}

/// Whether a value gets an apostrophe.
pub(super) fn is_escaped(column: &str, value: &str) -> bool {
    value.trim_start_matches('\'').starts_with(STARTS) && !(matches!(column, "from" | "to") && is_harmless(value))
}

/// Whether this is a number, a prefix of numbers or a group, which people read and write as it is. As a formula, it is a
/// number or an error.
fn is_harmless(pattern: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = pattern.strip_prefix('+').map(|number| number.strip_suffix('*').unwrap_or(number));
    number.is_some_and(is_number) || pattern.strip_prefix('@').is_some_and(callgate_core::is_group_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(column: &str, value: &str, escaped: &str) {
        assert_eq!(escape(column, value), escaped);
        assert_eq!(unescape(column, escaped.to_owned()), value);
    }

    #[test]
    fn a_text_that_begins_like_a_formula_gets_an_apostrophe() {
        check("note", "=1+2", "'=1+2");
        check("note", "-", "'-");
        check("note", "@SUM(A1)", "'@SUM(A1)");
        check("note", "\t=1", "'\t=1");
        check("note", "\r\n=1", "'\r\n=1");
        check("note", "\u{ff1d}1", "'\u{ff1d}1");
        check("note", "+7495", "'+7495");
        check("list", "=x", "'=x");
        check("app", "-x", "'-x");
        for unchanged in ["", "it's", "'", "''", "'x", "1=1", " =1", "\"=1"] {
            check("note", unchanged, unchanged);
        }
    }

    #[test]
    fn numbers_and_groups_stay_as_they_are() {
        for unchanged in ["+7495", "+7495*", "+*", "@sales", "*", "PPP005", "*98#"] {
            check("from", unchanged, unchanged);
            check("to", unchanged, unchanged);
        }
        check("from", "=1", "'=1");
        check("from", "+1-cmd", "'+1-cmd");
        check("from", "-1", "'-1");
        check("to", "@Sales", "'@Sales");
        // A spreadsheet's apostrophe is not part of a number, and is refused with what to write instead.
        assert_eq!(unescape("from", "'+7495".to_owned()), "'+7495");
        check("from", "'+7495", "''+7495");
    }

    #[test]
    fn every_text_reads_back_as_it_was_written() {
        let characters = ['\'', '=', '+', '@', 's', '1', '*', '\t'];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer = texts.iter().flat_map(|text| characters.map(|c| format!("{text}{c}"))).collect::<Vec<_>>();
            for column in ["app", "from", "to", "list", "note"] {
                for text in &longer {
                    let escaped = escape(column, text);
                    assert_eq!(unescape(column, escaped.clone().into_owned()), *text, "{column}: {escaped}");
                    let is_formula = escaped.starts_with(STARTS);
                    assert!(!is_formula || is_harmless(text), "{column}: {escaped}");
                }
            }
            texts = longer;
        }
    }
}
