//! A ledger's rows, an audit, keys, conversations and todo lists that last, in one SQLite file: nothing to install, owned by one process.
//!
//! # What is safe when
//! [`SqliteStore`] is a [`LedgerSink`](super::LedgerSink): a [`Journal`](super::journal) in front of it makes a ledger that answers
//! in no time and loses nothing. A batch of rows is one transaction. The file is in WAL mode with `synchronous=FULL`: what
//! is written survives a power loss.
//!
//! # Who may open it
//! One process at a time, held by an advisory lock on `<file>.lock`; the operating system frees it when the process ends. Other
//! programs may read the file at any time. A file that a newer version of rungs has migrated is refused. While one process brings the
//! schema up to date, which a lock on `<file>.opening` says, others that open the file wait for it.
//!
//! # Errors
//! [`ErrorKind::Unavailable`] for what may pass: others have the file to themselves for too long, the disk is full or fails, all
//! connections are in use. [`ErrorKind::Internal`] for all else that the file refuses.

mod database;
mod failure;
mod keys;
mod ledger;
mod log;
mod migrations;
mod opening;
mod rows;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Mutex;

pub use keys::SqliteKeys;
pub use log::SqliteLog;

use database::NAMES;
use failure::failed;
use writer::Writer;

use super::{
    AuditLog, ConversationStore, IdempotencyStore, Spool, TodoStore,
    idempotency::shared::SharedNames,
    lock,
    memory::MemoryIdempotency,
    sql::{audit::SqlAudit, conversations::SqlConversations, names::SqlNames, todos::SqlTodos},
};
use crate::error::{Error, ErrorKind};

/// How long others may keep the file to themselves.
const BUSY: Duration = Duration::from_secs(5);

/// One SQLite file with all that lasts.
///
/// Must be opened, used and closed on a tokio runtime.
pub struct SqliteStore {
    path: PathBuf,
    pool: SqlitePool,
    /// Writes rows until the file is closed.
    writer: Arc<Mutex<Option<Writer>>>,
}

impl SqliteStore {
    /// Opens the file of a URL like `sqlite:rungs.db` or `sqlite:///var/lib/rungs.db`, creates it if it is missing, and brings its
    /// schema up to date.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a URL that names no file; [`ErrorKind::Conflict`]
    /// if it belongs to another process; [`ErrorKind::Unavailable`] if others take too long to open it; [`ErrorKind::Internal`] if it cannot be opened, or has a schema that
    /// this version does not know. The message says which and what to do.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let options = options(url)?;
        let path = options.get_filename().to_path_buf();
        let opening = opening::alone(&path).await?;
        let lock = lock::take(&path)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!(
                    "the database {} is in use by another rungs process; stop that one, or give this one a file of its own",
                    path.display()
                ),
            )
        })?;
        let connection = opening::migrated(&options).await?;
        drop(opening);
        let writer = Writer::open(&path, url, lock).await;
        // Not before: the last one to close an SQLite file moves its log into it, and takes its time for that.
        let _ = connection.close().await;
        Ok(Self {
            path,
            pool: pool(options),
            writer: Arc::new(Mutex::new(Some(writer?))),
        })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its keys alone.
    #[must_use]
    pub fn keys(&self) -> SqliteKeys {
        SqliteKeys::new(self.pool.clone())
    }

    /// Its ledger, to be read and pruned.
    #[must_use]
    pub fn log(&self) -> SqliteLog {
        SqliteLog::new(self.pool.clone())
    }

    /// Its conversations.
    #[must_use]
    pub fn conversations(&self) -> impl ConversationStore + use<> {
        SqlConversations(self.pool.clone())
    }

    /// Its names of calls, with those of this process in `near`. What came of a call is in `spool` until it is in the database.
    ///
    /// Must be called on a tokio runtime: tasks renew claims and write.
    #[must_use]
    pub fn names(
        &self,
        near: MemoryIdempotency,
        spool: Option<Arc<dyn Spool>>,
    ) -> impl IdempotencyStore + use<> {
        SharedNames::new(SqlNames::new(self.pool.clone(), &NAMES, spool), near)
    }

    /// Its todo lists.
    #[must_use]
    pub fn todos(&self) -> impl TodoStore + use<> {
        SqlTodos(self.pool.clone())
    }

    /// Its audit, chained with `key`, which must be the same each time.
    #[must_use]
    pub fn audit(&self, key: &[u8; 32]) -> impl AuditLog + use<> {
        SqlAudit::new(self.pool.clone(), *key)
    }

    /// Gives the file free for another process. May be called more than once.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the file could not be closed in order.
    pub async fn close(&self) -> Result<(), Error> {
        self.pool.close().await;
        match self.writer.lock().await.take() {
            Some(writer) => writer.close().await,
            None => Ok(()),
        }
    }
}

fn pool(options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(2)
        .min_connections(0)
        .connect_lazy_with(options)
}

fn options(url: &str) -> Result<SqliteConnectOptions, Error> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(Error::invalid(format!(
            "`{url}` names no file; for stores in memory leave the database out"
        )));
    }
    let wrong = || Error::invalid(format!("`{url}` is no SQLite URL like sqlite:rungs.db"));
    if !url.starts_with("sqlite:") {
        return Err(wrong());
    }
    let options = SqliteConnectOptions::from_str(url).map_err(|e| wrong().with_source(e))?;
    Ok(options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .disable_statement_logging())
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
