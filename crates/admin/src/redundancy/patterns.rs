//! What patterns have in common, and ids that represent all that a pattern matches.

use std::collections::HashSet;

use callgate_core::{PartyId, Pattern};

use crate::item_kind::canonical_id;

/// The text before the `*`, the id, or the name of the group.
pub(crate) fn literal(pattern: &Pattern) -> &str {
    match pattern {
        Pattern::Everyone => "",
        Pattern::Prefix(text) | Pattern::Group(text) | Pattern::Exact(text) => text,
    }
}

/// Whether some party may match both patterns. Any party may be in a group.
pub(crate) fn overlap(one: &Pattern, other: &Pattern) -> bool {
    let has_group = matches!(one, Pattern::Group(_)) || matches!(other, Pattern::Group(_));
    has_group || covers(one, other) || covers(other, one)
}

/// Whether every party that `narrow` matches also matches `wide`.
pub(super) fn covers(wide: &Pattern, narrow: &Pattern) -> bool {
    match (wide, narrow) {
        (Pattern::Everyone, _) => true,
        (Pattern::Prefix(wide), Pattern::Prefix(id) | Pattern::Exact(id)) => id.starts_with(wide.as_str()),
        (Pattern::Exact(wide), Pattern::Exact(id)) => id == wide,
        (Pattern::Group(wide), Pattern::Group(name)) => name == wide,
        _ => false,
    }
}

/// An id that matches the pattern and no more specific prefix or id. For a group, it is the id of any party.
pub(crate) fn example_id(pattern: &Pattern, named: &HashSet<&Pattern>) -> Option<PartyId> {
    let pattern = if matches!(pattern, Pattern::Group(_)) { &Pattern::Everyone } else { pattern };
    let stem = literal(pattern);
    let longer: Vec<_> = named.iter().filter(|it| **it != pattern && covers(pattern, it)).collect();
    let unknown = |end: &str| {
        let id = format!("{stem}{end}");
        let is_known = longer.iter().any(|it| covers(it, &Pattern::Exact(id.clone())));
        if is_known { None } else { id_of(&id) }
    };
    // A digit for numbers, a letter for names. There are more letters than related rules.
    let numbers = ["0000000", "1111111", "5555555", "9999999", "zzz", ""].into_iter().find_map(unknown);
    let letters = ('0'..='9').chain('a'..='z').chain('A'..='Z').chain('\u{4e00}'..='\u{4fff}');
    numbers.or_else(|| letters.into_iter().find_map(|letter| unknown(letter.encode_utf8(&mut [0; 4]))))
}

/// The party with exactly this id, if it is canonical.
pub(crate) fn id_of(text: &str) -> Option<PartyId> {
    canonical_id(text, None)
}
