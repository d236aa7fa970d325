use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::store::{ConversationKey, Turn};

/// Turns on their way to the store, so that a call that follows at once sees the one before.
#[derive(Default)]
pub(super) struct Pending(Mutex<HashMap<ConversationKey, Vec<Turn>>>);

impl Pending {
    pub(super) fn add(&self, key: &ConversationKey, turn: Turn) {
        self.turns().entry(key.clone()).or_default().push(turn);
    }

    pub(super) fn of(&self, key: &ConversationKey) -> Vec<Turn> {
        self.turns().get(key).cloned().unwrap_or_default()
    }

    /// The oldest `count` of a conversation are in the store, or never will be.
    pub(super) fn done(&self, key: &ConversationKey, count: usize) {
        let mut turns = self.turns();
        if let Some(waiting) = turns.get_mut(key) {
            waiting.drain(..count.min(waiting.len()));
            if waiting.is_empty() {
                turns.remove(key);
            }
        }
    }

    /// How many of a conversation are on their way.
    pub(super) fn count(&self, key: &ConversationKey) -> usize {
        self.turns().get(key).map_or(0, Vec::len)
    }

    pub(super) fn len(&self) -> usize {
        self.turns().values().map(Vec::len).sum()
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<ConversationKey, Vec<Turn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
