use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use moka::{
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
    sync::Cache,
};

use super::done;
use crate::store::{
    ConversationKey, ConversationStore, Forgotten, Memory, RECENT, Remembered, StoreFuture,
    Summary, Turn,
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

    /// When it was written to last.
    fn written(&self) -> SystemTime {
        let times = self.messages.iter().map(|message| message.at);
        times.max().unwrap_or(UNIX_EPOCH)
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

    fn list<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        most: usize,
    ) -> StoreFuture<'a, Vec<(ConversationKey, SystemTime)>> {
        let talks = self.0.iter();
        let behind = talks.filter(|(key, _)| after.is_none_or(|after| **key > *after));
        let mut page: Vec<_> = behind
            .map(|(key, talk)| ((*key).clone(), lock(&talk).written()))
            .collect();
        page.sort_unstable();
        page.truncate(most);
        done(page)
    }

    fn forget_idle<'a>(
        &'a self,
        key: &'a ConversationKey,
        before: SystemTime,
    ) -> StoreFuture<'a, Forgotten> {
        let forgotten = self.0.entry_by_ref(key).and_compute_with(|talk| {
            let is_idle = talk.is_some_and(|talk| lock(talk.value()).written() < before);
            if is_idle { Op::Remove } else { Op::Nop }
        });
        done(match forgotten {
            CompResult::Removed(_) => Forgotten::All,
            _ => Forgotten::Nothing,
        })
    }
}

impl fmt::Debug for MemoryConversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConversations")
            .field("conversations", &self.0.entry_count())
            .finish()
    }
}
