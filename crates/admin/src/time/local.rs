//! Times as people type and read them: in the time zone of this machine, unless they name another one.

use std::sync::OnceLock;

use callgate_core::EpochSeconds;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Span, Timestamp};

use super::{NotAMoment, in_range, parse_absolute};
use crate::error::{Error, Result};

/// The time zone of this machine: that of the variable `TZ`, or the system's. UTC if there is none.
fn zone() -> TimeZone {
    // Many times are printed at once, and a look-up takes longer than that.
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| system_zone().unwrap_or(TimeZone::UTC)).clone()
}

/// Whether the time zone of this machine is known. Otherwise times without a zone are in UTC.
#[must_use]
pub fn is_zone_known() -> bool {
    system_zone().is_some()
}

fn system_zone() -> Option<TimeZone> {
    TimeZone::try_system().ok().filter(|zone| !zone.is_unknown())
}

/// Parses a time as people type it: `15:00` (today), `2026-12-31T18:00`, `2026-12-31 18:00`, or `2026-12-31` (the start of that
/// day) in the time zone of this machine, each of them with a zone (`Europe/Moscow`, `[Europe/Moscow]`, `+03`, `UTC`,
/// `MSK (+03)`), seconds since 1970, or a time from now such as `90m`, `30d`, `10m ago`.
///
/// # Errors
/// [`Error::InvalidInput`] for anything else, for what [`check`](super::check) refuses, and for a time that clocks show twice
/// or never because they are set back or forward.
pub fn parse(text: &str, now: EpochSeconds) -> Result<EpochSeconds> {
    parse_in(&zone(), text, now, TimeOfDay::Today)
}

/// Parses like [`parse`], but a time of day such as `15:00` is the next one.
///
/// # Errors
/// As for [`parse`].
pub fn parse_until(text: &str, now: EpochSeconds) -> Result<EpochSeconds> {
    parse_in(&zone(), text, now, TimeOfDay::Next)
}

/// Parses like [`parse`], but a time of day such as `15:00` is the last one, and a time span such as `1h` is over.
///
/// # Errors
/// As for [`parse`].
pub fn parse_since(text: &str, now: EpochSeconds) -> Result<EpochSeconds> {
    since(&zone(), text, now)
}

fn since(zone: &TimeZone, text: &str, now: EpochSeconds) -> Result<EpochSeconds> {
    match text.trim().parse::<Span>() {
        Ok(span) if span.is_positive() => parse_in(zone, &(-span).to_string(), now, TimeOfDay::Last),
        _ => parse_in(zone, text, now, TimeOfDay::Last),
    }
}

/// The day that a time of day without a date is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimeOfDay {
    Today,
    /// Today, or tomorrow if it is over.
    Next,
    /// Today, or yesterday if it is to come.
    Last,
}

fn parse_in(zone: &TimeZone, text: &str, now: EpochSeconds, time_of_day: TimeOfDay) -> Result<EpochSeconds> {
    let invalid = |error: NotAMoment| match error {
        NotAMoment::NotATime => Error::InvalidInput(format!(
            "`{text}` is not a valid time; expected `2026-12-31T18:00:00+03:00`, `2026-12-31T18:00[Europe/Moscow]`, \
             `15:00`, `2026-12-31T18:00` or `2026-12-31` in {}, or a time from now such as `12h`, `30d` or `10m ago`",
            name(zone)
        )),
        error => Error::InvalidInput(format!("`{text}` {error}")),
    };
    if let Some(written) = Written::parse(text.trim(), zone)
        && let Some(moment) = written.moment(now, time_of_day)?
    {
        return in_range(moment).map_err(invalid);
    }
    match parse_absolute(text) {
        Err(NotAMoment::NotATime) => from_now(zone, text, now),
        parsed => parsed,
    }
    .map_err(invalid)
}

/// A date and a time of day as they are written, of which one may be missing, and their zone.
struct Written {
    date: Option<Date>,
    time: Option<Time>,
    zone: TimeZone,
}

