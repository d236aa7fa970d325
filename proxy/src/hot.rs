//! What is asked on the path of a call: in memory, and where processes share it, in Redis.

use std::sync::Arc;

use rungs::{
    Error,
    store::{
        CacheStore, IdempotencyStore, RateStore,
        memory::{MemoryCache, MemoryIdempotency, MemoryRates},
        redis::{Redis, RedisCache, RedisIdempotency, RedisRates},
    },
};

use crate::config::Config;

/// The longest answer that processes share, in bytes.
const LONGEST_SHARED: usize = 1 << 20;

/// The stores.
pub(crate) struct Hot {
    pub(crate) rates: Arc<dyn RateStore>,
    pub(crate) cache: Arc<dyn CacheStore>,
    /// Names of calls that clients may repeat.
    pub(crate) names: Arc<dyn IdempotencyStore>,
    pub(crate) redis: Option<Arc<Redis>>,
}

impl Hot {
    /// Opens what `config` asks for. A Redis that is away does not keep the gateway from starting, one that will not do does.
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        let cache = Arc::new(MemoryCache::new(config.cache.max_bytes));
        let names = MemoryIdempotency::new(config.idempotency.max_bytes);
        let Some(url) = &config.store.redis else {
            return Ok(Self {
                rates: Arc::new(MemoryRates::new()),
                cache,
                names: Arc::new(names),
                redis: None,
            });
        };
        let redis = Arc::new(Redis::open(url, config.store.to_redis()).await?);
        Ok(Self {
            rates: Arc::new(RedisRates::new(
                redis.clone(),
                config.limits.replicas.unwrap_or(1),
            )),
            cache: Arc::new(RedisCache::new(redis.clone(), cache, LONGEST_SHARED)),
            names: Arc::new(RedisIdempotency::new(redis.clone(), names)),
            redis: Some(redis),
        })
    }
}
