use std::{fmt, str::FromStr};

use jiff::{
    ToSpan,
    civil::{Date, Weekday},
};

use crate::error::Error;

/// How long a window is, and on which day it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Week(Weekday),
    /// From this day of the month, or from the last one where the month is shorter.
    Month(i8),
    Total,
}

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Period {
    /// The first day of the period around `date`; of [`Period::Total`] any day is.
    pub(super) fn first(self, date: Date) -> Date {
        match self {
            Self::Day | Self::Total => date,
            Self::Week(from) => date.saturating_sub(i64::from(date.weekday().since(from)).days()),
            Self::Month(from) => match in_month(date, from) {
                first if first <= date => first,
                _ => in_month(date.saturating_sub(1.month()), from),
            },
        }
    }

    /// The first day of the period after the one that begins on `first`; [`Period::Total`] has none.
    pub(super) fn next(self, first: Date) -> Option<Date> {
        match self {
            Self::Day => Some(first.saturating_add(1.day())),
            Self::Week(_) => Some(first.saturating_add(7.days())),
            Self::Month(from) => Some(in_month(first.saturating_add(1.month()), from)),
            Self::Total => None,
        }
    }
}

fn in_month(date: Date, day: i8) -> Date {
    date.with()
        .day(day.min(date.days_in_month()))
        .build()
        .unwrap_or(date)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day => f.write_str("day"),
            Self::Week(Weekday::Monday) => f.write_str("week"),
            Self::Week(from) => match WEEKDAYS.iter().find(|(_, day)| day == from) {
                Some((name, _)) => write!(f, "week@{name}"),
                None => f.write_str("week"),
            },
            Self::Month(1) => f.write_str("month"),
            Self::Month(from) => write!(f, "month@{from}"),
            Self::Total => f.write_str("total"),
        }
    }
}

impl FromStr for Period {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, from) = match text.split_once('@') {
            Some((name, from)) => (name, Some(from)),
            None => (text, None),
        };
        let wrong = |why: &str| {
            Err(Error::invalid(format!(
                "`{text}` is no budget window; {why}"
            )))
        };
        match (name, from) {
            ("day", None) => Ok(Self::Day),
            ("total", None) => Ok(Self::Total),
            ("week", None) => Ok(Self::Week(Weekday::Monday)),
            ("week", Some(from)) => match WEEKDAYS.iter().find(|(name, _)| *name == from) {
                Some((_, day)) => Ok(Self::Week(*day)),
                None => wrong("a week begins on mon, tue, wed, thu, fri, sat or sun"),
            },
            ("month", None) => Ok(Self::Month(1)),
            ("month", Some(from)) => match from.parse() {
                Ok(day @ 1..=31) => Ok(Self::Month(day)),
                _ => wrong("a month begins on a day from 1 to 31"),
            },
            ("day" | "total", Some(_)) => wrong("only week and month have a day to begin on"),
            _ => wrong("windows are day, week, month and total"),
        }
    }
}
