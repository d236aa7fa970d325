//! Names of calls in a database, where processes that share it meet, and from which a process that begins has them again.

mod task;
mod texts;

use std::{
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::{
    columns::{Columns, clamp},
    database::{Database, Statement, statement},
};
use crate::{
    error::{Error, ErrorKind},
    store::{
        IdempotencyKey, Spool, StoreFuture, Topic,
        idempotency::shared::{Claimed, Register},
        plain::lasting,
    },
};
use task::{Finished, Job, Left, Task};
#[cfg(feature = "postgres")]
pub(in crate::store) use texts::{Claims, claims};
pub(in crate::store) use texts::{Texts, texts};

const FAILING: &str = "names of calls cannot be kept";

/// How long a call waits for the database, and for how long nobody asks one that did not answer.
const PATIENCE: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(1);

/// What waits for the database: so many bytes. Beyond that a name is forgotten.
const BYTES: usize = 64 << 20;

/// How many claims one statement renews.
const LOT: usize = 1_000;

/// How long the end of a process waits for the last names; the spool has them.
const FLUSH: Duration = Duration::from_secs(2);

pub(in crate::store) struct SqlNames<D> {
    database: D,
    texts: &'static Texts,
    jobs: mpsc::Sender<Job>,
    /// The bytes of jobs that wait.
    weight: Arc<AtomicUsize>,
    spool: Option<Arc<dyn Spool>>,
    left: Left,
    /// Until when nobody asks.
    resting: Mutex<Option<Instant>>,
}

impl<D: Database> SqlNames<D> {
    /// Names in `database`; what waits for it is in `spool` too, and what a process before has left there comes first.
    ///
    /// Must be called on a tokio runtime: a task writes.
    pub(in crate::store) fn new(
        database: D,
        texts: &'static Texts,
        spool: Option<Arc<dyn Spool>>,
    ) -> Self {
        let left = spool.iter().flat_map(|spool| spool.left(Topic::Names));
        let left = left.filter_map(|(number, record)| Finished::of_record(number, &record));
        let in_order: Vec<_> = left.map(Arc::new).collect();
        let left = in_order.iter().map(|f| (f.key, Arc::clone(f)));
        let left = Arc::new(Mutex::new(left.collect()));
        let (jobs, waiting) = mpsc::channel(BYTES / Job::LEAST);
        let weight = Arc::<AtomicUsize>::default();
        let task = Task {
            database: database.clone(),
            texts,
            jobs: waiting,
            weight: Arc::clone(&weight),
            spool: spool.clone(),
            left: Arc::clone(&left),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the only task of the store; flush() waits for its work, and it ends when the store is dropped"
        )]
        drop(tokio::spawn(task.run(in_order)));
        Self {
            database,
            texts,
            jobs,
            weight,
            spool,
            left,
            resting: Mutex::default(),
        }
    }

    /// What a process before has told of a call, if the database does not have it yet.
    fn told(&self, key: &IdempotencyKey) -> Option<Bytes> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Finished { until, call, .. } = &**left.get(key)?;
        (*until > SystemTime::now()).then(|| Bytes::copy_from_slice(call))
    }

    /// A place for a job of this weight, if there is one; it must be used.
    fn place(&self, weight: usize) -> Option<mpsc::Permit<'_, Job>> {
        let room = self.weight.fetch_add(weight, Ordering::Relaxed) + weight <= BYTES;
        let place = self.jobs.try_reserve().ok().filter(|_| room);
        if place.is_none() {
            self.weight.fetch_sub(weight, Ordering::Relaxed);
        }
        place
    }

    async fn ask(
        &self,
        key: &IdempotencyKey,
        claim: &[u8],
        lease: Duration,
    ) -> Result<Option<Bytes>, Error> {
        // What was there may go between the two questions.
        for _ in 0..3 {
            if let Some(texts) = &self.texts.claims {
                let claimed = named(texts.claim, key)
                    .bind(claim)
                    .bind(clamp(lasting(lease)));
                if !self.database.rows(claimed, FAILING).await?.is_empty() {
                    return Ok(None);
                }
            }
            let rows = self.database.rows(named(self.texts.look, key), FAILING);
            let state = rows
                .await?
                .first()
                .map(|row| row.bytes("state").map(Bytes::copy_from_slice));
            match state.transpose().map_err(D::failed(FAILING))? {
                None if self.texts.claims.is_some() => {}
                state => return Ok(state),
            }
        }
        Err(away())
    }

    /// Whether nobody asks now.
    fn is_resting(&self) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.is_some_and(|until| Instant::now() < until)
    }

    fn rest(&self) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        *resting = Some(Instant::now() + REST);
    }
}

