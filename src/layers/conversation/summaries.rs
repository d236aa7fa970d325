//! Summaries under way: beside all turns, one at a time for each conversation.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use super::compress::{Compressed, Compression};
use crate::{
    error::Error,
    store::{ConversationKey, ConversationStore, Memory},
};

/// Summaries under way at once.
const MOST: usize = 16;

/// How long a conversation is left alone after a summary has failed.
const REST: Duration = Duration::from_secs(300);

/// The same after one that was paid for, and would be again with the same end.
const LONG_REST: Duration = Duration::from_secs(6 * 3600);

pub(super) struct Summaries {
    store: Arc<dyn ConversationStore>,
    under_way: JoinSet<(ConversationKey, Result<Compressed, Error>)>,
    /// The conversations that are being summarized.
    busy: HashMap<ConversationKey, AbortHandle>,
    /// Those whose summary has failed, and until when.
    resting: HashMap<ConversationKey, Instant>,
}

impl Summaries {
    pub(super) fn new(store: Arc<dyn ConversationStore>) -> Self {
        Self {
            store,
            under_way: JoinSet::new(),
            busy: HashMap::new(),
            resting: HashMap::new(),
        }
    }

    /// Has the older messages summarized, if that is due and nobody is at it.
    pub(super) fn begin(
        &mut self,
        key: ConversationKey,
        memory: &Memory,
        compression: Box<Compression>,
    ) {
        let now = Instant::now();
        self.resting.retain(|_, until| now < *until);
        let idle = self.under_way.len() < MOST
            && !self.busy.contains_key(&key)
            && !self.resting.contains_key(&key);
        if !idle || !compression.is_due(memory) {
            return;
        }
        let store = Arc::clone(&self.store);
        let summarized = key.clone();
        let task = self.under_way.spawn(async move {
            let done = compression.run(&*store, &summarized).await;
            (summarized, done)
        });
        self.busy.insert(key, task);
    }

    /// Gives up the summary of a conversation that is to be forgotten: it must not come to the next one of its name.
    pub(super) fn forget(&mut self, key: &ConversationKey) {
        self.resting.remove(key);
        if let Some(task) = self.busy.remove(key) {
            task.abort();
        }
    }

    /// Gives up all. Each is on its ledger as what it is: cut.
    pub(super) async fn end(&mut self) {
        self.under_way.shutdown().await;
        self.busy.clear();
    }

    /// Waits for the end of one; `None` if there is none under way.
    pub(super) async fn ended(&mut self) -> Option<()> {
        let ended = self.under_way.join_next_with_id().await?;
        let task = match &ended {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        // Not by the name: after one that was given up, the next may be under way.
        self.busy.retain(|_, busy| busy.id() != task);
        match ended {
            Ok((_, (key, Ok(Compressed::To(up_to))))) => {
                tracing::debug!(conversation = ?key, up_to, "a conversation was summarized");
            }
            Ok((_, (key, Err(error)))) => {
                tracing::warn!(%error, conversation = ?key, "a conversation was not summarized");
                let rest = match error.is_conclusive() {
                    true => LONG_REST,
                    false => REST,
                };
                self.resting.insert(key, Instant::now() + rest);
            }
            Ok((_, (_, Ok(Compressed::Nothing)))) | Err(_) => {}
        }
        Some(())
    }
}
