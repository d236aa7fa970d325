use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use super::StoreFuture;
use crate::{
    catalog::DeploymentId,
    model::{Collected, Verdict},
};

/// The name of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey {
    /// The model that was asked for, so that people find its answers in a store that processes share.
    pub model: Arc<str>,
    /// 256 bits over tenant, operation, body, model and all, what the model name stood for, and whatever else answers depend on.
    pub hash: [u8; 32],
}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

/// A complete, successful answer.
#[derive(Debug, Clone)]
pub struct CacheEntry {
    /// Who really answered.
    pub deployment: DeploymentId,
    /// What other models said of it, if they were asked.
    pub verdict: Option<Verdict>,
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
