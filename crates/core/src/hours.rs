//! Hours in which a rule applies, by days of the week or by dates, in the local time of a time zone.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::{EpochSeconds, excerpt};

mod days;

use days::{DateRange, Days, dates_of, includes, write_dates};

/// 24:00, in minutes.
const MIDNIGHT: u16 = 24 * 60;

/// A day and the following night, in seconds: longer than any window, clock changes included.
const TWO_DAYS: EpochSeconds = 172_800;

/// One or more windows. A call is inside the hours if it is inside any of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours(Vec<Window>);

/// `DAYS HH:MM-HH:MM ZONE`, perhaps with ` except DATES`: open while the local time in the zone is between these times on one
/// of these days. A window whose end is not after its start continues into the next day, and belongs to the day on which it
/// starts. It does not start on the excepted dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    days: Days,
    /// Sorted, without overlaps.
    except: Vec<DateRange>,
    /// Minutes since midnight.
    start: u16,
    /// Minutes since midnight; exclusive.
    end: u16,
    zone: TimeZone,
}

/// Why a text is not a valid window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Not three words, or something else than `except` after them.
    #[error(
        "`{0}` is not a window; expected `DAYS HH:MM-HH:MM ZONE`, such as `Mon-Fri 09:00-18:00 Europe/Moscow`, perhaps with \
         holidays, such as `except 2026-12-31,2027-01-01..2027-01-08`"
    )]
    Shape(String),
    /// Not a date, or not a range of dates.
    #[error("`{0}` is not a date; expected a date such as `2026-12-31`, or a range such as `2027-01-01..2027-01-08`")]
    Date(String),
    /// Not a day, a list or a range of days.
    #[error(
        "`{0}` is not a day; expected `Mon`, `Tue`, `Wed`, `Thu`, `Fri`, `Sat` or `Sun`, as in `Mon-Fri` or `Sat,Sun`, or \
         dates such as `2026-12-31`"
    )]
    Day(String),
    /// Not a time of day.
    #[error("`{0}` is not a time of day; expected `HH:MM` from `00:00` to `24:00`, which can only end a window")]
    Time(String),
    /// Ambiguous: never or always.
    #[error("`{0}` starts and ends at the same time; write `00:00-24:00` for the whole day")]
    NoLength(String),
    /// Not in the time-zone database.
    #[error("`{0}` is not a time zone; expected a name of the IANA database, such as `Europe/Moscow` or `UTC`")]
    Zone(String),
}

impl Hours {
    /// Windows in the order given. `None` for an empty list, which could mean never or always.
    #[must_use]
    pub fn new(windows: Vec<Window>) -> Option<Self> {
        (!windows.is_empty()).then_some(Self(windows))
    }

    /// Parses windows as people write them, separated by `;`.
    ///
    /// # Errors
    /// When one of them is not a valid window.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        text.split(';').map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The windows.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.0
    }

    /// The sizes of the lists that the hours hold, in bytes.
    pub fn list_sizes(&self) -> impl Iterator<Item = usize> {
        let lists =
            self.0.iter().flat_map(|window| [size_of_val(window.days.dates()), size_of_val(window.except.as_slice())]);
        lists.chain([size_of_val(self.0.as_slice())])
    }

    /// Whether this moment is inside one of the windows.
    #[must_use]
    pub fn contains(&self, now: EpochSeconds) -> bool {
        let now = timestamp(now);
        self.0.iter().any(|window| window.contains(now))
    }

    /// The moments between `from` and `to` at which a window may open or close, in no particular order. Those that only
    /// a clock change causes are in [`Self::clock_changes`].
    pub fn transitions(&self, from: EpochSeconds, to: EpochSeconds) -> impl Iterator<Item = EpochSeconds> {
        self.0.iter().flat_map(move |window| window.transitions(from, to))
    }

    /// The moments after `from`, up to `to`, at which the zone of a window changes its clocks, in no particular order.
    pub fn clock_changes(&self, from: EpochSeconds, to: EpochSeconds) -> impl Iterator<Item = EpochSeconds> {
        self.0.iter().flat_map(move |window| {
            let changes = window.zone.following(timestamp(from));
            changes.map(|change| change.timestamp().as_second()).take_while(move |&moment| moment <= to)
        })
    }

    /// The moments at which a range of dates begins or has ended, in no particular order.
    pub fn date_changes(&self) -> impl Iterator<Item = EpochSeconds> {
        self.0.iter().flat_map(|window| {
            let days = window
                .days
                .dates()
                .iter()
                .chain(&window.except)
                .flat_map(|range| [Some(range.first), range.last.tomorrow().ok()]);
            let starts = days.flatten().filter_map(|day| window.zone.to_timestamp(day.at(0, 0, 0, 0)).ok());
            starts.map(Timestamp::as_second)
        })
    }

    /// The zones' offsets from UTC at a moment, in seconds, one for each window.
    pub fn offsets(&self, now: EpochSeconds) -> impl Iterator<Item = i32> {
        self.0.iter().map(move |window| window.zone.to_offset(timestamp(now)).seconds())
    }
}

