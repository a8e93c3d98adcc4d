//! A second, naive implementation of the decision. Both must agree on many random cases.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use callgate_core::{Call, Effect, EpochSeconds, MediaSet, PartyId, Rule};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::random::{Case, full_case, plain_case};
use crate::table::{APP, Entry, Table, call};

/// Returns the expected effect and reason. Written to be easy to check, not to be fast.
fn expected_decision(table: &Table, call: &Call) -> (Effect, &'static str) {
    let (caller, callee) = (call.caller.as_str(), call.callee.as_str());
    if [APP, caller, callee].iter().any(|name| table.invalid.iter().any(|invalid| invalid == name)) {
        return (Effect::Deny, "invalid_record");
    }
    let pair = table.pairs.get(&(caller.to_owned(), callee.to_owned()));
    if matches!(pair, Some(Err(_))) {
        return (Effect::Deny, "invalid_record");
    }
    let is_absent = |id: &str| table.expired.iter().any(|expired| expired == id);
    let is_suspended = |name: &str| !is_absent(name) && table.suspended.iter().any(|suspended| suspended == name);
    for (name, reason) in [(APP, "app_suspended"), (callee, "callee_suspended"), (caller, "caller_suspended")] {
        if is_suspended(name) {
            return (Effect::Deny, reason);
        }
    }
    // A block has no effect when its party has expired.
    if let Some(until) = table.blocked.get(caller).filter(|_| !is_absent(caller))
        && until.is_none_or(|until| until > table.now())
    {
        return (Effect::Deny, "caller_blocked");
    }
    let groups_of = |id: &str| table.groups.get(id).filter(|_| !is_absent(id)).cloned().unwrap_or_default();
    let list_of = |lists: &BTreeMap<String, BTreeMap<String, Entry>>, id: &str| {
        lists.get(id).filter(|_| !is_absent(id)).cloned().unwrap_or_default()
    };
    let doors = [
        (table.app.clone(), caller, None, "app_rule"),
        (table.destinations.clone(), callee, None, "destination_rule"),
        (list_of(&table.outgoing, caller), callee, pair, "caller_rule"),
        (list_of(&table.incoming, callee), caller, pair, "callee_rule"),
    ];
    // The effect and reason of each door that has a deciding rule, in the order of the doors.
    let mut results = Vec::new();
    for (list, id, pair, reason) in doors {
        let mut applicable: Vec<(usize, Effect, &str)> = Vec::new();
        for (pattern, entry) in &list {
            let length = match pattern.strip_suffix('*') {
                _ if pattern.strip_prefix('@').is_some_and(|group| groups_of(id).contains(group)) => 999,
                Some(prefix) if id.starts_with(prefix) && (prefix.is_empty() || id != "anonymous") => prefix.len(),
                None if pattern == id => 1_000,
                _ => continue,
            };
            match entry {
                Err(_) => return (Effect::Deny, "invalid_record"),
                Ok(rule) if applies(rule, call.media, table.now()) => applicable.push((length, rule.effect, reason)),
                Ok(_) => {}
            }
        }
        if let Some(Ok(rule)) = pair
            && applies(rule, call.media, table.now())
        {
            applicable.push((1_000, rule.effect, "pair_rule"));
        }
        let longest = applicable.iter().map(|(length, ..)| *length).max();
        applicable.retain(|(length, ..)| Some(*length) == longest);
        let result = |effect| {
            // If an entry of the list and the pair have the same effect, the reason is the pair.
            let same: Vec<_> = applicable.iter().filter(|it| it.1 == effect).map(|it| (effect, it.2)).collect();
            same.iter().find(|it| it.1 == "pair_rule").or(same.first()).copied()
        };
        results.extend(result(Effect::Deny).or(result(Effect::Allow)));
    }
    let denied = results.iter().find(|result| result.0 == Effect::Deny);
    let allowed = results.iter().rfind(|result| result.0 == Effect::Allow);
    denied.or(allowed).copied().unwrap_or((Effect::Deny, "no_rule"))
}

