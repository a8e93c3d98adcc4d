//! Strategies that generate random tables and calls.

use std::collections::{BTreeMap, BTreeSet};

use callgate_core::{Call, Effect, EpochSeconds, Hours, MediaSet, ParseError, Rule};
use proptest::prelude::*;

use crate::oracle::{DAY, date_of, midnight, offset};
use crate::table::{APP, Entry, NOW, Table, call};

pub(crate) const IDS: [&str; 5] = ["a", "ab", "abc", "b", "anonymous"];
/// Patterns in the tables. The first ones match more than one party.
pub(crate) const PATTERNS: [&str; 12] =
    ["*", "a*", "ab*", "abc*", "b*", "@g", "@h", "a", "ab", "abc", "b", "anonymous"];
/// How many of [`PATTERNS`] match more than one party.
pub(crate) const OPEN_PATTERNS: usize = 7;

/// Ids as a call may contain them. Several are spellings of the same number.
pub(crate) const SPELLINGS: [&str; 14] = [
    "8 (495) 123-45-67",
    "84951234567",
    "+7 495 123 45 67",
    "810 7 495 1234567",
    "tel:+7-495-123-45-67",
    "sip:84951234567@example.com;user=phone",
    "8495123",
    "8-495-123",
    "8103456",
    "81034567",
    "+84951234567",
    "Private",
    " UNKNOWN ",
    "sip:ab@example.com",
];
/// Canonical ids in the tables.
pub(crate) const NUMBERS: [&str; 8] =
    ["+74951234567", "84951234567", "8495123", "+34567", "81034567", "8103456", "+84951234567", "ab"];
/// Patterns in the tables.
pub(crate) const NUMBER_PATTERNS: [&str; 10] =
    ["*", "@g", "@h", "+7*", "+7495*", "8*", "+*", "810*", "84951234567", "+74951234567"];

const ZONES: [&str; 5] = ["UTC", "Europe/Moscow", "Asia/Kathmandu", "Europe/Berlin", "America/New_York"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

fn any_days() -> impl Strategy<Value = String> {
    let day = || prop::sample::select(&DAYS[..]);
    let part =
        prop_oneof![day().prop_map(str::to_owned), (day(), day()).prop_map(|(first, last)| format!("{first}-{last}")),];
    proptest::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))
}

/// Generates dates and ranges of dates, most of them close to `now`.
fn any_dates(now: EpochSeconds) -> impl Strategy<Value = String> {
    let day = prop_oneof![4 => -3..4_i64, 1 => -400..400_i64];
    let range = (day, prop_oneof![Just(0), 0..3_i64, 0..400_i64]).prop_map(move |(first, length)| {
        let first = now.div_euclid(DAY) + first;
        match length {
            0 => date_of(first),
            _ => format!("{}..{}", date_of(first), date_of(first + length)),
        }
    });
    proptest::collection::vec(range, 1..3).prop_map(|ranges| ranges.join(","))
}

/// Generates windows that start and end at whole hours or at any minute, also over midnight, and often close to `now`.
fn any_window(now: EpochSeconds) -> impl Strategy<Value = String> {
    prop::sample::select(&ZONES[..]).prop_flat_map(move |zone| {
        let minute = u32::try_from((now + offset(zone, now)).rem_euclid(DAY) / 60).unwrap();
        let near = (0..3_u32).prop_map(move |offset| (minute + 24 * 60 - 1 + offset) % (24 * 60));
        let time = prop_oneof![2 => (0..24_u32).prop_map(|hour| hour * 60), 1 => 0..24 * 60_u32, 2 => near];
        let end = prop_oneof![1 => Just(24 * 60_u32), 6 => time.clone()];
        let days = prop_oneof![4 => any_days(), 1 => any_dates(now)];
        let except =
            prop_oneof![2 => Just(String::new()), 1 => any_dates(now).prop_map(|dates| format!(" except {dates}"))];
        (days, time, end, except).prop_map(move |(days, start, end, except)| {
            let end = if end == start { start + 1 } else { end };
            format!("{days} {:02}:{:02}-{:02}:{:02} {zone}{except}", start / 60, start % 60, end / 60, end % 60)
        })
    })
}

fn any_hours(now: EpochSeconds) -> impl Strategy<Value = Option<Hours>> {
    let windows = proptest::collection::vec(any_window(now), 1..3);
    prop_oneof![3 => Just(None), 1 => windows.prop_map(|windows| Some(Hours::parse(&windows.join(";")).unwrap()))]
}

/// Generates moments of four years, more often in the hours around a clock change, a leap day or the end of a year.
pub(crate) fn any_moment() -> impl Strategy<Value = EpochSeconds> {
    let special_moments = prop::sample::select(vec![
        midnight(2026, 3, 8) + 7 * 3_600,
        midnight(2026, 3, 29) + 3_600,
        midnight(2027, 10, 31) + 3_600,
        midnight(2027, 11, 7) + 6 * 3_600,
        midnight(2028, 2, 29),
        midnight(2028, 12, 31) + DAY,
    ]);
    prop_oneof![
        3 => midnight(2026, 1, 1)..midnight(2030, 1, 1),
        1 => (special_moments, -3 * 3_600..3 * 3_600_i64).prop_map(|(moment, offset)| moment + offset),
    ]
}

pub(crate) fn any_media() -> impl Strategy<Value = MediaSet> {
    any::<(bool, bool)>().prop_map(|(audio, video)| MediaSet { audio, video })
}

pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
    let effect = prop_oneof![Just(Effect::Allow), Just(Effect::Deny)];
    let expires_at = prop_oneof![4 => Just(None), 1 => (NOW - 2..NOW + 3).prop_map(Some)];
    let media = prop_oneof![2 => Just(None), 1 => any_media().prop_map(Some)];
    // All fields, so that a new condition is not left out. `any_list_of` adds the hours.
    let disabled = prop_oneof![6 => Just(false), 1 => Just(true)];
    let rule = (effect, expires_at, media, disabled).prop_map(|(effect, expires_at, media, disabled)| Rule {
        effect,
        media,
        hours: None,
        expires_at,
        disabled,
        list: None,
        note: None,
        updated_at: None,
        updated_by: None,
    });
    prop_oneof![30 => rule.prop_map(Ok), 1 => Just(Err(ParseError("invalid".to_owned())))]
}

pub(crate) fn any_list_of(
    patterns: &'static [&'static str],
    now: EpochSeconds,
) -> impl Strategy<Value = BTreeMap<String, Entry>> {
    let entry = (any_entry(), any_hours(now)).prop_map(move |(entry, hours)| {
        entry.map(|rule| Rule { hours, expires_at: rule.expires_at.map(|at| at - NOW + now), ..rule })
    });
    proptest::collection::btree_map(prop::sample::select(patterns).prop_map(str::to_owned), entry, 0..4)
}

pub(crate) fn any_list() -> impl Strategy<Value = BTreeMap<String, Entry>> {
    proptest::collection::btree_map(prop::sample::select(&PATTERNS[..]).prop_map(str::to_owned), any_entry(), 0..4)
}

pub(crate) fn any_id() -> impl Strategy<Value = String> {
    prop::sample::select(&IDS[..]).prop_map(str::to_owned)
}

pub(crate) fn at_most_one(name: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<String>> {
    prop_oneof![8 => Just(Vec::new()), 1 => proptest::collection::vec(name, 1..2)]
}

/// Which parties belong to which groups.
pub(crate) fn any_groups(
    id: impl Strategy<Value = String>,
) -> impl Strategy<Value = BTreeMap<String, BTreeSet<String>>> {
    let group = prop::sample::select(vec!["g".to_owned(), "h".to_owned()]);
    proptest::collection::btree_map(id, proptest::collection::btree_set(group, 1..3), 0..4)
}

/// Parties that are blocked, for ever or until a moment close to `now`.
pub(crate) fn any_blocked(
    id: impl Strategy<Value = String>,
    now: EpochSeconds,
) -> impl Strategy<Value = BTreeMap<String, Option<EpochSeconds>>> {
    let until = proptest::option::of(now - 1..now + 2);
    prop_oneof![4 => Just(BTreeMap::new()), 1 => proptest::collection::btree_map(id, until, 1..3)]
}

prop_compose! {
    pub(crate) fn any_table()(
        app in any_list(),
        destinations in any_list(),
        groups in any_groups(any_id()),
        blocked in any_blocked(any_id(), NOW),
        outgoing in proptest::collection::btree_map(any_id(), any_list(), 0..4),
        incoming in proptest::collection::btree_map(any_id(), any_list(), 0..4),
        pairs in proptest::collection::btree_map((any_id(), any_id()), any_entry(), 0..6),
        suspended in at_most_one(prop_oneof![4 => any_id(), 1 => Just(APP.to_owned())]),
        expired in at_most_one(any_id()),
        invalid in at_most_one(any_id()),
    ) -> Table {
        Table { app, destinations, outgoing, incoming, pairs, suspended, expired, invalid, groups, blocked, now: None }
    }
}

prop_compose! {
    pub(crate) fn any_call()(caller in any_id(), callee in any_id(), media in any_media()) -> Call {
        call(&caller, &callee, media)
    }
}

/// A table, a call with its caller and callee as WCS may send them, and whether numbers are dialled in Russia.
pub(crate) type Case = (Table, String, String, MediaSet, bool);

/// Generates cases whose ids are letters, without hours and without a region.
pub(crate) fn plain_case() -> impl Strategy<Value = Case> {
    (any_table(), any_id(), any_id(), any_media())
        .prop_map(|(table, caller, callee, media)| (table, caller, callee, media, false))
}

/// Generates cases with numbers in all spellings and with hours, half of them with a region.
pub(crate) fn full_case() -> impl Strategy<Value = Case> {
    let id = || prop::sample::select(&NUMBERS[..]).prop_map(str::to_owned);
    let spelling = || prop::sample::select(&SPELLINGS[..]).prop_map(str::to_owned);
    let table = any_moment().prop_flat_map(move |now| {
        let list = move || any_list_of(&NUMBER_PATTERNS, now);
        let lists = move || proptest::collection::btree_map(id(), list(), 0..5);
        let pair = any_list_of(&["*"], now).prop_map(|list| list.into_values().next());
        let pairs = proptest::collection::btree_map((id(), id()), pair, 0..6);
        (
            (list(), list(), any_groups(id()), any_blocked(id(), now)),
            lists(),
            lists(),
            pairs,
            at_most_one(prop_oneof![4 => id(), 1 => Just(APP.to_owned())]),
            at_most_one(id()),
            at_most_one(id()),
        )
            .prop_map(
                move |(
                    (app, destinations, groups, blocked),
                    outgoing,
                    incoming,
                    pairs,
                    suspended,
                    expired,
                    invalid,
                )| {
                    let pairs = pairs.into_iter().filter_map(|(ids, entry)| Some((ids, entry?))).collect();
                    let now = Some(now);
                    Table {
                        app,
                        destinations,
                        outgoing,
                        incoming,
                        pairs,
                        suspended,
                        expired,
                        invalid,
                        groups,
                        blocked,
                        now,
                    }
                },
            )
    });
    (table, spelling(), spelling(), any_media(), any::<bool>())
}
