use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The time over which a budget counts. Windows begin at midnight UTC, weeks on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// Each day anew.
    Day,
    /// Each week anew.
    Week,
    /// Each month anew.
    Month,
    /// Once and for all.
    Total,
}

impl Window {
    /// All of them, shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Total];

    /// The name in configuration and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// When the window that contains `now` began; for [`Window::Total`] the epoch.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use rungs::store::Window;
    ///
    /// let day = |n: u64| UNIX_EPOCH + Duration::from_secs(n * 86_400);
    /// let noon = day(40) + Duration::from_secs(43_200); // Tuesday, 10 February 1970
    /// assert_eq!(Window::Day.start(noon), day(40));
    /// assert_eq!(Window::Week.start(noon), day(39));
    /// assert_eq!(Window::Month.start(noon), day(31));
    /// assert_eq!(Window::Month.end(noon), Some(day(59)));
    /// ```
    #[must_use]
    pub fn start(self, now: SystemTime) -> SystemTime {
        midnight(self.first_day(Day::of(now)))
    }

    /// When the window that contains `now` ends and the next begins; `None` for [`Window::Total`].
    #[must_use]
    pub fn end(self, now: SystemTime) -> Option<SystemTime> {
        self.next_first_day(Day::of(now)).map(midnight)
    }

    /// The day on which the window around `day` began. It names the window: a later window has a later first day.
    pub(crate) fn first_day(self, day: Day) -> Day {
        match self {
            Self::Day => day,
            // Day 0 was a Thursday.
            Self::Week => Day(day.0 - (day.0 + 3).rem_euclid(7)),
            Self::Month => {
                let (year, month, _) = day.civil();
                Day::from_civil(year, month, 1)
            }
            Self::Total => Day(0),
        }
    }

    /// The day on which the window after the one around `day` begins.
    pub(crate) fn next_first_day(self, day: Day) -> Option<Day> {
        let first = self.first_day(day);
        match self {
            Self::Day => Some(Day(first.0 + 1)),
            Self::Week => Some(Day(first.0 + 7)),
            Self::Month => Some(match first.civil() {
                (year, 12, _) => Day::from_civil(year + 1, 1, 1),
                (year, month, _) => Day::from_civil(year, month + 1, 1),
            }),
            Self::Total => None,
        }
    }
}

/// A day of the proleptic Gregorian calendar in UTC, counted from 1 January 1970. Has no notion of summer time: every day is 86 400 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(i64);

const SECONDS_PER_DAY: u64 = 86_400;

impl Day {
    pub(crate) fn of(time: SystemTime) -> Self {
        let seconds = time
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Self(i64::try_from(seconds / SECONDS_PER_DAY).unwrap_or(i64::MAX / 2))
    }

    /// Year, month and day of the month. Years are counted from 1 March, so that the leap day comes last.
    pub(crate) fn civil(self) -> (i64, i64, i64) {
        const DAYS_PER_ERA: i64 = 146_097;
        let days = self.0 + 719_468;
        let (era, of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = (from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day)
    }

    pub(crate) fn from_civil(year: i64, month: i64, day: i64) -> Self {
        let year = year - i64::from(month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        Self(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
    }
}

impl std::fmt::Display for Day {
    /// `2026-02-28`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

fn midnight(day: Day) -> SystemTime {
    let days = u64::try_from(day.0).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(days * SECONDS_PER_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: i64, month: i64, day: i64) -> Day {
        Day::from_civil(year, month, day)
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        let mut expected = (1970, 1, 1);
        for n in 0..146_097 {
            assert_eq!(Day(n).civil(), expected);
            let (y, m, d) = expected;
            assert_eq!(date(y, m, d), Day(n));
            let length = match m {
                2 => 28 + i64::from(leap(y)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (m, d) {
                (12, 31) => (y + 1, 1, 1),
                (_, d) if d == length => (y, m + 1, 1),
                _ => (y, m, d + 1),
            };
        }
    }

    #[test]
    fn windows_end_where_the_calendar_says() {
        for (window, day, first, next) in [
            (Window::Day, (2028, 2, 28), (2028, 2, 28), (2028, 2, 29)),
            (Window::Day, (2026, 12, 31), (2026, 12, 31), (2027, 1, 1)),
            // Sunday, Monday; a week across a year; across the end of summer time in Europe.
            (Window::Week, (2026, 11, 22), (2026, 11, 16), (2026, 11, 23)),
            (Window::Week, (2026, 11, 23), (2026, 11, 23), (2026, 11, 30)),
            (Window::Week, (2027, 1, 1), (2026, 12, 28), (2027, 1, 4)),
            (Window::Week, (2026, 10, 25), (2026, 10, 19), (2026, 10, 26)),
            (Window::Month, (2028, 2, 29), (2028, 2, 1), (2028, 3, 1)),
            (Window::Month, (2026, 2, 28), (2026, 2, 1), (2026, 3, 1)),
            (Window::Month, (2026, 12, 31), (2026, 12, 1), (2027, 1, 1)),
            (Window::Month, (2026, 3, 29), (2026, 3, 1), (2026, 4, 1)),
        ] {
            let at = |(y, m, d)| midnight(date(y, m, d));
            let last_moment = at(day) + Duration::from_secs(86_400) - Duration::from_nanos(1);
            for moment in [at(day), last_moment] {
                assert_eq!(window.start(moment), at(first), "{window:?} {day:?}");
                assert_eq!(window.end(moment), Some(at(next)), "{window:?} {day:?}");
            }
        }
        assert_eq!(Window::Total.start(SystemTime::now()), UNIX_EPOCH);
        assert_eq!(Window::Total.end(SystemTime::now()), None);
    }

    #[test]
    fn a_time_before_the_epoch_is_the_first_day() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        for window in Window::ALL {
            assert_eq!(window.start(before), UNIX_EPOCH);
        }
    }
}
