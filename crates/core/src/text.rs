//! Texts as people see them: texts that look the same become the same.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Removes characters that are never seen, and turns compatibility characters into their plain form (Unicode Standard Annex
/// #15, NFKC): full-width letters, no-break spaces, composed and decomposed accents. Most texts are ASCII and stay as they are.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    // Nothing that is made plain is ignorable, or composes with a dash or a space, so once is enough.
    Cow::Owned(text.chars().filter(|&c| !is_ignorable(c)).nfkc().map(plain_form).collect())
}

/// The plain form of spaces and dashes that compatibility does not give one.
fn plain_form(c: char) -> char {
    match c.general_category() {
        GeneralCategory::SpaceSeparator => ' ',
        // These are not read as a hyphen.
        GeneralCategory::DashPunctuation if !matches!(c, '\u{301c}' | '\u{3030}' | '\u{30a0}') => '-',
        _ if c == '\u{2212}' => '-',
        _ => c,
    }
}

/// Whether a character is never seen, wherever it is (Unicode Standard Annex #44, `Default_Ignorable_Code_Point`).
fn is_ignorable(c: char) -> bool {
    !c.is_ascii()
        && (c.general_category() == GeneralCategory::Format
            || matches!(c,
                '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180d}' | '\u{180f}'
                | '\u{2065}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
                | '\u{e0000}'..='\u{e0fff}'))
}

/// The first character of a folded text that a reader would not see as a character of its own: a control character, one
/// that is private or not assigned, a line separator, or a combining mark that belongs to no letter.
pub(crate) fn unseen(text: &str) -> Option<char> {
    use GeneralCategory as Category;
    let mut takes_mark = false;
    text.chars().find(|&c| {
        if c.is_ascii() {
            // Letters with an accent are not ASCII any more once they are folded.
            takes_mark = false;
            return c.is_ascii_control();
        }
        match c.general_category() {
            Category::Control
            | Category::Format
            | Category::LineSeparator
            | Category::ParagraphSeparator
            | Category::PrivateUse
            | Category::Surrogate
            | Category::Unassigned
            | Category::EnclosingMark => true,
            Category::NonspacingMark | Category::SpacingMark => !takes_mark,
            Category::UppercaseLetter
            | Category::LowercaseLetter
            | Category::TitlecaseLetter
            | Category::ModifierLetter
            | Category::OtherLetter => {
                takes_mark = true;
                false
            }
            _ => {
                takes_mark = false;
                // Braille without dots, and a note without a head.
                matches!(c, '\u{2800}' | '\u{1d159}')
            }
        }
    })
}

/// Whether a text contains anything that folding changes or that a reader would not see. Such texts look like others.
pub(crate) fn is_plain(text: &str) -> bool {
    unseen(text).is_none() && fold(text) == text
}

/// The value of a digit of any script.
pub(crate) fn digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return c.is_ascii_digit().then_some(c);
    }
    let is_digit = |c: char| c.general_category() == GeneralCategory::DecimalNumber;
    if !is_digit(c) {
        return None;
    }
    // The digits of a script follow each other from zero (Unicode Standard, section 4.6).
    let before = (1..=u32::from(c)).map_while(|back| char::from_u32(u32::from(c) - back)).take_while(|&c| is_digit(c));
    char::from_digit(u32::try_from(before.count()).ok()? % 10, 10)
}

/// Whether a character only separates groups of digits in a folded number (RFC 3966 §5.1.1, and what people type): a space, a
/// dot, a slash, a bracket or a dash.
#[must_use]
pub fn is_separator(c: char) -> bool {
    match c {
        ' ' | '.' | '-' | '/' | '(' | ')' | '[' | ']' | '~' => true,
        _ if c.is_ascii() => false,
        // Dots and strokes that Unicode does not count among the dashes. Numbers in Japan are written with the last two.
        '\u{b7}' | '\u{2022}' | '\u{2027}' | '\u{2043}' | '\u{2044}' | '\u{2053}' | '\u{2219}' | '\u{2215}'
        | '\u{223c}' | '\u{22c5}' | '\u{30fb}' | '\u{30fc}' => true,
        _ => c.is_whitespace() || c.general_category() == GeneralCategory::DashPunctuation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_the_same_become_the_same() {
        for (text, folded) in [
            ("PPP009", "PPP009"),
            ("\u{2068}+15550100123\u{2069}", "+15550100123"),
            ("+1\u{ad}555", "+1555"),
            ("+1\u{a0}555\u{202f}01", "+1 555 01"),
            ("ＰＰＰ００９", "PPP009"),
            ("Jose\u{301}", "José"),
            ("e\u{200d}\u{301}", "é"),
            ("a\u{fe0f}", "a"),
            ("\u{3164}a", "a"),
            ("Anne\u{2011}Marie", "Anne-Marie"),
            ("a\u{2212}b\u{1680}c", "a-b c"),
            ("a〜b〰c゠d", "a〜b〰c゠d"),
            ("हिन्दी", "हिन्दी"),
        ] {
            assert_eq!(fold(text), folded);
            assert_eq!(unseen(folded), None, "{folded}");
        }
    }

    #[test]
    fn a_folded_text_does_not_change() {
        for c in '\0'..=char::MAX {
            for text in [format!("{c}"), format!("-{c}"), format!(" {c}\u{301}")] {
                let folded = fold(&text);
                assert_eq!(fold(&folded), folded, "{text:?}");
            }
        }
    }

    #[test]
    fn what_a_reader_would_not_see_is_found() {
        for text in [
            "5\u{301}",
            "\u{301}a",
            "+\u{301}",
            " \u{301}",
            "a\u{e000}",
            "a\u{378}",
            "a\u{20dd}",
            "a\u{2028}b",
            "a\u{2800}",
            "\u{1d159}a",
            "\u{7}",
        ] {
            assert!(unseen(&fold(text)).is_some(), "{text:?}");
        }
    }

    #[test]
    fn digits_of_every_script_have_a_value() {
        for digits in ["0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "𞥐𞥑𞥒𞥓𞥔𞥕𞥖𞥗𞥘𞥙", "᪀᪁᪂᪃᪄᪅᪆᪇᪈᪉", "᪐᪑᪒᪓᪔᪕᪖᪗᪘᪙"]
        {
            assert_eq!(digits.chars().filter_map(digit).collect::<String>(), "0123456789", "{digits}");
        }
        assert_eq!(['a', '½', 'Ⅳ'].map(digit), [None; 3]);
    }
}