impl Written {
    fn parse(text: &str, local: &TimeZone) -> Option<Self> {
        let date = text.split_at_checked("2026-12-31".len());
        let date = date.and_then(|(date, rest)| Some((date.parse::<Date>().ok()?, rest)));
        let (date, rest) = date.map_or((None, text), |(date, rest)| (Some(date), rest));
        let rest = date.and_then(|_| rest.strip_prefix(['T', 't', ' '])).unwrap_or(rest).trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(rest.len());
        let (time, zone) = rest.split_at(end);
        let time = if time.is_empty() && date.is_some() { None } else { Some(time_of_day(time)?) };
        Some(Self { date, time, zone: written_zone(zone.trim(), local)? })
    }

    /// The moment. `None` if it is beyond the calendar.
    fn moment(&self, now: EpochSeconds, time_of_day: TimeOfDay) -> Result<Option<EpochSeconds>> {
        let Self { date, time, zone } = self;
        let Some(today) = Timestamp::from_second(now).ok().map(|now| zone.to_datetime(now).date()) else {
            return Ok(None);
        };
        match (date, time) {
            // Where clocks are set at midnight, the day starts at the first moment with its date.
            (Some(date), None) => Ok(date.to_zoned_datetime(zone.clone()).ok().map(|it| it.timestamp().as_second())),
            (Some(date), Some(time)) => moment_of(date.to_datetime(*time), zone),
            (None, time) => {
                let time = time.unwrap_or_default();
                // A time that is skipped today is over or to come as the times around it are.
                let is_over = || {
                    let moment = today.to_datetime(time).to_zoned_datetime(zone.clone());
                    moment.is_ok_and(|it| it.timestamp().as_second() <= now)
                };
                let day = match time_of_day {
                    TimeOfDay::Next if is_over() => today.tomorrow().ok(),
                    TimeOfDay::Last if !is_over() => today.yesterday().ok(),
                    _ => Some(today),
                };
                day.map_or(Ok(None), |day| moment_of(day.to_datetime(time), zone))
            }
        }
    }
}

/// The moment at which clocks in a zone show a date and a time. `None` if it is beyond the calendar.
fn moment_of(written: DateTime, zone: &TimeZone) -> Result<Option<EpochSeconds>> {
    let at = |offset: Offset| offset.to_timestamp(written).ok();
    match zone.to_ambiguous_timestamp(written).offset() {
        AmbiguousOffset::Unambiguous { offset } => Ok(at(offset).map(Timestamp::as_second)),
        AmbiguousOffset::Fold { before, after } => Err(Error::InvalidInput(format!(
            "`{written}` comes twice in {}, because clocks are set back; write `{written}{before}` or `{written}{after}`",
            name(zone)
        ))),
        AmbiguousOffset::Gap { before, after } => {
            let shown = |offset| at(offset).map(|it| zone.to_datetime(it).to_string()).unwrap_or_default();
            Err(Error::InvalidInput(format!(
                "`{written}` does not exist in {}, because clocks are set forward; write `{}` or `{}`",
                name(zone),
                shown(after),
                shown(before)
            )))
        }
    }
}

/// Parses `15:00`, `9:00` or `15:00:30`.
fn time_of_day(text: &str) -> Option<Time> {
    let padded = if text.find(':') == Some(1) { format!("0{text}") } else { text.to_owned() };
    ["18:00".len(), "18:00:00".len()].contains(&padded.len()).then(|| padded.parse().ok()).flatten()
}

/// The zone that follows a time. An abbreviation needs its offset in brackets, because several zones share abbreviations.
fn written_zone(text: &str, local: &TimeZone) -> Option<TimeZone> {
    let offset = |text: &str| {
        let moment = format!("2000-01-01T00:00:00{text}").parse::<Timestamp>().ok().filter(|_| text.len() > 1)?;
        let seconds = "2000-01-01T00:00:00Z".parse::<Timestamp>().ok()?.duration_since(moment).as_secs();
        Some(TimeZone::fixed(Offset::from_seconds(i32::try_from(seconds).ok()?).ok()?))
    };
    let within = |open, close| text.strip_suffix(close).and_then(|text| text.split_once(open));
    match text {
        "" => Some(local.clone()),
        "Z" | "z" | "UTC" => Some(TimeZone::UTC),
        _ if text.starts_with(['+', '-']) => offset(text),
        _ => match (within('[', ']'), within('(', ')')) {
            (Some(("", name)), _) => TimeZone::get(name).ok(),
            (_, Some((abbreviation, text))) => {
                let is_name = abbreviation.trim().bytes().all(|byte| byte.is_ascii_alphanumeric());
                if is_name && text.starts_with(['+', '-']) { offset(text) } else { None }
            }
            _ if text.contains('/') => TimeZone::get(text).ok(),
            _ => None,
        },
    }
}

