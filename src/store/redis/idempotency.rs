use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{Redis, queue::Job, record, script::Script};
use crate::{
    error::Error,
    store::{
        Begun, IdempotencyKey, IdempotencyStore, KeptCall, Question, StoreFuture,
        memory::MemoryIdempotency,
    },
};

/// How long a claim outlives the process that made it.
const LEASE: Duration = Duration::from_secs(15);

/// How often a claim is looked at while another process carries the call out; the pause doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// How long what another process has done is remembered here as well.
const NEAR: Duration = Duration::from_secs(60);

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
/// A claim that is gone was nobody else's: its server has forgotten it.
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
pub struct RedisIdempotency(Arc<Shared>);

struct Shared {
    near: MemoryIdempotency,
    redis: Arc<Redis>,
    /// The claims of this process in Redis, with what they look like there.
    claims: Mutex<HashMap<(IdempotencyKey, u64), Vec<u8>>>,
    /// Tells this process from all others.
    process: [u8; 16],
}

impl RedisIdempotency {
    /// Names in `redis`; those of this process in `near`.
    ///
    /// Must be called on a tokio runtime: a task renews the claims.
    #[must_use]
    pub fn new(redis: Arc<Redis>, near: MemoryIdempotency) -> Self {
        let shared = Arc::new(Shared {
            near,
            redis,
            claims: Mutex::default(),
            process: fastrand::u128(..).to_le_bytes(),
        });
        let renewing = Arc::downgrade(&shared);
        #[expect(
            clippy::disallowed_methods,
            reason = "the only task of the store; it has nothing to finish, and ends when the store is dropped"
        )]
        drop(tokio::spawn(async move {
            loop {
                sleep(LEASE / 3).await;
                match renewing.upgrade() {
                    Some(shared) => shared.renew(),
                    None => break,
                }
            }
        }));
        Self(shared)
    }
}

impl Shared {
    async fn begin(
        &self,
        key: &IdempotencyKey,
        question: &Question,
        patience: Duration,
    ) -> Result<Begun, Error> {
        let deadline = Instant::now() + patience;
        let begun = self.near.begin(key, question, patience).await?;
        let Begun::New(claim) = begun else {
            return Ok(begun);
        };
        // Given up if this call leaves while it waits for another process.
        let mut unclaimed = Unclaimed(self, key, Some(claim));
        let begun = self.claim(key, question, claim, deadline).await;
        match &begun {
            Begun::New(_) => unclaimed.2 = None,
            Begun::Done(call) => self.near.finish(key, claim, call.clone(), NEAR),
            _ => {}
        }
        Ok(begun)
    }

    /// Claims the name in Redis, or waits for the process that has.
    async fn claim(
        &self,
        key: &IdempotencyKey,
        question: &Question,
        claim: u64,
        deadline: Instant,
    ) -> Begun {
        let mine = self.mark(claim, question);
        let call = CLAIM.call(vec![name(key)]);
        let call = call.arg(mine.clone()).number(millis(LEASE));
        let mut pause = FIRST_PAUSE;
        loop {
            let kept = self.redis.ask(async |c| call.run::<Option<Bytes>>(c).await);
            let Ok(kept) = kept.await else {
                return Begun::New(claim);
            };
            let Some(kept) = kept.filter(|kept| **kept != *mine) else {
                self.claims().insert((*key, claim), mine);
                return Begun::New(claim);
            };
            match state(kept) {
                State::Claimed(by) if by != *question => return Begun::Different,
                State::Claimed(_) => {}
                State::Done(call) if call.question != *question => return Begun::Different,
                State::Done(call) => return Begun::Done(call),
                // What cannot be read cannot be repeated, and must not be carried out again.
                State::Unreadable => return Begun::Busy,
            }
            if Instant::now() + pause > deadline {
                return Begun::Busy;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    fn renew(&self) {
        for ((key, _), mine) in &*self.claims() {
            let call = RENEW.call(vec![name(key)]).arg(mine.clone());
            self.redis.later(Job::Script(call.number(millis(LEASE))));
        }
    }

    /// A claim as it stands in Redis.
    fn mark(&self, claim: u64, question: &Question) -> Vec<u8> {
        let mut mark = vec![CLAIMED];
        mark.extend_from_slice(question);
        mark.extend_from_slice(&self.process);
        mark.extend_from_slice(&claim.to_be_bytes());
        mark
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<(IdempotencyKey, u64), Vec<u8>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that is claimed in this process and nowhere else.
struct Unclaimed<'a>(&'a Shared, &'a IdempotencyKey, Option<u64>);

impl Drop for Unclaimed<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.2 {
            self.0.near.abandon(self.1, claim, None);
        }
    }
}

impl IdempotencyStore for RedisIdempotency {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        question: &'a Question,
        patience: Duration,
    ) -> StoreFuture<'a, Begun> {
        Box::pin(self.0.begin(key, question, patience))
    }

    fn finish(&self, key: &IdempotencyKey, claim: u64, call: Arc<KeptCall>, ttl: Duration) {
        let shared = &self.0;
        let mine = shared.claims().remove(&(*key, claim));
        let mine = mine.unwrap_or_else(|| shared.mark(claim, &call.question));
        if let Some(mut bytes) = record::of_call(&call) {
            bytes.insert(0, DONE);
            let job = FINISH.call(vec![name(key)]).arg(mine).arg(bytes);
            shared.redis.later(Job::Script(job.number(millis(ttl))));
        }
        shared.near.finish(key, claim, call, ttl);
    }

    fn abandon(&self, key: &IdempotencyKey, claim: u64, error: Option<&Error>) {
        let shared = &self.0;
        if let Some(mine) = shared.claims().remove(&(*key, claim)) {
            let call = ABANDON.call(vec![name(key)]).arg(mine);
            shared.redis.later(Job::Script(call));
        }
        shared.near.abandon(key, claim, error);
    }
}

const CLAIMED: u8 = b'C';
const DONE: u8 = b'D';

/// What Redis has under a name.
enum State {
    Claimed(Question),
    Done(Arc<KeptCall>),
    Unreadable,
}

fn state(kept: Bytes) -> State {
    match kept.first() {
        Some(&CLAIMED) => match kept[1..].first_chunk() {
            Some(question) => State::Claimed(*question),
            None => State::Unreadable,
        },
        Some(&DONE) => match record::call(kept.slice(1..)) {
            Some(call) => State::Done(Arc::new(call)),
            None => State::Unreadable,
        },
        _ => State::Unreadable,
    }
}

fn name(key: &IdempotencyKey) -> String {
    format!("llm:call:{}", blake3::Hash::from_bytes(*key).to_hex())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl fmt::Debug for RedisIdempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisIdempotency")
            .field("near", &self.0.near)
            .field("redis", &self.0.redis)
            .finish_non_exhaustive()
    }
}