/// The windows, separated by `; `.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, window) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            window.fmt(f)?;
        }
        Ok(())
    }
}

impl Window {
    /// The name of the time zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    fn contains(&self, now: Timestamp) -> bool {
        // Local time only: an hour that a clock change skips never comes, and an hour that it repeats comes twice.
        let local = self.zone.to_datetime(now);
        let minute = minute_of(local);
        let today = self.starts_on(local.date());
        if self.start < self.end {
            return today && (self.start..self.end).contains(&minute);
        }
        let yesterday = || local.date().yesterday().is_ok_and(|yesterday| self.starts_on(yesterday));
        (today && minute >= self.start) || (minute < self.end && yesterday())
    }

    fn starts_on(&self, day: Date) -> bool {
        self.days.include(day) && !includes(&self.except, day)
    }

    fn transitions(&self, from: EpochSeconds, to: EpochSeconds) -> impl Iterator<Item = EpochSeconds> + use<'_> {
        let first = self.zone.to_datetime(timestamp(from.saturating_sub(TWO_DAYS))).date();
        let last = self.zone.to_datetime(timestamp(to.saturating_add(TWO_DAYS))).date();
        let midnights =
            std::iter::successors(Some(first), |day| day.tomorrow().ok()).take_while(move |&day| day <= last);
        let times = [self.start, self.end % MIDNIGHT];
        midnights
            .flat_map(move |day| times.map(|time| day.at(hour(time), minute(time), 0, 0)))
            // A local time that a clock change repeats comes twice.
            .flat_map(|local| {
                let ambiguous = self.zone.to_ambiguous_timestamp(local);
                [ambiguous.earlier(), ambiguous.later()].map(Result::ok)
            })
            .flatten()
            .map(Timestamp::as_second)
            .filter(move |moment| (from..=to).contains(moment))
    }
}

impl FromStr for Window {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let shape = || HoursError::Shape(excerpt(text.trim()));
        let mut words = text.split_whitespace();
        let (Some(days), Some(times), Some(zone)) = (words.next(), words.next(), words.next()) else {
            return Err(shape());
        };
        let except = match words.next() {
            None => Vec::new(),
            // A list of dates may have spaces after its commas.
            Some(word) if word.eq_ignore_ascii_case("except") => dates_of(&words.collect::<String>())?,
            Some(_) => return Err(shape()),
        };
        let (start, end) = times.split_once('-').ok_or_else(shape)?;
        let (start, end, zone) = (time_of(start)?, time_of(end)?, zone_of(zone)?);
        let window = Self { days: days.parse()?, except, start, end, zone };
        if window.start == MIDNIGHT {
            return Err(HoursError::Time("24:00".to_owned()));
        }
        if window.start == window.end {
            return Err(HoursError::NoLength(excerpt(times)));
        }
        Ok(window)
    }
}

/// The window as it is stored: days as ranges from three days on, times with five characters, the zone's own spelling.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { days, except, start, end, zone: _ } = self;
        days.fmt(f)?;
        let [start, end] = [*start, *end];
        write!(f, " {:02}:{:02}-{:02}:{:02} ", hour(start), minute(start), hour(end), minute(end))?;
        f.write_str(self.zone())?;
        if !except.is_empty() {
            f.write_str(" except ")?;
            write_dates(except, f)?;
        }
        Ok(())
    }
}

fn time_of(text: &str) -> Result<u16, HoursError> {
    let number = |digits: &str, at_least: usize| {
        let is_number = (at_least..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| is_number)
    };
    let minutes = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute) = (number(hour, 1)?, number(minute, 2)?);
        (minute < 60).then_some(hour * 60 + minute).filter(|&time| time <= MIDNIGHT)
    });
    minutes.ok_or_else(|| HoursError::Time(excerpt(text)))
}

