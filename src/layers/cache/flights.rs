use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use foldhash::HashMap;

use super::{
    flight::{Answering, Flight},
    reader::Reader,
};
use crate::{model::CallContext, store::CacheKey};

/// What a flight fetches. A call that wants the other form has a flight of its own: it would have to wait for the end of an
/// answer that it could have had piece by piece.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) key: CacheKey,
    pub(super) stream: bool,
}

/// The answers that are being fetched and may be joined.
#[derive(Default)]
pub(super) struct Flights {
    open: Mutex<Open>,
    landed: AtomicU64,
}

/// Names are hashes already: what spreads them over the table need not be strong.
type Open = HashMap<Name, Arc<Flight>>;

/// The part a call plays in a flight.
pub(super) enum Seat {
    Leader(Reader),
    Follower(Reader),
}

impl Flights {
    /// How many flights have ended. A look-up made at an older count may have missed an answer.
    pub(super) fn landed(&self) -> u64 {
        self.landed.load(Ordering::Acquire)
    }

    /// Joins the flight of that name, or starts it with the future that `lead` makes; `lead` is told whether a flight has ended
    /// since the count was `mark`.
    pub(super) fn board(
        self: &Arc<Self>,
        name: Name,
        mark: u64,
        ctx: &CallContext,
        limit: usize,
        lead: impl FnOnce(bool) -> Answering,
    ) -> Seat {
        let mut open = self.open();
        if let Some(reader) = open.get(&name).and_then(Flight::join) {
            return Seat::Follower(reader);
        }
        let answering = lead(self.landed() != mark);
        let home = Arc::clone(self);
        let (flight, reader) = Flight::begin(home, name.clone(), answering, ctx.clone(), limit);
        open.insert(name, flight);
        Seat::Leader(reader)
    }

    /// Takes a flight that must not be joined any more off the list.
    pub(super) fn remove(&self, name: &Name, flight: &Flight) {
        let mut open = self.open();
        self.landed.fetch_add(1, Ordering::Release);
        // Its name may have been taken by the next one.
        if open.get(name).is_some_and(|f| std::ptr::eq(&**f, flight)) {
            open.remove(name);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open().len()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
