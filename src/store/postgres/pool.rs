use std::{str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, PgConnection, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::{
    runtime::Handle,
    sync::{OnceCell, Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{failed, schema, unavailable};
use crate::error::Error;

/// How long anybody waits for a connection that others use.
const QUEUE: Duration = Duration::from_millis(50);
/// And for a new one.
const CONNECT: Duration = Duration::from_millis(1_500);
/// And for one that comes back: a statement whose caller has left may take as long as a statement may.
const RETURN: Duration = Duration::from_secs(3);
/// And for the schema: another process may be at it.
const MIGRATE: Duration = Duration::from_secs(60);

/// The connections that leases and the rows of a journal have for themselves: one each.
const RESERVED: u32 = 2;

/// A bounded number of connections to a database whose schema is up to date.
pub(super) struct Pool {
    shared: Lane,
    /// Whoever floods the others, budgets are held and rows arrive.
    reserved: Lane,
    options: PgConnectOptions,
    migrated: OnceCell<()>,
}

/// Some of the connections.
struct Lane {
    inner: PgPool,
    /// In front of sqlx's queue, whose wait cannot be told from that for a new connection.
    permits: Semaphore,
    queue: Duration,
}

/// A connection, and the right to it.
pub(super) struct Connection<'a> {
    inner: PoolConnection<Postgres>,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(url: &str, connections: u32) -> Result<Self, Error> {
        // A URL may hold a password: it is never shown.
        let wrong = || {
            Error::invalid("the database URL is no PostgreSQL URL like postgres://user@host/name")
        };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong());
        }
        let options = PgConnectOptions::from_str(url)
            .map_err(|e| wrong().with_source(e))?
            .application_name("rungs")
            .disable_statement_logging();
        let timed = options.clone().options([
            ("statement_timeout", "2s"),
            ("lock_timeout", "500ms"),
            ("idle_in_transaction_session_timeout", "10s"),
            // Compiling takes longer than any of our statements.
            ("jit", "off"),
        ]);
        Ok(Self {
            shared: Lane::new(timed.clone(), connections, QUEUE),
            reserved: Lane::new(timed, RESERVED, CONNECT),
            options,
            migrated: OnceCell::new(),
        })
    }

    /// Returns once the schema is up to date.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        self.migrated
            .get_or_try_init(async || {
                let connect = timeout(CONNECT, self.options.connect()).await;
                let mut connection = connect
                    .map_err(|_| unavailable("the database does not answer"))?
                    .map_err(failed("the database cannot be reached"))?;
                let database = self.options.get_database().unwrap_or("postgres").to_owned();
                timeout(MIGRATE, schema::apply(&mut connection, &database))
                    .await
                    .map_err(|_| unavailable("the database's schema is not ready yet"))?
            })
            .await
            .copied()
    }

    pub(super) async fn get(&self) -> Result<Connection<'_>, Error> {
        self.ready().await?;
        self.shared.get().await
    }

    /// One that nobody takes on the path of a call.
    pub(super) async fn get_reserved(&self) -> Result<Connection<'_>, Error> {
        self.ready().await?;
        self.reserved.get().await
    }

    /// The connections without their queue, for who listens.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub(super) async fn close(&self) {
        for lane in [&self.shared, &self.reserved] {
            lane.permits.close();
            lane.inner.close().await;
        }
    }
}

impl Lane {
    fn new(options: PgConnectOptions, connections: u32, queue: Duration) -> Self {
        let inner = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(0)
            .acquire_timeout(CONNECT)
            .connect_lazy_with(options);
        Self {
            inner,
            permits: Semaphore::new(usize::try_from(connections).unwrap_or(1)),
            queue,
        }
    }

    async fn get(&self) -> Result<Connection<'_>, Error> {
        let permit = timeout(self.queue, self.permits.acquire())
            .await
            .map_err(|_| unavailable("all connections to the database are in use"))?
            .map_err(|e| unavailable("the database is closed").with_source(e))?;
        let inner = self.inner.acquire().await;
        Ok(Connection {
            inner: inner.map_err(failed("the database cannot be reached"))?,
            _permit: permit,
        })
    }
}

impl std::ops::Deref for Connection<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl std::ops::DerefMut for Connection<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

/// A connection that was cut without a word, and whose caller has given up, answers nothing any more: it would count among those in use
/// until TCP gives up, a quarter of an hour. One that does not come back in time is closed.
impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let Ok(runtime) = Handle::try_current() {
            let back = timeout(RETURN, self.inner.return_to_pool());
            // The pool waits for it when it closes.
            drop(runtime.spawn(back));
        }
    }
}

/// What a frozen database must not outlast: no answer comes, so none of its own limits strikes.
pub(super) async fn answered<T>(
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    const PATIENCE: Duration = Duration::from_secs(4);
    timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| Err(unavailable("the database does not answer")))
}
