//! What callers, the writer and the shipper share.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::{Notify, watch};

use super::unshipped::{Spending, Unshipped};
use crate::{
    catalog::Money,
    error::Error,
    store::{Durability, Entry, LedgerRow, Progress, StoreFuture, survival::Survival},
};

/// Past this many rows that are not shipped no further attempt is admitted: some hundred bytes of memory each.
const ROOM: u64 = 200_000;

/// Past this many no row is kept that cost nothing, and that nobody holds up: what is free goes on while nothing can be written.
const ROOM_AT_ALL: u64 = ROOM + 50_000;

/// Past this many bytes a name that a client chose is cut off: rows are short.
const NAME: usize = 128;

pub(super) struct Shared {
    state: Mutex<State>,
    /// The writer waits here.
    work: Condvar,
    /// How far the rows are in the file, and on the disk.
    pub(super) survival: Survival,
    unshipped: Mutex<Unshipped>,
    /// The shipper waits here.
    pub(super) cargo: Notify,
    pub(super) hurry: Notify,
    shipped: AtomicU64,
    pub(super) stage: watch::Sender<Stage>,
    closing: AtomicBool,
}

#[derive(Default)]
struct State {
    taken: VecDeque<Taken>,
    /// How many of them cost something: those wait for a sync.
    paid: usize,
    /// Somebody waits for them, and for no sync.
    hurried: bool,
    /// The writer sleeps until so many are there that cost something, or one that waits for no sync.
    awaited: Option<usize>,
}

impl State {
    fn has(&self, paid: usize) -> bool {
        self.paid >= paid || self.hurried
    }
}

/// A row on its way to the writer.
pub(super) struct Taken {
    pub(super) seq: u64,
    pub(super) row: LedgerRow,
    /// The slot that it frees.
    pub(super) slot: Option<u32>,
}

impl Taken {
    /// Whether it cost something: who waits for it waits for a sync.
    pub(super) fn is_paid(&self) -> bool {
        Durability::of(self.row.cost) == Durability::PowerLoss
    }
}

/// What others wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stage {
    pub(super) shipped: u64,
    /// Nothing more is shipped before a restart.
    pub(super) broken: bool,
    /// The writer has ended, and freed the folder.
    pub(super) written: bool,
    /// The shipper has ended.
    pub(super) done: bool,
}

