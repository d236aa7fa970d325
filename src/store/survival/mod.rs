//! How far what is written behind its callers is safe, and who waits until it is: numbered things that one thread writes together
//! with all that come at the same time.

mod tellers;

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;

use self::tellers::{Tellers, Waiter, tell};
use super::{Durability, StoreFuture};
use crate::error::Error;

pub(super) struct Survival {
    /// The number of the last that was taken and has to survive so much, one a [`Durability`].
    taken: [AtomicU64; 2],
    /// The numbers up to which all survives, one a [`Durability`].
    safe: [AtomicU64; 2],
    failing: AtomicBool,
    waiting: Mutex<Waiting>,
    tellers: Tellers,
    /// What somebody learns for whom the writer has ended too early.
    gone: fn() -> Error,
}

#[derive(Default)]
struct Waiting {
    /// One a [`Durability`], each in the order of their numbers.
    waiters: [VecDeque<Waiter>; 2],
    /// Why nothing can be written just now.
    failure: Option<Error>,
    /// The failure stays.
    broken: bool,
}

impl Survival {
    /// All up to number `last` is safe.
    pub(super) fn new(last: u64, gone: fn() -> Error) -> Self {
        Self {
            taken: [last, last].map(AtomicU64::new),
            safe: [last, last].map(AtomicU64::new),
            failing: AtomicBool::new(false),
            waiting: Mutex::default(),
            tellers: Tellers::default(),
            gone,
        }
    }

    // For callers.

    /// All up to number `last` was taken, and the last has to survive `what`. Nobody else says so at the same time.
    pub(super) fn take(&self, last: u64, what: Durability) {
        for taken in &self.taken[..=what as usize] {
            taken.store(last, Ordering::Release);
        }
    }

    pub(super) fn taken(&self) -> u64 {
        self.last(Durability::Crash)
    }

    /// The number of the last that has to survive `what`.
    pub(super) fn last(&self, what: Durability) -> u64 {
        self.taken[what as usize].load(Ordering::Acquire)
    }

    pub(super) fn safe(&self, what: Durability) -> u64 {
        self.safe[what as usize].load(Ordering::Acquire)
    }

    /// Waits until all that was taken so far survives `what`, or what it has to if that is less; `None` if there is nothing to wait for.
    pub(super) fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        // Looked at first: what others take meanwhile must not hide it.
        let less_comes_last = self.taken() > self.last(what);
        let safe = self.reaches(what);
        if !less_comes_last {
            return safe;
        }
        match (safe, self.reaches(Durability::Crash)) {
            (Some(safe), Some(rest)) => Some(Box::pin(async move { safe.await.and(rest.await) })),
            (safe, rest) => safe.or(rest),
        }
    }

    fn reaches(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        // Read in this order it never seems to be further than it is.
        if self.safe(what) >= self.last(what) {
            return None;
        }
        // Looked up before the lock, under which others wait.
        let teller = match self.is_failing() {
            true => None,
            false => self.tellers.here(),
        };
        let mut waiting = self.waiting();
        let seq = self.last(what);
        if self.safe(what) >= seq {
            return None;
        }
        if let Some(failure) = &waiting.failure {
            let failure = failure.clone();
            return Some(Box::pin(std::future::ready(Err(failure))));
        }
        let (told, safe) = oneshot::channel();
        waiting.waiters[what as usize].push_back(Waiter { seq, told, teller });
        let gone = self.gone;
        Some(Box::pin(async move {
            safe.await.unwrap_or_else(|_| Err(gone()))
        }))
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    // For the writer.

    /// The disk has failed to sync. What it says from then on proves nothing.
    pub(super) fn is_broken(&self) -> bool {
        self.is_failing() && self.waiting().broken
    }

    /// All up to number `seq` survives `what`.
    pub(super) fn reached(&self, seq: u64, what: Durability) {
        let mut waiting = self.waiting();
        for safe in &self.safe[..=what as usize] {
            safe.store(seq, Ordering::Release);
        }
        if !waiting.broken {
            waiting.failure = None;
            self.failing.store(false, Ordering::Relaxed);
        }
        let mut told = Vec::new();
        for waiters in &mut waiting.waiters[..=what as usize] {
            let near = waiters.partition_point(|waiter| waiter.seq <= seq);
            told.extend(waiters.drain(..near));
        }
        drop(waiting);
        tell(told);
    }

    /// Nothing can be written just now, and nobody is kept waiting for it. Tells whether that is new.
    pub(super) fn fail(&self, error: &Error) -> bool {
        let mut waiting = self.waiting();
        let before = waiting.failure.replace(error.clone());
        self.failing.store(true, Ordering::Relaxed);
        for waiter in waiting.waiters.iter_mut().flat_map(|w| w.drain(..)) {
            let _ = waiter.told.send(Err(error.clone()));
        }
        before.is_none()
    }

    /// The same, and nothing that is written later mends it.
    pub(super) fn break_down(&self, error: &Error) -> bool {
        self.waiting().broken = true;
        self.fail(error)
    }

    /// The writer has ended.
    pub(super) fn end(&self) {
        let failure = self.waiting().failure.clone();
        self.break_down(&failure.unwrap_or_else(self.gone));
        self.tellers.end();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_has_to_survive_less_is_waited_for_and_not_longer() {
        let survival = Survival::new(0, || Error::internal("gone"));
        survival.take(1, Durability::PowerLoss);
        survival.take(2, Durability::Crash);
        let waits = survival.survives(Durability::PowerLoss);
        let mut waits = waits.expect("nothing is safe");
        survival.reached(1, Durability::PowerLoss);
        assert!((&mut waits).now_or_never().is_none());
        let rest = survival.survives(Durability::PowerLoss);
        let mut rest = rest.expect("the second is not written");
        assert!((&mut rest).now_or_never().is_none());
        survival.reached(2, Durability::Crash);
        waits.now_or_never().expect("it is safe").unwrap();
        rest.now_or_never().expect("it is safe").unwrap();
        assert!(survival.survives(Durability::PowerLoss).is_none());
    }
}
