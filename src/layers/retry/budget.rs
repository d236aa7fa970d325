use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

/// How many retries are allowed right now: a bucket that calls fill and retries empty, shared by its clones.
#[derive(Clone)]
pub struct RetryBudget(Arc<Mutex<Bucket>>);

impl Default for RetryBudget {
    /// 10 % of the calls, and 10 a minute.
    fn default() -> Self {
        Self::new(10, 10)
    }
}

#[derive(Debug)]
struct Bucket {
    /// In hundredths of a retry.
    level: u64,
    percent: u64,
    per_minute: u64,
    filled: Instant,
}

/// One retry.
const ONE: u64 = 100;

impl RetryBudget {
    /// `percent` retries per hundred calls, and `per_minute` besides, so that a quiet service may retry too.
    ///
    /// The retries of one minute are there at the start, and ten times as many can be saved up.
    #[must_use]
    pub fn new(percent: u32, per_minute: u32) -> Self {
        let per_minute = u64::from(per_minute);
        Self(Arc::new(Mutex::new(Bucket {
            level: per_minute * ONE,
            percent: percent.into(),
            per_minute,
            filled: Instant::now(),
        })))
    }

    /// A call has come.
    pub(super) fn deposit(&self) {
        let mut bucket = self.bucket();
        let percent = bucket.percent;
        bucket.add(percent);
    }

    /// Takes one retry, if there is one.
    pub(super) fn withdraw(&self) -> bool {
        let mut bucket = self.bucket();
        bucket.fill(Instant::now());
        let left = bucket.level.checked_sub(ONE);
        bucket.level = left.unwrap_or(bucket.level);
        left.is_some()
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let due = elapsed.saturating_mul(self.per_minute * ONE) / 60_000;
        // Less than a hundredth is left to grow.
        if due > 0 {
            self.add(due);
            self.filled = now;
        }
    }

    fn add(&mut self, hundredths: u64) {
        let most = self.per_minute.max(1) * 10 * ONE;
        self.level = self.level.saturating_add(hundredths).min(most);
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bucket().fmt(f)
    }
}