fn applies(rule: &Rule, call: MediaSet, now: EpochSeconds) -> bool {
    if rule.disabled || rule.expires_at.is_some_and(|at| now >= at) {
        return false;
    }
    // Parses the text of the hours, because `Hours::contains` is being tested.
    if rule
        .hours
        .as_ref()
        .is_some_and(|hours| !hours.to_string().split("; ").any(|window| window_contains(window, now)))
    {
        return false;
    }
    let Some(covered) = rule.media else { return true };
    let pairs = [(call.audio, covered.audio), (call.video, covered.video)];
    match rule.effect {
        Effect::Allow => pairs.iter().all(|&(carried, covered)| !carried || covered),
        Effect::Deny => pairs.iter().any(|&(carried, covered)| carried && covered),
    }
}

pub(crate) const DAY: EpochSeconds = 24 * 60 * 60;

/// Whether a window contains this moment, computed from the laws of the time zones instead of a time-zone database.
fn window_contains(window: &str, now: EpochSeconds) -> bool {
    let words: Vec<_> = window.split(' ').collect();
    let starts =
        |day: EpochSeconds| days_include(words[0], day) && !words.get(4).is_some_and(|dates| dates_include(dates, day));
    let minutes = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<EpochSeconds>().unwrap() * 60 + minute.parse::<EpochSeconds>().unwrap()
    };
    let (start, end) = words[1].split_once('-').unwrap();
    let (start, end) = (minutes(start), minutes(end));
    let local = now + offset(words[2], now);
    let (day, minute) = (local.div_euclid(DAY), local.rem_euclid(DAY) / 60);
    // A window over midnight covers parts of two days. Today may be the first or the second.
    let end = if end <= start { end + 24 * 60 } else { end };
    [(day, minute), (day - 1, minute + 24 * 60)]
        .iter()
        .any(|&(day, minute)| starts(day) && (start..end).contains(&minute))
}

/// Whether a list of days, such as `Mon-Fri,Sun`, includes this day, in days since 1970-01-01, which was a Thursday.
fn days_include(days: &str, day: EpochSeconds) -> bool {
    if days.starts_with('2') {
        return dates_include(days, day);
    }
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let name = |day: EpochSeconds| names[usize::try_from(day.rem_euclid(7)).unwrap()];
    days.split(',').any(|part| match part.split_once('-') {
        None => name(day) == part,
        Some((first, last)) => {
            // Find the last start of the range. The day is included if the range has not ended since.
            let since = (0..7).find(|ago| name(day - ago) == first).unwrap();
            (0..7).find(|later| name(day - since + later) == last).unwrap() >= since
        }
    })
}

/// Whether a list of dates, such as `2026-12-31,2027-01-01..2027-01-08`, includes this day, in days since 1970-01-01.
fn dates_include(dates: &str, day: EpochSeconds) -> bool {
    let date = date_of(day);
    // Dates as text are in the order of the calendar.
    dates
        .split(',')
        .any(|part| part.split_once("..").map_or(part == date, |(first, last)| (first..=last).contains(&date.as_str())))
}

/// The date of a day, in days since 1970-01-01.
pub(crate) fn date_of(day: EpochSeconds) -> String {
    let year = year_of(day * DAY);
    let month = (1..=12).rfind(|&month| midnight(year, month, 1) <= day * DAY).unwrap();
    format!("{year}-{month:02}-{:02}", day - midnight(year, month, 1) / DAY + 1)
}

/// The offset of a zone's local time from UTC, in seconds.
pub(crate) fn offset(zone: &str, now: EpochSeconds) -> EpochSeconds {
    let hour = 60 * 60;
    match zone {
        "UTC" => 0,
        "Europe/Moscow" => 3 * hour,
        "Asia/Kathmandu" => 5 * hour + 45 * 60,
        // Directive 2000/84/EC: summer time lasts from the last Sunday of March to the last Sunday of October, 01:00 UTC.
        "Europe/Berlin" => {
            let year = year_of(now);
            let summer = last_sunday(year, 3) + hour..last_sunday(year, 10) + hour;
            if summer.contains(&now) { 2 * hour } else { hour }
        }
        // 15 U.S.C. 260a: from the second Sunday of March to the first Sunday of November, 02:00 local time.
        "America/New_York" => {
            let year = year_of(now);
            let start = first_sunday(year, 3) + 7 * DAY + 7 * hour;
            let summer = start..first_sunday(year, 11) + 6 * hour;
            if summer.contains(&now) { -4 * hour } else { -5 * hour }
        }
        other => panic!("unknown time zone {other}"),
    }
}

/// The year of a moment, in UTC.
fn year_of(now: EpochSeconds) -> EpochSeconds {
    (1970..2100).take_while(|&year| midnight(year, 1, 1) <= now).last().unwrap()
}

