use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::civil::Weekday;

use super::{Zone, period::Period};
use crate::error::Error;

/// The time over which a budget counts: `day`, `week`, `month` or `total`.
///
/// A window begins at midnight in its time zone; a week on Monday, a month on its first day, unless the text says otherwise:
/// `week@sun`, `month@15`. A month that is shorter begins on its last day. The zone comes after a space: `day Europe/Berlin`.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use rungs::store::Window;
///
/// let hour = |n: u64| UNIX_EPOCH + Duration::from_secs(n * 3_600);
/// let noon = hour(40 * 24 + 12); // Tuesday, 10 February 1970
/// assert_eq!(Window::DAY.start(noon), hour(40 * 24));
/// assert_eq!(Window::MONTH.end(noon), Some(hour(59 * 24)));
/// let berlin: Window = "week@sun Europe/Berlin".parse()?;
/// assert_eq!(berlin.start(noon), hour(38 * 24 - 1));
/// # Ok::<(), rungs::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    period: Period,
    zone: Zone,
}

impl Window {
    /// Each day anew.
    pub const DAY: Self = Self::utc(Period::Day);
    /// Each Monday anew.
    pub const WEEK: Self = Self::utc(Period::Week(Weekday::Monday));
    /// On the first of each month anew.
    pub const MONTH: Self = Self::utc(Period::Month(1));
    /// Once and for all.
    pub const TOTAL: Self = Self::utc(Period::Total);

    const fn utc(period: Period) -> Self {
        Self {
            period,
            zone: Zone::UTC,
        }
    }

    /// The same in another time zone. [`Window::TOTAL`] has none.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        match self.period {
            Period::Total => self,
            period => Self { period, zone },
        }
    }

    /// Where its midnight is.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// When the window that contains `now` began; for [`Window::TOTAL`] the epoch.
    #[must_use]
    pub fn start(&self, now: SystemTime) -> SystemTime {
        self.span(now).0
    }

    /// When the window that contains `now` ends and the next begins; `None` for [`Window::TOTAL`].
    #[must_use]
    pub fn end(&self, now: SystemTime) -> Option<SystemTime> {
        self.span(now).1
    }

    /// Start and end of the window that contains `now`: `start <= now < end`.
    #[must_use]
    pub fn span(&self, now: SystemTime) -> (SystemTime, Option<SystemTime>) {
        let now = now.max(UNIX_EPOCH);
        let mut first = self.period.first(self.zone.local(now).date());
        let mut start = self.zone.midnight(first);
        // A clock that is set back over midnight shows a date once more, one that is set forward over it begins a date late. Windows
        // are told apart by their midnights alone, of which each comes once.
        while start > now {
            first = self.period.first(first.yesterday().unwrap_or(first));
            start = self.zone.midnight(first);
        }
        loop {
            let Some(next) = self.period.next(first) else {
                return (UNIX_EPOCH, None);
            };
            let end = self.zone.midnight(next);
            if now < end || next == first {
                return (start, Some(end));
            }
            (first, start) = (next, end);
        }
    }

    /// In words for people: `resets on 2026-11-30 at 00:00 Europe/Berlin`.
    #[must_use]
    pub fn reset(&self, now: SystemTime) -> String {
        let Some(end) = self.end(now) else {
            return "does not reset".to_owned();
        };
        let local = self.zone.local(end);
        let (date, hour, minute) = (local.date(), local.hour(), local.minute());
        format!("resets on {date} at {hour:02}:{minute:02} {}", self.zone)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.period.fmt(f)?;
        if self.zone == Zone::UTC {
            return Ok(());
        }
        write!(f, " {}", self.zone)
    }
}

impl FromStr for Window {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (period, zone) = match text.split_once(' ') {
            Some((period, zone)) => (period, zone.parse()?),
            None => (text, Zone::UTC),
        };
        Ok(Self::utc(period.parse()?).in_zone(zone))
    }
}
