use std::time::SystemTime;

use super::{Hot, HotEntry, HotKey, HotKind, record};
use crate::store::{
    ConversationKey, ConversationStore, Forgotten, Memory, Remembered, StoreFuture, Summary, Turn,
};

fn names(key: &ConversationKey) -> [HotKey; 2] {
    [HotKind::Messages, HotKind::Summary].map(|kind| HotKey::new(kind, key))
}

/// The copies of a memory.
fn copies(key: &ConversationKey, memory: &Memory) -> [HotEntry; 2] {
    let [messages, summary] = names(key);
    [
        HotEntry::of(messages, memory.count, record::of_messages(memory)),
        HotEntry::of(summary, memory.summarized(), record::of_summary(memory)),
    ]
}

impl<S: ConversationStore + ?Sized> Hot<S> {
    async fn rebuilt(&self, key: &ConversationKey) -> Result<Option<Memory>, crate::error::Error> {
        let memory = self.cold.load(key).await?;
        if let Some(memory) = &memory {
            self.keep(key, &copies(key, memory)).await;
        }
        Ok(memory)
    }
}

impl<S: ConversationStore + ?Sized> ConversationStore for Hot<S> {
    fn load<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<Memory>> {
        Box::pin(async move {
            if let [Some(messages), Some(summary)] = &self.copies(key, &names(key)).await[..]
                && let Some(memory) = record::memory(messages, summary)
            {
                return Ok(Some(memory));
            }
            self.rebuilt(key).await
        })
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: u64,
        most: usize,
    ) -> StoreFuture<'a, Vec<Remembered>> {
        self.cold.read(key, after, most)
    }

    fn append<'a>(
        &'a self,
        key: &'a ConversationKey,
        turns: &'a [Turn],
    ) -> StoreFuture<'a, Memory> {
        Box::pin(async move {
            let memory = self.cold.append(key, turns).await?;
            self.keep(key, &copies(key, &memory)).await;
            Ok(memory)
        })
    }

    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a Summary,
        request: &'a str,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let added = self.cold.summarize(key, summary, request).await?;
            if added {
                self.rebuilt(key).await?;
            }
            Ok(added)
        })
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.forget(key, names(key)).await?;
            self.cold.delete(key).await
        })
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        most: usize,
    ) -> StoreFuture<'a, Vec<(ConversationKey, SystemTime)>> {
        self.cold.list(after, most)
    }

    /// The copy of its todo list goes as well, whose it may be.
    fn forget_idle<'a>(
        &'a self,
        key: &'a ConversationKey,
        before: SystemTime,
    ) -> StoreFuture<'a, Forgotten> {
        Box::pin(async move {
            let [messages, summary] = names(key);
            let todos = HotKey::new(HotKind::Todos, key);
            self.forget(key, [messages, summary, todos]).await?;
            self.cold.forget_idle(key, before).await
        })
    }
}
