use std::time::Duration;

use tokio::time::Instant;

/// How long a lease should last.
const STRETCH: Duration = Duration::from_secs(30);

/// What was spent lately, per stretch of time. A guess: it sizes leases, and nothing depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recent {
    since: Instant,
    now: i64,
    before: i64,
}

impl Recent {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            now: 0,
            before: 0,
        }
    }

    pub(super) fn add(&mut self, nanos: i64, now: Instant) {
        self.roll(now);
        self.now = self.now.saturating_add(nanos);
    }

    /// What a stretch costs.
    pub(super) fn get(&mut self, now: Instant) -> i64 {
        self.roll(now);
        self.now.max(self.before)
    }

    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed >= STRETCH {
            self.before = if passed < STRETCH * 2 { self.now } else { 0 };
            self.now = 0;
            self.since = now;
        }
    }
}
