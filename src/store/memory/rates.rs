use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use smallvec::SmallVec;
use tokio::time::Instant;

use super::done;
use crate::store::{Correction, Quota, RateDecision, RateStore, Standing, StoreFuture, Take};

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
    /// What was taken beyond the whole quota, where others decide and this one only [fills](Self::fill). It comes back first, by time
    /// and from those that took it, until this bucket decides itself.
    beyond: u128,
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

    /// Asks all of `takes` at once. Locks are taken in the order of the shards, so that no two calls wait for each other.
    pub(in crate::store) fn take_now(&self, takes: &[Take<'_>]) -> RateDecision {
        let now = Instant::now();
        let homes: SmallVec<[usize; 4]> = takes.iter().map(|take| self.shard(take.name)).collect();
        let mut order = homes.clone();
        order.sort_unstable();
        order.dedup();
        let mut locked: SmallVec<[_; 4]> = order.iter().map(|n| lock(&self.shards[*n])).collect();
        let shard = |n: usize| order.binary_search(&homes[n]).unwrap_or(0);
        let mut buckets: SmallVec<[Bucket; 4]> = SmallVec::new();
        for (n, take) in takes.iter().enumerate() {
            let mut bucket = locked[shard(n)].bucket(take.name, take.quota, now);
            bucket.beyond = 0;
            buckets.push(bucket);
        }
        let mut decision = None;
        for (limit, (take, bucket)) in takes.iter().zip(&buckets).enumerate() {
            if let Some(retry_after) = bucket.wait_for(take.units) {
                decision = Some((limit, retry_after));
                break;
            }
        }
        if decision.is_none() {
            for (take, bucket) in takes.iter().zip(&mut buckets) {
                bucket.add(take.units);
            }
        }
        let standings = buckets.iter().map(Bucket::standing).collect();
        for (n, (take, bucket)) in takes.iter().zip(buckets).enumerate() {
            locked[shard(n)].put(take.name, bucket, now);
        }
        match decision {
            None => RateDecision::Taken(standings),
            Some((limit, retry_after)) => RateDecision::Refused {
                limit,
                retry_after,
                standings,
            },
        }
    }

    /// Takes so many units more, or fewer if negative, whether or not there is room.
    pub(in crate::store) fn shift(&self, name: &str, quota: Quota, units: i64) {
        self.change(name, quota, |bucket| bucket.adjust(units));
    }

    /// Takes what there is of so many units, and remembers what there is not, up to `most` units, for those who give some back.
    #[cfg(feature = "redis")]
    pub(in crate::store) fn fill(&self, name: &str, quota: Quota, units: u64, most: u64) {
        self.change(name, quota, |bucket| bucket.fill(units, most));
    }

    /// The units in use, rounded up.
    #[cfg(feature = "redis")]
    pub(in crate::store) fn used(&self, name: &str, quota: Quota) -> u64 {
        let shard = lock(&self.shards[self.shard(name)]);
        shard.bucket(name, quota, Instant::now()).units()
    }

    /// The same; afterwards none are in use.
    #[cfg(feature = "redis")]
    pub(in crate::store) fn drain(&self, name: &str, quota: Quota) -> u64 {
        let mut shard = lock(&self.shards[self.shard(name)]);
        let bucket = shard.bucket(name, quota, Instant::now());
        shard.buckets.remove(name);
        bucket.units()
    }

    fn change(&self, name: &str, quota: Quota, change: impl FnOnce(&mut Bucket)) {
        let now = Instant::now();
        let mut shard = lock(&self.shards[self.shard(name)]);
        let mut bucket = shard.bucket(name, quota, now);
        change(&mut bucket);
        shard.put(name, bucket, now);
    }

    fn shard(&self, name: &str) -> usize {
        usize::try_from(self.hasher.hash_one(name) % SHARDS as u64).unwrap_or(0)
    }
}

