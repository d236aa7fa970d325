//! A ledger that loses nothing: rows go to a file of this gateway first, and from there to the store that keeps them.
//!
//! # What is safe when
//! [`Ledger::begin`] writes an attempt down before it is sent, with what it can cost at most: should the process be killed, the next
//! start finds it and charges that. A row is written to a segment file, together with those that come at the same time, and synced
//! to the disk if it cost something; [`Ledger::survives`] waits for that, so an answer whose end a client has seen is on record.
//! Rows are shipped to a [`LedgerSink`] behind the call, in batches, as often as it takes; a sink that is away for a while only makes
//! the journal longer. The sum of it: a row is lost only with the disk.
//!
//! # Files
//! A folder of segments of 4 MiB, filled with zeros when they are made so that a sync has no length to update, and used again when
//! all their rows are shipped (a row that is larger has a segment of its own); `open`, a slot per attempt under way; `lock`, held as
//! long as a process owns the folder.
//! Each record has its number, a checksum, and a keyed hash over itself and all before it: the end that a crash tore off is told
//! from damage, and a row that somebody altered or took out from a row that is right.
//!
//! ```
//! use std::sync::Arc;
//! use rungs::store::{Durability, Ledger, journal::Journal, sqlite::SqliteStore};
//! use rungs::testing::ledger_contract::row;
//!
//! # let dir = std::env::temp_dir().join(format!("rungs-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir).unwrap();
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let store = Arc::new(SqliteStore::open(&format!("sqlite:{}/rungs.db", dir.display())).await?);
//! let ledger = Journal::open(&dir.join("rungs.db.journal"), store, &[7; 32]).await?;
//! ledger.record(row("req_1", 1, 42, std::time::Duration::ZERO));
//! if let Some(written) = ledger.survives(Durability::PowerLoss) {
//!     written.await?;
//! }
//! # ledger.close().await;
//! # std::fs::remove_dir_all(&dir).unwrap();
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```

mod audit;
mod blocks;
mod codec;
mod files;
mod intents;
mod kept;
mod pace;
mod recover;
mod segment;
mod shared;
mod shipper;
mod tail;
mod under_way;
mod unshipped;
mod writer;

use std::{
    fmt,
    fs::File,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::time::{sleep, timeout};

pub use audit::Audit;
pub use codec::{encode, next_chain};
pub use kept::Kept;
pub use under_way::under_way;

use self::{
    intents::{Intents, Unwritten},
    pace::Pace,
    shared::Shared,
    unshipped::Spending,
};
use super::{Durability, Intent, Ledger, LedgerRow, LedgerSink, Progress, StoreFuture, lock};
use crate::{
    catalog::Money,
    error::{Error, ErrorKind},
};

/// How often a sum is taken again because rows have arrived in between.
const TRIES: usize = 20;

/// How long the writer is given to be done with what it is at, each time.
const SHORTLY: Duration = Duration::from_millis(25);

/// The journal of one gateway, and the ledger behind it. See the [module](self).
///
/// Must be opened, used and closed on a tokio runtime.
pub struct Journal {
    shared: Arc<Shared>,
    intents: Arc<Intents>,
    sink: Arc<dyn LedgerSink>,
}

impl Journal {
    /// Opens the journal in `folder`, which is made if it is missing, in front of `sink`. What the last process did not come to
    /// write or to ship is written and shipped now. `key` is what rows are sealed with: whoever has it can forge them.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the folder belongs to another process, is damaged, was sealed with
    /// another key, or does not fit the sink. The message says which and what to do.
    pub async fn open(
        folder: &Path,
        sink: Arc<dyn LedgerSink>,
        key: &[u8; 32],
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|e| files::failed(folder, e))?;
        let lock = lock::take(folder)?.ok_or_else(|| {
            Error::internal(format!(
                "the journal {} is in use by another rungs process; stop that one, or give this one a store of its own",
                folder.display()
            ))
        })?;
        let last = sink.last().await?;
        let found = recover::read(folder, key, last)?;
        Self::start(found, sink, key, lock).await
    }

    async fn start(
        found: recover::Found,
        sink: Arc<dyn LedgerSink>,
        key: &[u8; 32],
        lock: File,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(found.next_seq, found.shipped));
        let intents = Arc::new(found.intents);
        shared.ship(found.unshipped);
        shipper::start(Arc::clone(&shared), Arc::clone(&sink));
        writer::Writer {
            shared: Arc::clone(&shared),
            intents: Arc::clone(&intents),
            files: found.files,
            key: *key,
            chain: found.chain,
            synced: found.next_seq - 1,
            unsynced: Vec::new(),
            pace: Pace::new(Instant::now()),
            lock,
        }
        .start()?;
        let journal = Self {
            shared,
            intents,
            sink,
        };
        // What was under way when the last process ended, at its worst case.
        for (slot, row) in found.interrupted {
            tracing::warn!(request = %row.request, cost = %row.cost, "an attempt was interrupted; it is charged at its worst case");
            journal.end(Intent(Some(slot)), row);
        }
        if let Some(written) = journal.survives(Durability::PowerLoss) {
            written.await?;
        }
        Ok(journal)
    }

    /// Rows taken and not yet shipped.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.shared.backlog()
    }

    /// What the sink has, and what is on its way there: nobody waits until a long journal has arrived, or until a disk takes it.
    async fn spent_so_far(&self, spending: Spending<'_>) -> Result<Money, Error> {
        let Spending {
            account,
            since,
            until,
        } = spending;
        let paid = self.shared.last_paid();
        let mut writing = None;
        for _ in 0..TRIES {
            let Some(on_their_way) = self.shared.on_their_way(spending, paid) else {
                writing = Some(self.is_written_shortly().await);
                continue;
            };
            writing = None;
            if on_their_way.is_empty() {
                return self.sink.spent(account, since, until).await;
            }
            // Rows arrive meanwhile: the sum and the last row must belong together.
            let before = self.sink.last().await?;
            let arrived = self.sink.spent(account, since, until).await?;
            if self.sink.last().await? == before {
                let last = before.map_or(0, |(seq, _)| seq);
                let rest = on_their_way.iter().filter(|(seq, _)| *seq > last);
                return Ok(arrived + rest.map(|(_, cost)| *cost).sum());
            }
        }
        match writing {
            Some(Err(error)) => Err(error),
            Some(Ok(())) => Err(Error::new(
                ErrorKind::Unavailable,
                "the journal's disk does not answer",
            )),
            None => {
                self.shared.flush().await?;
                self.sink.spent(account, since, until).await
            }
        }
    }

    /// Gives the writer time for what it is at; why it cannot do that, if it says so.
    async fn is_written_shortly(&self) -> Result<(), Error> {
        let Some(written) = self.survives(Durability::PowerLoss) else {
            sleep(SHORTLY).await;
            return Ok(());
        };
        match timeout(SHORTLY, written).await {
            Ok(Err(error)) => {
                sleep(SHORTLY).await;
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Writes all rows taken so far, takes no more, ships what can be shipped now, and gives the folder free. What is not shipped
    /// stays for the next start. May be called more than once.
    pub async fn close(&self) {
        self.shared.close();
        self.shared.closed().await;
    }
}

impl Ledger for Journal {
    fn begin(&self, row: &LedgerRow) -> Result<Intent, Error> {
        match self.intents.open(row) {
            Ok(slot) => Ok(Intent(Some(slot))),
            // Then nobody charges it if this process is killed just now.
            Err(Unwritten::TooLong) => {
                tracing::error!(
                    request = &*row.request,
                    "the names in a ledger row are too long to be written down before its attempt"
                );
                Ok(Intent::default())
            }
            // Of rows there may be room yet: whoever waits for theirs is not concerned.
            Err(Unwritten::Disk(error)) => Err(error),
        }
    }

    fn end(&self, intent: Intent, row: LedgerRow) {
        self.shared.take(row, intent.0);
    }

    fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    fn progress(&self) -> Progress {
        self.shared.progress()
    }

    fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        self.shared.survives(what)
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.shared.flush())
    }

    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> StoreFuture<'a, Money> {
        Box::pin(self.spent_so_far(Spending {
            account,
            since,
            until,
        }))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("backlog", &self.backlog())
            .finish_non_exhaustive()
    }
}
