use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::model::{Outcome, Tap};

/// A number of permits, shared by its clones. It outlives the stack it is used in, so that a reload does not forget calls under way.
#[derive(Clone)]
pub struct Permits(Arc<Count>);

struct Count {
    max: AtomicUsize,
    in_use: AtomicUsize,
}

impl Permits {
    /// `max` permits.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Count {
            max: AtomicUsize::new(max),
            in_use: AtomicUsize::new(0),
        }))
    }

    /// How many there are.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max.load(Ordering::Relaxed)
    }

    /// How many are taken.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.0.in_use.load(Ordering::Relaxed)
    }

    /// Changes how many there are. If more are taken already, none is given until enough have come back.
    pub fn resize(&self, max: usize) {
        self.0.max.store(max, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> Option<Permit> {
        let max = self.max();
        self.0
            .in_use
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < max).then_some(taken + 1)
            })
            .ok()
            .map(|_| Permit(self.clone()))
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits")
            .field("max", &self.max())
            .field("in_use", &self.in_use())
            .finish()
    }
}

/// One permit, given back when dropped. As a tap it is dropped with the answer.
#[derive(Debug)]
pub(super) struct Permit(Permits);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tap for Permit {
    fn on_end(self: Box<Self>, _: Outcome<'_>) {}
}
