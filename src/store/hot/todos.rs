use super::{Hot, HotEntry, HotKey, HotKind, record};
use crate::store::{ConversationKey, StoreFuture, TodoItem, TodoList, TodoStore};

fn name(key: &ConversationKey) -> HotKey {
    HotKey::new(HotKind::Todos, key)
}

impl<S: TodoStore + ?Sized> Hot<S> {
    async fn keep_list(&self, key: &ConversationKey, list: &TodoList) {
        let copy = HotEntry::of(name(key), list.version, record::of_todos(list));
        self.keep(key, &[copy]).await;
    }
}

impl<S: TodoStore + ?Sized> TodoStore for Hot<S> {
    fn get<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<TodoList>> {
        Box::pin(async move {
            if let [Some(list)] = &self.copies(key, &[name(key)]).await[..]
                && let Some(list) = record::todos(list)
            {
                return Ok(Some(list));
            }
            let list = self.cold.get(key).await?;
            if let Some(list) = &list {
                self.keep_list(key, list).await;
            }
            Ok(list)
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a ConversationKey,
        items: &'a [TodoItem],
    ) -> StoreFuture<'a, TodoList> {
        Box::pin(async move {
            let list = self.cold.put(key, items).await?;
            self.keep_list(key, &list).await;
            Ok(list)
        })
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.forget(key, [name(key)]).await?;
            self.cold.delete(key).await
        })
    }
}
