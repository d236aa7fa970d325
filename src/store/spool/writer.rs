//! The thread that writes a spool, and what callers share with it.

use std::{
    fs::File,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    files::Files,
    layout::{DONE, Record},
};
use crate::{
    error::{Error, ErrorKind},
    store::{Durability, StoreFuture, fail_point::fail_point, survival::Survival},
};

/// What nobody waits for is synced after so long, and a file that nobody needs is emptied.
const SOON: Duration = Duration::from_millis(100);

/// Between two tries to write.
const PAUSE: Duration = Duration::from_millis(100);
const TRIES_AT_CLOSE: u32 = 5;

/// Past so many bytes in files and on their way there, no more are to come.
pub(super) const ROOM: u64 = 512 << 20;

pub(super) struct Shared {
    state: Mutex<State>,
    /// The writer waits here.
    work: Condvar,
    /// Of the steps, counted from 1.
    survival: Survival,
    /// The bytes of the files, those of the steps that are not written yet, and how many they may be.
    weight: AtomicU64,
    coming: AtomicU64,
    room: u64,
    ended: watch::Sender<bool>,
}

struct State {
    steps: Vec<Step>,
    /// Somebody waits for so many of them to be synced.
    wanted: u64,
    /// The number of the next record.
    next: u64,
    closing: bool,
}

enum Step {
    Add(u64, u8, Vec<u8>),
    Done(u64),
}

impl Shared {
    /// The next record is that of number `next`; no more than `room` bytes are to be held.
    pub(super) fn new(next: u64, room: u64) -> Self {
        Self {
            state: Mutex::new(State {
                steps: Vec::new(),
                wanted: 0,
                next,
                closing: false,
            }),
            work: Condvar::new(),
            survival: Survival::new(0, gone),
            weight: AtomicU64::new(0),
            coming: AtomicU64::new(0),
            room,
            ended: watch::Sender::new(false),
        }
    }

    pub(super) fn add(&self, kind: u8, record: Vec<u8>) -> u64 {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        self.take(&mut state, [Step::Add(number, kind, record)]);
        number
    }

    pub(super) fn done(&self, numbers: &[u64]) {
        self.take(&mut self.state(), numbers.iter().copied().map(Step::Done));
    }

    fn take(&self, state: &mut State, steps: impl IntoIterator<Item = Step>) {
        let before = state.steps.len();
        state.steps.extend(steps);
        let steps = &state.steps[before..];
        let more = steps.len() as u64;
        let bytes = steps.iter().map(|step| step.record().length()).sum();
        self.coming.fetch_add(bytes, Ordering::Relaxed);
        let taken = self.survival.taken() + more;
        self.survival.take(taken, Durability::PowerLoss);
        self.work.notify_one();
    }

    pub(super) fn has_room(&self) -> bool {
        let bytes = self.weight.load(Ordering::Relaxed) + self.coming.load(Ordering::Relaxed);
        !self.survival.is_failing() && bytes < self.room
    }