/// The name of a zone, for messages.
fn name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("your time zone")
}

fn from_now(zone: &TimeZone, text: &str, now: EpochSeconds) -> std::result::Result<EpochSeconds, NotAMoment> {
    let span: Span = text.trim().parse().map_err(|_| NotAMoment::NotATime)?;
    let now = Timestamp::from_second(now).map_err(|_| NotAMoment::NotATime)?.to_zoned_datetime(zone.clone());
    match now.checked_add(span) {
        Ok(moment) => in_range(moment.timestamp().as_second()),
        Err(_) if span.is_negative() => Err(NotAMoment::TooEarly),
        Err(_) => Err(NotAMoment::TooLate),
    }
}

/// Formats a moment in the time zone of this machine, to the second: `2026-12-31 18:00 MSK (+03)`. [`parse`] parses this
/// form. A number beyond the calendar is printed as it is stored.
#[must_use]
pub fn format_local(moment: EpochSeconds) -> String {
    format(moment, &zone())
}

/// Formats a moment in the time zone of this machine, always to the second and with the offset, so that lines of a log are
/// aligned: `2026-12-31 18:00:00 +03`. [`parse`] parses this form.
#[must_use]
pub fn format_local_aligned(moment: EpochSeconds) -> String {
    let Ok(timestamp) = Timestamp::from_second(moment) else { return moment.to_string() };
    let zoned = timestamp.to_zoned_datetime(zone());
    let (date, time, offset) = (zoned.date(), zoned.time(), zoned.offset());
    format!("{date} {:02}:{:02}:{:02} {offset}", time.hour(), time.minute(), time.second())
}

fn format(moment: EpochSeconds, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_second(moment) else { return moment.to_string() };
    let info = zone.to_offset_info(timestamp);
    let shown = info.offset().to_datetime(timestamp);
    let seconds = if shown.second() == 0 { String::new() } else { format!(":{:02}", shown.second()) };
    let (offset, abbreviation) = (info.offset(), info.abbreviation());
    let zone = match abbreviation {
        "UTC" => "UTC".to_owned(),
        _ if abbreviation.bytes().all(|byte| byte.is_ascii_alphabetic()) => format!("{abbreviation} ({offset})"),
        // A zone without an abbreviation has the offset in its place.
        _ => offset.to_string(),
    };
    format!("{} {:02}:{:02}{seconds} {zone}", shown.date(), shown.hour(), shown.minute())
}

#[cfg(test)]
mod tests {
    use super::super::END;
    use super::*;
    use crate::time;

    const NOW: EpochSeconds = 1_795_500_000; // 2026-11-24T06:00:00Z

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn the_start_of_a_log_is_in_the_past() {
        let since = |text| super::since(&zone("Europe/Moscow"), text, NOW).map(time::format).unwrap();
        for text in ["1h", "1h ago", "-1h", "PT1H", "60m"] {
            assert_eq!(since(text), "2026-11-24T05:00:00Z", "{text}");
        }
        // It is nine o'clock in Moscow.
        assert_eq!(since("08:59"), "2026-11-24T05:59:00Z");
        assert_eq!(since("9:01"), "2026-11-23T06:01:00Z");
        assert_eq!(since("2026-11-24 08:59 UTC"), "2026-11-24T08:59:00Z");
    }

    #[track_caller]
    fn parses(text: &str, zone_name: &str, moment: &str) {
        let parsed = parse_in(&zone(zone_name), text, NOW, TimeOfDay::Today).map(time::format);
        assert_eq!(parsed.unwrap(), moment, "{text} in {zone_name}");
    }

    fn error(text: &str, zone_name: &str) -> String {
        parse_in(&zone(zone_name), text, NOW, TimeOfDay::Today).unwrap_err().to_string()
    }

