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
pub(super) struct Flights {
    open: Mutex<Open>,
    /// How many flights have ended, by the first byte of their names: an end tells only some of the others to look again.
    landed: [AtomicU64; 256],
}

/// Names are hashes already: what spreads them over the table need not be strong.
type Open = HashMap<Name, Arc<Flight>>;

/// The part a call plays in a flight.
pub(super) enum Seat {
    Leader(Reader),
    Follower(Reader),
}

impl Flights {
    /// How many flights have ended that may have had that name. A look-up made at an older count may have missed an answer.
    pub(super) fn landed(&self, name: &Name) -> u64 {
        self.ended(name).load(Ordering::Acquire)
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
        let mut refused: Option<Arc<Flight>> = None;
        loop {
            let mut open = self.open();
            let listed = open.get(&name).filter(|flight| {
                let known = refused.as_ref();
                !known.is_some_and(|refused| Arc::ptr_eq(refused, flight))
            });
            let Some(flight) = listed.map(Arc::clone) else {
                let answering = lead(self.landed(&name) != mark);
                let home = Arc::clone(self);
                let (flight, reader) =
                    Flight::begin(home, name.clone(), answering, ctx.clone(), limit);
                open.insert(name, flight);
                return Seat::Leader(reader);
            };
            // A flight may be busy with all that is below; only who wants to join it waits for that.
            drop(open);
            match flight.join() {
                Some(reader) => return Seat::Follower(reader),
                None => refused = Some(flight),
            }
        }
    }

    /// Takes a flight that must not be joined any more off the list.
    pub(super) fn remove(&self, name: &Name, flight: &Flight) {
        let mut open = self.open();
        self.ended(name).fetch_add(1, Ordering::Release);
        // Its name may have been taken by the next one.
        if open.get(name).is_some_and(|f| std::ptr::eq(&**f, flight)) {
            open.remove(name);
        }
    }

    fn ended(&self, name: &Name) -> &AtomicU64 {
        &self.landed[usize::from(name.key.hash[0])]
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open().len()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            landed: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}
