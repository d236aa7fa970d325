//! A hot layer in front of cold stores: what conversations are about to need is at hand for a time, and can always be had again.
//!
//! What is hot is a copy. It is read first, rebuilt from the cold store when it is gone, and replaced after each change. Copies
//! carry a version, and an older one never takes the place of a newer one, so that a slow reader does not bring back what has
//! changed meanwhile. A change whose copy could not be written is remembered: until it can be, the cold store is asked. A deletion
//! whose mark could not be written does not take place.

mod conversations;
mod key;
mod record;
mod todos;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

pub use key::{HotKey, HotKind};

use super::{ConversationKey, StoreFuture};
use crate::error::{Error, ErrorKind};

/// A copy under its key.
#[derive(Debug, Clone)]
pub struct HotEntry {
    /// Its key.
    pub key: HotKey,
    /// The larger, the newer.
    pub version: u64,
    /// What is copied, as JSON; empty where the cold store is to be asked.
    pub value: Bytes,
}

impl HotEntry {
    /// Newer than every copy. The largest whole number that a Lua script can tell from its neighbours.
    const LAST: u64 = (1 << 53) - 1;

    /// A copy of what can be written. Of more than a mebibyte there is none: the cold store has it, and pictures are better read
    /// there than passed around with every call.
    fn of(key: HotKey, version: u64, value: Option<Bytes>) -> Self {
        const LONGEST: usize = 1 << 20;
        Self {
            key,
            version,
            value: value
                .filter(|value| value.len() <= LONGEST)
                .unwrap_or_default(),
        }
    }

    /// Says for a while that there is no copy under `key`.
    fn gone(key: HotKey) -> Self {
        Self {
            key,
            version: Self::LAST,
            value: Bytes::new(),
        }
    }
}

/// Keeps copies for a time, in one process or for several.
pub trait HotStore: Send + Sync {
    /// The copies under these keys of one conversation, in one go. What cannot be told is not there.
    fn get<'a>(&'a self, keys: &'a [HotKey]) -> StoreFuture<'a, Vec<Option<Bytes>>>;

    /// Keeps copies of one conversation for `ttl`, each unless a newer one is there.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it is not known whether they are kept.
    fn put<'a>(&'a self, entries: &'a [HotEntry], ttl: Duration) -> StoreFuture<'a, ()>;
}

/// A cold store with a hot layer in front of it: the same store, faster. For conversations and for todo lists.
///
/// Processes that share the cold store must share the hot one too.
pub struct Hot<S: ?Sized> {
    hot: Arc<dyn HotStore>,
    ttl: Duration,
    unsure: Mutex<HashMap<ConversationKey, Instant>>,
    cold: Arc<S>,
}

/// So long a copy says that there is nothing, from before a deletion on. No deletion with the readers before it is slower.
const GONE: Duration = Duration::from_secs(60);

/// So many conversations may be unsure before those whose copies are gone by now are swept out.
const MANY: usize = 1_000;

impl<S: ?Sized> Hot<S> {
    /// `cold`, with copies in `hot` that live for `ttl`.
    #[must_use]
    pub fn new(cold: Arc<S>, hot: Arc<dyn HotStore>, ttl: Duration) -> Self {
        Self {
            hot,
            ttl,
            unsure: Mutex::default(),
            cold,
        }
    }

    /// The copies under these keys; none while it is not sure that they are the newest.
    async fn copies(&self, key: &ConversationKey, keys: &[HotKey]) -> Vec<Option<Bytes>> {
        if self.unsure().contains_key(key) {
            return Vec::new();
        }
        let copies = self.hot.get(keys).await.unwrap_or_default();
        let known = |copy: Option<Bytes>| copy.filter(|value| !value.is_empty());
        copies.into_iter().map(known).collect()
    }

    /// Keeps copies of what has just been read or changed.
    async fn keep(&self, key: &ConversationKey, entries: &[HotEntry]) {
        // What cannot be kept is remembered.
        let _ = self.put(key, entries, self.ttl).await;
    }

    /// Lets the copies go before the cold store forgets what they are of: one that stayed would be read by others for as long as it
    /// lives, and would hide what comes after it under the same key.
    ///
    /// # Errors
    /// If it is not known whether they are gone: then nothing may be forgotten yet.
    async fn forget(
        &self,
        key: &ConversationKey,
        keys: impl IntoIterator<Item = HotKey>,
    ) -> Result<(), Error> {
        let gone: Vec<_> = keys.into_iter().map(HotEntry::gone).collect();
        self.put(key, &gone, GONE).await.map_err(|error| {
            let what = "nothing is deleted while its copies cannot be; ask again in a moment";
            Error::new(ErrorKind::Unavailable, what).with_source(error)
        })
    }

    async fn put(
        &self,
        key: &ConversationKey,
        entries: &[HotEntry],
        ttl: Duration,
    ) -> Result<(), Error> {
        let kept = self.hot.put(entries, ttl).await;
        let mut unsure = self.unsure();
        if kept.is_ok() {
            unsure.remove(key);
            return kept;
        }
        let now = Instant::now();
        if unsure.len() >= MANY {
            unsure.retain(|_, since| now.duration_since(*since) < self.ttl);
        }
        unsure.insert(key.clone(), now);
        kept
    }

    fn unsure(&self) -> MutexGuard<'_, HashMap<ConversationKey, Instant>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: ?Sized> fmt::Debug for Hot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hot")
            .field("ttl", &self.ttl)
            .field("unsure", &self.unsure().len())
            .finish_non_exhaustive()
    }
}
