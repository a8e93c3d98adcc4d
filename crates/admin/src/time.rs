//! Parses, checks and formats times as people write them.

use std::fmt;

use callgate_core::{EpochSeconds, Hours, Window};
use jiff::civil::{Date, DateTime, Time, date};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, ZonedDateTime};

mod local;

pub use local::{format_local, format_local_aligned, is_zone_known, parse, parse_since, parse_until};

/// The first moment: the smallest number of nine digits.
const FIRST: EpochSeconds = 100_000_000; // 1973-03-03T09:46:40Z

/// The end of the moments.
const END: EpochSeconds = 4_102_444_800; // 2100-01-01T00:00:00Z

/// The last second of the calendar, which people write for "never".
const END_OF_CALENDAR: EpochSeconds = 253_402_300_799; // 9999-12-31T23:59:59Z

/// Checks that a number of seconds since 1970 is a moment that a rule or a question can have: it has at least nine
/// digits, and is before the year 2100. Other numbers are mistakes, such as milliseconds or a date without its hyphens.
///
/// # Errors
/// What was probably meant.
pub fn check(seconds: EpochSeconds) -> Result<EpochSeconds, NotAMoment> {
    in_range(seconds).map_err(|error| meant_by(seconds).unwrap_or(error))
}

/// Why a number or a text is not a moment. Follows the value: `20991231` is not a valid time: ….
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAMoment {
    /// The digits of a date, or of a date and a time.
    Digits(DateTime),
    /// The number of a year.
    Year(Date),
    /// The number that a spreadsheet stores for a date.
    SpreadsheetDay(Date),
    /// A moment in a smaller unit than seconds.
    SmallUnit {
        /// Milliseconds, microseconds or nanoseconds.
        unit: &'static str,
        /// The moment.
        seconds: EpochSeconds,
    },
    /// A moment before the first one.
    TooEarly,
    /// A moment from the year 2100 on.
    TooLate,
    /// A text in another form than a time.
    NotATime,
}

impl std::error::Error for NotAMoment {}

impl fmt::Display for NotAMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a valid time")?;
        match self {
            Self::Digits(moment) if moment.time() == Time::midnight() => {
                write!(f, ": a date is written `{}`", moment.date())
            }
            Self::Digits(moment) => write!(f, ": a date with a time is written `{moment}Z`"),
            Self::Year(date) => write!(f, ": it looks like a year, and a date is written `{date}`"),
            Self::SpreadsheetDay(date) => write!(f, ": as the day number of a spreadsheet that is `{date}`"),
            Self::SmallUnit { unit, seconds } => {
                write!(f, ": it looks like {unit}; in seconds that is {seconds}, {}", format(*seconds))
            }
            Self::TooEarly => {
                write!(f, ": it is before {}, and seconds since 1970 have at least nine digits", format(FIRST))
            }
            Self::TooLate => {
                f.write_str(": it is not before the year 2100; leave it out for a rule that does not expire")
            }
            Self::NotATime => f.write_str(
                "; expected `2026-12-31T18:00:00+03:00`, `2026-12-31T18:00[Europe/Moscow]`, `2026-12-31` (its start in \
                 UTC), or seconds since 1970",
            ),
        }
    }
}

/// Parses a time as files have it: `2026-12-31T18:00:00+03:00`, `2026-12-31T18:00[Europe/Moscow]`, a date (its start in
/// UTC), or seconds since 1970. A file means the same everywhere, so a time without a zone is refused.
///
/// # Errors
/// Why the text is not a moment.
pub fn parse_absolute(text: &str) -> Result<EpochSeconds, NotAMoment> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too long for the type is the greatest or the smallest one.
        let end = if digits.len() < text.len() { EpochSeconds::MIN } else { EpochSeconds::MAX };
        return check(text.parse().unwrap_or(end));
    }
    // A spreadsheet's date with a time.
    if let Some((whole, fraction)) = text.split_once('.')
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = whole.parse()
    {
        return check(number).and(Err(NotAMoment::NotATime));
    }
    let timestamp = text.parse::<Timestamp>().ok();
    let zoned = || text.parse::<ZonedDateTime>().ok().map(|it| it.timestamp());
    let date = || {
        let date = text.parse::<Date>().ok().filter(|_| text.len() == "2026-12-31".len())?;
        Some(date.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
    };
    match timestamp.or_else(zoned).or_else(date) {
        Some(moment) => in_range(moment.as_second()),
        // The last hours of 9999 are a date, but beyond the timestamps of the library.
        None if Pieces::parse(text).is_ok_and(|pieces| pieces.date().year() == 9999) => Err(NotAMoment::TooLate),
        None => Err(NotAMoment::NotATime),
    }
}

fn in_range(seconds: EpochSeconds) -> Result<EpochSeconds, NotAMoment> {
    match seconds {
        ..FIRST => Err(NotAMoment::TooEarly),
        FIRST..END => Ok(seconds),
        END.. => Err(NotAMoment::TooLate),
    }
}