impl<D: Database> Register for SqlNames<D> {
    fn claim<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        claim: &'a [u8],
        lease: Duration,
    ) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            if let Some(call) = self.told(key) {
                return Ok(Some(call));
            }
            if self.is_resting() {
                return Err(away());
            }
            let asked = timeout(PATIENCE, self.ask(key, claim, lease)).await;
            let asked = asked.unwrap_or_else(|_| Err(away()));
            if let Err(error) = &asked {
                tracing::warn!(%error, "names of calls hold within this process while the database is away");
                self.rest();
            }
            asked
        })
    }

    fn renew<'a>(&'a self, claims: &'a [Claimed], lease: Duration) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let Some(texts) = &self.texts.claims else {
                return Ok(());
            };
            for lot in claims.chunks(LOT) {
                if self.is_resting() {
                    return Err(away());
                }
                let names = array(lot.iter().map(|(key, _)| &key[..]));
                let states = array(lot.iter().map(|(_, claim)| &claim[..]));
                let renew = statement(texts.renew)
                    .bind(&*names)
                    .bind(&*states)
                    .bind(clamp(lasting(lease)));
                self.database.change(renew, FAILING).await?;
            }
            Ok(())
        })
    }

    fn finish(&self, key: &IdempotencyKey, claim: Vec<u8>, call: Vec<u8>, ttl: Duration) {
        let now = SystemTime::now();
        let mut finished = Finished {
            key: *key,
            claim,
            call,
            until: now.checked_add(ttl).unwrap_or(now),
            number: None,
        };
        let Some(place) = self.place(finished.weight()) else {
            return metrics::counter!("rungs_call_names_dropped_total").increment(1);
        };
        // Without room there it is in memory alone until the database has it.
        let spool = self.spool.as_ref().filter(|spool| spool.has_room());
        finished.number = spool.map(|spool| spool.add(Topic::Names, finished.to_record()));
        place.send(Job::Finish(finished));
    }

    fn abandon(&self, key: &IdempotencyKey, claim: Vec<u8>) {
        if self.texts.claims.is_some() {
            let job = Job::Abandon(*key, claim);
            if let Some(place) = self.place(job.weight()) {
                place.send(job);
            }
        }
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            let (done, told) = oneshot::channel();
            if self.jobs.try_send(Job::Mark(done)).is_ok() {
                let _ = timeout(FLUSH, told).await;
            }
            Ok(())
        })
    }
}

fn away() -> Error {
    Error::new(ErrorKind::Unavailable, FAILING)
}

/// PostgreSQL's text for an array of bytes.
fn array<'a>(items: impl Iterator<Item = &'a [u8]>) -> String {
    let mut text = String::from("{");
    for (n, item) in items.enumerate() {
        text.push_str(if n > 0 { r",\\x" } else { r"\\x" });
        for byte in item {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text.push('}');
    text
}

/// A statement about a name.
fn named<'a>(text: &'static str, key: &'a IdempotencyKey) -> Statement<'a> {
    statement(text).bind(&key[..])
}

impl<D> fmt::Debug for SqlNames<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlNames")
            .field("waiting", &self.weight)
            .finish_non_exhaustive()
    }
}
