use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use moka::{policy::EvictionPolicy, sync::Cache};

use super::done;
use crate::store::{
    ConversationKey, ConversationStore, Memory, RECENT, Remembered, StoreFuture, Summary, Turn,
};

/// Conversations in the memory of one process, bounded in their number: the one that was longest not used goes first.
pub struct MemoryConversations(Cache<ConversationKey, Arc<Mutex<Talk>>>);

/// One conversation, whole.
#[derive(Default)]
struct Talk {
    messages: Vec<Remembered>,
    summary: Option<Summary>,
}

impl MemoryConversations {
    /// Keeps about `most` conversations.
    #[must_use]
    pub fn new(most: u64) -> Self {
        let talks = Cache::builder()
            .max_capacity(most)
            .eviction_policy(EvictionPolicy::lru());
        Self(talks.build())
    }
}

impl Talk {
    fn count(&self) -> u64 {
        self.messages.last().map_or(0, |message| message.number)
    }

    fn add(&mut self, turn: &Turn) {
        if !self.messages.iter().any(|m| m.request == turn.request) {
            self.messages.extend(turn.remembered(self.count()));
        }
    }

    fn memory(&self) -> Memory {
        let from = self.messages.len().saturating_sub(RECENT);
        Memory {
            summary: self.summary.clone(),
            messages: self.messages[from..].to_vec(),
            count: self.count(),
        }
    }
}

fn lock(talk: &Mutex<Talk>) -> MutexGuard<'_, Talk> {
    talk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConversationStore for MemoryConversations {
    fn load<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<Memory>> {
        done(self.0.get(key).map(|talk| lock(&talk).memory()))
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: u64,
        most: usize,
    ) -> StoreFuture<'a, Vec<Remembered>> {
        let talk = self.0.get(key).unwrap_or_default();
        let talk = lock(&talk);
        let behind = talk.messages.iter().filter(|m| m.number > after);
        done(behind.take(most).cloned().collect())
    }

    fn append<'a>(
        &'a self,
        key: &'a ConversationKey,
        turns: &'a [Turn],
    ) -> StoreFuture<'a, Memory> {
        let talk = self.0.get_with_by_ref(key, Arc::default);
        let mut talk = lock(&talk);
        turns.iter().for_each(|turn| talk.add(turn));
        done(talk.memory())
    }

    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a Summary,
        request: &'a str,
    ) -> StoreFuture<'a, bool> {
        let talk = self.0.get(key).unwrap_or_default();
        let mut talk = lock(&talk);
        let before = talk.summary.as_ref().map_or(0, |summary| summary.up_to);
        let last =
            |message: &Remembered| message.number == summary.up_to && *message.request == *request;
        let further = summary.up_to > before && talk.messages.iter().any(last);
        if further {
            talk.summary = Some(summary.clone());
        }
        done(further)
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        done(self.0.remove(key).is_some())
    }
}

impl fmt::Debug for MemoryConversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConversations")
            .field("conversations", &self.0.entry_count())
            .finish()
    }
}