    pub(super) fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        let safe = self.survival.survives(what)?;
        if what == Durability::PowerLoss && !self.survival.is_failing() {
            self.state().wanted = self.survival.taken();
            self.work.notify_one();
        }
        Some(safe)
    }

    pub(super) fn close(&self) {
        self.state().closing = true;
        self.work.notify_one();
    }

    pub(super) async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as this does.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// The steps there are, and their count with all before them; `None` when that is all. No steps: somebody waits for a sync, or
    /// nothing has come for `patience`.
    fn next(&self, synced: u64, patience: Option<Duration>) -> Option<(Vec<Step>, u64)> {
        let mut state = self.state();
        while state.steps.is_empty() && state.wanted <= synced {
            if state.closing {
                return None;
            }
            state = match patience {
                None => self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.work.wait_timeout(state, patience);
                    let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && state.steps.is_empty() {
                        return Some((Vec::new(), self.survival.taken()));
                    }
                    state
                }
            };
        }
        Some((std::mem::take(&mut state.steps), self.survival.taken()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Step {
    fn record(&self) -> Record<'_> {
        match self {
            Self::Add(number, kind, bytes) => Record {
                number: *number,
                kind: *kind,
                bytes,
            },
            Self::Done(number) => Record {
                number: *number,
                kind: DONE,
                bytes: &[],
            },
        }
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    files: Files,
    written: u64,
    synced: u64,
    /// A file could not go, and the log says so.
    stays: bool,
    /// Held until all is written.
    lock: File,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>, files: Files, lock: File) -> Result<(), Error> {
        let writer = Self {
            shared,
            files,
            written: 0,
            synced: 0,
            stays: false,
            lock,
        };
        writer.weigh();
        let thread = thread::Builder::new().name("rungs-spool".into());
        let started = thread.spawn(|| writer.run());
        started
            .map(drop)
            .map_err(|e| Error::internal("no thread for the spool").with_source(e))
    }

    fn run(mut self) {
        let mut bytes = Vec::new();
        self.tidy();
        self.weigh();
        loop {
            // What could not be let go is tried again with the next record.
            let is_sparse = self.files.is_sparse() && !self.stays;
            let idle = self.synced < self.written || self.files.is_spent() || is_sparse;
            let next = self.shared.next(self.synced, idle.then_some(SOON));
            let Some((steps, taken)) = next else {
                break;
            };
            if steps.is_empty() {
                self.rest();
                continue;
            }
            if !self.persist(&steps, &mut bytes) {
                break;
            }
            self.written = taken;
            self.weigh();
            let written = bytes.len() as u64;
            self.shared.coming.fetch_sub(written, Ordering::Relaxed);
            self.shared.survival.reached(taken, Durability::Crash);
            if self.shared.state().wanted > self.synced {
                self.sync();
            }
        }
        self.sync();
        drop(self.files);
        drop(self.lock);
        self.shared.survival.end();
        self.shared.ended.send_replace(true);
    }

    /// Nothing is to be written: what is not on the disk goes there, and what nobody needs goes.
    fn rest(&mut self) {
        if self.files.is_spent() {
            self.empty();
        } else {
            self.tidy();
        }
        self.weigh();
        self.sync();
    }

    /// Tells how large the files are.
    fn weigh(&self) {
        let weight = self.files.weight();
        self.shared.weight.store(weight, Ordering::Relaxed);
    }

    fn empty(&mut self) {
        if let Err(error) = self.files.empty() {
            tracing::warn!(%error, "the spool cannot be emptied");
        }
    }

    /// Lets files go that nobody needs, and sees that the next can.
    fn tidy(&mut self) {
        let tidied = self.let_go();
        if let Err(error) = &tidied
            && !self.stays
        {
            tracing::warn!(%error, "a spool file that is not needed, or hardly, stays");
        }
        self.stays = tidied.is_err();
    }

    fn let_go(&mut self) -> Result<(), Error> {
        self.remove()?;
        if self.files.is_heavy() {
            self.empty();
        }
        if self.files.is_sparse() && !self.shared.survival.is_broken() {
            self.files.copy()?;
            self.sync();
            self.remove()?;
        }
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Error> {
        // What was not synced may be the one copy.
        while !self.shared.survival.is_broken() && self.files.remove()? {
            self.sync();
        }
        Ok(())
    }

    /// Writes until it is done; `false` if that cannot be, and the spool is closing.
    fn persist(&mut self, steps: &[Step], bytes: &mut Vec<u8>) -> bool {
        let mut tries_left = TRIES_AT_CLOSE;
        while let Err(error) = self.write(steps, bytes) {
            if self.shared.survival.fail(&error) {
                tracing::error!(%error, "what is said and answered cannot be written down; it is in memory alone");
            }
            tries_left -= u32::from(self.shared.state().closing);
            if tries_left == 0 {
                return false;
            }
            thread::sleep(PAUSE);
        }
        true
    }

    fn write(&mut self, steps: &[Step], bytes: &mut Vec<u8>) -> Result<(), Error> {
        bytes.clear();
        for step in steps {
            step.record()
                .append(bytes)
                .ok_or_else(|| Error::internal("a record is too long"))?;
        }
        fail_point("spool.before_write")?;
        if self.files.is_long() {
            // One that fails is not tried again: the second would be believed, and prove nothing.
            self.sync();
            self.files.turn()?;
        }
        self.files.write(bytes)?;
        for step in steps {
            match step {
                Step::Add(number, ..) => self.files.note(*number, step.record().length()),
                Step::Done(number) => self.files.forget(*number),
            }
        }
        self.tidy();
        fail_point("spool.after_write")
    }

    fn sync(&mut self) {
        if !self.shared.survival.is_broken() {
            let Err(error) = self.files.sync() else {
                return self.reach();
            };
            tracing::error!(%error, "the spool's disk fails to sync; nothing is believed until a restart");
            self.shared.survival.break_down(&error);
        }
        // Who wanted it has been told.
        self.shared.state().wanted = 0;
    }

    /// What is written is safe.
    fn reach(&mut self) {
        self.synced = self.written;
        let survival = &self.shared.survival;
        survival.reached(self.written, Durability::PowerLoss);
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "the spool is closed")
}
