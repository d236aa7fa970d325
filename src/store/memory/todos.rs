use std::{fmt, time::SystemTime};

use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use super::done;
use crate::store::{
    ConversationKey, StoreFuture, TodoItem, TodoList, TodoStore,
    plain::{millis, time},
};

/// Todo lists in the memory of one process, bounded in their number: the one that was longest not used goes first.
pub struct MemoryTodos(Cache<ConversationKey, TodoList>);

impl MemoryTodos {
    /// Keeps about `most` lists.
    #[must_use]
    pub fn new(most: u64) -> Self {
        let lists = Cache::builder()
            .max_capacity(most)
            .eviction_policy(EvictionPolicy::lru());
        Self(lists.build())
    }
}

impl TodoStore for MemoryTodos {
    fn get<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<TodoList>> {
        done(self.0.get(key))
    }

    fn put<'a>(
        &'a self,
        key: &'a ConversationKey,
        items: &'a [TodoItem],
    ) -> StoreFuture<'a, TodoList> {
        let mut list = TodoList {
            version: 1,
            items: items.to_vec(),
            updated: time(millis(SystemTime::now())),
        };
        self.0.entry_by_ref(key).and_compute_with(|old| {
            if let Some(old) = old {
                list.version = old.into_value().version + 1;
            }
            Op::Put(list.clone())
        });
        done(list)
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        done(self.0.remove(key).is_some())
    }
}

impl fmt::Debug for MemoryTodos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTodos")
            .field("lists", &self.0.entry_count())
            .finish()
    }
}
