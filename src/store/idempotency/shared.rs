//! Names that processes share: calls of one process meet in its memory, and one of them asks where all processes meet.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{
    Begun, IdempotencyKey, IdempotencyStore, KeptCall, Question,
    state::{State, claimed, done, unreadable},
};
use crate::{
    error::Error,
    store::{StoreFuture, memory::MemoryIdempotency},
};

/// How long a claim outlives the process that made it.
const LEASE: Duration = Duration::from_secs(15);

/// How often claims are renewed, and how soon again when they could not be.
const RENEWAL: Duration = Duration::from_secs(5);
const NEXT_TRY: Duration = Duration::from_secs(1);

/// How often a claim is looked at while another process carries the call out; the pause doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// How long what another process has done is remembered here as well.
const NEAR: Duration = Duration::from_secs(60);

/// A name, and the claim under it.
pub(in crate::store) type Claimed = (IdempotencyKey, Vec<u8>);

/// Where processes meet. Under a name stands a claim or what came of a call, as bytes that nobody there understands.
pub(in crate::store) trait Register: fmt::Debug + Send + Sync + 'static {
    /// Puts `claim` under a name for `lease` if nothing is there; returns what is there otherwise.
    ///
    /// # Errors
    /// If nobody can tell.
    fn claim<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        claim: &'a [u8],
        lease: Duration,
    ) -> StoreFuture<'a, Option<Bytes>>;

    /// Leaves those of `claims` that are there for another `lease`. It is not in the way of what follows: however many there are, what
    /// came of a call does not wait for them.
    ///
    /// # Errors
    /// If some are not renewed.
    fn renew<'a>(&'a self, claims: &'a [Claimed], lease: Duration) -> StoreFuture<'a, ()>;

    /// Puts what came of a call in place of its claim, for `ttl`. A claim that is gone was nobody else's: it was forgotten. Neither
    /// this nor [`abandon`](Self::abandon) waits.
    fn finish(&self, key: &IdempotencyKey, claim: Vec<u8>, call: Vec<u8>, ttl: Duration);

    /// Takes `claim` away, if it is there.
    fn abandon(&self, key: &IdempotencyKey, claim: Vec<u8>);

    /// Returns once all of that is done that can be done.
    fn flush(&self) -> StoreFuture<'_, ()>;
}

/// Names in a register, and those of this process in its memory.
///
/// A claim is a lease that its process renews; it is free fifteen seconds after the process has died. While the register is away,
/// names hold within each process.
pub(in crate::store) struct SharedNames<R>(Arc<Shared<R>>);

struct Shared<R> {
    near: MemoryIdempotency,
    register: R,
    /// The claims of this process that are in the register, or may be, with what they look like there.
    claims: Mutex<HashMap<(IdempotencyKey, u64), Vec<u8>>>,
    /// Tells this process from all others.
    process: [u8; 16],
}

impl<R: Register> SharedNames<R> {
    /// Must be called on a tokio runtime: a task renews the claims.
    pub(in crate::store) fn new(register: R, near: MemoryIdempotency) -> Self {
        let shared = Arc::new(Shared {
            near,
            register,
            claims: Mutex::default(),
            process: fastrand::u128(..).to_le_bytes(),
        });
        let renewing = Arc::downgrade(&shared);
        #[expect(
            clippy::disallowed_methods,
            reason = "the only task of the store; it has nothing to finish, and ends when the store is dropped"
        )]
        drop(tokio::spawn(async move {
            let mut pause = RENEWAL;
            loop {
                sleep(pause).await;
                let Some(shared) = renewing.upgrade() else {
                    break;
                };
                pause = match shared.renew().await {
                    Ok(()) => RENEWAL,
                    Err(_) => NEXT_TRY,
                };
            }
        }));
        Self(shared)
    }
}

impl<R: Register> Shared<R> {
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
        // Given up if this call leaves while it asks, or waits for another process.
        let mut unclaimed = Unclaimed(self, key, Some(claim));
        let begun = self.claim(key, question, claim, deadline).await;
        match &begun {
            Begun::New(_) => unclaimed.2 = None,
            // Something else stands there, as the register has said.
            _ => drop(self.claims().remove(&(*key, claim))),
        }
        if let Begun::Done(call) = &begun {
            self.near.finish(key, claim, call.clone(), NEAR);
        }
        Ok(begun)
    }

    /// Claims the name in the register, or waits for the process that has.
    ///
    /// The claim is put down before it is asked for: a register that does not answer may have it all the same, and then it is to be
    /// renewed, or taken away, as any other.
    async fn claim(
        &self,
        key: &IdempotencyKey,
        question: &Question,
        claim: u64,
        deadline: Instant,
    ) -> Begun {
        let mine = claimed(question, self.process, claim);
        self.claims().insert((*key, claim), mine.clone());
        let mut pause = FIRST_PAUSE;
        loop {
            let Ok(kept) = self.register.claim(key, &mine, LEASE).await else {
                return Begun::New(claim);
            };
            let Some(kept) = kept.filter(|kept| **kept != *mine) else {
                return Begun::New(claim);
            };
            match State::of(&kept) {
                State::Claimed(by) | State::Foreign(Some(by)) if by != *question => {
                    return Begun::Different;
                }
                State::Claimed(_) => {}
                State::Done(call) if call.question != *question => return Begun::Different,
                State::Done(call) => return Begun::Done(call),
                // What cannot be read cannot be repeated, and must not be carried out again.
                State::Foreign(_) => return Begun::Failed(unreadable()),
            }
            if Instant::now() + pause > deadline {
                return Begun::Busy;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn renew(&self) -> Result<(), Error> {
        let claimed = |((key, _), mine): (&(IdempotencyKey, u64), &Vec<u8>)| (*key, mine.clone());
        let claims: Vec<Claimed> = self.claims().iter().map(claimed).collect();
        match claims.is_empty() {
            true => Ok(()),
            false => self.register.renew(&claims, LEASE).await,
        }
    }

    fn abandon(&self, key: &IdempotencyKey, claim: u64, error: Option<&Error>) {
        if let Some(mine) = self.claims().remove(&(*key, claim)) {
            self.register.abandon(key, mine);
        }
        self.near.abandon(key, claim, error);
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<(IdempotencyKey, u64), Vec<u8>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that is claimed in this process, and perhaps in the register.
struct Unclaimed<'a, R: Register>(&'a Shared<R>, &'a IdempotencyKey, Option<u64>);

impl<R: Register> Drop for Unclaimed<'_, R> {
    fn drop(&mut self) {
        if let Some(claim) = self.2 {
            self.0.abandon(self.1, claim, None);
        }
    }
}

impl<R: Register> IdempotencyStore for SharedNames<R> {
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
        let mine = mine.unwrap_or_else(|| claimed(&call.question, shared.process, claim));
        if let Some(bytes) = done(&call) {
            shared.register.finish(key, mine, bytes, ttl);
        }
        shared.near.finish(key, claim, call, ttl);
    }

    fn abandon(&self, key: &IdempotencyKey, claim: u64, error: Option<&Error>) {
        self.0.abandon(key, claim, error);
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        self.0.register.flush()
    }
}

impl<R: Register> fmt::Debug for SharedNames<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedNames")
            .field("near", &self.0.near)
            .field("register", &self.0.register)
            .finish_non_exhaustive()
    }
}