    #[test]
    fn times_are_parsed_as_people_write_them() {
        let (utc, moscow, new_york) = ("UTC", "Europe/Moscow", "America/New_York");
        for zone in [utc, moscow, new_york] {
            parses("2026-12-31T18:00:00+03:00", zone, "2026-12-31T15:00:00Z");
            parses("2026-12-31T18:00:00Z", zone, "2026-12-31T18:00:00Z");
            parses("2026-12-31 18:00Z", zone, "2026-12-31T18:00:00Z");
            parses("2026-12-31 18:00 UTC", zone, "2026-12-31T18:00:00Z");
            parses("2026-12-31T18:00[Europe/Moscow]", zone, "2026-12-31T15:00:00Z");
            parses("2026-12-31 18:00 Europe/Moscow", zone, "2026-12-31T15:00:00Z");
            parses("2026-12-31T18:00:00+03:00[Europe/Moscow]", zone, "2026-12-31T15:00:00Z");
            parses("2026-12-31 18:00 MSK (+03)", zone, "2026-12-31T15:00:00Z");
            parses("2026-12-31 18:00 +05:30", zone, "2026-12-31T12:30:00Z");
            parses("2026-12-31 Europe/Moscow", zone, "2026-12-30T21:00:00Z");
            parses("15:00 Europe/Moscow", zone, "2026-11-24T12:00:00Z");
            parses("15:00Z", zone, "2026-11-24T15:00:00Z");
            parses("1795500000", zone, "2026-11-24T06:00:00Z");
            parses("100000000", zone, "1973-03-03T09:46:40Z");
            parses("4102444799", zone, "2099-12-31T23:59:59Z");
            parses("90m", zone, "2026-11-24T07:30:00Z");
            parses("30d", zone, "2026-12-24T06:00:00Z");
            parses("10m ago", zone, "2026-11-24T05:50:00Z");
            parses("2 hours ago", zone, "2026-11-24T04:00:00Z");
        }
        for (text, in_utc, in_moscow, in_new_york) in [
            ("2026-12-31", "2026-12-31T00:00:00Z", "2026-12-30T21:00:00Z", "2026-12-31T05:00:00Z"),
            (" 2026-12-31T18:00 ", "2026-12-31T18:00:00Z", "2026-12-31T15:00:00Z", "2026-12-31T23:00:00Z"),
            ("2026-12-31 18:00", "2026-12-31T18:00:00Z", "2026-12-31T15:00:00Z", "2026-12-31T23:00:00Z"),
            ("2026-07-01 18:00:05", "2026-07-01T18:00:05Z", "2026-07-01T15:00:05Z", "2026-07-01T22:00:05Z"),
            ("15:00", "2026-11-24T15:00:00Z", "2026-11-24T12:00:00Z", "2026-11-24T20:00:00Z"),
            ("9:05", "2026-11-24T09:05:00Z", "2026-11-24T06:05:00Z", "2026-11-24T14:05:00Z"),
            ("00:00:01", "2026-11-24T00:00:01Z", "2026-11-23T21:00:01Z", "2026-11-24T05:00:01Z"),
        ] {
            parses(text, utc, in_utc);
            parses(text, moscow, in_moscow);
            parses(text, new_york, in_new_york);
        }
        // Four months are on the other side of a clock change, and the clocks show the same time of day.
        parses("4 months ago", new_york, "2026-07-24T05:00:00Z");
    }

