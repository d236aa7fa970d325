use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use redis::{Cmd, Pipeline};

use super::{Redis, script::Script, server::Away};
use crate::{
    error::{Error, ErrorKind},
    store::{HotEntry, HotKey, HotStore, StoreFuture, plain::lasting},
};

/// Each copy is a hash of its version and its value.
static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keep_newest.lua")));

/// Copies that processes share.
pub struct RedisHot(Arc<Redis>);

impl RedisHot {
    /// Copies in `redis`.
    #[must_use]
    pub fn new(redis: Arc<Redis>) -> Self {
        Self(redis)
    }
}

impl HotStore for RedisHot {
    fn get<'a>(&'a self, keys: &'a [HotKey]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(async move {
            let mut all = Pipeline::new();
            for key in keys {
                all.add_command(Cmd::hget(key.as_str(), "value"));
            }
            let copies = self
                .0
                .ask(async |connection| all.query_async(connection).await);
            copies.await.map_err(away)
        })
    }

    fn put<'a>(&'a self, entries: &'a [HotEntry], ttl: Duration) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let names = entries.iter().map(|entry| entry.key.to_string());
            let put = PUT.call(names.collect()).number(lasting(ttl));
            let put = entries.iter().fold(put, |put, entry| {
                put.number(entry.version).arg(&entry.value[..])
            });
            let kept = self
                .0
                .ask(async |connection| put.run::<u64>(connection).await);
            kept.await.map(drop).map_err(away)
        })
    }
}

fn away(_: Away) -> Error {
    Error::new(ErrorKind::Unavailable, "the hot store does not answer")
}

impl fmt::Debug for RedisHot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisHot").field(&self.0).finish()
    }
}
