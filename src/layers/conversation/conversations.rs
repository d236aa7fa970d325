use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{self, OwnedPermit, error::TrySendError},
        oneshot, watch,
    },
    time::sleep,
};

use super::{
    compress::Compression,
    delivery::Delivery,
    line::Kept,
    pending::Pending,
    summaries::Summaries,
    writer::{Job, Writer},
};
use crate::{
    error::{Error, ErrorKind},
    store::{ConversationKey, ConversationStore, Forgotten, Memory, Spool, Topic, Turn},
};

/// When a client may ask again while turns wait for the store.
const SOON: Duration = Duration::from_secs(1);

/// The most turns of one conversation that wait for the store: one that fails for itself alone must not take up all places.
const LONGEST_LINE: usize = 64;

/// Conversations that are looked at together when idle ones are forgotten.
const PAGE: usize = 1_000;

/// How long a store is left to others after each part of a conversation that it has forgotten.
const PAUSE: Duration = Duration::from_millis(5);

/// Conversations, and the one task that adds to them. Clones share both.
#[derive(Clone)]
pub struct Conversations(Arc<Shared>);

struct Shared {
    store: Arc<dyn ConversationStore>,
    jobs: mpsc::Sender<Job>,
    /// For turns that are under way or wait.
    rooms: Arc<Semaphore>,
    pending: Arc<Pending>,
    spool: Option<Arc<dyn Spool>>,
    closing: watch::Sender<bool>,
}

/// A place in the queue, held from before a call is asked until its answer has ended, and room for a turn until the store has it.
pub(super) struct Place {
    permit: OwnedPermit<Job>,
    room: OwnedSemaphorePermit,
    pending: Arc<Pending>,
    spool: Option<Arc<dyn Spool>>,
    key: ConversationKey,
}

impl Conversations {
    /// The conversations of `store`. At most `places` calls may have a turn under way, or waiting to be written.
    ///
    /// Must be called on a tokio runtime: a task writes.
    #[must_use]
    pub fn new(store: Arc<dyn ConversationStore>, places: usize) -> Self {
        Self::start(store, places, None, Vec::new())
    }

    /// The same, with turns that outlive this process on their way to the store: they are in `spool` meanwhile. What a process
    /// before this one has left there comes to the store first. That a turn is in the spool when its answer ends, is for a
    /// [`commit`](crate::layers::commit) layer that knows the spool.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if what was left there cannot be read.
    pub fn spooled(
        store: Arc<dyn ConversationStore>,
        places: usize,
        spool: Arc<dyn Spool>,
    ) -> Result<Self, Error> {
        let left = spool.left(Topic::Turns).into_iter();
        let left = left.map(|(number, record)| {
            let (key, turn) = Turn::of_record(&record).ok_or_else(|| {
                Error::internal("the spool has a turn of a conversation that this version of rungs cannot read: use the version that wrote it once more")
            })?;
            Ok(Kept { key, turn, number: Some(number), room: None })
        });
        let left = left.collect::<Result<_, Error>>()?;
        Ok(Self::start(store, places, Some(spool), left))
    }

    fn start(
        store: Arc<dyn ConversationStore>,
        places: usize,
        spool: Option<Arc<dyn Spool>>,
        left: Vec<Kept>,
    ) -> Self {
        let places = places.max(1);
        let (jobs, waiting) = mpsc::channel(places);
        let pending = Arc::<Pending>::default();
        for Kept { key, turn, .. } in &left {
            pending.add(key, turn.clone());
        }
        let closing = watch::Sender::new(false);
        let delivery = Delivery::new(
            Arc::clone(&store),
            Arc::clone(&pending),
            spool.clone(),
            closing.subscribe(),
        );
        let summaries = Summaries::new(Arc::clone(&store));
        Writer::new(waiting, delivery, summaries, closing.subscribe()).start(left);
        Self(Arc::new(Shared {
            store,
            jobs,
            rooms: Arc::new(Semaphore::new(places)),
            pending,
            spool,
            closing,
        }))
    }

