//! Tells callers that their rows are safe, each on the runtime that it waits on.
//!
//! Where threads have runtimes of their own, a caller that is woken from another one costs more than all else that is done for it.
//! So the writer wakes one task in each runtime, and that wakes its neighbours.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    runtime::{Handle, Id},
    sync::{Notify, oneshot},
};

use crate::error::Error;

/// Somebody who waits until rows up to a number are safe.
pub(super) struct Waiter {
    pub(super) seq: u64,
    pub(super) told: oneshot::Sender<Result<(), Error>>,
    /// Who tells it; the writer itself if it waits on no runtime.
    pub(super) teller: Option<Arc<Teller>>,
}

#[derive(Default)]
pub(super) struct Tellers {
    each: Mutex<Vec<(Id, Arc<Teller>)>>,
}

/// Who is to be told in one runtime.
#[derive(Default)]
pub(super) struct Teller {
    told: Mutex<Vec<oneshot::Sender<Result<(), Error>>>>,
    news: Notify,
    ended: AtomicBool,
}

impl Tellers {
    /// The one of the runtime that this is called in; it begins with the first who waits there.
    pub(super) fn here(&self) -> Option<Arc<Teller>> {
        let here = Handle::try_current().ok()?;
        let id = here.id();
        let mut each = self.lock();
        if let Some((_, teller)) = each.iter().find(|(other, _)| *other == id) {
            return Some(Arc::clone(teller));
        }
        let teller = Arc::new(Teller::default());
        // It ends when the writer has, or with its runtime.
        drop(here.spawn(Arc::clone(&teller).run()));
        each.push((id, Arc::clone(&teller)));
        Some(teller)
    }

    /// Tells all of them that their rows are safe.
    pub(super) fn tell(&self, waiters: Vec<Waiter>) {
        for Waiter { told, teller, .. } in waiters {
            match teller {
                Some(teller) => teller.told().push(told),
                None => drop(told.send(Ok(()))),
            }
        }
        for (_, teller) in &*self.lock() {
            if !teller.told().is_empty() {
                teller.news.notify_one();
            }
        }
    }

    /// Nobody is told any more.
    pub(super) fn end(&self) {
        for (_, teller) in &*self.lock() {
            teller.ended.store(true, Ordering::Release);
            teller.news.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Id, Arc<Teller>)>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller {
    async fn run(self: Arc<Self>) {
        loop {
            // Who waits later has its own notice.
            let last = self.ended.load(Ordering::Acquire);
            let told = std::mem::take(&mut *self.told());
            for waiter in told {
                let _ = waiter.send(Ok(()));
            }
            if last {
                return;
            }
            self.news.notified().await;
        }
    }

    fn told(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Result<(), Error>>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
