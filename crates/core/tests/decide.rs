//! The permission model as tables, as properties, and against a second implementation that only tries to be
//! obviously right.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use callgate_core::{
    App, AppKey, Call, Decision, DialPlan, Effect, EpochSeconds, Fault, Found, Hours, MediaSet, Party, PartyId,
    Pattern, Records, Rule, Status, decide, trace,
};
use proptest::prelude::*;

const NOW: EpochSeconds = 1_000;

/// A table in the words people use, before it becomes records.
#[derive(Debug, Clone, Default)]
struct Table {
    app: BTreeMap<String, Entry>,
    outgoing: BTreeMap<String, BTreeMap<String, Entry>>,
    incoming: BTreeMap<String, BTreeMap<String, Entry>>,
    pairs: BTreeMap<(String, String), Entry>,
    suspended: Vec<String>,
    expired: Vec<String>,
    broken: Vec<String>,
    /// When the call comes, where that is not [`NOW`].
    now: Option<EpochSeconds>,
}

type Entry = Result<Rule, Fault>;

/// The name under which the app is suspended or broken.
const APP: &str = "(app)";

/// `allow`, `deny`, or anything else for a broken rule; then `audio`, `video` and `until=SECONDS`.
fn rule(words: &str) -> Entry {
    let mut words = words.split(' ');
    let mut rule = match words.next() {
        Some("allow") => Rule::new(Effect::Allow),
        Some("deny") => Rule::new(Effect::Deny),
        other => return Err(Fault(format!("unknown effect {other:?}"))),
    };
    for word in words {
        let media = rule.media.unwrap_or(MediaSet { audio: false, video: false });
        match word {
            "audio" => rule.media = Some(MediaSet { audio: true, ..media }),
            "video" => rule.media = Some(MediaSet { video: true, ..media }),
            until => rule.expires_at = Some(until.strip_prefix("until=").unwrap().parse().unwrap()),
        }
    }
    Ok(rule)
}

impl Table {
    /// `"allow PPP009 to PPP* until=5"`, kept where the model says such a rule is kept.
    fn of(rules: &[&str]) -> Self {
        rules.iter().fold(Self::default(), |table, text| {
            let words: Vec<_> = text.split(' ').collect();
            let [effect, from, "to", to, conditions @ ..] = words.as_slice() else { panic!("{text}") };
            table.with(from, to, &rule(&[&[*effect], conditions].concat().join(" ")))
        })
    }

    fn with(mut self, from: &str, to: &str, entry: &Entry) -> Self {
        let (from, to, entry) = (from.to_owned(), to.to_owned(), entry.clone());
        match (from.ends_with('*'), to.ends_with('*')) {
            (false, false) => self.pairs.insert((from, to), entry),
            (true, false) => self.incoming.entry(to).or_default().insert(from, entry),
            (false, true) => self.outgoing.entry(from).or_default().insert(to, entry),
            (true, true) => {
                assert_eq!(to, "*", "pattern to prefix is no rule");
                self.app.insert(from, entry)
            }
        };
        self
    }

    /// An entry in the callee's own list, where an exact caller may stand too.
    fn incoming(mut self, callee: &str, from: &str, words: &str) -> Self {
        self.incoming.entry(callee.to_owned()).or_default().insert(from.to_owned(), rule(words));
        self
    }

    fn outgoing(mut self, caller: &str, to: &str, words: &str) -> Self {
        self.outgoing.entry(caller.to_owned()).or_default().insert(to.to_owned(), rule(words));
        self
    }

    fn suspended(mut self, who: &str) -> Self {
        self.suspended.push(who.to_owned());
        self
    }

    fn expired(mut self, who: &str) -> Self {
        self.expired.push(who.to_owned());
        self
    }

    fn broken(mut self, who: &str) -> Self {
        self.broken.push(who.to_owned());
        self
    }

    fn list(entries: Option<&BTreeMap<String, Entry>>) -> callgate_core::Rules {
        entries.into_iter().flatten().map(|(key, entry)| (Pattern::from_stored(key), entry.clone())).collect()
    }

    fn now(&self) -> EpochSeconds {
        self.now.unwrap_or(NOW)
    }