impl Shard {
    /// The bucket of `name` as it stands now.
    fn bucket(&self, name: &str, quota: Quota, now: Instant) -> Bucket {
        match self.buckets.get(name) {
            Some(kept) => {
                let mut bucket = *kept;
                bucket.refill(quota, now);
                bucket
            }
            None => Bucket {
                used: 0,
                beyond: 0,
                quota,
                at: now,
            },
        }
    }

    fn put(&mut self, name: &str, bucket: Bucket, now: Instant) {
        if let Some(kept) = self.buckets.get_mut(name) {
            *kept = bucket;
        } else if bucket.used > 0 {
            self.make_room(now);
            self.buckets.insert(name.into(), bucket);
        }
    }

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
        self.give_back(refilled);
        if self.quota.period != quota.period {
            let old = self.quota.period.as_nanos().max(1);
            for units in [&mut self.used, &mut self.beyond] {
                *units = units.saturating_mul(quota.period.as_nanos()) / old;
            }
        }
        self.quota = quota;
        // Whoever waited for the lock comes with an older time, and from then to now it is refilled already.
        self.at = self.at.max(now);
    }

    /// When `units` could be taken; `None` if that is now.
    fn wait_for(&self, units: u64) -> Option<Duration> {
        let Quota { limit, period } = self.quota;
        if units > limit {
            return Some(period);
        }
        let wanted = self.used.saturating_add(self.worth(units));
        let missing = wanted.checked_sub(self.worth(limit)).filter(|&m| m > 0)?;
        Some(self.refill_time(missing))
    }

    fn add(&mut self, units: u64) {
        self.used = self.used.saturating_add(self.worth(units));
    }

    fn give_back(&mut self, change: u128) {
        let rest = change.saturating_sub(self.beyond);
        self.beyond = self.beyond.saturating_sub(change);
        self.used = self.used.saturating_sub(rest);
    }

    #[cfg(feature = "redis")]
    fn fill(&mut self, units: u64, most: u64) {
        let full = self.worth(self.quota.limit).max(self.used);
        self.add(units);
        let beyond = self.beyond.saturating_add(self.used.saturating_sub(full));
        self.beyond = beyond.min(self.worth(most));
        self.used = self.used.min(full);
    }

    fn standing(&self) -> Standing {
        let Quota { limit, period } = self.quota;
        let free = self.worth(limit).saturating_sub(self.used);
        let free = free.checked_div(period.as_nanos());
        Standing {
            remaining: free.map_or(limit, |free| u64::try_from(free).unwrap_or(limit)),
            reset: self.refill_time(self.used),
        }
    }

    /// What `units` are in the unit of [`Self::used`].
    fn worth(&self, units: u64) -> u128 {
        self.quota.period.as_nanos().saturating_mul(units.into())
    }

    /// The units in use, rounded up.
    #[cfg(feature = "redis")]
    fn units(&self) -> u64 {
        let units = self.used.div_ceil(self.quota.period.as_nanos().max(1));
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    fn refill_time(&self, used: u128) -> Duration {
        let nanos = used.div_ceil(u128::from(self.quota.limit.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn adjust(&mut self, delta: i64) {
        match delta < 0 {
            true => self.give_back(self.worth(delta.unsigned_abs())),
            false => self.add(delta.unsigned_abs()),
        }
    }
}

impl RateStore for MemoryRates {
    fn take<'a>(&'a self, takes: &'a [Take<'a>]) -> StoreFuture<'a, RateDecision> {
        done(self.take_now(takes))
    }

    fn adjust(&self, name: &str, quota: Quota, correction: Correction) {
        match correction.delta(quota) {
            0 => {}
            delta => self.shift(name, quota, delta),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_gives_back_once_also_to_who_read_the_clock_before_another() {
        let quota = Quota::per_minute(60);
        let start = Instant::now();
        let mut bucket = Bucket {
            used: 0,
            beyond: 0,
            quota,
            at: start,
        };
        bucket.add(60);
        let later = start + Duration::from_secs(30);
        for now in [later, start, later] {
            bucket.refill(quota, now);
        }
        assert_eq!(bucket.used, bucket.worth(30));
    }
}
