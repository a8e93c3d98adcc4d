//! A second implementation, and a great many random cases in which both must agree.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use callgate_core::{Call, DialPlan, Effect, EpochSeconds, MediaSet, PartyId, Rule};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::random::{Case, full_case, plain_case};
use crate::table::{APP, Entry, Table, call};

/// The model once more, straight from its sentences and with no thought for speed: the effect and the reason.
fn by_the_book(table: &Table, call: &Call) -> (Effect, &'static str) {
    let (caller, callee) = (call.caller.as_str(), call.callee.as_str());
    if [APP, caller, callee].iter().any(|who| table.broken.iter().any(|broken| broken == who)) {
        return (Effect::Deny, "invalid_record");
    }
    let pair = table.pairs.get(&(caller.to_owned(), callee.to_owned()));
    if matches!(pair, Some(Err(_))) {
        return (Effect::Deny, "invalid_record");
    }
    let absent = |id: &str| table.expired.iter().any(|expired| expired == id);
    let suspended = |who: &str| !absent(who) && table.suspended.iter().any(|suspended| suspended == who);
    for (who, reason) in [(APP, "app_suspended"), (callee, "callee_suspended"), (caller, "caller_suspended")] {
        if suspended(who) {
            return (Effect::Deny, reason);
        }
    }
    let of = |lists: &BTreeMap<String, BTreeMap<String, Entry>>, id: &str| {
        lists.get(id).filter(|_| !absent(id)).cloned().unwrap_or_default()
    };
    let doors = [
        (table.app.clone(), caller, None, "app_rule"),
        (of(&table.outgoing, caller), callee, pair, "caller_rule"),
        (of(&table.incoming, callee), caller, pair, "callee_rule"),
    ];
    // What the doors say, in their order, and by which reason.
    let mut words = Vec::new();
    for (list, id, pair, name) in doors {
        let mut applicable: Vec<(usize, Effect, &str)> = Vec::new();
        for (pattern, entry) in &list {
            let length = match pattern.strip_suffix('*') {
                Some(prefix) if id.starts_with(prefix) => prefix.len(),
                None if pattern == id => 1_000,
                _ => continue,
            };
            match entry {
                Err(_) => return (Effect::Deny, "invalid_record"),
                Ok(rule) if applies(rule, call.media, table.now()) => applicable.push((length, rule.effect, name)),
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
        let word = |effect| {
            // Of a rule in the list and the pair's that say the same, the pair's is named.
            let same: Vec<_> = applicable.iter().filter(|it| it.1 == effect).map(|it| (effect, it.2)).collect();
            same.iter().find(|it| it.1 == "pair_rule").or(same.first()).copied()
        };
        words.extend(word(Effect::Deny).or(word(Effect::Allow)));
    }
    let denied = words.iter().find(|word| word.0 == Effect::Deny);
    let allowed = words.iter().rfind(|word| word.0 == Effect::Allow);
    denied.or(allowed).copied().unwrap_or((Effect::Deny, "no_rule"))
}

fn applies(rule: &Rule, call: MediaSet, now: EpochSeconds) -> bool {
    if rule.expires_at.is_some_and(|at| now >= at) {
        return false;
    }
    // From the text, because the windows themselves are what is being tested.
    if rule.hours.as_ref().is_some_and(|hours| !hours.to_string().split("; ").any(|window| by_the_clock(window, now))) {
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

/// Does the clock on the wall show such a time? With the zones' rules as their laws say them, and no database.
fn by_the_clock(window: &str, now: EpochSeconds) -> bool {
    let words: Vec<_> = window.split(' ').collect();
    let minutes = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<EpochSeconds>().unwrap() * 60 + minute.parse::<EpochSeconds>().unwrap()
    };
    let (start, end) = words[1].split_once('-').unwrap();
    let (start, end) = (minutes(start), minutes(end));
    let wall = now + offset(words[2], now);
    let (day, minute) = (wall.div_euclid(DAY), wall.rem_euclid(DAY) / 60);
    // A window that goes on into the next day is one of two days, of which today may be the first or the second.
    let end = if end <= start { end + 24 * 60 } else { end };
    [(day, minute), (day - 1, minute + 24 * 60)]
        .iter()
        .any(|&(day, minute)| is_among(words[0], day) && (start..end).contains(&minute))
}

/// Days since 1970 began on a Thursday.
fn is_among(days: &str, day: EpochSeconds) -> bool {
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let name = |day: EpochSeconds| names[usize::try_from(day.rem_euclid(7)).unwrap()];
    days.split(',').any(|part| match part.split_once('-') {
        None => name(day) == part,
        Some((first, last)) => {
            // From its first day on, as long as the last has not been.
            let since = (0..7).find(|back| name(day - back) == first).unwrap();
            (0..7).find(|on| name(day - since + on) == last).unwrap() >= since
        }
    })
}

/// Seconds east of Greenwich.
pub(crate) fn offset(zone: &str, now: EpochSeconds) -> EpochSeconds {
    let hour = 60 * 60;
    match zone {
        "UTC" => 0,
        "Europe/Moscow" => 3 * hour,
        "Asia/Kathmandu" => 5 * hour + 45 * 60,
        // Directive 2000/84/EC: from the last Sunday of March to the last of October, at 01:00 UTC.
        "Europe/Berlin" => {
            let year = year_of(now);
            let summer = last_sunday(year, 3) + hour..last_sunday(year, 10) + hour;
            if summer.contains(&now) { 2 * hour } else { hour }
        }
        // 15 U.S.C. 260a: from the second Sunday of March to the first of November, at 02:00 of the clock.
        "America/New_York" => {
            let year = year_of(now);
            let second = first_sunday(year, 3) + 7 * DAY + 7 * hour;
            let summer = second..first_sunday(year, 11) + 6 * hour;
            if summer.contains(&now) { -4 * hour } else { -5 * hour }
        }
        other => panic!("{other}"),
    }
}

/// When the year began, day by day from 1970 on.
fn year_of(now: EpochSeconds) -> EpochSeconds {
    (1970..2100).take_while(|&year| midnight(year, 1, 1) <= now).last().unwrap()
}

fn is_leap(year: EpochSeconds) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(crate) fn midnight(year: EpochSeconds, month: usize, day: EpochSeconds) -> EpochSeconds {
    let years: EpochSeconds = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    (years + months[..month - 1].iter().sum::<EpochSeconds>() + day - 1) * DAY
}

fn last_sunday(year: EpochSeconds, month: usize) -> EpochSeconds {
    (1..=31).map(|day| midnight(year, month, day)).rfind(|&at| is_among("Sun", at / DAY)).unwrap()
}

fn first_sunday(year: EpochSeconds, month: usize) -> EpochSeconds {
    (1..=7).map(|day| midnight(year, month, day)).find(|&at| is_among("Sun", at / DAY)).unwrap()
}

/// Who a text of [`SPELLINGS`] means, under the plan 7, 8, 810 or none.
fn by_hand(text: &str, has_plan: bool) -> String {
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
    if has_plan && number.len() >= 8 && !number.starts_with('+') {
        if let Some(rest) = number.strip_prefix("810") {
            return format!("+{rest}");
        }
        if let Some(rest) = number.strip_prefix('8') {
            return format!("+7{rest}");
        }
    }
    number
}

/// What both implementations say of a case must be the same; the message names what they differ in.
fn agree((table, caller, callee, media, has_plan): &Case) -> Result<(), TestCaseError> {
    let plan = if *has_plan { DialPlan::new(Some("7"), Some("8"), Some("810")).unwrap() } else { DialPlan::default() };
    let id = |text: &str| PartyId::new(text, &plan).unwrap();
    let read = Call { caller: id(caller), callee: id(callee), ..call("a", "b", *media) };
    let by_hand = [by_hand(caller, *has_plan), by_hand(callee, *has_plan)];
    prop_assert_eq!([read.caller.as_str(), read.callee.as_str()], by_hand.each_ref().map(String::as_str));
    let said = table.decided(&read, |decision| (decision.effect(), decision.reason()));
    prop_assert_eq!(said, by_the_book(table, &read));
    Ok(())
}

/// A number from the environment of the test run.
#[expect(clippy::disallowed_methods, reason = "the tests may be told how long to run; the core may not")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, not a number")))
}

/// Every case of a strategy, and not one less.
fn all_agree(cases: u64, seed: u64, strategy: &impl Strategy<Value = Case>) {
    let config =
        ProptestConfig { cases: u32::try_from(cases).unwrap(), failure_persistence: None, ..ProptestConfig::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    // A runner counts on where its last run ended, so each strategy has its own.
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let judged = Cell::new(0);
    let result = runner.run(strategy, |case| {
        judged.set(judged.get() + 1);
        agree(&case)
    });
    result.unwrap_or_else(|error| panic!("with seed {seed}: {error}"));
    assert_eq!(judged.get(), cases);
}

/// `CALLGATE_ORACLE_CASES` says how many cases, half of them with letters, half with numbers, hours and a dial plan;
/// `CALLGATE_ORACLE_SEED` repeats a run.
#[test]
#[expect(clippy::disallowed_macros, reason = "whoever runs it wants to run it again")]
fn two_implementations_agree() {
    let cases = setting("CALLGATE_ORACLE_CASES").unwrap_or(20_000);
    let seed = setting("CALLGATE_ORACLE_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    println!("{cases} tables and calls; repeat with CALLGATE_ORACLE_CASES={cases} CALLGATE_ORACLE_SEED={seed}");
    all_agree(cases - cases / 2, seed, &plain_case());
    all_agree(cases / 2, seed, &full_case());
}