    /// What is at hand of a conversation, with the turns that are still on their way to the store; `None` if there is none of
    /// this key.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(&self, key: &ConversationKey) -> Result<Option<Memory>, Error> {
        // Before the store is asked: a turn that is written meanwhile is in either.
        let pending = self.0.pending.of(key);
        let stored = self.0.store.load(key).await?;
        Ok(with(stored, &pending))
    }

    /// The same without the store: only what is still on its way there.
    pub(super) fn on_their_way(&self, key: &ConversationKey) -> Option<Memory> {
        with(None, &self.0.pending.of(key))
    }

    /// Forgets a conversation for good, with the turns that are on their way to the store; says whether there was one.
    ///
    /// # Errors
    /// The store's; [`ErrorKind::Unavailable`] if too much waits for it.
    pub async fn delete(&self, key: &ConversationKey) -> Result<bool, Error> {
        let (done, told) = oneshot::channel();
        let permit = self.permit()?;
        permit.send(Job::Forget(key.clone(), done));
        told.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Forgets the conversations that nobody has written to since `before`, one after another and in parts, so that others need not
    /// wait for long; how many. Those that have a turn on its way to the store stay.
    ///
    /// # Errors
    /// The store's. What was forgotten until then is; one that cannot be forgotten holds up no other unless the store is away.
    pub async fn forget_idle(&self, before: SystemTime) -> Result<u64, Error> {
        let (mut forgotten, mut after, mut failed) = (0, None, None);
        loop {
            let page = self.0.store.list(after.as_ref(), PAGE).await?;
            for (key, _) in page.iter().filter(|(_, written)| *written < before) {
                match self.forget_one(key, before).await {
                    Ok(all) => forgotten += u64::from(all),
                    Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return failed.map_or(Ok(forgotten), Err),
            }
        }
    }

    /// Whether all of it was idle, and is forgotten.
    async fn forget_one(&self, key: &ConversationKey, before: SystemTime) -> Result<bool, Error> {
        while self.0.pending.count(key) == 0 {
            let forgotten = self.0.store.forget_idle(key, before).await?;
            sleep(PAUSE).await;
            if forgotten != Forgotten::Part {
                return Ok(forgotten == Forgotten::All);
            }
        }
        Ok(false)
    }

    /// Returns once all turns of answers that have ended are in the store.
    pub async fn flush(&self) {
        let (done, told) = oneshot::channel();
        if self.0.jobs.send(Job::Mark(done)).await.is_ok() {
            let _ = told.await;
        }
    }

    /// The same at the end of a process: summaries are given up, and a store that does not answer is not waited for without end.
    pub async fn close(&self) {
        self.0.closing.send_replace(true);
        self.flush().await;
    }

    /// A place for a turn of this conversation.
    pub(super) fn place(&self, key: ConversationKey) -> Result<Place, Error> {
        let spool = &self.0.spool;
        if spool.as_ref().is_some_and(|spool| !spool.has_room()) {
            let what = "turns of conversations cannot be written down; ask again in a moment";
            return Err(Error::new(ErrorKind::Unavailable, what).retry_after(SOON));
        }
        let room = match self.0.pending.count(&key) < LONGEST_LINE {
            true => Arc::clone(&self.0.rooms).try_acquire_owned().ok(),
            false => None,
        };
        Ok(Place {
            room: room.ok_or_else(too_many)?,
            permit: self.permit()?,
            pending: Arc::clone(&self.0.pending),
            spool: spool.clone(),
            key,
        })
    }

    fn permit(&self) -> Result<OwnedPermit<Job>, Error> {
        let permit = self.0.jobs.clone().try_reserve_owned();
        permit.map_err(|error| match error {
            TrySendError::Full(_) => too_many(),
            TrySendError::Closed(_) => closed(),
        })
    }
}

/// What is stored, and the turns that are not, unless there is neither.
fn with(stored: Option<Memory>, pending: &[Turn]) -> Option<Memory> {
    if pending.is_empty() {
        return stored;
    }
    let mut memory = stored.unwrap_or_default();
    for turn in pending {
        memory.add(turn);
    }
    Some(memory)
}

fn too_many() -> Error {
    let what = "too many turns of conversations wait for the store; ask again in a moment";
    Error::new(ErrorKind::Unavailable, what).retry_after(SOON)
}

fn closed() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the store of conversations is closed",
    )
}

impl Place {
    /// Hands over a turn. Neither waits nor fails: the place is there.
    pub(super) fn keep(self, turn: Turn, compression: Option<Box<Compression>>) {
        self.pending.add(&self.key, turn.clone());
        let spool = self.spool.as_ref();
        let number = spool.map(|spool| spool.add(Topic::Turns, turn.to_record(&self.key)));
        let kept = Kept {
            key: self.key,
            turn,
            number,
            room: Some(self.room),
        };
        self.permit.send(Job::Keep(kept, compression));
    }
}

impl fmt::Debug for Conversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversations")
            .field("waiting", &self.0.pending.len())
            .finish_non_exhaustive()
    }
}
