use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bb8_redis::bb8::{Pool, RunError};
use redis::{RedisError, RedisResult};
use tokio::time::timeout;

use super::{
    RedisUrl,
    breaker::Breaker,
    check::{self, Fitness},
    connection::{Connection, Connector},
    queue::{Job, Queue},
};
use crate::error::{Error, ErrorKind};

/// Options of a [`Redis`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The longest that a call waits for one answer; 25 ms.
    pub patience: Duration,
    /// The longest that making a connection may take, which no call waits for; 1 s.
    pub connect: Duration,
    /// Connections; 16.
    pub connections: u32,
    /// Whether a server that may evict keys is accepted; no: it would forget rate limits and idempotency keys in use.
    pub may_evict: bool,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            patience: Duration::from_millis(25),
            connect: Duration::from_secs(1),
            connections: 16,
            may_evict: false,
        }
    }
}

/// A Redis that processes share. It is never needed: what uses it goes on without it, each in its own way.
///
/// No call waits longer than [`RedisConfig::patience`] for it, and none at all once three in a row were not answered; a task of
/// its own then tries until it is back. Nothing is retried. Must be opened and used on a tokio runtime.
pub struct Redis {
    pub(super) shared: Arc<Shared>,
    queue: Queue,
}

pub(super) struct Shared {
    pub(super) breaker: Breaker,
    pool: Pool<Connector>,
    config: RedisConfig,
    generation: Arc<AtomicU64>,
    url: RedisUrl,
}

/// Why there is no answer. It is on the log already, once.
#[derive(Debug)]
pub(super) struct Away;

impl Redis {
    /// Connects, and looks whether this Redis will do. One that cannot be reached is accepted: it is away until it answers.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a Redis that refuses scripts, or that may evict keys unless that is allowed. The message says which
    /// and what to do.
    pub async fn open(url: &RedisUrl, config: RedisConfig) -> Result<Self, Error> {
        let generation = Arc::new(AtomicU64::new(0));
        let unusable =
            |error: RedisError| Error::invalid("this Redis URL cannot be used").with_source(error);
        let connector = Connector::new(&url.place, config.connect, generation.clone());
        let pool = Pool::builder()
            .max_size(config.connections)
            .connection_timeout(config.connect)
            .retry_connection(false)
            .build_unchecked(connector.map_err(unusable)?);
        let shared = Arc::new(Shared {
            breaker: Breaker::closed(url),
            pool,
            config,
            generation,
            url: url.clone(),
        });
        match timeout(config.connect, shared.fitness()).await {
            Ok(Ok(fitness)) => shared.accept(&fitness)?,
            Ok(Err(why)) => shared.lose(&why),
            Err(_) => shared.lose(&"no answer"),
        }
        let queue = Queue::start(shared.clone());
        Ok(Self { shared, queue })
    }

    /// Whether it answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.shared.breaker.is_open()
    }

    /// Hands over what nobody waits for: it is done in order, dropped while there is too much of it.
    pub(super) fn later(&self, job: Job) {
        self.queue.push(job);
    }

    /// Does what nobody waits for at once, beside what was handed over.
    pub(super) async fn now(&self, jobs: &[Job]) -> Result<(), Away> {
        self.shared.work(jobs).await
    }

    /// Returns once all that was handed over is done, or cannot be done.
    pub async fn flush(&self) {
        self.queue.flush(self.shared.config.connect).await;
    }

    /// One round trip, within the time limit.
    pub(super) async fn ask<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Away> {
        self.shared.ask(self.shared.config.patience, work).await
    }
}

impl Shared {
    pub(super) async fn ask<T>(
        &self,
        patience: Duration,
        work: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Away> {
        if self.breaker.is_open() {
            return Err(Away);
        }
        match timeout(patience, self.round_trip(work)).await {
            Ok(Ok(answer)) => {
                self.breaker.succeeded();
                return Ok(answer);
            }
            Ok(Err(why)) => self.note(&why),
            Err(_) => self.note(&"no answer in time"),
        }
        Err(Away)
    }

    /// One round trip on a connection, which is thrown away unless it ends well.
    async fn round_trip<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let mut connection = self.pool.get().await.map_err(|error| match error {
            RunError::User(error) => error,
            RunError::TimedOut => (redis::ErrorKind::Io, "no connection").into(),
        })?;
        connection.busy = true;
        let answer = work(&mut connection).await;
        connection.busy = answer.as_ref().is_err_and(RedisError::is_io_error);
        answer
    }

    fn note(&self, why: &dyn fmt::Display) {
        if self.breaker.failed(why) {
            self.forget_connections();
        }
    }

    fn lose(&self, why: &dyn fmt::Display) {
        self.breaker.open(why);
        self.forget_connections();
    }

    /// Those that there are may be dead, and finding out costs a call each.
    fn forget_connections(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    async fn fitness(&self) -> RedisResult<Fitness> {
        self.round_trip(check::fitness).await
    }

    /// Tries once whether it is back, still fit, and as quick as calls need it.
    pub(super) async fn probe(&self) {
        self.forget_connections();
        let RedisConfig {
            connect, patience, ..
        } = self.config;
        let probing = self.round_trip(async |connection| {
            match timeout(patience, check::trial(connection)).await {
                Ok(trial) => trial?,
                Err(_) => return Err((redis::ErrorKind::Io, "too slow").into()),
            }
            check::fitness(connection).await
        });
        let Ok(Ok(fitness)) = timeout(connect, probing).await else {
            return;
        };
        match self.accept(&fitness) {
            Ok(()) => self.breaker.close(),
            Err(error) => tracing::debug!(%error, "redis answers, but will not do"),
        }
    }

    fn accept(&self, fitness: &Fitness) -> Result<(), Error> {
        let unfit = |why: &str| {
            Err(Error::new(
                ErrorKind::Invalid,
                format!("the Redis at {} {why}", self.url),
            ))
        };
        match fitness {
            Fitness::Fit => Ok(()),
            Fitness::NoScripts(why) => unfit(&format!(
                "does not run scripts, and rate limits need them: allow EVAL and EVALSHA ({why})"
            )),
            Fitness::Evicts(policy) if self.config.may_evict => {
                tracing::debug!(
                    policy,
                    "redis may evict rate limits and idempotency keys in use"
                );
                Ok(())
            }
            Fitness::Evicts(policy) => unfit(&format!(
                "has the maxmemory-policy {policy}: when it is full it forgets rate limits and idempotency keys in use; set noeviction, use another Redis, or accept it"
            )),
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("url", &self.shared.url)
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}
