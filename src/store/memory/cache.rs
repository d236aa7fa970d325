use std::{fmt, sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use quick_cache::{
    OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use tokio::time::Instant;

use super::done;
use crate::store::{CacheEntry, CacheKey, CacheStore, StoreFuture};

/// About the size of an answer, in bytes.
const USUAL: u64 = 2 << 10;

/// The least that is behind one lock, in bytes.
const SHARD: u64 = 8 << 20;

/// Answers in memory, bounded in bytes; what is asked for often outlives what is not.
///
/// An answer that would take more than 7 MiB, or nearly all of a smaller capacity, may not be kept. One whose time is over
/// is given up when it is asked for, or when there is no room for another one.
pub struct MemoryCache(Cache<CacheKey, Kept, ByWeight, RandomState>);

#[derive(Clone)]
struct Kept {
    entry: Arc<CacheEntry>,
    /// In bytes.
    weight: u64,
    /// `None` if that is too far away to be told.
    until: Option<Instant>,
}

impl Kept {
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<CacheKey, Kept> for ByWeight {
    fn weight(&self, _: &CacheKey, kept: &Kept) -> u64 {
        kept.weight
    }
}

impl MemoryCache {
    /// A cache of at most `capacity` bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let most = (capacity / SHARD).clamp(1, 256);
        let shards = 1 << most.ilog2();
        let options = OptionsBuilder::new()
            // Each has the same whole number of bytes.
            .weight_capacity(capacity - capacity % shards)
            .estimated_items_capacity(usize::try_from(capacity / USUAL).unwrap_or(usize::MAX))
            .shards(usize::try_from(shards).unwrap_or(1))
            .build()
            .expect("both capacities are set");
        Self(Cache::with_options(
            options,
            ByWeight,
            RandomState::default(),
            DefaultLifecycle::default(),
        ))
    }

    /// The bytes held.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.0.weight()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.clear();
    }
}

impl CacheStore for MemoryCache {
    fn get<'a>(&'a self, key: &'a CacheKey) -> StoreFuture<'a, Option<Arc<CacheEntry>>> {
        let found = self.0.get(key).filter(|kept| {
            let is_over = kept.is_over();
            if is_over {
                // Unless another answer has come meanwhile.
                self.0.remove_if(key, |kept| kept.is_over());
            }
            !is_over
        });
        done(found.map(|kept| kept.entry))
    }

    fn put(&self, key: CacheKey, entry: Arc<CacheEntry>, ttl: Duration) {
        if ttl.is_zero() {
            return;
        }
        let kept = Kept {
            weight: entry.weight() as u64,
            until: Instant::now().checked_add(ttl),
            entry,
        };
        self.0.insert(key, kept);
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache")
            .field("entries", &self.0.len())
            .field("weight", &self.0.weight())
            .finish()
    }
}
