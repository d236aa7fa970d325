//! The one thread that writes segments.

use std::{
    collections::VecDeque,
    fs::File,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    codec::encode,
    files::Files,
    intents::Intents,
    segment::{Head, Place, append},
    shared::{Shared, Taken},
};
use crate::{
    error::Error,
    store::{Chain, Durability, Entry, fail_point::fail_point},
};

/// How long a disk that fails is left alone.
const PAUSE: Duration = Duration::from_millis(200);

/// How often it is tried when the journal closes.
const TRIES_AT_CLOSE: u32 = 5;

/// The least time between two syncs. A row that comes alone does not wait; where many come, this gives them company.
const SPACING: Duration = Duration::from_millis(1);

/// How long rows that cost nothing may go without a sync, and so without being shipped.
const UNSYNCED: Duration = Duration::from_millis(100);

/// Rows come in as they are taken, all that have come while the last ones were written are written together, and one sync serves
/// them all: the more there is to do, the less each row costs.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) intents: Arc<Intents>,
    pub(super) files: Files,
    pub(super) key: [u8; 32],
    /// Of the last row written.
    pub(super) chain: Chain,
    /// The number of the last row synced.
    pub(super) synced: u64,
    /// Written and not synced. Only what is synced is shipped, so that the sink never has more than the journal.
    pub(super) unsynced: Vec<Entry>,
    pub(super) last_sync: Instant,
    /// Held until all is written.
    pub(super) lock: File,
}

impl Writer {
    pub(super) fn start(self) -> Result<(), Error> {
        let thread = thread::Builder::new().name("rungs-journal".into());
        let started = thread.spawn(|| self.run());
        started
            .map(drop)
            .map_err(|e| Error::internal("no thread for the journal").with_source(e))
    }

    fn run(mut self) {
        let mut tries_left = TRIES_AT_CLOSE;
        let mut bytes = Vec::with_capacity(64 * 1024);
        let mut in_company = false;
        loop {
            // Where several have come at a time more will, and the first of them need not wake this thread to let it sleep.
            if in_company {
                thread::sleep(self.too_early());
            }
            let waits_for_sync = !self.unsynced.is_empty() && !self.shared.survival.is_broken();
            let patience = waits_for_sync.then_some(UNSYNCED);
            let Some(mut rows) = self.shared.next(patience) else {
                break;
            };
            let early = self.too_early();
            if rows.is_empty() {
                self.sync();
            } else if !early.is_zero() {
                thread::sleep(early);
                rows.extend(self.shared.more());
            }
            in_company = rows.len() > 1;
            // A batch may reach over the end of a segment.
            while !rows.is_empty() {
                if let Err(error) = self.write(&mut rows, &mut bytes) {
                    self.shared.fail(&error);
                    tries_left -= u32::from(self.shared.is_closing());
                    if tries_left == 0 {
                        tracing::error!(%error, rows = rows.len(), "ledger rows are lost");
                        break;
                    }
                    thread::sleep(PAUSE);
                }
            }
        }
        self.end();
    }

    /// How long it is until the next sync may be.
    fn too_early(&self) -> Duration {
        SPACING.saturating_sub(self.last_sync.elapsed())
    }

    /// Writes as many rows as the segment takes.
    fn write(&mut self, rows: &mut VecDeque<Taken>, bytes: &mut Vec<u8>) -> Result<(), Error> {
        bytes.clear();
        let mut chains = Vec::with_capacity(rows.len());
        for taken in rows.iter() {
            let before = bytes.len();
            let place = Place {
                key: &self.key,
                seq: taken.seq,
                chain: chains.last().unwrap_or(&self.chain),
                synced: self.synced,
            };
            let chain = append(bytes, &place, |to| encode(&taken.row, to));
            if !self.files.has_room(bytes.len()) {
                bytes.truncate(before);
                break;
            }
            chains.push(chain);
        }
        let Some(last) = chains.last().copied() else {
            return self.turn(rows);
        };
        fail_point("journal.before_write")?;
        self.files.write(bytes)?;
        self.chain = last;
        let written: Vec<_> = rows.drain(..chains.len()).collect();
        self.intents
            .close(written.iter().filter_map(|taken| taken.slot));
        let is_paid = written.iter().any(|taken| !taken.row.cost.is_zero());
        let entries = written.into_iter().zip(chains);
        self.unsynced
            .extend(entries.map(|(Taken { seq, row, .. }, chain)| Entry { seq, chain, row }));
        if let Some(last) = self.unsynced.last() {
            self.shared.survival.reached(last.seq, Durability::Crash);
        }
        fail_point("journal.after_write")?;
        if is_paid {
            self.sync();
        }
        fail_point("journal.after_sync")
    }

    fn sync(&mut self) {
        if self.shared.survival.is_broken() {
            return;
        }
        self.last_sync = Instant::now();
        match fail_point("journal.sync").and_then(|()| self.files.sync()) {
            Ok(()) => {
                let synced = std::mem::take(&mut self.unsynced);
                let last = synced.last().map(|entry| entry.seq);
                // Before anybody is told: who was told finds them among what is on its way.
                self.shared.ship(synced);
                if let Some(last) = last {
                    self.synced = last;
                    self.shared.survival.reached(last, Durability::PowerLoss);
                }
            }
            Err(error) => self.shared.break_down(&error),
        }
    }

    /// Goes on in another segment, which begins with the first of `rows`.
    fn turn(&mut self, rows: &VecDeque<Taken>) -> Result<(), Error> {
        let Some(first) = rows.front().map(|taken| taken.seq) else {
            return Ok(());
        };
        // The slots of rows whose segment may go now say that they are done.
        self.intents.tidy();
        self.sync();
        let chain = self.chain;
        let shipped = self.shared.shipped();
        self.files.turn(Head { first, chain }, shipped)?;
        self.files.tidy(shipped);
        fail_point("journal.after_turn")
    }

    fn end(mut self) {
        self.sync();
        self.intents.tidy();
        drop(self.files);
        drop(self.lock);
        self.shared.ended();
    }
}
