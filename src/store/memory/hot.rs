use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use moka::{Expiry, ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use super::done;
use crate::store::{HotEntry, HotKey, HotStore, StoreFuture};

/// Copies in the memory of one process, bounded in bytes: when it is full, what was longest not asked for goes first.
///
/// Only for a process that has its cold store to itself: nobody tells it what another process changes.
pub struct MemoryHot(Cache<HotKey, Kept>);

#[derive(Clone)]
struct Kept {
    version: u64,
    value: Bytes,
    ttl: Duration,
}

struct PerCopy;

impl MemoryHot {
    /// Keeps about `capacity` bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        const FIXED: usize = 128;
        let copies = Cache::builder()
            .max_capacity(capacity)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|key: &HotKey, kept: &Kept| {
                let bytes = FIXED + key.as_str().len() + kept.value.len();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .expire_after(PerCopy)
            .build();
        Self(copies)
    }

    /// Forgets everything.
    pub fn flush(&self) {
        self.0.invalidate_all();
    }
}

impl HotStore for MemoryHot {
    fn get<'a>(&'a self, keys: &'a [HotKey]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        let copies = keys.iter().map(|key| Some(self.0.get(key)?.value));
        done(copies.collect())
    }

    fn put<'a>(&'a self, entries: &'a [HotEntry], ttl: Duration) -> StoreFuture<'a, ()> {
        for entry in entries {
            self.0.entry_by_ref(&entry.key).and_compute_with(|old| {
                if old.is_some_and(|old| old.into_value().version > entry.version) {
                    return Op::Nop;
                }
                Op::Put(Kept {
                    version: entry.version,
                    value: entry.value.clone(),
                    ttl,
                })
            });
        }
        done(())
    }
}

impl Expiry<HotKey, Kept> for PerCopy {
    fn expire_after_create(&self, _: &HotKey, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }

    fn expire_after_update(
        &self,
        _: &HotKey,
        kept: &Kept,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.ttl)
    }
}

impl fmt::Debug for MemoryHot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHot")
            .field("copies", &self.0.entry_count())
            .field("weight", &self.0.weighted_size())
            .finish()
    }
}
