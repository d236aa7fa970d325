//! When rows that are written are synced.

use std::time::{Duration, Instant};

/// The least time between two syncs, unless all who are likely to come have come.
const SPACING: Duration = Duration::from_millis(2);

/// How long rows that cost nothing may go without a sync, and so without being shipped.
const UNSYNCED: Duration = Duration::from_millis(100);

/// One of so many of a crowd is forgotten at each sync that it does not come to.
const LEAVING: usize = 16;

/// A row that comes alone does not wait. Where many come, a sync waits until as many are there as came of late: clients that ask again
/// when they are answered then share one, and none waits for company that does not come.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// When the first of the rows was written that are not synced.
    since: Option<Instant>,
    /// How many of them cost something, and so are waited for.
    paid: usize,
    /// So many were synced at a time of late.
    crowd: usize,
    last_sync: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: None,
            paid: 0,
            crowd: 0,
            last_sync: now,
        }
    }

    /// As it is when rows are written, so many of which cost something.
    pub(super) fn written(self, paid: usize, now: Instant) -> Self {
        Self {
            since: self.since.or(Some(now)),
            paid: self.paid + paid,
            ..self
        }
    }

    /// A sync has ended; nobody waits for rows that were written before, whatever came of it.
    pub(super) fn synced(&mut self, now: Instant) {
        self.crowd = self.paid.max(self.crowd - self.crowd.div_ceil(LEAVING));
        (self.since, self.paid, self.last_sync) = (None, 0, now);
    }

    /// When the rows that were written are to be synced, if no more come.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        Some(match self.is_awaited() {
            true => self.spaced(),
            false => since + UNSYNCED,
        })
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        let all_here = self.is_awaited() && self.missing() == 0;
        all_here || self.due().is_some_and(|due| due <= now)
    }

    /// When the spacing from the last sync is over.
    pub(super) fn spaced(&self) -> Instant {
        self.last_sync + SPACING
    }

    /// Whether somebody waits for a row that was written.
    pub(super) fn is_awaited(&self) -> bool {
        self.paid > 0
    }

    /// Whether rows come in company.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowd > 1
    }

    /// How many more are likely to come before the next sync.
    pub(super) fn missing(&self) -> usize {
        self.crowd.saturating_sub(self.paid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn synced(pace: &mut Pace, paid: usize, now: Instant) {
        *pace = pace.written(paid, now);
        assert!(pace.is_due(now));
        pace.synced(now);
        assert_eq!(pace.due(), None);
    }

    #[test]
    fn who_comes_alone_does_not_wait() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..3 {
            synced(&mut pace, 1, now);
            assert!(!pace.is_crowded());
        }
    }

    #[test]
    fn a_sync_waits_for_as_many_as_came_of_late_but_not_long() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        synced(&mut pace, 16, start);
        pace = pace.written(15, start + MS);
        assert_eq!((pace.missing(), pace.is_due(start + MS)), (1, false));
        assert_eq!(pace.due(), Some(start + SPACING));
        assert!(pace.is_due(start + SPACING));
        pace = pace.written(1, start + MS);
        assert!(pace.is_due(start + MS), "all are here");
    }

    #[test]
    fn who_has_left_is_not_waited_for_much_longer() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        synced(&mut pace, 16, now);
        for _ in 0..15 {
            pace = pace.written(1, now);
            assert!(!pace.is_due(now));
            now += SPACING;
            synced(&mut pace, 0, now);
        }
        synced(&mut pace, 1, now);
    }

    #[test]
    fn what_nobody_waits_for_is_synced_some_time_after_the_first_of_it_whatever_comes() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace = pace.written(0, start);
        for at in 1..100 {
            pace = pace.written(0, start + at * MS);
            assert!(!pace.is_due(start + at * MS));
        }
        assert!(pace.is_due(start + UNSYNCED));
    }
}
