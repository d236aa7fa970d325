use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::done;
use crate::store::{Quota, RateDecision, RateStore, StoreFuture};

const SHARDS: usize = 16;
const SWEEP_AT_LEAST: usize = 256;

/// Token buckets in memory. A bucket holds the whole quota and fills evenly over the period.
///
/// Arithmetic is on integers and exact. A bucket that has filled up again is forgotten, so that names that come and go (users,
/// addresses) leave nothing behind.
pub struct MemoryRates {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

struct Shard {
    buckets: HashMap<Box<str>, Bucket>,
    sweep_at: usize,
}

/// How empty a bucket is. The unit is one unit of the quota times one nanosecond, so that both a unit (`period` of them) and
/// the refill of a nanosecond (`limit` of them) are whole numbers.
#[derive(Clone, Copy)]
struct Bucket {
    used: u128,
    quota: Quota,
    at: Instant,
}

impl MemoryRates {
    /// No limit used.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    buckets: HashMap::new(),
                    sweep_at: SWEEP_AT_LEAST,
                })
            }),
            hasher: RandomState::new(),
        }
    }

    /// How many names are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| lock(s).buckets.len()).sum()
    }

    /// Whether no name is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the bucket of `name`, as it stands now, to `change`.
    fn with<T>(&self, name: &str, quota: Quota, change: impl FnOnce(&mut Bucket) -> T) -> T {
        let now = Instant::now();
        let shard = usize::try_from(self.hasher.hash_one(name) % SHARDS as u64).unwrap_or(0);
        let mut shard = lock(&self.shards[shard]);
        if let Some(bucket) = shard.buckets.get_mut(name) {
            bucket.refill(quota, now);
            return change(bucket);
        }
        let mut bucket = Bucket {
            used: 0,
            quota,
            at: now,
        };
        let result = change(&mut bucket);
        if bucket.used > 0 {
            shard.make_room(now);
            shard.buckets.insert(name.into(), bucket);
        }
        result
    }
}

impl Shard {
    /// Forgets full buckets each time the map has doubled: constant work per new name, and at most twice the memory in use.
    fn make_room(&mut self, now: Instant) {
        if self.buckets.len() < self.sweep_at {
            return;
        }
        self.buckets.retain(|_, bucket| {
            bucket.refill(bucket.quota, now);
            bucket.used > 0
        });
        self.sweep_at = (self.buckets.len() * 2).max(SWEEP_AT_LEAST);
        self.buckets.shrink_to(self.sweep_at);
    }
}

impl Bucket {
    fn refill(&mut self, quota: Quota, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        let refilled = elapsed.saturating_mul(self.quota.limit.into());
        self.used = self.used.saturating_sub(refilled);
        if self.quota.period != quota.period {
            let old = self.quota.period.as_nanos().max(1);
            self.used = self.used.saturating_mul(quota.period.as_nanos()) / old;
        }
        self.quota = quota;
        self.at = now;
    }

    fn take(&mut self, units: u64) -> RateDecision {
        let Quota { limit, period } = self.quota;
        if units > limit {
            return RateDecision::Refused {
                retry_after: period,
            };
        }
        let unit = period.as_nanos();
        let capacity = unit.saturating_mul(limit.into());
        let wanted = self.used.saturating_add(unit.saturating_mul(units.into()));
        if let Some(missing) = wanted.checked_sub(capacity).filter(|&m| m > 0) {
            let nanos = missing.div_ceil(u128::from(limit.max(1)));
            let retry_after = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            return RateDecision::Refused { retry_after };
        }
        self.used = wanted;
        let free = (capacity - wanted).checked_div(unit);
        let remaining = free.map_or(limit, |free| u64::try_from(free).unwrap_or(limit));
        RateDecision::Taken { remaining }
    }

    fn adjust(&mut self, delta: i64) {
        let unit = self.quota.period.as_nanos();
        let change = unit.saturating_mul(delta.unsigned_abs().into());
        self.used = if delta < 0 {
            self.used.saturating_sub(change)
        } else {
            self.used.saturating_add(change)
        };
    }
}

impl RateStore for MemoryRates {
    fn take<'a>(
        &'a self,
        name: &'a str,
        quota: Quota,
        units: u64,
    ) -> StoreFuture<'a, RateDecision> {
        done(self.with(name, quota, |bucket| bucket.take(units)))
    }

    fn adjust(&self, name: &str, quota: Quota, delta: i64) {
        self.with(name, quota, |bucket| bucket.adjust(delta));
    }
}

impl Default for MemoryRates {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRates")
            .field("names", &self.len())
            .finish()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