fn is_leap(year: EpochSeconds) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(crate) fn midnight(year: EpochSeconds, month: usize, day: EpochSeconds) -> EpochSeconds {
    // The leap days of all years before this one, of which 477 were before 1970.
    let before = year - 1;
    let years = (year - 1970) * 365 + before / 4 - before / 100 + before / 400 - 477;
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    (years + months[..month - 1].iter().sum::<EpochSeconds>() + day - 1) * DAY
}

fn last_sunday(year: EpochSeconds, month: usize) -> EpochSeconds {
    (1..=31).map(|day| midnight(year, month, day)).rfind(|&at| days_include("Sun", at / DAY)).unwrap()
}

fn first_sunday(year: EpochSeconds, month: usize) -> EpochSeconds {
    (1..=7).map(|day| midnight(year, month, day)).find(|&at| days_include("Sun", at / DAY)).unwrap()
}

/// The canonical id of one of [`SPELLINGS`], as it is dialled in Russia or without a region.
fn expected_id(text: &str, is_russian: bool) -> String {
    let text = text.trim();
    let text = ["sip:", "tel:"].iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let text = text.split(['@', ';']).next().unwrap();
    if ["", "anonymous", "Private", "UNKNOWN"].contains(&text) {
        return "anonymous".to_owned();
    }
    if text.contains(|c: char| c.is_alphabetic()) {
        return text.to_owned();
    }
    let number = text.replace([' ', '-', '.', '(', ')'], "");
    // The national and international prefixes of Russia (ITU-T E.164.D), for numbers that are long enough to be one.
    if is_russian && let Some(rest) = number.strip_prefix("8107").filter(|rest| rest.len() == 10) {
        return format!("+7{rest}");
    }
    if is_russian && let Some(rest) = number.strip_prefix('8').filter(|rest| rest.len() == 10) {
        return format!("+7{rest}");
    }
    number
}

/// Checks that both implementations return the same ids, effect and reason for a case.
fn check((table, caller, callee, media, is_russian): &Case) -> Result<(), TestCaseError> {
    let region = is_russian.then(|| "RU".parse().unwrap());
    let id = |text: &str| PartyId::new(text, region).unwrap();
    let actual = Call { caller: id(caller), callee: id(callee), ..call("a", "b", *media) };
    let expected = [expected_id(caller, *is_russian), expected_id(callee, *is_russian)];
    prop_assert_eq!([actual.caller.as_str(), actual.callee.as_str()], expected.each_ref().map(String::as_str));
    let decision = table.check_decision(&actual, |decision| (decision.effect(), decision.reason()));
    prop_assert_eq!(decision, expected_decision(table, &actual));
    Ok(())
}

/// Reads a number from an environment variable.
#[expect(clippy::disallowed_methods, reason = "the core must not read the environment, but its tests may")]
fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: `{text}` is not a number")))
}

/// Checks exactly this number of cases.
fn check_all(cases: u64, seed: u64, strategy: &impl Strategy<Value = Case>) {
    let config =
        ProptestConfig { cases: u32::try_from(cases).unwrap(), failure_persistence: None, ..ProptestConfig::default() };
    // Without optimisation, most of the time would go into the default generator.
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    // A runner counts its cases across runs, so each strategy needs a new one.
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &bytes));
    let checked = Cell::new(0);
    let result = runner.run(strategy, |case| {
        checked.set(checked.get() + 1);
        check(&case)
    });
    result.unwrap_or_else(|error| panic!("with seed {seed}: {error}"));
    assert_eq!(checked.get(), cases);
}

/// `CALLGATE_ORACLE_CASES` is the number of cases: half of them plain, half with numbers, hours and a region.
/// `CALLGATE_ORACLE_SEED` repeats a run.
#[test]
#[expect(clippy::disallowed_macros, reason = "the printed seed repeats a failed run")]
fn two_implementations_agree() {
    let cases = number_from_environment("CALLGATE_ORACLE_CASES").unwrap_or(20_000);
    let seed = number_from_environment("CALLGATE_ORACLE_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    println!("{cases} tables and calls; repeat with CALLGATE_ORACLE_CASES={cases} CALLGATE_ORACLE_SEED={seed}");
    check_all(cases - cases / 2, seed, &plain_case());
    check_all(cases / 2, seed, &full_case());
}
