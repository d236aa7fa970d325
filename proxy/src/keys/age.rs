//! Lengths and points of time as people write them.

use std::{
    str::FromStr,
    time::{Duration, SystemTime},
};

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};
use rungs::Error;
use serde::Deserialize;

/// A length of time like `30d`; units are s, m, h, d and w.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Age(pub(crate) Duration);

/// When something ends: after a time like `30d`, with a day like `2027-01-31`, or at a moment like `2027-01-31T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Expiry {
    After(Duration),
    At(SystemTime),
}

/// Longer than anything of ours lives: a hundred years.
const LONGEST: u64 = 100 * 366 * 86_400;

impl FromStr for Age {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(format!(
                "`{text}` is no length of time like 30d, 12h or 90s"
            ))
        };
        let (number, seconds) = [
            ("s", 1),
            ("m", 60),
            ("h", 3_600),
            ("d", 86_400),
            ("w", 604_800),
        ]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .ok_or_else(wrong)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = number.parse().map_err(|_| wrong())?;
        match number.checked_mul(seconds) {
            Some(seconds) if seconds <= LONGEST => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(wrong()),
        }
    }
}

impl FromStr for Expiry {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(Self::At(moment.into()));
        }
        if let Some(end) = end_of_day(text) {
            return Ok(Self::At(end));
        }
        let age: Age = text.parse().map_err(|_| {
            Error::invalid(format!(
                "`{text}` is neither a length of time like 30d, nor a day like 2027-01-31, nor a moment like 2027-01-31T00:00:00Z"
            ))
        })?;
        Ok(Self::After(age.0))
    }
}

/// The end of a day like `2027-01-31`, by the clock of UTC: the key still opens on that day.
fn end_of_day(text: &str) -> Option<SystemTime> {
    // jiff reads a date also where more stands behind it.
    let is_date = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let next = is_date.then(|| text.parse::<Date>().ok()?.tomorrow().ok())??;
    let end = TimeZone::UTC.to_timestamp(next.to_datetime(Time::midnight()));
    Some(end.ok()?.into())
}

impl Expiry {
    /// The moment, seen from `now`.
    pub(crate) fn moment(self, now: SystemTime) -> SystemTime {
        match self {
            Self::After(age) => now + age,
            Self::At(moment) => moment,
        }
    }
}

impl TryFrom<String> for Age {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl TryFrom<String> for Expiry {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

/// `2026-11-24T17:00:00Z`, to the second.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time)
        .ok()
        .and_then(|time| Timestamp::from_second(time.as_second()).ok())
        .map_or_else(String::new, |time| time.to_string())
}