    fn status(&self, who: &str) -> Status {
        if self.suspended.iter().any(|name| name == who) { Status::Suspended } else { Status::Active }
    }

    fn found<T>(&self, who: &str, item: T) -> Found<T> {
        if self.broken.iter().any(|name| name == who) { Err(Fault("broken".to_owned())) } else { Ok(Some(item)) }
    }

    fn app_item(&self) -> Found<App> {
        self.found(APP, App { status: self.status(APP), callers: Self::list(Some(&self.app)), note: None })
    }

    fn party(&self, id: &str) -> Found<Party> {
        let party = Party {
            status: self.status(id),
            incoming: Self::list(self.incoming.get(id)),
            outgoing: Self::list(self.outgoing.get(id)),
            expires_at: self.expired.iter().any(|name| name == id).then_some(self.now()),
            note: None,
        };
        self.found(id, party)
    }

    fn pair(&self, call: &Call) -> Found<Rule> {
        self.pairs.get(&(call.caller.to_string(), call.callee.to_string())).cloned().transpose()
    }

    /// Lets `judge` see the decision, and checks that the trace tells the same story.
    #[track_caller]
    fn decided<T>(&self, call: &Call, judge: impl FnOnce(&Decision<'_>) -> T) -> T {
        let (app, caller, callee) =
            (self.app_item(), self.party(call.caller.as_str()), self.party(call.callee.as_str()));
        let pair = self.pair(call);
        let records = Records { app: &app, caller: &caller, callee: &callee, pair: &pair };
        let decision = decide(call, records, self.now());
        let trace = trace(call, records, self.now());
        assert_eq!(trace.decision, decision);
        if let Decision::Rule { door, matched, effect } = decision {
            let (_, rules) = trace.doors.iter().find(|(name, _)| *name == door).unwrap();
            let deciding: Vec<_> = rules.iter().filter(|rule| rule.decides).collect();
            assert_eq!(deciding.len(), 1, "{rules:?}");
            assert_eq!((deciding[0].matched, deciding[0].rule.unwrap().effect), (matched, effect));
        }
        judge(&decision)
    }

    /// `PPP009 to PPP005 video`: without a medium the call has sound only.
    #[track_caller]
    fn check(&self, call: &str, expected: &str) -> &Self {
        let words: Vec<_> = call.split(' ').collect();
        let [caller, "to", callee, media @ ..] = words.as_slice() else { panic!("{call}") };
        let media = MediaSet { audio: !media.contains(&"silent"), video: media.contains(&"video") };
        let said = self.decided(&self::call(caller, callee, media), |decision| {
            format!("{} {}", decision.effect().as_str(), decision.reason())
        });
        assert_eq!(said, expected, "{call}");
        self
    }
}

fn call(caller: &str, callee: &str, media: MediaSet) -> Call {
    let id = |text| PartyId::new(text, &DialPlan::default()).unwrap();
    Call { app: AppKey::new("defaultApp").unwrap(), caller: id(caller), callee: id(callee), media }
}

#[test]
fn nothing_is_permitted_that_nobody_permitted() {
    Table::default().check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["allow PPP001 to PPP005"]).check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["deny * to PPP005"]).check("PPP009 to PPP001", "deny no_rule");
}

#[test]
fn every_rule_means_what_it_says_when_read_aloud() {
    Table::of(&["allow * to *", "deny +881* to *"])
        .check("PPP009 to PPP005", "allow app_rule")
        .check("anonymous to PPP005", "allow app_rule")
        .check("+8812345678 to PPP005", "deny app_rule");
    Table::of(&["allow PPP009 to PPP*"])
        .check("PPP009 to PPP005", "allow caller_rule")
        .check("PPP009 to QQQ005", "deny no_rule")
        .check("PPP001 to PPP005", "deny no_rule");
    Table::of(&["deny * to PPP005", "allow PPP009 to PPP005"])
        .check("PPP009 to PPP005", "allow pair_rule")
        .check("PPP001 to PPP005", "deny callee_rule");
    Table::of(&["allow * to *", "deny anonymous to PPP005"])
        .check("anonymous to PPP005", "deny pair_rule")
        .check("anonymous to PPP001", "allow app_rule");
}

