//! Characters that a reader does not see, in ids and app keys.

use callgate_core::{AppKey, PartyId};
use unicode_properties::{GeneralCategory as Category, UnicodeGeneralCategory as _};

/// Characters that a person would not see as one of their own, at the start, in the middle and at the end of a number and
/// of a name: the party stays the same, or the text is refused.
#[test]
fn no_character_that_is_not_seen_makes_another_party() {
    let mut tried = 0_u32;
    for c in ('\0'..=char::MAX).filter(|c| !c.is_ascii_graphic()) {
        let category = c.general_category();
        // Most characters of these two are alike: the first and the last of each range, and some between.
        let is_sample = u32::from(c) % 251 < 3 || u32::from(c) % 0x1_0000 >= 0xfff0;
        match category {
            Category::PrivateUse | Category::Unassigned if !is_sample => continue,
            Category::Control
            | Category::Format
            | Category::SpaceSeparator
            | Category::LineSeparator
            | Category::ParagraphSeparator
            | Category::NonspacingMark
            | Category::EnclosingMark
            | Category::PrivateUse
            | Category::Unassigned
            | Category::DashPunctuation => {}
            _ => continue,
        }
        for id in ["+15550100123", "PPP009"] {
            for at in [0, 1, 3, id.len()] {
                let (before, after) = id.split_at(at);
                let typed = format!("{before}{c}{after}");
                let bytes: Vec<_> = c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect();
                let encoded = bytes.concat();
                for text in [typed.clone(), format!("sip:{before}{encoded}{after}@carrier.example")] {
                    tried += 1;
                    let Ok(party) = PartyId::new(&text, None) else { continue };
                    // What a reader sees in a name: a space, a dash, or another letter.
                    let is_seen = id == "PPP009"
                        && (party.as_str().contains([' ', '-', '\u{301c}', '\u{3030}', '\u{30a0}'])
                            || category == Category::NonspacingMark && !party.as_str().is_ascii());
                    assert!(party.as_str() == id || is_seen, "{text:?} is {party:?}");
                    assert!(
                        !is_seen || (0..id.len()).contains(&at) || category == Category::DashPunctuation,
                        "{text:?}"
                    );
                }
            }
        }
        let key = AppKey::new(&format!("sh{c}op"));
        assert!(
            key.is_err() || key.is_ok_and(|key| key.as_str().contains([' ', '\u{301c}', '\u{3030}', '\u{30a0}'])),
            "{c:?}"
        );
    }
    assert!(tried > 100_000, "{tried}");
}
