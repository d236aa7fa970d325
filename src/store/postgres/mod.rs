//! Ledger, audit, keys, budgets, conversations and todo lists in PostgreSQL, for any number of processes at once.
//!
//! # What is on the path of a call
//! Nothing but the conversation that a call goes on, where no hot copy of it is at hand: the ledger is written behind it, and budgets are held from leases in memory. A call waits for the database only when a
//! lease has no room for it, and then for a bounded time; see [`LeasedBudgets`].
//!
//! # What the database must promise
//! That it does not lose what it has committed: `synchronous_commit` is on, and a standby that takes over has it all. A grant that
//! vanishes while it is in use is money that is spent twice.
//!
//! # Errors
//! A database that does not answer is [`ErrorKind::Unavailable`]: statements end after two seconds,
//! locks after half a second, and nobody waits longer than 50 ms for a connection that others use; leases and the rows of a journal
//! have connections of their own. It may come back at any time.

mod arrived;
mod births;
mod budgets;
mod database;
mod epochs;
mod holders;
mod keeper;
mod keys;
mod leases;
mod ledger;
mod log;
mod marks;
mod place;
mod pool;
mod posting;
mod rows;
mod schema;
mod standing;

use std::{fmt, sync::Arc, time::Duration};

pub use budgets::{LeaseTerms, LeasedBudgets};
pub use holders::Holder;
pub use keys::PostgresKeys;
pub use ledger::PostgresLedger;
pub use log::PostgresLog;

use database::NAMES;
use pool::Pool;

use super::{
    AuditLog, ConversationStore, IdempotencyStore, Spool, TodoStore,
    idempotency::shared::SharedNames,
    memory::MemoryIdempotency,
    sql::{
        audit::SqlAudit, conversations::SqlConversations, names::SqlNames, passing::may_pass,
        todos::SqlTodos,
    },
};
use crate::error::{Error, ErrorKind};

/// One PostgreSQL database. Clones share its connections.
///
/// Must be used on a tokio runtime.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Arc<Pool>,
}

impl PostgresStore {
    /// A database at a URL like `postgres://user:password@host/name`, with at most `connections` of them, and three more for
    /// leases and the rows of a journal. Nothing is connected yet:
    /// the schema is brought up to date by the first use that finds the database there.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no such URL.
    pub fn new(url: &str, connections: u32) -> Result<Self, Error> {
        let pool = Arc::new(Pool::new(url, connections.max(1))?);
        Ok(Self { pool })
    }

    /// Connects, and brings the schema up to date. Any number of processes may do so at once.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the database does not answer: it may be tried again, also by
    /// using the store. [`ErrorKind::Internal`] if its schema is newer than this version knows, or a
    /// step of the migration failed; the message names it.
    pub async fn connect(&self) -> Result<(), Error> {
        self.pool.ready().await
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> PostgresKeys {
        PostgresKeys::new(self.pool.clone())
    }

    /// Its ledger, as the sink of the journal of this name, which no other journal may have. Leases of a holder of the same name pay
    /// for the rows: give [`LeasedBudgets::holder`], where there are leased budgets.
    #[must_use]
    pub fn ledger(&self, journal: impl Into<Arc<str>>) -> PostgresLedger {
        PostgresLedger::new(self.pool.clone(), journal.into())
    }

    /// The ledgers of all journals, to be read and pruned.
    #[must_use]
    pub fn log(&self) -> PostgresLog {
        PostgresLog::new(self.pool.clone())
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

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

/// How long a client may wait until it asks again while the database is away.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The client learns no more than whether it may try again.
fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |error| {
        // Classes of SQLSTATE: transaction rollback, resources, intervention (time-outs, shutdown), system, read-only.
        const PASSING: [&str; 6] = ["40", "53", "55", "57", "58", "25"];
        let passing = |code: &str| PASSING.iter().any(|class| code.starts_with(class));
        match may_pass(&error, passing) {
            true => unavailable(what).with_source(error),
            false => Error::internal(what).with_source(error),
        }
    }
}

fn unavailable(what: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, what).retry_after(RETRY_AFTER)
}

#[cfg(all(test, feature = "testing"))]
mod tests;
