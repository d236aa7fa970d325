//! A hot layer that processes share: rate limits, cached answers, names of calls, copies of conversations. Never needed, and never in the way.
//!
//! # Example
//! ```no_run
//! use std::sync::Arc;
//! use rungs::store::{memory::MemoryCache, redis::{Redis, RedisCache, RedisConfig, RedisRates}};
//!
//! # async fn example() -> Result<(), rungs::Error> {
//! let redis = Arc::new(Redis::open(&"redis://127.0.0.1/".parse()?, RedisConfig::default()).await?);
//! let rates = RedisRates::new(redis.clone(), 4); // four processes share each limit
//! let cache = RedisCache::new(redis, Arc::new(MemoryCache::new(64 << 20)), 1 << 20);
//! # Ok(()) }
//! ```
//!
//! # When it does not answer
//! One wait is at most 25 ms ([`RedisConfig::patience`]). After three in a row that brought nothing, nobody waits any more until a
//! task in the background has found the server again; the log has one line for each of the two changes. A time-out means
//! *unknown*, never *no*: what was asked may yet happen, so limits can count too much, and never too little.
//!
//! | | meanwhile |
//! |---|---|
//! | [`RedisCache`] | only what this process has kept |
//! | [`RedisRates`] | what each limit's [`Alone`](crate::store::Alone) says: this process's part of it, or nothing at all |
//! | [`RedisIdempotency`] | a name holds within this process |
//! | [`RedisHot`] | nothing: the cold store is asked |
//!
//! No money is kept here: a Redis may be flushed, and the worst is a limit or a name that starts anew. One that is restored from older
//! data, or failed over to a replica that lags behind, may also have a copy again of a conversation that has gone on, or was deleted,
//! for as long as copies last.
//!
//! A database of a Redis belongs to the gateways of one ledger. Those of another need one of their own (`redis://host/1`): names of
//! conversations, limits and calls are the same in both.
//!
//! # Keys
//! `llm:{rate}:<limit>`, `llm:cache:<model>:<256 bits>`, `llm:call:<256 bits>`, and per conversation `conv:messages:{<tenant>/<id>}`,
//! `conv:summary:{<tenant>/<id>}` and `todo:list:{<tenant>/<id>}`, all with an expiry.

mod breaker;
mod cache;
mod check;
mod connection;
mod debt;
mod hot;
mod idempotency;
mod queue;
mod rates;
mod script;
mod server;
mod url;

pub use cache::RedisCache;
pub use hot::RedisHot;
pub use idempotency::RedisIdempotency;
pub use rates::RedisRates;
pub use server::{Redis, RedisConfig};
pub use url::RedisUrl;
