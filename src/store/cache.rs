use std::{sync::Arc, time::Duration};

use super::StoreFuture;
use crate::{catalog::DeploymentId, model::Collected};

/// The name of a question: 256 bits over tenant, operation, body and what the model name stood for.
pub type CacheKey = [u8; 32];

/// A complete, successful answer.
#[derive(Debug, Clone)]
pub struct CacheEntry {
    /// Who really answered.
    pub deployment: DeploymentId,
    /// The answer in the form in which it came.
    pub answer: Collected,
}

impl CacheEntry {
    /// Roughly the memory it takes, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const FIXED: usize = 256;
        FIXED + self.answer.weight()
    }
}

/// Keeps answers for a time.
pub trait CacheStore: Send + Sync {
    /// The entry under `key`, unless it has expired.
    fn get<'a>(&'a self, key: &'a CacheKey) -> StoreFuture<'a, Option<Arc<CacheEntry>>>;

    /// Keeps `entry` for `ttl`. Called from a tap: it must not block; a store that needs IO hands the entry to its own writer.
    fn put(&self, key: CacheKey, entry: Arc<CacheEntry>, ttl: Duration);
}
