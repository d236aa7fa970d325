use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{Expiry, policy::EvictionPolicy, sync::Cache};
use tokio::{sync::watch, time::timeout_at};

use crate::{
    error::Error,
    store::{Begun, IdempotencyKey, IdempotencyStore, KeptCall, Question, StoreFuture},
};

/// Names of calls in the memory of one process, bounded in bytes: when they are full, what was longest not asked for goes first.
pub struct MemoryIdempotency {
    claims: Mutex<HashMap<IdempotencyKey, Held>>,
    kept: Cache<IdempotencyKey, Kept>,
    next: AtomicU64,
}

/// A claim, and how those are told who wait for it.
struct Held {
    question: Question,
    claim: u64,
    tell: watch::Sender<Option<Begun>>,
}

#[derive(Clone)]
struct Kept {
    call: Arc<KeptCall>,
    ttl: Duration,
}

struct PerCall;

impl MemoryIdempotency {
    /// Keeps about `capacity` bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let kept = Cache::builder()
            .max_capacity(capacity)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_: &IdempotencyKey, kept: &Kept| {
                u32::try_from(kept.call.weight()).unwrap_or(u32::MAX)
            })
            .expire_after(PerCall)
            .build();
        Self {
            claims: Mutex::default(),
            kept,
            next: AtomicU64::new(1),
        }
    }

    /// The bytes held, after housekeeping that is due.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.kept.run_pending_tasks();
        self.kept.weighted_size()
    }

    /// Claims `key`, or the way to wait for it.
    fn claim(&self, key: &IdempotencyKey, question: &Question) -> Result<Begun, Waiting> {
        let mut claims = self.claims();
        if let Some(held) = claims.get(key) {
            return match held.question == *question {
                true => Err(held.tell.subscribe()),
                false => Ok(Begun::Different),
            };
        }
        if let Some(Kept { call, .. }) = self.kept.get(key) {
            return Ok(match call.question == *question {
                true => Begun::Done(call),
                false => Begun::Different,
            });
        }
        let claim = self.next.fetch_add(1, Ordering::Relaxed);
        let held = Held {
            question: *question,
            claim,
            tell: watch::Sender::new(None),
        };
        claims.insert(*key, held);
        Ok(Begun::New(claim))
    }

    /// Ends a claim, unless it has ended already: keeps what came of it, and tells those who wait.
    fn end(
        &self,
        key: &IdempotencyKey,
        claim: u64,
        keep: Option<Kept>,
        told: impl FnOnce() -> Option<Begun>,
    ) {
        let mut claims = self.claims();
        if claims.get(key).is_none_or(|held| held.claim != claim) {
            return;
        }
        // Under the lock: nobody sees the name free in between.
        if let Some(kept) = keep.filter(|kept| !kept.ttl.is_zero()) {
            self.kept.insert(*key, kept);
        }
        if let Some(held) = claims.remove(key) {
            held.tell.send_replace(told());
        }
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<IdempotencyKey, Held>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Waiting = watch::Receiver<Option<Begun>>;

impl IdempotencyStore for MemoryIdempotency {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        question: &'a Question,
        patience: Duration,
    ) -> StoreFuture<'a, Begun> {
        Box::pin(async move {
            let deadline = tokio::time::Instant::now() + patience;
            loop {
                let mut waiting = match self.claim(key, question) {
                    Ok(begun) => return Ok(begun),
                    Err(waiting) => waiting,
                };
                let ended = timeout_at(deadline, waiting.wait_for(Option::is_some)).await;
                match ended {
                    Ok(Ok(told)) => {
                        if let Some(begun) = told.clone() {
                            return Ok(begun);
                        }
                    }
                    // Given up: one of those who wait carries it out.
                    Ok(Err(_)) => {}
                    Err(_) => return Ok(Begun::Busy),
                }
            }
        })
    }

    fn finish(&self, key: &IdempotencyKey, claim: u64, call: Arc<KeptCall>, ttl: Duration) {
        let kept = Kept {
            call: Arc::clone(&call),
            ttl,
        };
        self.end(key, claim, Some(kept), || Some(Begun::Done(call)));
    }

    fn abandon(&self, key: &IdempotencyKey, claim: u64, error: Option<&Error>) {
        self.end(key, claim, None, || error.cloned().map(Begun::Failed));
    }
}

impl Expiry<IdempotencyKey, Kept> for PerCall {
    fn expire_after_create(&self, _: &IdempotencyKey, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }
}

impl fmt::Debug for MemoryIdempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryIdempotency")
            .field("claims", &self.claims().len())
            .field("kept", &self.kept.entry_count())
            .finish_non_exhaustive()
    }
}