    #[test]
    fn a_time_of_day_is_the_next_one_for_an_end() {
        let until = |text, name, now| parse_in(&zone(name), text, now, TimeOfDay::Next).map(time::format);
        let at = |moment: &str| moment.parse::<Timestamp>().unwrap().as_second();
        assert_eq!(until("15:00", "UTC", NOW).unwrap(), "2026-11-24T15:00:00Z");
        assert_eq!(until("05:59", "UTC", NOW).unwrap(), "2026-11-25T05:59:00Z");
        assert_eq!(until("06:00", "UTC", NOW).unwrap(), "2026-11-25T06:00:00Z");
        assert_eq!(until("06:00", "Europe/Moscow", NOW).unwrap(), "2026-11-25T03:00:00Z");
        assert_eq!(until("06:00", "America/New_York", NOW).unwrap(), "2026-11-24T11:00:00Z");
        assert_eq!(until("02:00", "America/New_York", NOW).unwrap(), "2026-11-24T07:00:00Z");
        // The day of the clock change, from both sides.
        let (spring, autumn) = ("2026-03-08", "2026-11-01");
        let before = at(&format!("{spring}T06:00:00Z"));
        assert!(until("02:30", "America/New_York", before).unwrap_err().to_string().contains("2026-03-08T02:30:00"));
        assert_eq!(until("03:30", "America/New_York", before).unwrap(), "2026-03-08T07:30:00Z");
        assert_eq!(until("02:30", "America/New_York", before + 7_200).unwrap(), "2026-03-09T06:30:00Z");
        let before = at(&format!("{autumn}T04:00:00Z"));
        assert!(until("01:30", "America/New_York", before).unwrap_err().to_string().contains("2026-11-01T01:30:00"));
        assert_eq!(until("02:00", "America/New_York", before).unwrap(), "2026-11-01T07:00:00Z");
    }

    #[test]
    fn a_time_that_clocks_show_twice_or_never_is_refused_with_what_to_write() {
        for (text, zone, why) in [
            (
                "2026-11-01T01:30",
                "America/New_York",
                "`2026-11-01T01:30:00` comes twice in America/New_York, because clocks are set back; write \
                 `2026-11-01T01:30:00-04` or `2026-11-01T01:30:00-05`",
            ),
            (
                "2026-03-08 02:00 America/New_York",
                "UTC",
                "`2026-03-08T02:00:00` does not exist in America/New_York, because clocks are set forward; write \
                 `2026-03-08T01:00:00` or `2026-03-08T03:00:00`",
            ),
            // Moscow gave up summer time in 2011 and stayed on it until 2014.
            (
                "2014-10-26 01:59:59",
                "Europe/Moscow",
                "`2014-10-26T01:59:59` comes twice in Europe/Moscow, because clocks are set back; write \
                 `2014-10-26T01:59:59+04` or `2014-10-26T01:59:59+03`",
            ),
        ] {
            let error = error(text, zone);
            assert_eq!(error, why);
            for advice in error.split_once("; write ").unwrap().1.split(" or ") {
                parse_in(&super::tests::zone(zone), advice.trim_matches('`'), NOW, TimeOfDay::Today).unwrap();
            }
        }
        parses("2026-11-01T00:59:59", "America/New_York", "2026-11-01T04:59:59Z");
        parses("2026-11-01T02:00", "America/New_York", "2026-11-01T07:00:00Z");
        parses("2026-11-01T01:30-04", "America/New_York", "2026-11-01T05:30:00Z");
        parses("2026-11-01T01:30-05", "America/New_York", "2026-11-01T06:30:00Z");
        parses("2026-03-08T03:00", "America/New_York", "2026-03-08T07:00:00Z");
        // In Cairo the clocks go from midnight to 01:00, and in Havana from 01:00 back to midnight.
        parses("2026-04-24", "Africa/Cairo", "2026-04-23T22:00:00Z");
        parses("2026-11-01", "America/Havana", "2026-11-01T04:00:00Z");
    }

    /// What is printed can be typed, in every zone and on both sides of clock changes.
    #[test]
    fn a_formatted_moment_is_parsed_as_the_same_moment() {
        let zones = jiff::tz::db().available().map(|it| it.to_string());
        let zones = zones.filter_map(|name| TimeZone::get(&name).ok());
        let posix = ["<+03>-3", "MSK-3", "EST5EDT,M3.2.0,M11.1.0"].map(|it| TimeZone::posix(it).unwrap());
        let fixed = [0, 1, -1, 19_800, -12_600].map(|it| TimeZone::fixed(Offset::from_seconds(it).unwrap()));
        let mut count = 0;
        for zone in zones.chain(posix).chain(fixed) {
            // The changes of New York's clocks in 2026, to the second, and other moments.
            for moment in
                [100_000_000, 1_772_953_199, 1_772_953_200, NOW, 1_793_509_200, 1_793_512_799, 1_793_512_800, END - 1]
            {
                let text = format(moment, &zone);
                for here in [&TimeZone::UTC, &zone] {
                    assert_eq!(parse_in(here, &text, NOW, TimeOfDay::Today).ok(), Some(moment), "{text} {zone:?}");
                }
                count += 1;
            }
        }
        assert!(count > 4_000, "{count}");
        for (name, text) in [
            ("Europe/Moscow", "2026-11-24 09:00 MSK (+03)"),
            ("America/New_York", "2026-11-24 01:00 EST (-05)"),
            ("Asia/Dubai", "2026-11-24 10:00 +04"),
            ("Asia/Kolkata", "2026-11-24 11:30 IST (+05:30)"),
            ("UTC", "2026-11-24 06:00 UTC"),
            ("Europe/London", "2026-11-24 06:00 GMT (+00)"),
        ] {
            assert_eq!(format(NOW, &zone(name)), text);
        }
        assert_eq!(format(NOW + 5, &zone("Europe/Moscow")), "2026-11-24 09:00:05 MSK (+03)");
    }

