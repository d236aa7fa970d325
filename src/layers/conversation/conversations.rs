use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::{
    mpsc::{self, OwnedPermit, error::TrySendError},
    oneshot, watch,
};

use super::{
    compress::Compression,
    pending::Pending,
    writer::{Job, Writer},
};
use crate::{
    error::{Error, ErrorKind},
    store::{ConversationKey, ConversationStore, Memory, Turn},
};

/// When a client may ask again while turns wait for the store.
const SOON: Duration = Duration::from_secs(1);

/// Conversations, and the one task that adds to them. Clones share both.
#[derive(Clone)]
pub struct Conversations(Arc<Shared>);

struct Shared {
    store: Arc<dyn ConversationStore>,
    jobs: mpsc::Sender<Job>,
    pending: Arc<Pending>,
    closing: watch::Sender<bool>,
}

/// A place in the queue, held from before a call is asked until its answer has ended.
pub(super) struct Place {
    permit: OwnedPermit<Job>,
    pending: Arc<Pending>,
    key: ConversationKey,
}

impl Conversations {
    /// The conversations of `store`. At most `places` calls may have a turn under way, or waiting to be written.
    ///
    /// Must be called on a tokio runtime: a task writes.
    #[must_use]
    pub fn new(store: Arc<dyn ConversationStore>, places: usize) -> Self {
        let (jobs, waiting) = mpsc::channel(places.max(1));
        let pending = Arc::<Pending>::default();
        let closing = watch::Sender::new(false);
        Writer::start(
            Arc::clone(&store),
            waiting,
            Arc::clone(&pending),
            closing.subscribe(),
        );
        Self(Arc::new(Shared {
            store,
            jobs,
            pending,
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
        if pending.is_empty() {
            return Ok(stored);
        }
        let mut memory = stored.unwrap_or_default();
        for turn in &pending {
            memory.add(turn);
        }
        Ok(Some(memory))
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
        Ok(Place {
            permit: self.permit()?,
            pending: Arc::clone(&self.0.pending),
            key,
        })
    }

    fn permit(&self) -> Result<OwnedPermit<Job>, Error> {
        let permit = self.0.jobs.clone().try_reserve_owned();
        permit.map_err(|error| match error {
            TrySendError::Full(_) => Error::new(
                ErrorKind::Unavailable,
                "too many turns of conversations wait for the store; ask again in a moment",
            )
            .retry_after(SOON),
            TrySendError::Closed(_) => closed(),
        })
    }
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
        self.permit.send(Job::Keep(self.key, turn, compression));
    }
}

impl fmt::Debug for Conversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversations")
            .field("waiting", &self.0.pending.len())
            .finish_non_exhaustive()
    }
}
