//! What is remembered of conversations: in the database, with copies at hand in front of it.

use std::{sync::Arc, time::Duration};

use rungs::store::{
    ConversationStore, Hot, HotStore, TodoStore,
    memory::{MemoryConversations, MemoryTodos},
    postgres::PostgresStore,
    sqlite::SqliteStore,
};

/// Conversations, and todo lists, that are kept where there is no database.
const MOST_IN_MEMORY: u64 = 10_000;

/// Conversations and todo lists.
pub(crate) struct Memory {
    pub(crate) conversations: Arc<dyn ConversationStore>,
    pub(crate) todos: Arc<dyn TodoStore>,
}

impl Memory {
    /// Forgotten when the process ends.
    pub(crate) fn of_process() -> Self {
        Self {
            conversations: Arc::new(MemoryConversations::new(MOST_IN_MEMORY)),
            todos: Arc::new(MemoryTodos::new(MOST_IN_MEMORY)),
        }
    }

    /// In a file.
    pub(crate) fn of_file(store: &SqliteStore) -> Self {
        Self {
            conversations: Arc::new(store.conversations()),
            todos: Arc::new(store.todos()),
        }
    }

    /// In a database that processes share.
    pub(crate) fn of_database(store: &PostgresStore) -> Self {
        Self {
            conversations: Arc::new(store.conversations()),
            todos: Arc::new(store.todos()),
        }
    }

    /// The same behind copies that live for `ttl`.
    pub(crate) fn behind(self, copies: Option<Arc<dyn HotStore>>, ttl: Duration) -> Self {
        match copies {
            None => self,
            Some(copies) => Self {
                conversations: Arc::new(Hot::new(self.conversations, Arc::clone(&copies), ttl)),
                todos: Arc::new(Hot::new(self.todos, copies, ttl)),
            },
        }
    }
}
