use std::time::SystemTime;

use sqlx::Error as SqlError;

use super::{
    columns::{Columns, json, parsed},
    database::{Database, of_conversation},
};
use crate::store::{
    ConversationKey, StoreFuture, TodoItem, TodoList, TodoStore,
    plain::{millis, time},
};

const UNREADABLE: &str = "the todo list cannot be read";
const UNWRITABLE: &str = "the todo list cannot be written";

/// The todo lists of a database.
pub(in crate::store) struct SqlTodos<D>(pub(in crate::store) D);

impl<D: Database> TodoStore for SqlTodos<D> {
    fn get<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<TodoList>> {
        Box::pin(async move {
            let list = of_conversation(
                "SELECT version, items, updated_ms FROM todo_lists WHERE tenant = $1 AND conversation_id = $2",
                key,
            );
            let rows = self.0.rows(list, UNREADABLE).await?;
            let list = rows.first().map(read).transpose();
            list.map_err(D::failed(UNREADABLE))
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a ConversationKey,
        items: &'a [TodoItem],
    ) -> StoreFuture<'a, TodoList> {
        Box::pin(async move {
            let items = json(&items)?;
            let put = of_conversation(
                "INSERT INTO todo_lists (tenant, conversation_id, version, items, created_ms, updated_ms) \
                 VALUES ($1, $2, 1, $3, $4, $4) \
                 ON CONFLICT (tenant, conversation_id) DO UPDATE SET \
                 version = todo_lists.version + 1, items = excluded.items, updated_ms = excluded.updated_ms \
                 RETURNING version, items, updated_ms", key
            )
            .bind(&*items)
            .bind(millis(SystemTime::now()));
            let rows = self.0.rows(put, UNWRITABLE).await?;
            let list = rows.first().ok_or(SqlError::RowNotFound).and_then(read);
            list.map_err(D::failed(UNWRITABLE))
        })
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let delete = of_conversation(
                "DELETE FROM todo_lists WHERE tenant = $1 AND conversation_id = $2",
                key,
            );
            Ok(self.0.change(delete, UNWRITABLE).await? > 0)
        })
    }
}

/// The list of a row of `todo_lists`.
fn read(row: &impl Columns) -> Result<TodoList, SqlError> {
    Ok(TodoList {
        version: row.count("version")?,
        items: parsed(row.text("items")?)?,
        updated: time(row.big("updated_ms")?),
    })
}
