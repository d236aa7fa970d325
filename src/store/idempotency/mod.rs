#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(super) mod shared;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod state;

use std::{borrow::Cow, fmt, future::ready, sync::Arc, time::Duration};

use super::StoreFuture;
use crate::{
    catalog::DeploymentId,
    error::Error,
    model::{Collected, ResponseMeta, Verdict},
};

/// The name of a call that a client may repeat: 256 bits over tenant, API key and the client's own name for it.
pub type IdempotencyKey = [u8; 32];

/// What was asked under a name: 256 bits over operation and body.
pub type Question = [u8; 32];

/// What became of a call, kept for whoever repeats it.
#[derive(Debug, Clone)]
pub struct KeptCall {
    /// What was asked.
    pub question: Question,
    /// What came of it.
    pub outcome: KeptOutcome,
}

/// How a call ended.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives behind an `Arc`, and most calls end with an answer"
)]
#[derive(Debug, Clone)]
pub enum KeptOutcome {
    /// With an answer, in the form in which it came.
    Answer {
        /// Who gave it.
        deployment: Option<DeploymentId>,
        /// What was said about it.
        remarks: Remarks,
        /// The answer.
        answer: Collected,
    },
    /// With an error that has cost something.
    Failed(Error),
}

/// What is said about an answer as often as it is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remarks {
    /// Whether a fallback gave it.
    pub fallback: bool,
    /// Whether it does without what was said before.
    pub forgetful: bool,
    /// What other models said of it.
    pub verdict: Option<Verdict>,
    /// What else the client should know.
    pub notes: Vec<Cow<'static, str>>,
}

impl Remarks {
    /// What is said about the answer with this head.
    #[must_use]
    pub fn of(meta: &ResponseMeta) -> Self {
        Self {
            fallback: meta.fallback,
            forgetful: meta.forgetful,
            verdict: meta.verdict.clone(),
            notes: meta.notes.clone(),
        }
    }
}

impl KeptCall {
    /// Roughly the memory it takes, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const FIXED: usize = 512;
        FIXED
            + match &self.outcome {
                KeptOutcome::Answer { answer, .. } => answer.weight(),
                KeptOutcome::Failed(error) => error.message().len(),
            }
    }
}

/// The part of a call among those of its name.
#[derive(Debug, Clone)]
pub enum Begun {
    /// It is the one that is carried out. The number tells it from others of the name that came before.
    New(u64),
    /// Another has been carried out.
    Done(Arc<KeptCall>),
    /// Another was waited for, and has failed without cost: nothing is kept of it. Or another version has carried it out, whose answer
    /// cannot be read here.
    Failed(Error),
    /// Another is still being carried out.
    Busy,
    /// Another has this name, and asks something else.
    Different,
}

/// Keeps calls with the same name from being carried out more than once.
pub trait IdempotencyStore: Send + Sync {
    /// Claims `key`, or waits up to `patience` for whoever has claimed it. A claim lasts until it is finished or abandoned, or until
    /// the process that holds it is gone.
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        question: &'a Question,
        patience: Duration,
    ) -> StoreFuture<'a, Begun>;

    /// Ends a claim and keeps what came of it for `ttl`. Called from a tap: it must not block.
    fn finish(&self, key: &IdempotencyKey, claim: u64, call: Arc<KeptCall>, ttl: Duration);

    /// Ends a claim and keeps nothing; whoever waits now gets the error, if there is one, or else carries the call out. Called from a
    /// tap, and when a claim is dropped: it must not block.
    fn abandon(&self, key: &IdempotencyKey, claim: u64, error: Option<&Error>);

    /// Returns once what was ended so far is where other processes find it, or cannot be brought there. Called when a process ends.
    fn flush(&self) -> StoreFuture<'_, ()> {
        Box::pin(ready(Ok(())))
    }
}

/// A claim that abandons itself when it is dropped.
pub struct Claim {
    store: Arc<dyn IdempotencyStore>,
    key: IdempotencyKey,
    claim: u64,
    ended: bool,
}

impl Claim {
    /// The claim that [`IdempotencyStore::begin`] gave out with this number.
    #[must_use]
    pub fn new(store: Arc<dyn IdempotencyStore>, key: IdempotencyKey, claim: u64) -> Self {
        Self {
            store,
            key,
            claim,
            ended: false,
        }
    }

    /// Keeps what came of the call.
    pub fn finish(mut self, call: KeptCall, ttl: Duration) {
        self.ended = true;
        self.store
            .finish(&self.key, self.claim, Arc::new(call), ttl);
    }

    /// Keeps nothing; whoever waits now gets this error.
    pub fn fail(mut self, error: &Error) {
        self.ended = true;
        self.store.abandon(&self.key, self.claim, Some(error));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.ended {
            self.store.abandon(&self.key, self.claim, None);
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}
