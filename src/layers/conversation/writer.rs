//! The one task that adds to conversations.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep},
};

use super::{
    compress::{Compressed, Compression},
    pending::Pending,
};
use crate::{
    error::{Error, ErrorKind},
    store::{ConversationKey, ConversationStore, Durability, Memory, Spool, Turn},
};

/// Jobs that are looked at together.
const BATCH: usize = 64;

/// Conversations that are written at once.
const ABREAST: usize = 4;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How often a turn is tried that the store refuses, though it is there; and, at the end of the process, one that gets no answer.
const TRIES: u32 = 10;
const TRIES_AT_CLOSE: u32 = 4;

/// Summaries under way at once.
const SUMMARIES: usize = 16;

/// How long a conversation is left alone after a summary has failed.
const REST: Duration = Duration::from_secs(300);

/// Something for the task, done in order.
pub(super) enum Job {
    Keep(Kept, Option<Box<Compression>>),
    Forget(ConversationKey, oneshot::Sender<Result<bool, Error>>),
    /// Tells when all before it is done.
    Mark(oneshot::Sender<()>),
}

/// A turn on its way to the store.
pub(super) struct Kept {
    pub(super) key: ConversationKey,
    pub(super) turn: Turn,
    /// Its number in the spool.
    pub(super) number: Option<u64>,
}

pub(super) struct Writer {
    store: Arc<dyn ConversationStore>,
    jobs: mpsc::Receiver<Job>,
    pending: Arc<Pending>,
    spool: Option<Arc<dyn Spool>>,
    closing: watch::Receiver<bool>,
    summaries: JoinSet<(ConversationKey, Result<Compressed, Error>)>,
    /// The conversations that are being summarized.
    busy: HashSet<ConversationKey>,
    /// Those whose summary has failed, and when.
    resting: HashMap<ConversationKey, Instant>,
}

/// Turns of one conversation that are written together.
struct Group {
    key: ConversationKey,
    turns: Vec<Turn>,
    /// Their numbers in the spool.
    numbers: Vec<u64>,
    compression: Option<Box<Compression>>,
}

/// What came of turns.
enum Appended {
    To(Memory),
    /// The store is there, and will not have them.
    Never,
    /// The store is away, and the process ends.
    NotYet,
}