impl Shared {
    pub(super) fn new(next_seq: u64, shipped: u64) -> Self {
        let stage = Stage {
            shipped,
            ..Stage::default()
        };
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            survival: Survival::new(next_seq - 1, gone),
            unshipped: Mutex::default(),
            cargo: Notify::new(),
            hurry: Notify::new(),
            shipped: AtomicU64::new(shipped),
            stage: watch::Sender::new(stage),
            closing: AtomicBool::new(false),
        }
    }

    // For callers.

    pub(super) fn take(&self, mut row: LedgerRow, slot: Option<u32>) {
        for name in [&mut row.user, &mut row.conversation] {
            if let Some(long) = name.as_ref().filter(|name| name.len() > NAME) {
                *name = Some(long[..long.floor_char_boundary(NAME)].into());
            }
        }
        let mut state = self.state();
        if self.backlog() >= ROOM_AT_ALL && slot.is_none() && row.cost.is_zero() {
            drop(state);
            metrics::counter!("rungs_ledger_rows_dropped_total").increment(1);
            return;
        }
        let seq = self.survival.taken() + 1;
        self.survival.take(seq, Durability::of(row.cost));
        let taken = Taken { seq, row, slot };
        match taken.is_paid() {
            true => state.paid += 1,
            false => state.hurried = true,
        }
        state.taken.push_back(taken);
        self.wake(state);
    }

    /// As [`Ledger::survives`](crate::store::Ledger::survives).
    pub(super) fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        let safe = self.survival.survives(what)?;
        if what == Durability::Crash {
            // The last that was taken may wait for company.
            let mut state = self.state();
            state.hurried = !state.taken.is_empty();
            self.wake(state);
        }
        Some(safe)
    }

    /// Wakes the writer if it has what it waits for.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if state.awaited.is_some_and(|paid| state.has(paid)) {
            state.awaited = None;
            drop(state);
            self.work.notify_one();
        }
    }

    pub(super) fn has_room(&self) -> bool {
        !self.is_closing() && self.backlog() < ROOM && !self.survival.is_failing()
    }

    pub(super) fn backlog(&self) -> u64 {
        let taken = self.survival.taken();
        taken.saturating_sub(self.shipped.load(Ordering::Relaxed))
    }

    pub(super) fn progress(&self) -> Progress {
        // Read in this order it never seems to be further than it is.
        let written = self.survival.safe(Durability::Crash);
        let taken = self.survival.taken();
        Progress { taken, written }
    }

    /// The number of the last row that cost something.
    pub(super) fn last_paid(&self) -> u64 {
        self.survival.last(Durability::PowerLoss)
    }

    pub(super) async fn flush(&self) -> Result<(), Error> {
        let last = self.survival.taken();
        self.hurry.notify_one();
        let mut stage = self.stage.subscribe();
        let reached = stage
            .wait_for(|s| s.shipped >= last || s.broken || s.done)
            .await;
        match reached {
            Ok(stage) if stage.shipped >= last => Ok(()),
            _ => Err(gone()),
        }
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let state = self.state();
        self.work.notify_one();
        drop(state);
        self.hurry.notify_one();
        self.cargo.notify_one();
    }

    pub(super) async fn closed(&self) {
        let mut stage = self.stage.subscribe();
        // The sender lives as long as this does.
        let _ = stage.wait_for(|s| s.written && s.done).await;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    // For the writer.

    /// Waits until `paid` rows are there that cost something, or one that does not; not longer than `until`, nor than the journal is open.
    pub(super) fn wait(&self, paid: usize, until: Option<Instant>) {
        let mut state = self.state();
        while !state.has(paid) && !self.is_closing() {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            state.awaited = Some(paid);
            state = match left {
                None => {
                    let woken = self.work.wait(state);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
                Some(left) => {
                    let woken = self.work.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.awaited = None;
    }

    /// The rows that have come; `None` when the journal closes and all are written.
    pub(super) fn rows(&self) -> Option<VecDeque<Taken>> {
        let mut state = self.state();
        if state.taken.is_empty() && self.is_closing() {
            return None;
        }
        (state.paid, state.hurried) = (0, false);
        Some(std::mem::take(&mut state.taken))
    }

    /// Takes rows back that cannot be written just now, before those that have come since: whoever sums up sees them here.
    pub(super) fn put_back(&self, mut rows: VecDeque<Taken>) {
        let mut state = self.state();
        rows.append(&mut state.taken);
        state.taken = rows;
        state.hurried = true;
    }

    /// The writer has ended, and freed the folder.
    pub(super) fn ended(&self) {
        self.stage.send_modify(|s| s.written = true);
        self.cargo.notify_one();
        self.survival.end();
    }

    /// Nothing can be written just now: nobody is kept waiting for it, and nothing that costs money begins.
    pub(super) fn fail(&self, error: &Error) {
        if self.survival.fail(error) {
            unwritten(error);
        }
    }

    /// A sync has failed: no later one can be believed, so no attempt begins before a restart.
    pub(super) fn break_down(&self, error: &Error) {
        self.stage.send_modify(|s| s.broken = true);
        if self.survival.break_down(error) {
            unwritten(error);
        }
    }

    /// Hands rows to the shipper.
    pub(super) fn ship(&self, entries: Vec<Entry>) {
        self.unshipped().extend(entries);
        self.cargo.notify_one();
    }

    pub(super) fn shipped(&self) -> u64 {
        self.shipped.load(Ordering::Relaxed)
    }

    // For the shipper.

    /// The oldest rows that are not shipped, at most `most`; the same ones until [`unload`](Self::unload).
    pub(super) fn load(&self, most: usize) -> Arc<[Entry]> {
        self.unshipped().load(most)
    }

    /// What was paid, row by row, by rows that are not known to be shipped: all up to number `last`, also those that cannot be written.
    /// `None` while the writer is at one of them.
    pub(super) fn on_their_way(
        &self,
        spending: Spending<'_>,
        last: u64,
    ) -> Option<Vec<(u64, Money)>> {
        let unshipped = self.unshipped();
        let written = unshipped.iter().last().map_or(self.shipped(), |e| e.seq);
        let rows = unshipped.iter();
        let mut paid: Vec<_> = rows.filter_map(|e| spending.of(e.seq, &e.row)).collect();
        drop(unshipped);
        if written < last {
            let state = self.state();
            let next = state.taken.front().map(|taken| taken.seq);
            // What was written and never synced is nowhere to be seen: nothing that costs money begins before a restart counts it.
            if next != Some(written + 1) && !self.survival.is_broken() {
                return None;
            }
            let rows = state.taken.iter();
            paid.extend(rows.filter_map(|t| spending.of(t.seq, &t.row)));
        }
        Some(paid)
    }

    /// The rows have arrived. Tells how many are left.
    pub(super) fn unload(&self) -> usize {
        let (last, left) = self.unshipped().unload();
        if let Some(last) = last {
            self.shipped.store(last, Ordering::Relaxed);
            self.stage.send_modify(|s| s.shipped = last);
        }
        left
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unshipped(&self) -> MutexGuard<'_, Unshipped> {
        self.unshipped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn unwritten(error: &Error) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, cause, "the journal cannot be written; its rows wait in memory");
}

fn gone() -> Error {
    Error::internal("the journal is closed and not all rows are shipped; the next start ships them")
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::testing::ledger_contract::row;

    fn take(shared: &Shared, cost: i64) {
        shared.take(row("req", 1, cost, Duration::ZERO), None);
    }

    /// A writer that sleeps until there are ten rows that cost something; how many rows it has then.
    fn waits_for_ten(shared: &Arc<Shared>) -> thread::JoinHandle<usize> {
        let writer = Arc::clone(shared);
        let waiting = thread::spawn(move || {
            writer.wait(10, None);
            writer.rows().map_or(0, |rows| rows.len())
        });
        while shared.state().awaited.is_none() {
            thread::yield_now();
        }
        waiting
    }

    #[test]
    fn a_row_that_waits_for_no_sync_waits_for_no_company() {
        let shared = Arc::new(Shared::new(1, 0));
        let writer = waits_for_ten(&shared);
        take(&shared, 1);
        take(&shared, 0);
        assert_eq!(writer.join().unwrap(), 2);
    }

    #[test]
    fn who_waits_for_no_sync_waits_for_no_company() {
        let shared = Arc::new(Shared::new(1, 0));
        let writer = waits_for_ten(&shared);
        take(&shared, 1);
        assert!(shared.survives(Durability::Crash).is_some());
        assert_eq!(writer.join().unwrap(), 1);
    }

    #[test]
    fn the_last_of_a_company_ends_the_wait_and_so_does_the_end() {
        let shared = Arc::new(Shared::new(1, 0));
        let writer = waits_for_ten(&shared);
        for _ in 0..10 {
            take(&shared, 1);
        }
        assert_eq!(writer.join().unwrap(), 10);
        let writer = waits_for_ten(&shared);
        take(&shared, 1);
        shared.close();
        assert_eq!(writer.join().unwrap(), 1);
        assert!(shared.rows().is_none());
    }
}
