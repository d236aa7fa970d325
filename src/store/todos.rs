use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{ConversationKey, StoreFuture};

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TodoItem {
    /// Its number within the list.
    pub id: u32,
    /// What, in a line.
    pub title: String,
    /// What, in more words; may be empty.
    #[serde(default)]
    pub description: String,
    /// How far it is.
    #[serde(default)]
    pub status: TodoStatus,
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TodoStatus {
    /// Nobody has begun.
    #[default]
    NotStarted,
    /// Somebody is at it.
    InProgress,
    /// It is done.
    Completed,
}

/// The todo list of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TodoList {
    /// Counts the changes, from 1.
    pub version: u64,
    /// What is to be done, in order.
    pub items: Vec<TodoItem>,
    /// When it was changed last, to the millisecond.
    pub updated: SystemTime,
}

/// Keeps a todo list for each conversation. A list may be there before the first turn is.
pub trait TodoStore: Send + Sync {
    /// The list of a conversation, if it has one.
    fn get<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<TodoList>>;

    /// Puts these items in place of all there were.
    fn put<'a>(
        &'a self,
        key: &'a ConversationKey,
        items: &'a [TodoItem],
    ) -> StoreFuture<'a, TodoList>;

    /// Forgets a list; says whether there was one.
    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool>;
}
