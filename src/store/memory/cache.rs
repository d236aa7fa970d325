use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use moka::{Expiry, sync::Cache};

use super::done;
use crate::store::{CacheEntry, CacheKey, CacheStore, StoreFuture};

/// Answers in memory, bounded in bytes; what is asked for often outlives what is not.
pub struct MemoryCache(Cache<CacheKey, Kept, RandomState>);

#[derive(Clone)]
struct Kept {
    entry: Arc<CacheEntry>,
    ttl: Duration,
}

struct PerEntry;

impl MemoryCache {
    /// A cache of about `capacity` bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_: &CacheKey, kept: &Kept| {
                u32::try_from(kept.entry.weight()).unwrap_or(u32::MAX)
            })
            .expire_after(PerEntry)
            // Keys are hashes already.
            .build_with_hasher(RandomState::default());
        Self(cache)
    }

    /// The bytes held, after housekeeping that is due.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.weighted_size()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.invalidate_all();
    }
}

impl CacheStore for MemoryCache {
    fn get<'a>(&'a self, key: &'a CacheKey) -> StoreFuture<'a, Option<Arc<CacheEntry>>> {
        done(self.0.get(key).map(|kept| kept.entry))
    }

    fn put(&self, key: CacheKey, entry: Arc<CacheEntry>, ttl: Duration) {
        if !ttl.is_zero() {
            self.0.insert(key, Kept { entry, ttl });
        }
    }
}

impl Expiry<CacheKey, Kept> for PerEntry {
    fn expire_after_create(&self, _: &CacheKey, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }

    fn expire_after_update(
        &self,
        _: &CacheKey,
        kept: &Kept,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.ttl)
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache")
            .field("entries", &self.0.entry_count())
            .field("weight", &self.0.weighted_size())
            .finish()
    }
}
