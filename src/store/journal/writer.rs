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
    pace::Pace,
    segment::{Head, Place, append},
    shared::{Shared, Taken},
};
use crate::{
    error::{Error, ErrorKind},
    store::{Chain, Durability, Entry, fail_point::fail_point},
};

/// How long a disk that fails is left alone.
const PAUSE: Duration = Duration::from_millis(200);

/// How often it is tried when the journal closes.
const TRIES_AT_CLOSE: u32 = 5;

/// Rows come in as they are taken, all that have come while the last ones were written are written together, and one sync serves
/// all that cost something: the more there is to do, the less each row costs. Who waits for a row that cost nothing waits for no sync,
/// so that one is written when it comes.
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
    pub(super) pace: Pace,
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
        'rows: while let Some(mut rows) = self.next() {
            // A batch may reach over the end of a segment.
            while !rows.is_empty() {
                if let Err(error) = self.write(&mut rows, &mut bytes) {
                    // What was written before is not what fails.
                    if self.pace.is_awaited() {
                        self.sync();
                    }
                    self.shared.fail(&error);
                    tries_left -= u32::from(self.shared.is_closing());
                    if tries_left == 0 {
                        tracing::error!(%error, rows = rows.len(), "ledger rows are lost");
                        break 'rows;
                    }
                    self.shared.put_back(std::mem::take(&mut rows));
                    thread::sleep(PAUSE);
                }
            }
            if self.pace.is_due(Instant::now()) {
                self.sync();
            }
        }
        self.end();
    }

    /// Waits until there are rows to write, or a sync is due. `None` when the journal closes and all is written.
    fn next(&self) -> Option<VecDeque<Taken>> {
        let Self { pace, shared, .. } = self;
        // Where several have come at a time more will, and the first of them need not wake this thread to let it sleep.
        if pace.is_crowded() {
            shared.wait(pace.missing(), Some(pace.spaced()));
        }
        if !pace.is_awaited() {
            shared.wait(1, pace.due());
            shared.wait(pace.missing(), Some(pace.spaced()));
        }
        shared.rows()
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
            // One that is larger than a segment gets a segment of its own, which is as large as the row.
            let is_alone = chains.is_empty() && self.files.is_empty();
            if !is_alone && !self.files.has_room(bytes.len()) {
                bytes.truncate(before);
                break;
            }
            chains.push(chain);
        }
        let Some(last) = chains.last().copied() else {
            return self.turn(rows);
        };
        fail_point("journal.before_write")?;
        let now = Instant::now();
        let paid = rows.iter().take(chains.len()).filter(|row| row.is_paid());
        let paid = paid.count();
        let pace = self.pace.written(paid, now);
        // What is written to a disk that has failed to sync is not told, and not shipped.
        let is_broken = self.shared.survival.is_broken();
        // Who waits for the write alone is not to wait for the disk.
        let wanted = match pace.is_due(now) && paid == chains.len() && !is_broken {
            true => Durability::PowerLoss,
            false => Durability::Crash,
        };
        let survives = self.files.write(bytes, wanted)?;
        self.chain = last;
        if !is_broken {
            self.pace = pace;
        }
        let mut slots = Vec::with_capacity(chains.len());
        let written = rows.drain(..chains.len()).zip(chains);
        self.unsynced
            .extend(written.map(|(Taken { seq, row, slot }, chain)| {
                slots.extend(slot);
                Entry { seq, chain, row }
            }));
        self.intents.close(slots);
        let _ = fail_point("journal.after_write");
        match (survives, self.unsynced.last()) {
            (Durability::Crash, Some(last)) => {
                self.shared.survival.reached(last.seq, Durability::Crash);
            }
            _ => self.synced(),
        }
        Ok(())
    }

    fn sync(&mut self) {
        if self.shared.survival.is_broken() {
            return;
        }
        match fail_point("journal.sync").and_then(|()| self.files.sync()) {
            Ok(()) => self.synced(),
            Err(error) => {
                self.pace.synced(Instant::now());
                self.shared.break_down(&error);
            }
        }
    }

    /// All that is written is on the disk.
    fn synced(&mut self) {
        self.pace.synced(Instant::now());
        let synced = std::mem::take(&mut self.unsynced);
        let Some(last) = synced.last().map(|entry| entry.seq) else {
            return;
        };
        self.synced = last;
        // Before anybody is told: who was told finds them among what is on its way.
        self.shared.ship(synced);
        self.shared.survival.reached(last, Durability::PowerLoss);
        let _ = fail_point("journal.after_sync");
    }

    /// Goes on in another segment, which begins with the first of `rows`.
    fn turn(&mut self, rows: &VecDeque<Taken>) -> Result<(), Error> {
        let Some(first) = rows.front().map(|taken| taken.seq) else {
            return Ok(());
        };
        self.sync();
        if self.shared.survival.is_broken() {
            // What it has failed to sync is written once more at the next start, in the newest segment alone.
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the journal's disk has failed to sync; a restart is needed",
            ));
        }
        // The slots of rows whose segment may go now say that they are done.
        self.intents.tidy()?;
        if let Err(error) = self.intents.sync() {
            self.shared.break_down(&error);
            return Err(error);
        }
        let chain = self.chain;
        let shipped = self.shared.shipped();
        self.files.turn(Head { first, chain }, shipped)?;
        self.files.tidy(shipped);
        fail_point("journal.after_turn")
    }

    fn end(mut self) {
        self.sync();
        let _ = self.intents.tidy();
        drop(self.files);
        drop(self.lock);
        self.shared.ended();
    }
}
