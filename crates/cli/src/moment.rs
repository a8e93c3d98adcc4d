//! Moments as people write them.

use callgate_core::EpochSeconds;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};

use crate::outcome::usage;

/// From here on a number of seconds is rather one of milliseconds: the year 5138.
pub(crate) const MILLISECONDS_FROM: EpochSeconds = 100_000_000_000;

/// Reads `2026-12-31T18:00:00+03:00`, `2026-12-31T18:00[Europe/Moscow]`, a date (when it begins in UTC), or a time
/// from now such as `90m`, `12h`, `30d`.
pub(crate) fn parse(text: &str, now: EpochSeconds) -> anyhow::Result<EpochSeconds> {
    absolute(text).or_else(|| from_now(text, now)).ok_or_else(|| {
        usage(format!(
            "`{text}` is no moment; expected `2026-12-31T18:00:00+03:00`, `2026-12-31T18:00[Europe/Moscow]`, \
             `2026-12-31` (when it begins in UTC), or a time from now such as `12h` or `30d`"
        ))
    })
}

/// As [`parse`], without the times that depend on when they are read; seconds since 1970 are moments too.
pub(crate) fn absolute(text: &str) -> Option<EpochSeconds> {
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

/// As it is shown: in UTC, to the second. What no calendar holds is shown as it is stored.
pub(crate) fn format(moment: EpochSeconds) -> String {
    Timestamp::from_second(moment).map_or_else(|_| moment.to_string(), |it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EpochSeconds = 1_795_500_000; // 2026-11-24T06:00:00Z

    #[track_caller]
    fn reads(text: &str, moment: &str) {
        assert_eq!(format(parse(text, NOW).unwrap()), moment, "{text}");
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        reads("2026-12-31T18:00:00+03:00", "2026-12-31T15:00:00Z");
        reads("2026-12-31T18:00:00Z", "2026-12-31T18:00:00Z");
        reads("2026-12-31T18:00[Europe/Moscow]", "2026-12-31T15:00:00Z");
        reads("2026-12-31", "2026-12-31T00:00:00Z");
        reads("1795500000", "2026-11-24T06:00:00Z");
        reads("90m", "2026-11-24T07:30:00Z");
        reads("30d", "2026-12-24T06:00:00Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
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