#[test]
fn a_deny_at_one_door_cannot_be_undone_at_another() {
    Table::of(&["deny PPP* to *", "allow PPP009 to PPP005"]).check("PPP009 to PPP005", "deny app_rule");
    Table::of(&["deny PPP009 to *", "allow * to PPP005"]).check("PPP009 to PPP005", "deny caller_rule");
    Table::of(&["allow PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny callee_rule");
    Table::of(&["allow * to *", "allow PPP009 to *", "allow * to PPP005", "deny PPP009 to PPP005"])
        .check("PPP009 to PPP005", "deny pair_rule");
}

#[test]
fn the_reason_is_the_first_door_that_denies_and_the_last_that_allows() {
    Table::of(&["deny * to *", "deny PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny app_rule");
    Table::of(&["deny PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny caller_rule");
    Table::of(&["allow * to *", "allow PPP009 to *"]).check("PPP009 to PPP005", "allow caller_rule");
    Table::of(&["allow * to *", "allow PPP009 to *", "allow * to PPP005"])
        .check("PPP009 to PPP005", "allow callee_rule");
}

#[test]
fn the_longest_rule_that_applies_decides() {
    let callee = Table::of(&["deny * to PPP005", "allow +7* to PPP005", "deny +7495* to PPP005"]);
    callee
        .check("+1555 to PPP005", "deny callee_rule")
        .check("+7812 to PPP005", "allow callee_rule")
        .check("+7495 to PPP005", "deny callee_rule");
    Table::of(&["allow * to PPP005", "deny +7* to PPP005 until=1000"]).check("+7812 to PPP005", "allow callee_rule");
    Table::of(&["allow * to PPP005", "deny +7* to PPP005 until=1001"]).check("+7812 to PPP005", "deny callee_rule");
}

#[test]
fn between_equals_deny_wins() {
    let listed = |words| Table::default().incoming("PPP005", "PPP009", words);
    let pair = |table: Table, words: &str| table.with("PPP009", "PPP005", &rule(words));
    pair(listed("deny"), "allow").check("PPP009 to PPP005", "deny callee_rule");
    pair(listed("allow"), "deny").check("PPP009 to PPP005", "deny pair_rule");
    pair(listed("deny"), "deny").check("PPP009 to PPP005", "deny pair_rule");
    pair(listed("allow"), "allow").check("PPP009 to PPP005", "allow pair_rule");
    pair(Table::default().outgoing("PPP009", "PPP005", "deny"), "allow").check("PPP009 to PPP005", "deny caller_rule");
}

#[test]
fn media_narrow_a_rule() {
    Table::of(&["allow PPP009 to PPP005 audio"])
        .check("PPP009 to PPP005", "allow pair_rule")
        .check("PPP009 to PPP005 video", "deny no_rule")
        .check("PPP009 to PPP005 silent", "allow pair_rule");
    Table::of(&["allow * to *", "deny * to PPP005 video"])
        .check("PPP009 to PPP005", "allow app_rule")
        .check("PPP009 to PPP005 video", "deny callee_rule")
        .check("PPP009 to PPP005 silent", "allow app_rule");
    Table::of(&["allow PPP009 to PPP005 audio video"]).check("PPP009 to PPP005 video", "allow pair_rule");
}

#[test]
fn status_comes_before_every_rule() {
    let open = Table::of(&["allow * to *", "allow PPP009 to PPP005"]);
    let all = open.clone().suspended("PPP009").suspended("PPP005").suspended(APP);
    all.check("PPP009 to PPP005", "deny app_suspended");
    open.clone().suspended("PPP009").suspended("PPP005").check("PPP009 to PPP005", "deny callee_suspended");
    open.clone().suspended("PPP009").check("PPP009 to PPP005", "deny caller_suspended");
    open.clone().suspended("PPP009").check("PPP009 to PPP009", "deny callee_suspended");
    open.suspended("PPP009").expired("PPP009").check("PPP009 to PPP005", "allow pair_rule");
}

#[test]
fn an_expired_party_is_absent() {
    let table = Table::of(&["allow * to PPP005", "allow PPP009 to PPP*"]);
    table.clone().expired("PPP005").check("PPP009 to PPP005", "allow caller_rule");
    table.clone().expired("PPP009").check("PPP009 to PPP005", "allow callee_rule");
    table.expired("PPP005").expired("PPP009").check("PPP009 to PPP005", "deny no_rule");
}

#[test]
fn what_cannot_be_understood_never_opens_a_door() {
    let open = Table::of(&["allow * to *", "allow PPP009 to PPP005"]);
    for who in [APP, "PPP009", "PPP005"] {
        open.clone().broken(who).check("PPP009 to PPP005", "deny invalid_record");
    }
    // Even where a longer rule, another door or a suspension would decide.
    open.clone().incoming("PPP005", "PPP*", "alow").check("PPP009 to PPP005", "deny invalid_record");
    open.clone().outgoing("PPP009", "*", "alow").check("PPP009 to PPP005", "deny invalid_record");
    open.clone().with("PPP009", "PPP005", &rule("alow")).check("PPP009 to PPP005", "deny invalid_record");
    open.clone().broken("PPP005").suspended(APP).check("PPP009 to PPP005", "deny invalid_record");
    // A broken rule that does not match the call does no harm to it.
    open.incoming("PPP005", "QQQ*", "alow").check("PPP009 to PPP005", "allow pair_rule");
}

/// The model once more, straight from its sentences and with no thought for speed. `Ok(None)`: no door spoke.
fn by_the_book(table: &Table, call: &Call) -> Result<Option<bool>, &'static str> {
    let (caller, callee) = (call.caller.as_str(), call.callee.as_str());
    if [APP, caller, callee].iter().any(|who| table.broken.iter().any(|broken| broken == who)) {
        return Err("invalid_record");
    }
    let pair = table.pairs.get(&(caller.to_owned(), callee.to_owned()));
    if matches!(pair, Some(Err(_))) {
        return Err("invalid_record");
    }
    let absent = |id: &str| table.expired.iter().any(|expired| expired == id);
    let suspended = |who: &str| !absent(who) && table.suspended.iter().any(|suspended| suspended == who);
    for (who, reason) in [(APP, "app_suspended"), (callee, "callee_suspended"), (caller, "caller_suspended")] {
        if suspended(who) {
            return Err(reason);
        }
    }
    let of = |lists: &BTreeMap<String, BTreeMap<String, Entry>>, id: &str| {
        lists.get(id).filter(|_| !absent(id)).cloned().unwrap_or_default()
    };
    let doors = [
        (table.app.clone(), caller, None),
        (of(&table.outgoing, caller), callee, pair),
        (of(&table.incoming, callee), caller, pair),
    ];
    let mut words = Vec::new();
    for (list, id, pair) in doors {
        let mut applicable: Vec<(usize, bool)> = Vec::new();
        for (pattern, entry) in &list {
            let length = match pattern.strip_suffix('*') {
                Some(prefix) if id.starts_with(prefix) => prefix.len(),
                None if pattern == id => 1_000,
                _ => continue,
            };
            match entry {
                Err(_) => return Err("invalid_record"),
                Ok(rule) if applies(rule, call.media, table.now()) => {
                    applicable.push((length, rule.effect == Effect::Deny));
                }
                Ok(_) => {}
            }
        }
        if let Some(Ok(rule)) = pair
            && applies(rule, call.media, table.now())
        {
            applicable.push((1_000, rule.effect == Effect::Deny));
        }
        let longest = applicable.iter().map(|(length, _)| *length).max();
        if let Some(longest) = longest {
            words.push(!applicable.iter().any(|&(length, deny)| length == longest && deny));
        }
    }
    Ok(if words.contains(&false) { Some(false) } else { words.contains(&true).then_some(true) })
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

const DAY: EpochSeconds = 24 * 60 * 60;

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
fn offset(zone: &str, now: EpochSeconds) -> EpochSeconds {
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

fn midnight(year: EpochSeconds, month: usize, day: EpochSeconds) -> EpochSeconds {
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

/// Who a text of [`any_spelling`] means, under the plan 7, 8, 810 or none.
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

const IDS: [&str; 5] = ["a", "ab", "abc", "b", "anonymous"];
const PATTERNS: [&str; 9] = ["*", "a*", "ab*", "abc*", "b*", "a", "ab", "abc", "b"];

/// Spellings, several of one number each, and the numbers and prefixes that tables hold.
const SPELLINGS: [&str; 14] = [
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
const NUMBERS: [&str; 8] =
    ["+74951234567", "84951234567", "8495123", "+34567", "81034567", "8103456", "+84951234567", "ab"];
const NUMBER_PATTERNS: [&str; 8] = ["*", "+7*", "+7495*", "8*", "+*", "810*", "84951234567", "+74951234567"];

const ZONES: [&str; 5] = ["UTC", "Europe/Moscow", "Asia/Kathmandu", "Europe/Berlin", "America/New_York"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

fn any_days() -> impl Strategy<Value = String> {
    let day = || prop::sample::select(&DAYS[..]);
    let part =
        prop_oneof![day().prop_map(str::to_owned), (day(), day()).prop_map(|(first, last)| format!("{first}-{last}")),];
    proptest::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))
}

/// Whole hours and odd minutes, over midnight and up to it.
fn any_window() -> impl Strategy<Value = String> {
    let time = prop_oneof![2 => (0..24_u32).prop_map(|hour| hour * 60), 1 => 0..24 * 60_u32];
    let end = prop_oneof![1 => Just(24 * 60_u32), 6 => time.clone()];
    (any_days(), time, end, prop::sample::select(&ZONES[..])).prop_map(|(days, start, end, zone)| {
        let end = if end == start { start + 1 } else { end };
        format!("{days} {:02}:{:02}-{:02}:{:02} {zone}", start / 60, start % 60, end / 60, end % 60)
    })
}

fn any_hours() -> impl Strategy<Value = Option<Hours>> {
    let some = proptest::collection::vec(any_window(), 1..3);
    prop_oneof![3 => Just(None), 1 => some.prop_map(|windows| Some(Hours::parse(&windows.join(";")).unwrap()))]
}

/// Any minute of four years, and the hours around clock changes more often.
fn any_moment() -> impl Strategy<Value = EpochSeconds> {
    let changes = prop::sample::select(vec![
        midnight(2026, 3, 8) + 7 * 3_600,
        midnight(2026, 3, 29) + 3_600,
        midnight(2027, 10, 31) + 3_600,
        midnight(2027, 11, 7) + 6 * 3_600,
        midnight(2028, 2, 29),
        midnight(2028, 12, 31) + DAY,
    ]);
    prop_oneof![
        3 => midnight(2026, 1, 1)..midnight(2030, 1, 1),
        1 => (changes, -3 * 3_600..3 * 3_600_i64).prop_map(|(change, away)| change + away),
    ]
}

fn any_media() -> impl Strategy<Value = MediaSet> {
    any::<(bool, bool)>().prop_map(|(audio, video)| MediaSet { audio, video })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let effect = prop_oneof![Just(Effect::Allow), Just(Effect::Deny)];
    let expires_at = prop_oneof![4 => Just(None), 1 => (NOW - 2..NOW + 3).prop_map(Some)];
    let media = prop_oneof![2 => Just(None), 1 => any_media().prop_map(Some)];
    let rule = (effect, expires_at, media).prop_map(|(effect, expires_at, media)| Rule {
        expires_at,
        media,
        ..Rule::new(effect)
    });
    prop_oneof![30 => rule.prop_map(Ok), 1 => Just(Err(Fault("broken".to_owned())))]
}

fn any_list_of(patterns: &'static [&'static str], now: EpochSeconds) -> impl Strategy<Value = BTreeMap<String, Entry>> {
    let entry = (any_entry(), any_hours()).prop_map(move |(entry, hours)| {
        entry.map(|rule| Rule { hours, expires_at: rule.expires_at.map(|at| at - NOW + now), ..rule })
    });
    proptest::collection::btree_map(prop::sample::select(patterns).prop_map(str::to_owned), entry, 0..4)
}

fn any_list() -> impl Strategy<Value = BTreeMap<String, Entry>> {
    proptest::collection::btree_map(prop::sample::select(&PATTERNS[..]).prop_map(str::to_owned), any_entry(), 0..4)
}

fn any_id() -> impl Strategy<Value = String> {
    prop::sample::select(&IDS[..]).prop_map(str::to_owned)
}

fn some_of(who: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<String>> {
    prop_oneof![8 => Just(Vec::new()), 1 => proptest::collection::vec(who, 1..2)]
}

prop_compose! {
    fn any_table()(
        app in any_list(),
        outgoing in proptest::collection::btree_map(any_id(), any_list(), 0..4),
        incoming in proptest::collection::btree_map(any_id(), any_list(), 0..4),
        pairs in proptest::collection::btree_map((any_id(), any_id()), any_entry(), 0..6),
        suspended in some_of(prop_oneof![4 => any_id(), 1 => Just(APP.to_owned())]),
        expired in some_of(any_id()),
        broken in some_of(any_id()),
    ) -> Table {
        Table { app, outgoing, incoming, pairs, suspended, expired, broken, now: None }
    }
}

prop_compose! {
    fn any_call()(caller in any_id(), callee in any_id(), media in any_media()) -> Call {
        call(&caller, &callee, media)
    }
}

/// A table, and a call as it comes in: two spellings, with or without a dial plan.
type Case = (Table, String, String, MediaSet, bool);

/// Letters only, without conditions of time.
fn plain_case() -> impl Strategy<Value = Case> {
    (any_table(), any_id(), any_id(), any_media())
        .prop_map(|(table, caller, callee, media)| (table, caller, callee, media, false))
}

/// Numbers in all spellings, hours, and a dial plan.
fn full_case() -> impl Strategy<Value = Case> {
    let id = || prop::sample::select(&NUMBERS[..]).prop_map(str::to_owned);
    let spelling = || prop::sample::select(&SPELLINGS[..]).prop_map(str::to_owned);
    let table = any_moment().prop_flat_map(move |now| {
        let list = move || any_list_of(&NUMBER_PATTERNS, now);
        let lists = move || proptest::collection::btree_map(id(), list(), 0..5);
        let pair = any_list_of(&["*"], now).prop_map(|list| list.into_values().next());
        let pairs = proptest::collection::btree_map((id(), id()), pair, 0..6);
        (
            list(),
            lists(),
            lists(),
            pairs,
            some_of(prop_oneof![4 => id(), 1 => Just(APP.to_owned())]),
            some_of(id()),
            some_of(id()),
        )
            .prop_map(move |(app, outgoing, incoming, pairs, suspended, expired, broken)| {
                let pairs = pairs.into_iter().filter_map(|(ids, entry)| Some((ids, entry?))).collect();
                Table { app, outgoing, incoming, pairs, suspended, expired, broken, now: Some(now) }
            })
    });
    (table, spelling(), spelling(), any_media(), any::<bool>())
}

impl Table {
    fn permits(&self, call: &Call) -> bool {
        self.decided(call, |decision| decision.effect() == Effect::Allow)
    }

    /// The same table without the rules that `unwanted` picks.
    fn without(&self, unwanted: impl Fn(&Entry) -> bool) -> Self {
        let keep = |list: &BTreeMap<String, Entry>| {
            list.iter().filter(|(_, entry)| !unwanted(entry)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let keep_all = |lists: &BTreeMap<String, BTreeMap<String, Entry>>| {
            lists.iter().map(|(id, list)| (id.clone(), keep(list))).collect()
        };
        Self {
            app: keep(&self.app),
            outgoing: keep_all(&self.outgoing),
            incoming: keep_all(&self.incoming),
            pairs: self.pairs.iter().filter(|(_, e)| !unwanted(e)).map(|(k, v)| (k.clone(), v.clone())).collect(),
            ..self.clone()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40 * ProptestConfig::default().cases,
        max_global_rejects: 100_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn without_an_allow_nothing_goes_through(table in any_table(), call in any_call()) {
        let table = table.without(|entry| matches!(entry, Ok(rule) if rule.effect == Effect::Allow));
        prop_assert!(!table.permits(&call));
    }

    #[test]
    fn an_expired_rule_equals_an_absent_one(table in any_table(), call in any_call()) {
        let without = table.without(|entry| matches!(entry, Ok(rule) if rule.expires_at.is_some_and(|at| at <= NOW)));
        let verdict = |table: &Table| table.decided(&call, |decision| (decision.effect(), decision.reason()));
        prop_assert_eq!(verdict(&table), verdict(&without));
    }

    #[test]
    fn removing_denies_never_refuses(table in any_table(), call in any_call()) {
        let without = table.without(|entry| matches!(entry, Ok(rule) if rule.effect == Effect::Deny));
        prop_assert!(!table.permits(&call) || without.permits(&call));
    }

    #[test]
    fn adding_a_deny_never_permits(
        table in any_table(),
        call in any_call(),
        (from, to) in prop_oneof![
            (any_id(), any_id()),
            (prop::sample::select(&PATTERNS[..5]).prop_map(str::to_owned), any_id()),
            (any_id(), prop::sample::select(&PATTERNS[..5]).prop_map(str::to_owned)),
            (prop::sample::select(&PATTERNS[..5]).prop_map(str::to_owned), Just("*".to_owned())),
        ],
    ) {
        // Added, not replacing: whoever overwrites a rule has also removed one.
        let taken = match (from.ends_with('*'), to.ends_with('*')) {
            (false, false) => table.pairs.contains_key(&(from.clone(), to.clone())),
            (true, false) => table.incoming.get(&to).is_some_and(|list| list.contains_key(&from)),
            (false, true) => table.outgoing.get(&from).is_some_and(|list| list.contains_key(&to)),
            (true, true) => table.app.contains_key(&from),
        };
        prop_assume!(!taken && !table.permits(&call));
        prop_assert!(!table.with(&from, &to, &Ok(Rule::new(Effect::Deny))).permits(&call));
    }
}

/// What both implementations say of a case must be the same; the message names what they differ in.
fn agree((table, caller, callee, media, has_plan): &Case) -> Result<(), TestCaseError> {
    let plan = if *has_plan { DialPlan::new(Some("7"), Some("8"), Some("810")).unwrap() } else { DialPlan::default() };
    let id = |text: &str| PartyId::new(text, &plan).unwrap();
    let read = Call { caller: id(caller), callee: id(callee), ..call("a", "b", *media) };
    let by_hand = [by_hand(caller, *has_plan), by_hand(callee, *has_plan)];
    prop_assert_eq!([read.caller.as_str(), read.callee.as_str()], by_hand.each_ref().map(String::as_str));
    let expected = match by_the_book(table, &read) {
        Ok(Some(true)) => (true, None),
        Ok(Some(false)) => (false, None),
        Ok(None) => (false, Some("no_rule")),
        Err(reason) => (false, Some(reason)),
    };
    let (effect, reason) = table.decided(&read, |decision| (decision.effect(), decision.reason()));
    prop_assert_eq!(effect == Effect::Allow, expected.0);
    match expected.1 {
        Some(word) => prop_assert_eq!(reason, word),
        None => prop_assert!(reason.ends_with("_rule") && reason != "no_rule"),
    }
    Ok(())
}

/// A number from the environment of the test run.
#[expect(clippy::disallowed_methods, reason = "the tests may be told how long to run; the core may not")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, not a number")))
}

/// `CALLGATE_ORACLE_CASES` says how many cases, half of them with letters, half with numbers, hours and a dial plan;
/// `CALLGATE_ORACLE_SEED` repeats a run.
#[test]
#[expect(clippy::disallowed_macros, reason = "whoever runs it wants to run it again")]
fn two_implementations_agree() {
    use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
    use std::hash::{BuildHasher as _, RandomState};

    let cases = setting("CALLGATE_ORACLE_CASES").unwrap_or(20_000);
    let seed = setting("CALLGATE_ORACLE_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    println!("{cases} tables and calls; repeat with CALLGATE_ORACLE_CASES={cases} CALLGATE_ORACLE_SEED={seed}");
    let config = ProptestConfig {
        cases: u32::try_from(cases / 2).unwrap(),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    for result in [runner.run(&plain_case(), |case| agree(&case)), runner.run(&full_case(), |case| agree(&case))] {
        result.unwrap_or_else(|error| panic!("with seed {seed}: {error}"));
    }
}
