use std::{fmt, str::FromStr, time::SystemTime};

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

/// A time zone of the IANA database, such as `Europe/Berlin`. The database is part of the program: every replica has the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// Beyond this the calendar has no use; before it, every date has a next one.
const LATEST: Timestamp = Timestamp::constant(7_000 * 31_556_952, 0);

impl Zone {
    /// No summer time, no offset.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Its name in the database.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What a clock on the wall shows.
    pub(super) fn local(&self, time: SystemTime) -> DateTime {
        let time = Timestamp::try_from(time).unwrap_or(LATEST);
        self.0
            .to_datetime(time.clamp(Timestamp::UNIX_EPOCH, LATEST))
    }

    /// The moment at which `date` begins: midnight, the first of two, or what comes after one that is left out.
    pub(super) fn midnight(&self, date: Date) -> SystemTime {
        let midnight = date.to_datetime(Time::midnight());
        self.0.to_timestamp(midnight).unwrap_or(LATEST).into()
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match TimeZone::get(name) {
            Ok(zone) if zone.iana_name().is_some() && !zone.is_unknown() => Ok(Self(zone)),
            _ => Err(Error::invalid(format!(
                "`{name}` is no time zone like Europe/Berlin or UTC"
            ))),
        }
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(d)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}