/// A zone of the database in the binary, so that all installations agree. Parsed once and then shared.
fn zone_of(name: &str) -> Result<TimeZone, HoursError> {
    // The unknown zone, `Etc/Unknown`, has no name.
    let zone = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| zone.iana_name().is_some());
    zone.ok_or_else(|| HoursError::Zone(excerpt(name)))
}

/// A moment beyond the calendar counts as the calendar's nearer end.
fn timestamp(seconds: EpochSeconds) -> Timestamp {
    let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(end)
}

fn minute_of(local: DateTime) -> u16 {
    u16::try_from(i16::from(local.hour()) * 60 + i16::from(local.minute())).unwrap_or_default()
}

/// The hour of a time of day, 24 included.
fn hour(time: u16) -> i8 {
    i8::try_from(time / 60).unwrap_or_default()
}

fn minute(time: u16) -> i8 {
    i8::try_from(time % 60).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str) -> String {
        Hours::parse(text).unwrap().to_string()
    }

    #[track_caller]
    fn check(hours: &str, moment: &str, expected: bool) {
        let now: Timestamp = moment.parse().unwrap();
        assert_eq!(Hours::parse(hours).unwrap().contains(now.as_second()), expected, "{hours} at {moment}");
    }

    #[test]
    fn windows_are_stored_in_canonical_form() {
        assert_eq!(stored(" mon-FRI  9:00-18:00 europe/moscow "), "Mon-Fri 09:00-18:00 Europe/Moscow");
        assert_eq!(stored("Sun,Sat 00:00-24:00 UTC"), "Sat,Sun 00:00-24:00 UTC");
        assert_eq!(stored("Fri-Mon 22:00-06:00 Asia/Tokyo"), "Fri-Mon 22:00-06:00 Asia/Tokyo");
        assert_eq!(stored("Fri-Mon,Wed 01:02-03:04 UTC"), "Wed,Fri-Mon 01:02-03:04 UTC");
        assert_eq!(stored("Tue-Mon 01:00-02:00 UTC"), "Mon-Sun 01:00-02:00 UTC");
        assert_eq!(
            stored(
                "Mon 1:00-2:00 UTC  EXCEPT 2027-01-02..2027-01-05, 2026-12-31,2027-01-01,2027-01-04..2027-01-08, 2027-03-01"
            ),
            "Mon 01:00-02:00 UTC except 2026-12-31..2027-01-08,2027-03-01"
        );
        assert_eq!(stored("2027-01-02,2026-01-01 1:00-2:00 UTC"), "2026-01-01,2027-01-02 01:00-02:00 UTC");
        assert_eq!(stored("Mon 1:00-2:00 UTC;Tue 3:00-4:00 UTC"), "Mon 01:00-02:00 UTC; Tue 03:00-04:00 UTC");
    }

    #[test]
    fn invalid_hours_are_rejected() {
        let error = |text: &str| Hours::parse(text).unwrap_err().to_string();
        for bad in ["", "Mon-Fri", "Mon-Fri 09:00 UTC", "Mon - Fri 09:00-18:00 UTC", "Mon 09:00-18:00 UTC;"] {
            assert!(error(bad).contains("is not a window"), "{bad}");
        }
        for bad in ["Mo", "Monday", "Mon-", "Mon,", "Mon-Wed-Fri", "1-5"] {
            assert!(error(&format!("{bad} 09:00-18:00 UTC")).contains("is not a day"), "{bad}");
        }
        for bad in ["9-18", "09:60-18:00", "09:00-24:01", "24:00-09:00", "+9:00-18:00", "9:0-18:00", "009:00-18:00"] {
            assert!(error(&format!("Mon {bad} UTC")).contains("is not a time of day"), "{bad}");
        }
        assert!(error("Mon 09:00-09:00 UTC").contains("00:00-24:00"));
        for bad in [
            "",
            "31.12.2026",
            "2026-13-01",
            "2026-02-29",
            "20261231",
            "2027-01-08..2027-01-01",
            "2026-12-31..",
            "2026-1-1",
            "Mon",
            "2026-12-31,",
            "2026-12-31 2027-01-01",
            "2026-12-31T00:00",
            "2026-W01-1",
        ] {
            assert!(error(&format!("Mon 09:00-18:00 UTC except {bad}")).contains("is not a date"), "{bad}");
        }
        assert!(error("2026-02-30 09:00-18:00 UTC").contains("is not a date"));
        assert!(error("Mon 09:00-18:00 UTC without 2026-12-31").contains("is not a window"));
        for bad in ["Mars/Olympus", "+03:00", "MSK", "Etc/Unknown"] {
            assert!(error(&format!("Mon 09:00-18:00 {bad}")).contains("is not a time zone"), "{bad}");
        }
    }

    #[test]
    fn a_window_uses_the_local_time_of_its_zone() {
        let office_hours = "Mon-Fri 09:00-18:00 Europe/Moscow";
        check(office_hours, "2026-11-23T05:59:59Z", false);
        check(office_hours, "2026-11-23T06:00:00Z", true);
        check(office_hours, "2026-11-23T14:59:59Z", true);
        check(office_hours, "2026-11-23T15:00:00Z", false);
        check(office_hours, "2026-11-22T12:00:00Z", false);
        check("Sat 00:00-24:00 UTC", "2026-11-21T23:59:59Z", true);
        check("Sat 00:00-24:00 UTC", "2026-11-22T00:00:00Z", false);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_starts_on() {
        let night_shift = "Fri 22:00-06:00 UTC";
        check(night_shift, "2026-11-20T05:00:00Z", false);
        check(night_shift, "2026-11-20T22:00:00Z", true);
        check(night_shift, "2026-11-21T05:59:59Z", true);
        check(night_shift, "2026-11-21T06:00:00Z", false);
        check(night_shift, "2026-11-21T22:00:00Z", false);
        check("Sun 22:00-06:00 UTC", "2026-11-23T03:00:00Z", true);
        check("Fri 22:00-00:00 UTC", "2026-11-20T23:59:59Z", true);
        check("Fri 22:00-00:00 UTC", "2026-11-21T00:00:00Z", false);
    }

    #[test]
    fn dates_begin_and_end_at_midnight_of_their_zone() {
        let hours =
            "2026-12-31,2027-01-01..2027-01-08 09:00-18:00 Europe/Moscow; Mon 09:00-10:00 UTC except 2027-05-01";
        let hours = Hours::parse(hours).unwrap();
        let changes = hours.date_changes().map(|moment| timestamp(moment).to_string());
        let expected = ["2026-12-30T21:00:00Z", "2027-01-08T21:00:00Z", "2027-05-01T00:00:00Z", "2027-05-02T00:00:00Z"];
        assert_eq!(changes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_size_of_the_lists_counts_windows_and_dates() {
        let size = |hours: &str| Hours::parse(hours).unwrap().list_sizes().sum::<usize>();
        let (window, dates) = (size_of::<Window>(), size_of::<DateRange>());
        assert_eq!(size("Mon 09:00-10:00 UTC; Tue 09:00-10:00 UTC"), 2 * window);
        assert_eq!(size("2026-12-31,2027-03-01 09:00-10:00 UTC except 2027-05-01"), window + 3 * dates);
    }

    #[test]
    fn a_window_does_not_start_on_an_excepted_date() {
        let office_hours = "Mon-Fri 09:00-18:00 UTC except 2026-12-31,2027-01-01..2027-01-08";
        check(office_hours, "2026-12-30T12:00:00Z", true);
        check(office_hours, "2026-12-31T12:00:00Z", false);
        check(office_hours, "2027-01-01T12:00:00Z", false);
        check(office_hours, "2027-01-08T12:00:00Z", false);
        check(office_hours, "2027-01-11T12:00:00Z", true);
        check(office_hours, "2027-12-31T12:00:00Z", true);
        // The night that starts on the day before goes on into the holiday, and the one of the holiday does not start.
        let night_shift = "Mon-Sun 22:00-06:00 UTC except 2026-12-25";
        check(night_shift, "2026-12-25T05:59:59Z", true);
        check(night_shift, "2026-12-25T22:00:00Z", false);
        check(night_shift, "2026-12-26T05:59:59Z", false);
        check(night_shift, "2026-12-26T22:00:00Z", true);
        // The date is that of the zone.
        check("Mon-Sun 00:00-24:00 Asia/Tokyo except 2027-01-01", "2026-12-31T15:00:00Z", false);
        check("Mon-Sun 00:00-24:00 Asia/Tokyo except 2027-01-01", "2027-01-01T15:00:00Z", true);
    }

    #[test]
    fn a_window_may_be_limited_to_dates() {
        let christmas = "2026-12-24..2026-12-26,2028-02-29 22:00-02:00 UTC except 2026-12-25";
        check(christmas, "2026-12-24T21:59:59Z", false);
        check(christmas, "2026-12-25T01:59:59Z", true);
        check(christmas, "2026-12-25T22:00:00Z", false);
        check(christmas, "2026-12-27T01:59:59Z", true);
        check(christmas, "2027-12-24T22:00:00Z", false);
        check(christmas, "2028-02-29T23:00:00Z", true);
    }

    #[test]
    fn windows_follow_daylight_saving_time() {
        let office_hours = "Mon-Sun 09:00-18:00 America/New_York";
        check(office_hours, "2026-03-07T13:30:00Z", false);
        check(office_hours, "2026-03-08T13:30:00Z", true);
        check(office_hours, "2026-11-01T13:30:00Z", false);
        // In March the clock goes from 02:00 to 03:00, so 02:30 does not exist.
        let skipped_time = "Sun 02:15-02:45 America/New_York";
        check(skipped_time, "2026-03-08T06:30:00Z", false);
        check(skipped_time, "2026-03-08T07:30:00Z", false);
        check(skipped_time, "2026-03-15T06:30:00Z", true);
        // In November it goes from 02:00 back to 01:00, so 01:30 comes twice.
        let repeated_time = "Sun 01:15-01:45 America/New_York";
        check(repeated_time, "2026-11-01T05:30:00Z", true);
        check(repeated_time, "2026-11-01T06:00:00Z", false);
        check(repeated_time, "2026-11-01T06:30:00Z", true);
    }

    #[test]
    fn hours_need_at_least_one_window() {
        assert_eq!(Hours::new(Vec::new()), None);
    }

    #[test]
    fn any_timestamp_can_be_checked() {
        for now in [EpochSeconds::MIN, -1, 0, EpochSeconds::MAX] {
            assert!(Hours::parse("Mon-Sun 00:00-24:00 Pacific/Apia").unwrap().contains(now));
        }
    }

    #[test]
    fn times_outside_the_calendar_count_as_its_nearest_end() {
        for day in days::DAYS {
            let hours = Hours::parse(&format!("{day} 00:00-24:00 UTC")).unwrap();
            for (beyond, end) in [(EpochSeconds::MIN, Timestamp::MIN), (EpochSeconds::MAX, Timestamp::MAX)] {
                assert_eq!(hours.contains(beyond), hours.contains(end.as_second()), "{day}, {beyond}");
            }
        }
        assert_ne!(timestamp(EpochSeconds::MIN), timestamp(EpochSeconds::MAX));
    }

    #[test]
    fn transitions_include_every_opening_and_closing() {
        let hours = Hours::parse("Fri-Mon 22:00-06:00 Asia/Kathmandu; Wed 12:30-24:00 UTC").unwrap();
        check_transitions(&hours, 1_795_500_000, 8);
    }

    #[track_caller]
    fn check_transitions(hours: &Hours, from: EpochSeconds, days: EpochSeconds) {
        let to = from + days * 24 * 60 * 60;
        let transitions: Vec<_> = hours.transitions(from, to).chain(hours.clock_changes(from, to)).collect();
        for now in (from + 60..to).step_by(60) {
            let changed = hours.contains(now) != hours.contains(now - 60);
            assert!(!changed || transitions.iter().any(|moment| (now - 59..=now).contains(moment)), "{now}");
        }
    }

    #[test]
    fn transitions_and_clock_changes_include_the_openings_that_a_clock_change_moves() {
        // Two weeks around the change in March 2026, when 02:30 is skipped, and the one in November, when 01:30 comes twice.
        for from in [1_772_400_000, 1_793_000_000] {
            for hours in
                ["Sun 02:15-03:15 America/New_York", "Sun 01:15-01:45 America/New_York", "Sat,Sun 23:30-02:30 UTC"]
            {
                check_transitions(&Hours::parse(hours).unwrap(), from, 14);
            }
        }
        let zones = Hours::parse("Mon 01:00-02:00 America/New_York; Mon 01:00-02:00 UTC").unwrap();
        assert_eq!(
            zones.clock_changes(1_772_400_000, 1_793_000_000 + 14 * 86_400).collect::<Vec<_>>(),
            [1_772_953_200, 1_793_512_800]
        );
        assert_eq!(
            zones.offsets(1_772_953_199).chain(zones.offsets(1_772_953_200)).collect::<Vec<_>>(),
            [-18_000, 0, -14_400, 0]
        );
    }
}
