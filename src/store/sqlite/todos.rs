use std::time::SystemTime;

use sqlx::SqlitePool;

use super::failed;
use crate::store::{
    ConversationKey, StoreFuture, TodoItem, TodoList, TodoStore,
    plain::millis,
    sql::{columns::json, todos::read},
};

/// The todo lists of a database.
#[derive(Debug, Clone)]
pub struct SqliteTodos {
    pool: SqlitePool,
}

impl SqliteTodos {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }
}

impl TodoStore for SqliteTodos {
    fn get<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<TodoList>> {
        Box::pin(async move {
            let row = sqlx::query(
                "SELECT version, items, updated_ms FROM todo_lists WHERE tenant = ? AND conversation_id = ?",
            )
            .bind(key.tenant())
            .bind(key.id())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("the todo list cannot be read"))?;
            let list = row.as_ref().map(read).transpose();
            list.map_err(failed("the todo list cannot be read"))
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a ConversationKey,
        items: &'a [TodoItem],
    ) -> StoreFuture<'a, TodoList> {
        Box::pin(async move {
            let row = sqlx::query(
                "INSERT INTO todo_lists (tenant, conversation_id, version, items, created_ms, updated_ms) \
                 VALUES (?1, ?2, 1, ?3, ?4, ?4) \
                 ON CONFLICT (tenant, conversation_id) DO UPDATE SET \
                 version = version + 1, items = excluded.items, updated_ms = excluded.updated_ms \
                 RETURNING version, items, updated_ms",
            )
            .bind(key.tenant())
            .bind(key.id())
            .bind(json(&items)?)
            .bind(millis(SystemTime::now()))
            .fetch_one(&self.pool)
            .await
            .and_then(|row| read(&row));
            row.map_err(failed("the todo list cannot be written"))
        })
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let done =
                sqlx::query("DELETE FROM todo_lists WHERE tenant = ? AND conversation_id = ?")
                    .bind(key.tenant())
                    .bind(key.id())
                    .execute(&self.pool)
                    .await
                    .map_err(failed("the todo list cannot be deleted"))?;
            Ok(done.rows_affected() > 0)
        })
    }
}
