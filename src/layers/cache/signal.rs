use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use smallvec::SmallVec;

/// The waker of work that several readers drive: it wakes all that wait, and remembers that the work is worth polling, so that
/// one of them polls it and the others do not.
pub(super) struct Signal {
    raised: AtomicBool,
    waiting: Mutex<SmallVec<[(u64, Waker); 2]>>,
}

impl Signal {
    pub(super) fn raised() -> Arc<Self> {
        Arc::new(Self {
            raised: AtomicBool::new(true),
            waiting: Mutex::default(),
        })
    }

    /// Has `reader` woken when there is something to do. Must come before [`take`](Self::take), else a wake could be lost.
    pub(super) fn wait(&self, reader: u64, waker: &Waker) {
        let mut waiting = self.waiting();
        match waiting.iter_mut().find(|(id, _)| *id == reader) {
            Some((_, old)) => old.clone_from(waker),
            None => waiting.push((reader, waker.clone())),
        }
    }

    /// Whether the signal was raised since the last time.
    pub(super) fn take(&self) -> bool {
        self.raised.swap(false, Ordering::AcqRel)
    }

    /// Wakes all who wait but `except`, which is awake.
    pub(super) fn raise(&self, except: Option<u64>) {
        self.raised.store(true, Ordering::Release);
        let waiting = std::mem::take(&mut *self.waiting());
        for (reader, waker) in waiting {
            if Some(reader) != except {
                waker.wake();
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, SmallVec<[(u64, Waker); 2]>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise(None);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise(None);
    }
}
