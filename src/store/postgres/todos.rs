use std::{fmt, sync::Arc, time::SystemTime};

use super::{
    failed,
    pool::{Pool, answered},
};
use crate::store::{
    ConversationKey, StoreFuture, TodoItem, TodoList, TodoStore,
    plain::millis,
    sql::{columns::json, todos::read},
};

/// The todo lists of a database.
#[derive(Clone)]
pub struct PostgresTodos {
    pool: Arc<Pool>,
}

impl PostgresTodos {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl TodoStore for PostgresTodos {
    fn get<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<TodoList>> {
        Box::pin(answered(async move {
            let row = sqlx::query(
                "SELECT version, items, updated_ms FROM todo_lists WHERE tenant = $1 AND conversation_id = $2",
            )
            .bind(key.tenant())
            .bind(key.id())
            .fetch_optional(&mut *self.pool.get().await?)
            .await
            .map_err(failed("the todo list cannot be read"))?;
            let list = row.as_ref().map(read).transpose();
            list.map_err(failed("the todo list cannot be read"))
        }))
    }

    fn put<'a>(
        &'a self,
        key: &'a ConversationKey,
        items: &'a [TodoItem],
    ) -> StoreFuture<'a, TodoList> {
        Box::pin(answered(async move {
            let row = sqlx::query(
                "INSERT INTO todo_lists (tenant, conversation_id, version, items, created_ms, updated_ms) \
                 VALUES ($1, $2, 1, $3, $4, $4) \
                 ON CONFLICT (tenant, conversation_id) DO UPDATE SET \
                 version = todo_lists.version + 1, items = excluded.items, updated_ms = excluded.updated_ms \
                 RETURNING todo_lists.version, todo_lists.items, todo_lists.updated_ms",
            )
            .bind(key.tenant())
            .bind(key.id())
            .bind(json(&items)?)
            .bind(millis(SystemTime::now()))
            .fetch_one(&mut *self.pool.get().await?)
            .await
            .and_then(|row| read(&row));
            row.map_err(failed("the todo list cannot be written"))
        }))
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        Box::pin(answered(async move {
            let done =
                sqlx::query("DELETE FROM todo_lists WHERE tenant = $1 AND conversation_id = $2")
                    .bind(key.tenant())
                    .bind(key.id())
                    .execute(&mut *self.pool.get().await?)
                    .await
                    .map_err(failed("the todo list cannot be deleted"))?;
            Ok(done.rows_affected() > 0)
        }))
    }
}

impl fmt::Debug for PostgresTodos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTodos").finish_non_exhaustive()
    }
}