/// What was probably meant by a number that is not a moment.
fn meant_by(number: EpochSeconds) -> Option<NotAMoment> {
    let digits = || {
        let moment = digits_of_moment(number)?;
        let timestamp = TimeZone::UTC.to_timestamp(moment).map_or(END, Timestamp::as_second);
        in_range(timestamp).map_or_else(Some, |_| Some(NotAMoment::Digits(moment)))
    };
    match number {
        1_970..=2_099 => Date::new(i16::try_from(number).ok()?, 12, 31).ok().map(NotAMoment::Year),
        // The days from 1970 to 2099, counted from 1899-12-30 as spreadsheets do.
        25_569..=73_050 => date(1899, 12, 30).checked_add(number.days()).ok().map(NotAMoment::SpreadsheetDay),
        ..=END_OF_CALENDAR => digits(),
        _ => digits().or_else(|| small_unit(number)),
    }
}

/// The moment that a number of milliseconds, microseconds or nanoseconds is.
fn small_unit(number: EpochSeconds) -> Option<NotAMoment> {
    let units = [(1_000, "milliseconds"), (1_000_000, "microseconds"), (1_000_000_000, "nanoseconds")];
    units.into_iter().find_map(|(per_second, unit)| {
        let seconds = in_range(number / per_second).ok()?;
        Some(NotAMoment::SmallUnit { unit, seconds })
    })
}

/// The date that 8 digits are, or the date and time of 12 or 14.
fn digits_of_moment(number: EpochSeconds) -> Option<DateTime> {
    let (date, time) = match number {
        10_000_000..=99_999_999 => (number, 0),
        100_000_000_000..=999_999_999_999 => (number / 10_000, number % 10_000 * 100),
        10_000_000_000_000..=99_999_999_999_999 => (number / 1_000_000, number % 1_000_000),
        _ => return None,
    };
    let part = |number: EpochSeconds| i8::try_from(number % 100).ok();
    let date = Date::new(i16::try_from(date / 10_000).ok()?, part(date / 100)?, part(date)?).ok()?;
    let time = Time::new(part(time / 10_000)?, part(time / 100)?, part(time)?, 0).ok()?;
    Some(date.to_datetime(time))
}

/// Formats a moment in UTC, to the second. A number beyond the calendar is printed as it is stored.
#[must_use]
pub fn format(moment: EpochSeconds) -> String {
    Timestamp::from_second(moment).map_or_else(|_| moment.to_string(), |it| it.to_string())
}

/// Formats a stored moment for people: when it is in the time zone of this machine, and why it is probably a mistake if
/// [`check`] refuses it.
#[must_use]
pub fn describe(moment: EpochSeconds) -> String {
    let read = format_local(moment);
    match check(moment) {
        Ok(_) => read,
        Err(why) => format!("{read} (stored as `{moment}`, which {why})"),
    }
}

/// Formats a moment for a file. A number that [`check`] refuses stays as it is, so that [`parse_absolute`] refuses it too.
#[must_use]
pub(crate) fn format_for_file(moment: EpochSeconds) -> String {
    check(moment).map_or_else(|_| moment.to_string(), format)
}

/// A notice for hours in a zone that is only an offset from UTC, such as `EST`, although clocks in that place change.
#[must_use]
pub fn zone_notice(hours: &Hours, now: EpochSeconds) -> Option<String> {
    const YEAR: EpochSeconds = 366 * 24 * 60 * 60;
    const UTC: [&str; 4] = ["UTC", "UCT", "Universal", "Zulu"];
    let is_offset = |window: &&Window| {
        let zone = window.zone();
        let (is_etc, name) = zone.strip_prefix("Etc/").map_or((false, zone), |name| (true, name));
        let changes = Hours::new(vec![(*window).clone()])
            .is_some_and(|it| it.clock_changes(now, now.saturating_add(YEAR)).count() > 0);
        (is_etc || !zone.contains('/')) && !UTC.contains(&name) && !changes
    };
    let zone = hours.windows().iter().find(is_offset)?.zone();
    Some(format!("`{zone}` has no summer time; name a place, such as `America/New_York`, if its clocks change"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_a_file_has_a_zone() {
        for text in ["2026-12-31T18:00", "2026-12-31 18:00", "15:00", "10m ago", "30d", "2026-12-31 18:00 MSK (+03)"] {
            assert_eq!(parse_absolute(text), Err(NotAMoment::NotATime), "{text}");
        }
        assert_eq!(parse_absolute("2026-12-31").map(format), Ok("2026-12-31T00:00:00Z".to_owned()));
    }

    /// Every number is either a moment that is formatted and parsed back, or formatted as it is.
    #[test]
    fn every_number_can_be_formatted() {
        let powers = (0..19).map(|exponent| EpochSeconds::pow(10, exponent));
        let numbers = powers.chain([
            EpochSeconds::MAX,
            EpochSeconds::MIN,
            FIRST,
            END,
            END_OF_CALENDAR,
            20_991_231,
            2_099,
            46_387,
        ]);
        for number in numbers.flat_map(|it| [it, it.saturating_neg(), it.saturating_sub(1), it.saturating_add(1)]) {
            let text = format_for_file(number);
            match check(number) {
                Ok(moment) => assert_eq!(parse_absolute(&text), Ok(moment)),
                Err(error) => {
                    assert_eq!(text, number.to_string());
                    assert_eq!(parse_absolute(&text), Err(error));
                    assert!(describe(number).ends_with(&format!(" (stored as `{number}`, which {error})")));
                }
            }
        }
    }
}
