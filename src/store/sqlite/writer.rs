use std::{
    fs::File,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, SqliteConnection};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::rows;
use crate::{error::Error, store::LedgerRow};

/// How long the writer waits for company for a row, so that many share a transaction.
pub const LINGER: Duration = Duration::from_millis(20);

/// Past this many rows in memory no further attempt is admitted.
const ROOM: u64 = 50_000;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
const TRIES_AT_CLOSE: u32 = 6;

/// The near end of the writer task: takes rows, tells how far the task has come.
///
/// The buffer is bounded by admission: rows of attempts under way are always taken, and new attempts begin only while there is room.
pub(super) struct Writer {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
}

struct Shared {
    buffer: Mutex<Buffer>,
    work: Notify,
    hurry: Notify,
    closing: AtomicBool,
}

#[derive(Default)]
struct Buffer {
    rows: Vec<LedgerRow>,
    /// Rows taken since the start; those up to `Progress::written` are in the file.
    taken: u64,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    written: u64,
    /// Set last, once the file is closed and unlocked.
    closed: bool,
}

impl Writer {
    /// Starts the one task that writes to `connection`, and that keeps the database `locked` until it is done.
    pub(super) fn start(connection: SqliteConnection, locked: File) -> Self {
        let shared = Arc::new(Shared {
            buffer: Mutex::default(),
            work: Notify::new(),
            hurry: Notify::new(),
            closing: AtomicBool::new(false),
        });
        let (told, progress) = watch::channel(Progress::default());
        let task = Task {
            shared: shared.clone(),
            connection,
            told,
            failing: false,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the only task of the store; close() waits for its end, and dropping the store ends it"
        )]
        drop(tokio::spawn(task.run(locked)));
        Self { shared, progress }
    }

    pub(super) fn record(&self, row: LedgerRow) {
        let first = {
            let mut buffer = self.shared.buffer();
            buffer.rows.push(row);
            buffer.taken += 1;
            buffer.rows.len() == 1
        };
        if first {
            self.shared.work.notify_one();
        }
    }

    /// Rows taken and not yet written.
    pub(super) fn backlog(&self) -> u64 {
        let written = self.progress.borrow().written;
        self.shared.buffer().taken.saturating_sub(written)
    }

    pub(super) fn has_room(&self) -> bool {
        !self.shared.closing.load(Ordering::Relaxed) && self.backlog() < ROOM
    }

    pub(super) async fn flush(&self) -> Result<(), Error> {
        let taken = self.shared.buffer().taken;
        self.shared.hurry.notify_one();
        self.reached(|progress| progress.written >= taken || progress.closed)
            .await
    }

    pub(super) async fn close(&self) -> Result<(), Error> {
        self.shared.end();
        self.reached(|progress| progress.closed).await
    }

    /// Waits for `point`, then says whether rows were lost on the way.
    async fn reached(&self, mut point: impl FnMut(&Progress) -> bool) -> Result<(), Error> {
        let mut progress = self.progress.clone();
        let gone = progress.wait_for(|p| point(p)).await.is_err();
        let closed = progress.borrow().closed;
        match self.backlog() {
            lost if lost > 0 && (gone || closed) => Err(Error::internal(format!(
                "{lost} ledger rows could not be written"
            ))),
            _ => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.work.notify_one();
        self.hurry.notify_one();
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// The far end: owns the connection.
struct Task {
    shared: Arc<Shared>,
    connection: SqliteConnection,
    told: watch::Sender<Progress>,
    failing: bool,
}

impl Task {
    async fn run(mut self, locked: File) {
        loop {
            self.shared.work.notified().await;
            if !self.shared.is_closing() {
                // Ends at once if somebody waits for the rows.
                let _ = timeout(LINGER, self.shared.hurry.notified()).await;
            }
            let closing = self.shared.is_closing();
            let rows = std::mem::take(&mut self.shared.buffer().rows);
            let written = rows.is_empty() || self.write_all(&rows).await;
            if closing || !written {
                break;
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the ledger's file was not closed in order");
        }
        drop(locked);
        self.told.send_modify(|progress| progress.closed = true);
    }

    /// Tries until the rows are written; `false` if the store is closing and it cannot be done.
    async fn write_all(&mut self, rows: &[LedgerRow]) -> bool {
        let mut backoff = FIRST_BACKOFF;
        let mut tries_left = TRIES_AT_CLOSE;
        while let Err(error) = rows::insert(&mut self.connection, rows).await {
            if !std::mem::replace(&mut self.failing, true) {
                tracing::error!(%error, rows = rows.len(), "the ledger cannot be written; its rows wait in memory");
            }
            if self.shared.is_closing() {
                tries_left -= 1;
                if tries_left == 0 {
                    tracing::error!(%error, rows = rows.len(), "ledger rows are lost");
                    return false;
                }
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(if self.shared.is_closing() {
                FIRST_BACKOFF
            } else {
                LONGEST_BACKOFF
            });
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!(rows = rows.len(), "the ledger is written again");
        }
        let written = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        self.told
            .send_modify(|progress| progress.written += written);
        true
    }
}