impl Writer {
    pub(super) fn new(
        store: Arc<dyn ConversationStore>,
        jobs: mpsc::Receiver<Job>,
        pending: Arc<Pending>,
        spool: Option<Arc<dyn Spool>>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            store,
            jobs,
            pending,
            spool,
            closing,
            summaries: JoinSet::new(),
            busy: HashSet::new(),
            resting: HashMap::new(),
        }
    }

    /// Starts the task with what a process before has left.
    pub(super) fn start(self, left: Vec<Kept>) {
        #[expect(
            clippy::disallowed_methods,
            reason = "close() waits for its work, and it ends when the last handle is dropped"
        )]
        drop(tokio::spawn(self.run(left)));
    }

    async fn run(mut self, left: Vec<Kept>) {
        let left = left.into_iter().map(|kept| Job::Keep(kept, None));
        self.work(left).await;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                count = self.jobs.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    self.work(batch.drain(..)).await;
                }
                Some(done) = self.summaries.join_next() => self.summarized(done),
            }
        }
    }

    async fn work(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut groups: Vec<Group> = Vec::new();
        for job in jobs {
            match job {
                Job::Keep(Kept { key, turn, number }, compression) => {
                    match groups.iter_mut().find(|group| group.key == key) {
                        Some(group) => {
                            group.turns.push(turn);
                            group.numbers.extend(number);
                            group.compression = compression.or(group.compression.take());
                        }
                        None => groups.push(Group {
                            key,
                            turns: vec![turn],
                            numbers: number.into_iter().collect(),
                            compression,
                        }),
                    }
                }
                Job::Forget(key, told) => {
                    self.write(std::mem::take(&mut groups)).await;
                    let _ = told.send(self.forget(&key).await);
                }
                Job::Mark(told) => {
                    self.write(std::mem::take(&mut groups)).await;
                    if *self.closing.borrow() {
                        // Each is on its ledger as what it is: cut.
                        self.summaries.shutdown().await;
                    }
                    let _ = told.send(());
                }
            }
        }
        self.write(groups).await;
    }

    async fn write(&mut self, groups: Vec<Group>) {
        let this = &*self;
        let written: Vec<_> = stream::iter(groups)
            .map(async |group| {
                let appended = this.append(&group).await;
                this.pending.done(&group.key, group.turns.len());
                if let (Some(spool), Appended::To(_) | Appended::Never) = (&this.spool, &appended) {
                    spool.done(&group.numbers);
                }
                (group, appended)
            })
            .buffer_unordered(ABREAST)
            .collect()
            .await;
        for (group, appended) in written {
            if let (Appended::To(memory), Some(compression)) = (appended, group.compression) {
                self.compress(group.key, &memory, compression);
            }
        }
    }

    /// Forgets a conversation. Its last turns are not in the spool any more when that is told, or the next process might bring them
    /// back.
    async fn forget(&self, key: &ConversationKey) -> Result<bool, Error> {
        let deleted = self.store.delete(key).await?;
        let spool = self.spool.as_ref();
        if let Some(safe) = spool.and_then(|spool| spool.survives(Durability::Crash)) {
            // One that cannot be written is on the log.
            let _ = safe.await;
        }
        Ok(deleted)
    }

    /// Appends until it is done. A store that is away is waited for; what it refuses again and again is given up.
    async fn append(&self, group: &Group) -> Appended {
        let mut pause = FIRST_PAUSE;
        let mut closing = self.closing.clone();
        for tries in 1.. {
            let error = match self.store.append(&group.key, &group.turns).await {
                Ok(memory) => return Appended::To(memory),
                Err(error) => error,
            };
            let is_away = error.kind() == ErrorKind::Unavailable;
            let turns = group.turns.len();
            if is_away && *closing.borrow() && tries >= TRIES_AT_CLOSE && !group.numbers.is_empty()
            {
                tracing::warn!(%error, conversation = ?group.key, turns, "turns of a conversation stay in the spool; the next start writes them");
                return Appended::NotYet;
            }
            if (!is_away && tries >= TRIES) || (*closing.borrow() && tries >= TRIES_AT_CLOSE) {
                tracing::error!(%error, conversation = ?group.key, turns, "turns of a conversation are lost");
                break;
            }
            if tries == 1 {
                tracing::warn!(%error, conversation = ?group.key, "a turn cannot be written yet");
            }
            // Who closes does not wait for a long pause, but for short ones.
            if *closing.borrow() {
                sleep(FIRST_PAUSE).await;
            } else {
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = closing.wait_for(|closing| *closing) => {}
                }
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
        Appended::Never
    }

    /// Has the older messages summarized, if that is due and nobody is at it.
    fn compress(&mut self, key: ConversationKey, memory: &Memory, compression: Box<Compression>) {
        let now = Instant::now();
        self.resting
            .retain(|_, since| now.duration_since(*since) < REST);
        let idle = self.summaries.len() < SUMMARIES
            && !*self.closing.borrow()
            && !self.busy.contains(&key)
            && !self.resting.contains_key(&key);
        if !idle || !compression.is_due(memory) {
            return;
        }
        self.busy.insert(key.clone());
        let store = Arc::clone(&self.store);
        self.summaries.spawn(async move {
            let done = compression.run(&*store, &key).await;
            (key, done)
        });
    }

    fn summarized(
        &mut self,
        done: Result<(ConversationKey, Result<Compressed, Error>), JoinError>,
    ) {
        // One that was aborted or has panicked does not say which: then all may be tried again.
        let Ok((key, done)) = done else {
            return self.busy.clear();
        };
        self.busy.remove(&key);
        match done {
            Ok(Compressed::To(up_to)) => {
                tracing::debug!(conversation = ?key, up_to, "a conversation was summarized");
            }
            Ok(Compressed::Nothing) => {}
            Err(error) => {
                tracing::warn!(%error, conversation = ?key, "a conversation was not summarized");
                self.resting.insert(key, Instant::now());
            }
        }
    }
}
