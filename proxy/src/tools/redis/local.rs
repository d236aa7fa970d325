//! Values in memory, where there is no Redis.

use std::time::{Duration, Instant};

use moka::{Expiry, sync::Cache};

/// Bytes of all values together; the least used go first.
const ROOM: u64 = 64 << 20;

pub(crate) struct Local(Cache<String, Kept>);

#[derive(Clone)]
struct Kept {
    value: String,
    ttl: Duration,
}

/// Each value has its own time, counted from when it was set.
struct OwnTime;

impl Expiry<String, Kept> for OwnTime {
    fn expire_after_create(&self, _: &String, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }

    fn expire_after_update(
        &self,
        _: &String,
        kept: &Kept,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.ttl)
    }
}

impl Local {
    pub(super) fn new() -> Self {
        let weight = |key: &String, kept: &Kept| {
            u32::try_from(key.len() + kept.value.len() + 64).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(ROOM)
                .weigher(weight)
                .expire_after(OwnTime)
                .build(),
        )
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.0.get(key).map(|kept| kept.value)
    }

    pub(super) fn set(&self, key: String, value: String, ttl: Duration) {
        self.0.insert(key, Kept { value, ttl });
    }

    pub(super) fn del(&self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }
}