    #[test]
    fn other_texts_are_not_valid_times() {
        for bad in [
            "",
            "tomorrow",
            "2026-13-01",
            "31.12.2026",
            "15",
            "24:00",
            "15:0",
            "2026-12-31T18:00 MSK",
            "2026-12-31T18:00 Mars/X",
            "2026-12-31T18:00[]",
            "2026-12-31T18:00+",
            "2026-12-31T18:00 MSK (3)",
            "15:00 tomorrow",
            "2026-12-31T18:00[Mars/X]",
            "1795500000000",
            "-",
            "--5",
            "1795500000.5",
            "1.7955E+9",
            "١٧٩٥٥٠٠٠٠٠",
        ] {
            let error = error(bad, "Europe/Moscow");
            assert!(error.starts_with(&format!("`{bad}` is not a valid time")), "{error}");
        }
    }

    #[test]
    fn a_mistake_is_answered_with_what_was_probably_meant() {
        let never = "leave it out for a rule that does not expire";
        for (text, meant) in [
            ("20991231", "a date is written `2099-12-31`"),
            ("209912312359", "a date with a time is written `2099-12-31T23:59:00Z`"),
            ("20991231235959", "a date with a time is written `2099-12-31T23:59:59Z`"),
            ("2099", "it looks like a year, and a date is written `2099-12-31`"),
            ("46387", "as the day number of a spreadsheet that is `2026-12-31`"),
            ("46387.75", "as the day number of a spreadsheet that is `2026-12-31`"),
            ("73050", "as the day number of a spreadsheet that is `2099-12-31`"),
            ("1795500000000", "it looks like milliseconds; in seconds that is 1795500000, 2026-11-24T06:00:00Z"),
            ("999999999999", "it looks like milliseconds; in seconds that is 999999999, 2001-09-09T01:46:39Z"),
            ("1795500000000000", "it looks like microseconds; in seconds that is 1795500000, 2026-11-24T06:00:00Z"),
            ("1795500000000000000", "it looks like nanoseconds; in seconds that is 1795500000, 2026-11-24T06:00:00Z"),
            ("0", "seconds since 1970 have at least nine digits"),
            ("-1795500000", "seconds since 1970 have at least nine digits"),
            ("99999999", "seconds since 1970 have at least nine digits"),
            ("20991331", "seconds since 1970 have at least nine digits"),
            ("1973-03-03", "it is before 1973-03-03T09:46:40Z"),
            ("-100y", "it is before 1973-03-03T09:46:40Z"),
            ("-9223372036854775808", "it is before 1973-03-03T09:46:40Z"),
            ("-9223372036854775809", "it is before 1973-03-03T09:46:40Z"),
            ("4102444800", never),
            ("253402214400", never),
            ("2100-01-01", never),
            ("2099-12-31T23:59:59-01:00", never),
            ("9999-12-30", never),
            ("9999-12-31", never),
            ("9999-12-31T23:59:59Z", never),
            ("9999-12-31T23:59:59[Europe/Moscow]", never),
            ("99991231", never),
            ("700000h", never),
            ("19000y", never),
            ("9223372036854775807", never),
            ("9223372036854775808", never),
        ] {
            let error = error(text, "UTC");
            assert!(error.starts_with(&format!("`{text}` is not a valid time: ")) && error.contains(meant), "{error}");
        }
    }
}
