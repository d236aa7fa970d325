//! Brings turns to the store, and takes out of it what is to be forgotten.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, Semaphore, watch},
    time::sleep,
};

use super::{
    line::{Group, Item, groups},
    pending::Pending,
};
use crate::{
    error::{Error, ErrorKind},
    store::{ConversationKey, ConversationStore, Durability, Memory, Spool},
};

/// Conversations that are written at once.
const ABREAST: usize = 4;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How often a turn is tried that the store refuses, though it is there; and, at the end of the process, one that gets no answer.
const TRIES: u32 = 10;
const TRIES_AT_CLOSE: u32 = 4;

pub(super) struct Delivery {
    store: Arc<dyn ConversationStore>,
    pending: Arc<Pending>,
    spool: Option<Arc<dyn Spool>>,
    closing: watch::Receiver<bool>,
    abreast: Semaphore,
}

/// What came of turns.
pub(super) enum Appended {
    To(Memory),
    /// The store is there, and will not have them.
    Never,
    /// The store is away, and the process ends.
    NotYet,
    /// They need not be written any more, perhaps: their conversation is to be forgotten.
    Stopped,
}

impl Delivery {
    pub(super) fn new(
        store: Arc<dyn ConversationStore>,
        pending: Arc<Pending>,
        spool: Option<Arc<dyn Spool>>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            store,
            pending,
            spool,
            closing,
            abreast: Semaphore::new(ABREAST),
        }
    }

    /// Appends until it is done. A store that is away is waited for; what it refuses again and again is given up. Others are written
    /// in the pauses, so that what fails for itself alone holds up nobody else.
    pub(super) async fn append(
        &self,
        key: &ConversationKey,
        group: &Group,
        forget: &Notify,
    ) -> Appended {
        let appended = self.try_to_append(key, group, forget).await;
        match appended {
            Appended::To(_) | Appended::Never => self.done(key, group),
            Appended::NotYet | Appended::Stopped => {}
        }
        appended
    }

    async fn try_to_append(
        &self,
        key: &ConversationKey,
        group: &Group,
        forget: &Notify,
    ) -> Appended {
        let mut pause = FIRST_PAUSE;
        let mut closing = self.closing.clone();
        for tries in 1.. {
            let error = match self.append_once(key, group).await {
                Ok(memory) => return Appended::To(memory),
                Err(error) => error,
            };
            let is_away = error.kind() == ErrorKind::Unavailable;
            let turns = group.turns.len();
            if is_away && *closing.borrow() && tries >= TRIES_AT_CLOSE && !group.numbers.is_empty()
            {
                tracing::warn!(%error, conversation = ?key, turns, "turns of a conversation stay in the spool; the next start writes them");
                return Appended::NotYet;
            }
            if (!is_away && tries >= TRIES) || (*closing.borrow() && tries >= TRIES_AT_CLOSE) {
                tracing::error!(%error, conversation = ?key, turns, "turns of a conversation are lost");
                break;
            }
            if tries == 1 {
                tracing::warn!(%error, conversation = ?key, "a turn cannot be written yet");
            }
            // Who closes does not wait for a long pause, but for short ones.
            if *closing.borrow() {
                sleep(FIRST_PAUSE).await;
            } else {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = forget.notified() => return Appended::Stopped,
                    _ = closing.wait_for(|closing| *closing) => {}
                }
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
        Appended::Never
    }

    async fn append_once(&self, key: &ConversationKey, group: &Group) -> Result<Memory, Error> {
        // It is never closed.
        let _abreast = self.abreast.acquire().await;
        self.store.append(key, &group.turns).await
    }

    /// Forgets a conversation, with the turns that have not come to the store; says whether there was one. None of them is in the
    /// spool any more when that is told, or the next process might bring them back, also after a power loss.
    pub(super) async fn forget(
        &self,
        key: &ConversationKey,
        before: &[Item],
    ) -> Result<bool, Error> {
        let mut was_there = self.store.delete(key).await?;
        for group in groups(before) {
            self.done(key, group);
            was_there = true;
        }
        let spool = self.spool.as_ref();
        if let Some(safe) = spool.and_then(|spool| spool.survives(Durability::PowerLoss)) {
            // One that cannot be written is on the log.
            let _ = safe.await;
        }
        Ok(was_there)
    }

    /// What is left at the end of the process stays in the spool.
    pub(super) fn leave(&self, key: &ConversationKey, items: &[Item]) {
        for group in groups(items) {
            self.pending.done(key, group.turns.len());
        }
    }

    /// The turns are in the store, or never will be.
    fn done(&self, key: &ConversationKey, group: &Group) {
        self.pending.done(key, group.turns.len());
        if let Some(spool) = &self.spool {
            spool.done(&group.numbers);
        }
    }
}
