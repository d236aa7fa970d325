//! What is asked on the path of a call: in memory, and where processes share it, in Redis.

use std::sync::Arc;

use rungs::{
    Error,
    store::{
        CacheStore, HotStore, IdempotencyStore, RateStore,
        memory::{MemoryCache, MemoryHot, MemoryRates},
        redis::{Redis, RedisCache, RedisHot, RedisIdempotency, RedisRates},
    },
};

use crate::{
    config::{Config, StoreUrl},
    stores::names_here,
};

/// The longest answer that processes share, in bytes.
const LONGEST_SHARED: usize = 1 << 20;

/// The stores.
pub(crate) struct Hot {
    pub(crate) rates: Arc<dyn RateStore>,
    pub(crate) cache: Arc<dyn CacheStore>,
    /// Names of calls that clients may repeat.
    pub(crate) names: Arc<dyn IdempotencyStore>,
    /// Copies of what was said in conversations, where they spare something.
    pub(crate) copies: Option<Arc<dyn HotStore>>,
    pub(crate) redis: Option<Arc<Redis>>,
}

impl Hot {
    /// Opens what `config` asks for. A Redis that is away does not keep the gateway from starting, one that will not do does.
    /// Names of calls are in `names` unless processes meet in a Redis.
    pub(crate) async fn open(
        config: &Config,
        names: Option<Arc<dyn IdempotencyStore>>,
    ) -> Result<Self, Error> {
        let cache = Arc::new(MemoryCache::new(config.cache.max_bytes));
        let Some(url) = &config.store.redis else {
            return Ok(Self {
                rates: Arc::new(MemoryRates::new()),
                cache,
                names: names.unwrap_or_else(|| Arc::new(names_here(config))),
                // In a process that shares its database they would be older than what another has written.
                copies: match config.store.url {
                    StoreUrl::Sqlite(_) => {
                        Some(Arc::new(MemoryHot::new(config.conversation.max_bytes)))
                    }
                    StoreUrl::Memory | StoreUrl::Postgres(_) => None,
                },
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
            names: Arc::new(RedisIdempotency::new(redis.clone(), names_here(config))),
            // What only this process remembers is nothing for others.
            copies: match config.store.url {
                StoreUrl::Memory => None,
                _ => Some(Arc::new(RedisHot::new(redis.clone()))),
            },
            redis: Some(redis),
        })
    }
}
