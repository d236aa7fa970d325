//! Tells callers that what they wait for is safe, each on the runtime that it waits on.
//!
//! Where threads have runtimes of their own, a caller that is woken from another one costs more than all else that is done for it.
//! So the writer wakes one task in each runtime, and that wakes its neighbours.

use std::{
    iter, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    runtime::{Handle, Id},
    sync::{Notify, oneshot},
};

use crate::error::Error;

pub(super) type Told = oneshot::Sender<Result<(), Error>>;

/// Somebody who waits until all up to a number is safe.
pub(super) struct Waiter {
    pub(super) seq: u64,
    pub(super) told: Told,
    /// Who tells it; the writer itself if it waits on no runtime.
    pub(super) teller: Option<Arc<Teller>>,
}

#[derive(Default)]
pub(super) struct Tellers {
    each: Mutex<Vec<(Id, Arc<Teller>)>>,
}

/// Who is to be told in one runtime.
pub(super) struct Teller {
    /// `None` when its task has ended: then the writer tells them.
    told: Mutex<Option<Vec<Told>>>,
    news: Notify,
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
        let teller = Arc::new(Teller {
            told: Mutex::new(Some(Vec::new())),
            news: Notify::new(),
        });
        each.retain(|(_, other)| other.told().is_some());
        each.push((id, Arc::clone(&teller)));
        drop(each);
        // It ends when the writer has, or with its runtime.
        drop(here.spawn(Task(Arc::clone(&teller)).run()));
        Some(teller)
    }

    /// Nobody comes any more.
    pub(super) fn end(&self) {
        for (_, teller) in self.lock().drain(..) {
            teller.end();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Id, Arc<Teller>)>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells all of them that what they wait for is safe: those of one runtime together.
pub(super) fn tell(mut waiters: Vec<Waiter>) {
    waiters.sort_unstable_by_key(|waiter| (waiter.teller.as_ref().map(Arc::as_ptr), waiter.seq));
    let mut waiters = waiters.into_iter().peekable();
    while let Some(Waiter { told, teller, .. }) = waiters.next() {
        let Some(teller) = teller else {
            let _ = told.send(Ok(()));
            continue;
        };
        let is_there =
            |next: &Waiter| matches!(&next.teller, Some(other) if Arc::ptr_eq(other, &teller));
        let neighbours = iter::from_fn(|| waiters.next_if(is_there).map(|next| next.told));
        teller.tell(iter::once(told).chain(neighbours));
    }
}

impl Teller {
    fn tell(&self, all: impl Iterator<Item = Told>) {
        let mut told = self.told();
        match &mut *told {
            Some(told) => told.extend(all),
            None => all.for_each(done),
        }
        drop(told);
        self.news.notify_one();
    }

    /// Whoever is left is told now, and whoever comes later by the writer.
    fn end(&self) {
        let left = self.told().take();
        self.news.notify_one();
        left.into_iter().flatten().for_each(done);
    }

    fn told(&self) -> MutexGuard<'_, Option<Vec<Told>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done(told: Told) {
    // Who has left need not know.
    let _ = told.send(Ok(()));
}

/// The task of a teller. Its runtime may drop it at any time.
struct Task(Arc<Teller>);

impl Task {
    async fn run(self) {
        let Self(teller) = &self;
        let mut told = Vec::new();
        loop {
            match &mut *teller.told() {
                Some(news) => mem::swap(news, &mut told),
                None => return,
            }
            told.drain(..).for_each(done);
            teller.news.notified().await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.end();
    }
}
