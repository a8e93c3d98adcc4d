//! The days on which a window starts: days of the week, or dates.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use super::HoursError;
use crate::excerpt;

/// The names of the days, in the order of [`Days::OfTheWeek`].
pub(super) const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The days on which a window starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Days {
    /// Monday first.
    OfTheWeek([bool; 7]),
    /// Sorted, without overlaps.
    Dates(Vec<DateRange>),
}

/// Dates of a calendar, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DateRange {
    pub(super) first: Date,
    pub(super) last: Date,
}

impl Days {
    /// The dates. Empty for days of the week.
    pub(super) fn dates(&self) -> &[DateRange] {
        match self {
            Self::OfTheWeek(_) => &[],
            Self::Dates(dates) => dates,
        }
    }

    pub(super) fn include(&self, day: Date) -> bool {
        match self {
            Self::OfTheWeek(days) => {
                let index = usize::try_from(day.weekday().to_monday_zero_offset());
                index.is_ok_and(|index| days.get(index) == Some(&true))
            }
            Self::Dates(dates) => includes(dates, day),
        }
    }
}

impl FromStr for Days {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        if text.starts_with(|c: char| c.is_ascii_digit()) && text.matches('-').count() > 1 {
            return dates_of(text).map(Self::Dates);
        }
        weekdays_of(text).map(Self::OfTheWeek)
    }
}

/// The days as they are stored: days of the week as ranges from three days on.
impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfTheWeek(days) => write_days(*days, f),
            Self::Dates(dates) => write_dates(dates, f),
        }
    }
}

/// `2026-12-31`, `2027-01-01..2027-01-08`, and lists of these.
pub(super) fn dates_of(text: &str) -> Result<Vec<DateRange>, HoursError> {
    let date = |text: &str| {
        // The parser accepts other forms of ISO 8601, too.
        let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
        date.ok_or_else(|| HoursError::Date(excerpt(text)))
    };
    let range = |part: &str| {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let range = DateRange { first: date(first)?, last: date(last)? };
        if range.first <= range.last { Ok(range) } else { Err(HoursError::Date(excerpt(part))) }
    };
    let mut ranges = text.split(',').map(range).collect::<Result<Vec<_>, _>>()?;
    ranges.sort_by_key(|range| range.first);
    let mut merged: Vec<DateRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            // Overlapping, or the next day.
            Some(before) if before.last.tomorrow().is_ok_and(|next| range.first <= next) => {
                before.last = before.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    Ok(merged)
}

pub(super) fn includes(ranges: &[DateRange], day: Date) -> bool {
    ranges.iter().any(|range| (range.first..=range.last).contains(&day))
}

pub(super) fn write_dates(ranges: &[DateRange], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut separator = "";
    for DateRange { first, last } in ranges {
        write!(f, "{separator}{first}")?;
        if first < last {
            write!(f, "..{last}")?;
        }
        separator = ",";
    }
    Ok(())
}

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon`, and lists of these.
fn weekdays_of(text: &str) -> Result<[bool; 7], HoursError> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day_of(first)?, day_of(last)?);
        let length = (last + 7 - first) % 7;
        for day in first..=first + length {
            if let Some(open) = days.get_mut(day % 7) {
                *open = true;
            }
        }
    }
    Ok(days)
}

fn day_of(text: &str) -> Result<usize, HoursError> {
    let index = DAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
    index.ok_or_else(|| HoursError::Day(excerpt(text)))
}

fn write_days(days: [bool; 7], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let open = |day: usize| days.get(day % 7) == Some(&true);
    let name = |day: usize| DAYS.get(day % 7).copied().unwrap_or_default();
    if days == [true; 7] {
        return f.write_str("Mon-Sun");
    }
    let mut separator = "";
    for first in (0..7).filter(|&day| open(day) && !open(day + 6)) {
        let length = (first..first + 7).take_while(|&day| open(day)).count();
        match length {
            1 => write!(f, "{separator}{}", name(first))?,
            2 => write!(f, "{separator}{},{}", name(first), name(first + 1))?,
            _ => write!(f, "{separator}{}-{}", name(first), name(first + length - 1))?,
        }
        separator = ",";
    }
    Ok(())
}
