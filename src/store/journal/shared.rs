//! What callers, the writer and the shipper share.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::{Notify, oneshot, watch};

use super::{
    tellers::{Tellers, Waiter},
    unshipped::Unshipped,
};

use crate::{
    catalog::Money,
    error::Error,
    store::{Durability, Entry, LedgerRow, Progress, StoreFuture},
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
    unshipped: Mutex<Unshipped>,
    tellers: Tellers,
    /// The shipper waits here.
    pub(super) cargo: Notify,
    pub(super) hurry: Notify,
    shipped: AtomicU64,
    /// Of the state, for those who only look.
    taken: AtomicU64,
    written: AtomicU64,
    failing: AtomicBool,
    pub(super) stage: watch::Sender<Stage>,
    closing: AtomicBool,
}

struct State {
    taken: VecDeque<Taken>,
    /// The number of the last row taken; those up to `written` are in the file, those up to `synced` on the disk.
    last: u64,
    written: u64,
    synced: u64,
    /// Who waits for rows to be written, and who for rows to be synced, each in the order of their numbers.
    waiting: [VecDeque<Waiter>; 2],
    /// Why rows cannot be written just now.
    failure: Option<Error>,
    /// The disk has failed to sync. What it says from then on proves nothing.
    broken: bool,
    idle: bool,
}

/// A row on its way to the writer.
pub(super) struct Taken {
    pub(super) seq: u64,
    pub(super) row: LedgerRow,
    /// The slot that it frees.
    pub(super) slot: Option<u32>,
}

/// What others wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stage {
    pub(super) shipped: u64,
    /// The writer has ended, and freed the folder.
    pub(super) written: bool,
    /// The shipper has ended.
    pub(super) done: bool,
}

impl Shared {
    pub(super) fn new(next_seq: u64, shipped: u64) -> Self {
        let last = next_seq - 1;
        let stage = Stage {
            shipped,
            ..Stage::default()
        };
        Self {
            state: Mutex::new(State {
                taken: VecDeque::new(),
                last,
                written: last,
                synced: last,
                waiting: Default::default(),
                failure: None,
                broken: false,
                idle: false,
            }),
            work: Condvar::new(),
            tellers: Tellers::default(),
            unshipped: Mutex::default(),
            cargo: Notify::new(),
            hurry: Notify::new(),
            shipped: AtomicU64::new(shipped),
            taken: AtomicU64::new(last),
            written: AtomicU64::new(last),
            failing: AtomicBool::new(false),
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
        let shipped = self.shipped.load(Ordering::Relaxed);
        let backlog = state.last.saturating_sub(shipped);
        if backlog >= ROOM_AT_ALL && slot.is_none() && row.cost.is_zero() {
            drop(state);
            metrics::counter!("rungs_ledger_rows_dropped_total").increment(1);
            return;
        }
        state.last += 1;
        let seq = state.last;
        self.taken.store(seq, Ordering::Release);
        state.taken.push_back(Taken { seq, row, slot });
        if std::mem::take(&mut state.idle) {
            drop(state);
            self.work.notify_one();
        }
    }

    pub(super) fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        let mut state = self.state();
        let safe = match what {
            Durability::Crash => state.written,
            Durability::PowerLoss => state.synced,
        };
        if safe >= state.last {
            return None;
        }
        if let Some(failure) = &state.failure {
            let failure = failure.clone();
            return Some(Box::pin(std::future::ready(Err(failure))));
        }
        let (told, safe) = oneshot::channel();
        let waiter = Waiter {
            seq: state.last,
            told,
            teller: self.tellers.here(),
        };
        state.waiting[what as usize].push_back(waiter);
        Some(Box::pin(async move { safe.await.unwrap_or(Err(gone())) }))
    }

    pub(super) fn has_room(&self) -> bool {
        !self.is_closing() && self.backlog() < ROOM && !self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn backlog(&self) -> u64 {
        let taken = self.taken.load(Ordering::Relaxed);
        taken.saturating_sub(self.shipped.load(Ordering::Relaxed))
    }

    pub(super) fn progress(&self) -> Progress {
        // Read in this order it never seems to be further than it is.
        let written = self.written.load(Ordering::Acquire);
        let taken = self.taken.load(Ordering::Acquire);
        Progress { taken, written }
    }

    pub(super) async fn flush(&self) -> Result<(), Error> {
        let last = self.state().last;
        self.hurry.notify_one();
        let mut stage = self.stage.subscribe();
        let reached = stage.wait_for(|s| s.shipped >= last || s.done).await;
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

    /// Waits for rows, `at_most` so long; `None` when the journal closes and all are written.
    pub(super) fn next(&self, at_most: Option<Duration>) -> Option<VecDeque<Taken>> {
        let mut state = self.state();
        while state.taken.is_empty() {
            if self.is_closing() {
                return None;
            }
            state.idle = true;
            let Some(at_most) = at_most else {
                let woken = self.work.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let woken = self.work.wait_timeout(state, at_most);
            let (woken, waited) = woken.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() {
                break;
            }
        }
        state.idle = false;
        Some(std::mem::take(&mut state.taken))
    }

    /// The rows that have come since.
    pub(super) fn more(&self) -> VecDeque<Taken> {
        std::mem::take(&mut self.state().taken)
    }

    /// Rows up to `seq` survive `what`.
    pub(super) fn safe(&self, seq: u64, what: Durability) {
        let mut state = self.state();
        state.written = seq;
        self.written.store(seq, Ordering::Release);
        if what == Durability::PowerLoss {
            state.synced = seq;
        }
        if !state.broken {
            state.failure = None;
            self.failing.store(false, Ordering::Relaxed);
        }
        let mut told = Vec::new();
        for waiting in &mut state.waiting[..=what as usize] {
            let near = waiting.partition_point(|waiter| waiter.seq <= seq);
            told.extend(waiting.drain(..near));
        }
        drop(state);
        self.tellers.tell(told);
    }

    /// The writer has ended, and freed the folder.
    pub(super) fn ended(&self) {
        self.stage.send_modify(|s| s.written = true);
        self.cargo.notify_one();
        self.tellers.end();
    }

    /// Nothing can be written just now: nobody is kept waiting for it, and nothing that costs money begins.
    pub(super) fn fail(&self, error: &Error) {
        let mut state = self.state();
        if state.failure.is_none() {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(%error, cause, "the journal cannot be written; its rows wait in memory");
        }
        state.failure = Some(error.clone());
        self.failing.store(true, Ordering::Relaxed);
        for waiter in state.waiting.iter_mut().flat_map(|w| w.drain(..)) {
            let _ = waiter.told.send(Err(error.clone()));
        }
    }

    /// A sync has failed: no later one can be believed, so no attempt begins before a restart.
    pub(super) fn break_down(&self, error: &Error) {
        self.state().broken = true;
        self.fail(error);
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

    /// What `account` paid, row by row, for attempts that began at `since` or later and are not known to be shipped.
    pub(super) fn on_their_way(&self, account: &str, since: SystemTime) -> Vec<(u64, Money)> {
        let unshipped = self.unshipped();
        let paid = unshipped.iter().filter(|Entry { row, .. }| {
            row.started >= since
                && !row.cost.is_zero()
                && row.accounts.iter().any(|a| **a == *account)
        });
        paid.map(|entry| (entry.seq, entry.row.cost)).collect()
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

fn gone() -> Error {
    Error::internal("the journal is closed and not all rows are shipped; the next start ships them")
}
