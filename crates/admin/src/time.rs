//! Parses and formats times as people write them.

use callgate_core::EpochSeconds;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};

use crate::error::{Error, Result};

/// The smallest number that is taken for milliseconds. In seconds, it would be in the year 5138.
pub(crate) const MILLISECONDS_FROM: EpochSeconds = 100_000_000_000;

/// Parses `2026-12-31T18:00:00+03:00`, `2026-12-31T18:00[Europe/Moscow]`, a date (its start in UTC), or a time from now
/// such as `90m`, `12h`, `30d`.
///
/// # Errors
/// [`Error::InvalidInput`] for anything else.
pub fn parse(text: &str, now: EpochSeconds) -> Result<EpochSeconds> {
    parse_absolute(text).or_else(|| from_now(text, now)).ok_or_else(|| {
        Error::InvalidInput(format!(
            "`{text}` is not a valid time; expected `2026-12-31T18:00:00+03:00`, `2026-12-31T18:00[Europe/Moscow]`, \
             `2026-12-31` (its start in UTC), or a time from now such as `12h` or `30d`"
        ))
    })
}

/// Parses like [`parse`], but without times from now. Seconds since 1970 are valid too.
#[must_use]
pub fn parse_absolute(text: &str) -> Option<EpochSeconds> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        && !text.get(1..).is_some_and(|it| it.contains('-'))
    {
        return text.parse().ok().filter(|seconds: &EpochSeconds| seconds.abs() < MILLISECONDS_FROM);
    }
    let timestamp = text.parse::<Timestamp>().ok();
    let zoned = || text.parse::<ZonedDateTime>().ok().map(|it| it.timestamp());
    let date = || {
        let date = text.parse::<Date>().ok().filter(|_| text.len() == "2026-12-31".len())?;
        Some(date.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
    };
    timestamp.or_else(zoned).or_else(date).map(Timestamp::as_second)
}

fn from_now(text: &str, now: EpochSeconds) -> Option<EpochSeconds> {
    let span: Span = text.trim().parse().ok()?;
    let now = Timestamp::from_second(now).ok()?.to_zoned_datetime(TimeZone::UTC);
    Some(now.checked_add(span).ok()?.timestamp().as_second())
}

/// Formats a moment in UTC, to the second. A number beyond the calendar is printed as it is stored.
#[must_use]
pub fn format(moment: EpochSeconds) -> String {
    Timestamp::from_second(moment).map_or_else(|_| moment.to_string(), |it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EpochSeconds = 1_795_500_000; // 2026-11-24T06:00:00Z

    #[track_caller]
    fn check(text: &str, moment: &str) {
        assert_eq!(format(parse(text, NOW).unwrap()), moment, "{text}");
    }

    #[test]
    fn times_are_parsed_as_people_write_them() {
        check("2026-12-31T18:00:00+03:00", "2026-12-31T15:00:00Z");
        check("2026-12-31T18:00:00Z", "2026-12-31T18:00:00Z");
        check("2026-12-31T18:00[Europe/Moscow]", "2026-12-31T15:00:00Z");
        check("2026-12-31", "2026-12-31T00:00:00Z");
        check("1795500000", "2026-11-24T06:00:00Z");
        check("90m", "2026-11-24T07:30:00Z");
        check("30d", "2026-12-24T06:00:00Z");
    }

    #[test]
    fn other_texts_are_not_valid_times() {
        for bad in [
            "",
            "tomorrow",
            "2026-13-01",
            "31.12.2026",
            "2026-12-31T18:00",
            "2026-12-31T18:00[Mars/X]",
            "1795500000000",
            "-",
        ] {
            assert!(parse(bad, NOW).is_err(), "{bad}");
        }
    }
}
