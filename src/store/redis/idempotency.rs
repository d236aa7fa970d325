use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Redis,
    queue::{BATCH, Job},
    script::Script,
    server::Away,
};
use crate::{
    error::{Error, ErrorKind},
    store::{
        Begun, IdempotencyKey, IdempotencyStore, KeptCall, Question, StoreFuture,
        idempotency::shared::{Claimed, Register, SharedNames},
        memory::MemoryIdempotency,
        plain::lasting,
    },
};

static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local kept = redis.call('GET', KEYS[1])
         if not kept then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
         return kept",
    )
});
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
         return 0",
    )
});
static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local kept = redis.call('GET', KEYS[1])
         if not kept or kept == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
         return 0",
    )
});
static ABANDON: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
         return 0",
    )
});

/// Names of calls in Redis: processes that share it carry a call out once. Calls of one process meet in its memory, and one of
/// them asks the Redis.
///
/// A claim in Redis is a lease that its process renews; it is free fifteen seconds after the process has died. While the
/// Redis is away, names hold within each process.
#[derive(Debug)]
pub struct RedisIdempotency(SharedNames<InRedis>);

struct InRedis(Arc<Redis>);

impl RedisIdempotency {
    /// Names in `redis`; those of this process in `near`.
    ///
    /// Must be called on a tokio runtime: a task renews the claims.
    #[must_use]
    pub fn new(redis: Arc<Redis>, near: MemoryIdempotency) -> Self {
        Self(SharedNames::new(InRedis(redis), near))
    }
}

impl Register for InRedis {
    fn claim<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        claim: &'a [u8],
        lease: Duration,
    ) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            let call = CLAIM
                .call(vec![name(key)])
                .arg(claim)
                .number(lasting(lease));
            let kept = self.0.ask(async |c| call.run::<Option<Bytes>>(c).await);
            kept.await.map_err(away)
        })
    }

    fn renew<'a>(&'a self, claims: &'a [Claimed], lease: Duration) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            for lot in claims.chunks(BATCH) {
                let renew = |(key, claim): &Claimed| {
                    let call = RENEW.call(vec![name(key)]).arg(&**claim);
                    Job::Script(call.number(lasting(lease)))
                };
                let lot: Vec<Job> = lot.iter().map(renew).collect();
                self.0.now(&lot).await.map_err(away)?;
            }
            Ok(())
        })
    }

    fn finish(&self, key: &IdempotencyKey, claim: Vec<u8>, call: Vec<u8>, ttl: Duration) {
        let job = FINISH.call(vec![name(key)]).arg(claim).arg(call);
        self.0.later(Job::Script(job.number(lasting(ttl))));
    }

    fn abandon(&self, key: &IdempotencyKey, claim: Vec<u8>) {
        let call = ABANDON.call(vec![name(key)]).arg(claim);
        self.0.later(Job::Script(call));
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            self.0.flush().await;
            Ok(())
        })
    }
}

impl IdempotencyStore for RedisIdempotency {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        question: &'a Question,
        patience: Duration,
    ) -> StoreFuture<'a, Begun> {
        self.0.begin(key, question, patience)
    }

    fn finish(&self, key: &IdempotencyKey, claim: u64, call: Arc<KeptCall>, ttl: Duration) {
        self.0.finish(key, claim, call, ttl);
    }

    fn abandon(&self, key: &IdempotencyKey, claim: u64, error: Option<&Error>) {
        self.0.abandon(key, claim, error);
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        self.0.flush()
    }
}

fn away(_: Away) -> Error {
    Error::new(ErrorKind::Unavailable, "redis does not answer")
}

fn name(key: &IdempotencyKey) -> String {
    format!("llm:call:{}", blake3::Hash::from_bytes(*key).to_hex())
}

impl fmt::Debug for InRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
