use std::time::Duration;

use tokio::time::Instant;

/// A sum over the last one to two stretches of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lately {
    stretch: Duration,
    since: Instant,
    now: i64,
    before: i64,
}

impl Lately {
    pub(super) fn new(stretch: Duration, now: Instant) -> Self {
        Self {
            stretch,
            since: now,
            now: 0,
            before: 0,
        }
    }

    pub(super) fn add(&mut self, nanos: i64, now: Instant) {
        self.roll(now);
        self.now = self.now.saturating_add(nanos);
    }

    /// What comes in a stretch.
    pub(super) fn rate(&mut self, now: Instant) -> i64 {
        self.roll(now);
        self.now.max(self.before)
    }

    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed >= self.stretch {
            self.before = if passed < self.stretch * 2 {
                self.now
            } else {
                0
            };
            self.now = 0;
            self.since = now;
        }
    }
}
