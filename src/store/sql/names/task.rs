//! The task that brings to the database what nobody waits for.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};

use super::{FAILING, Texts, named};
use crate::{
    error::ErrorKind,
    store::{
        IdempotencyKey, Spool,
        plain::{lasting, millis, time},
        sql::{
            columns::clamp,
            database::{Database, statement},
        },
    },
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How often names that have had their time go, how many at once, and how long others have the database between two such lots.
const PRUNE: Duration = Duration::from_secs(60);
const LOT: u32 = 1_000;
const NEXT_LOT: Duration = Duration::from_millis(50);

/// What nobody waits for.
pub(super) enum Job {
    Finish(Finished),
    Abandon(IdempotencyKey, Vec<u8>),
    Mark(oneshot::Sender<()>),
}

/// What came of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) key: IdempotencyKey,
    pub(super) claim: Vec<u8>,
    pub(super) call: Vec<u8>,
    /// It is kept until then.
    pub(super) until: SystemTime,
    /// Its number in the spool.
    pub(super) number: Option<u64>,
}

impl Finished {
    pub(super) fn to_record(&self) -> Vec<u8> {
        let length = u8::try_from(self.claim.len()).expect("a claim is short");
        let mut record = millis(self.until).to_le_bytes().to_vec();
        record.extend_from_slice(&self.key);
        record.push(length);
        record.extend_from_slice(&self.claim);
        record.extend_from_slice(&self.call);
        record
    }

    pub(super) fn of_record(number: u64, record: &[u8]) -> Option<Self> {
        let (until, rest) = record.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (claim, call) = rest.split_at_checked(usize::from(*length))?;
        Some(Self {
            key: *key,
            claim: claim.to_vec(),
            call: call.to_vec(),
            until: time(i64::from_le_bytes(*until)),
            number: Some(number),
        })
    }

    /// Roughly what it takes in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        Job::LEAST + self.call.len()
    }
}

impl Job {
    /// What the least of them takes in memory, in bytes.
    pub(super) const LEAST: usize = 256;

    /// Roughly what it takes in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Finish(finished) => finished.weight(),
            Self::Abandon(..) => Self::LEAST,
            Self::Mark(_) => 0,
        }
    }
}

pub(super) struct Task<D> {
    pub(super) database: D,
    pub(super) texts: &'static Texts,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) weight: Arc<AtomicUsize>,
    pub(super) spool: Option<Arc<dyn Spool>>,
    pub(super) left: Left,
}

/// What came of calls in a process before, and the database does not have yet.
pub(super) type Left = Arc<Mutex<HashMap<IdempotencyKey, Arc<Finished>>>>;

impl<D: Database> Task<D> {
    /// Begins with what was left, in its order.
    pub(super) async fn run(mut self, in_order: Vec<Arc<Finished>>) {
        for finished in in_order {
            self.finish(&finished).await;
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.remove(&finished.key);
        }
        let mut pruning = Instant::now();
        loop {
            tokio::select! {
                job = self.jobs.recv() => match job {
                    Some(job) => self.work(job).await,
                    None => break,
                },
                () = sleep_until(pruning) => pruning = self.prune().await,
            }
        }
    }

    /// Lets a lot of names go that have had their time; says when to go on.
    async fn prune(&self) -> Instant {
        let lot = statement(self.texts.prune).bind(i64::from(LOT));
        let pause = match self.database.change(lot, FAILING).await {
            Ok(gone) if gone >= u64::from(LOT) => NEXT_LOT,
            // What cannot be done now is done in a minute.
            _ => PRUNE,
        };
        Instant::now() + pause
    }

    async fn work(&self, job: Job) {
        let weight = job.weight();
        match job {
            Job::Abandon(key, claim) => {
                if let Some(texts) = &self.texts.claims {
                    let abandon = named(texts.abandon, &key).bind(&*claim);
                    // A claim that is not taken back ends by itself.
                    let _ = self.database.change(abandon, FAILING).await;
                }
            }
            Job::Finish(finished) => self.finish(&finished).await,
            Job::Mark(done) => drop(done.send(())),
        }
        self.weight.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Tries until it is done, or nobody will need it any more.
    async fn finish(&self, finished: &Finished) {
        let mut pause = FIRST_PAUSE;
        while let Ok(left) = finished.until.duration_since(SystemTime::now()) {
            let finish = named(self.texts.finish, &finished.key)
                .bind(&*finished.claim)
                .bind(clamp(lasting(left)))
                .bind(&*finished.call);
            match self.database.change(finish, FAILING).await {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                Err(error) => {
                    tracing::error!(%error, "what came of a call with a name is not kept");
                    break;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
        if let (Some(spool), Some(number)) = (&self.spool, finished.number) {
            spool.done(&[number]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_spooled_is_read_again(claim in prop::collection::vec(any::<u8>(), 0..60), call: Vec<u8>, until in 0..i64::MAX / 2, number: u64) {
            let finished = Finished { key: [7; 32], claim, call, until: time(until), number: Some(number) };
            let again = Finished::of_record(number, &finished.to_record());
            prop_assert_eq!(again, Some(finished));
        }

        #[test]
        fn what_is_torn_is_nothing_and_no_panic(record: Vec<u8>) {
            let _ = Finished::of_record(1, &record);
        }
    }
}
