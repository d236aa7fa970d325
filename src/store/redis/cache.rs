use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{Cmd, Pipeline};

use super::{Redis, queue::Job};
use crate::store::{
    CacheEntry, CacheKey, CacheStore, StoreFuture, memory::MemoryCache, plain::escape, record,
};

/// How long an answer is served from memory before the Redis behind it is asked again.
const NEAR: Duration = Duration::from_secs(30);

/// Answers in two levels: those of this process in memory, those of all processes in Redis behind it.
///
/// What Redis has is in front for half a minute at most, so that an answer which another process asked for anew is soon served here
/// too. What it has not, because it was away or the answer was too large for it, stays in front for all its time. A Redis that is
/// away, or that holds something unreadable, has nothing.
pub struct RedisCache {
    front: Arc<MemoryCache>,
    redis: Arc<Redis>,
    max_bytes: usize,
}

impl RedisCache {
    /// Answers of at most `max_bytes` in `redis`, behind those in `front`.
    #[must_use]
    pub fn new(redis: Arc<Redis>, front: Arc<MemoryCache>, max_bytes: usize) -> Self {
        Self {
            front,
            redis,
            max_bytes,
        }
    }

    async fn behind(&self, key: &CacheKey) -> Option<Arc<CacheEntry>> {
        let name = name(key);
        let mut both = Pipeline::new();
        both.add_command(Cmd::get(&name));
        both.add_command(Cmd::pttl(&name));
        let answer = self
            .redis
            .ask(async |connection| both.query_async::<(Option<Bytes>, i64)>(connection).await);
        let (bytes, left) = answer.await.ok()?;
        let entry = Arc::new(record::entry(bytes?)?);
        let left = Duration::from_millis(u64::try_from(left).ok()?);
        self.front.put(key.clone(), entry.clone(), left.min(NEAR));
        Some(entry)
    }
}

impl CacheStore for RedisCache {
    fn get<'a>(&'a self, key: &'a CacheKey) -> StoreFuture<'a, Option<Arc<CacheEntry>>> {
        Box::pin(async move {
            match self.front.get(key).await? {
                Some(entry) => Ok(Some(entry)),
                None => Ok(self.behind(key).await),
            }
        })
    }

    fn put(&self, key: CacheKey, entry: Arc<CacheEntry>, mut ttl: Duration) {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if millis > 0
            && self.redis.is_up()
            && entry.weight() <= self.max_bytes
            && let Some(bytes) = record::of_entry(&entry)
        {
            let weight = bytes.len();
            let job = Job::Command(Cmd::pset_ex(name(&key), bytes, millis), weight);
            self.redis.later(job);
            ttl = ttl.min(NEAR);
        }
        self.front.put(key, entry, ttl);
    }
}

fn name(key: &CacheKey) -> String {
    /// Clients choose the name of a model; the hash tells those apart that begin alike.
    const LONGEST: usize = 64;
    let mut name = String::from("llm:cache:");
    let end = key.model.floor_char_boundary(LONGEST);
    escape(&mut name, &key.model[..end]);
    name.push(':');
    name.push_str(&blake3::Hash::from_bytes(key.hash).to_hex());
    name
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache")
            .field("front", &self.front)
            .field("redis", &self.redis)
            .finish_non_exhaustive()
    }
}
