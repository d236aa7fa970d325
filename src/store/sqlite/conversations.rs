use sqlx::{Row, SqliteConnection, SqlitePool};

use super::failed;
use crate::store::{
    ConversationKey, ConversationStore, Memory, RECENT, Remembered, StoreFuture, Summary, Turn,
    plain::millis,
    sql::{
        columns::clamp,
        conversations::{memory, message, role},
    },
};

const UNREADABLE: &str = "the conversation cannot be read";
const UNWRITABLE: &str = "the conversation cannot be written";

/// The conversations of a database.
#[derive(Debug, Clone)]
pub struct SqliteConversations {
    pool: SqlitePool,
}

impl SqliteConversations {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }
}

impl ConversationStore for SqliteConversations {
    fn load<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<Memory>> {
        Box::pin(async move {
            let mut connection = self.pool.acquire().await.map_err(failed(UNREADABLE))?;
            let loaded = load(&mut connection, key).await;
            loaded.map_err(failed(UNREADABLE))
        })
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: u64,
        most: usize,
    ) -> StoreFuture<'a, Vec<Remembered>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "SELECT number, request_id, content, created_ms FROM messages \
                 WHERE tenant = ? AND conversation_id = ? AND number > ? ORDER BY number LIMIT ?",
            )
            .bind(key.tenant())
            .bind(key.id())
            .bind(clamp(after))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(UNREADABLE))?;
            let messages: Result<_, sqlx::Error> = rows.iter().map(message).collect();
            messages.map_err(failed(UNREADABLE))
        })
    }

    fn append<'a>(
        &'a self,
        key: &'a ConversationKey,
        turns: &'a [Turn],
    ) -> StoreFuture<'a, Memory> {
        Box::pin(async move {
            let append = async {
                let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
                append(&mut transaction, key, turns).await?;
                let memory = load(&mut transaction, key).await?;
                transaction.commit().await?;
                Ok(memory.unwrap_or_default())
            };
            append.await.map_err(failed(UNWRITABLE))
        })
    }

    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a Summary,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let done = sqlx::query(
                "INSERT INTO context_summaries (tenant, conversation_id, up_to, summary, deployment, created_ms) \
                 SELECT tenant, id, ?3, ?4, ?5, ?6 FROM conversations \
                 WHERE tenant = ?1 AND id = ?2 AND count >= ?3 AND NOT EXISTS \
                   (SELECT 1 FROM context_summaries WHERE tenant = ?1 AND conversation_id = ?2 AND up_to >= ?3)",
            )
            .bind(key.tenant())
            .bind(key.id())
            .bind(clamp(summary.up_to))
            .bind(&summary.text)
            .bind(summary.deployment.as_ref().map(|id| id.as_str()))
            .bind(millis(summary.at))
            .execute(&self.pool)
            .await
            .map_err(failed(UNWRITABLE))?;
            Ok(done.rows_affected() > 0)
        })
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let done = sqlx::query("DELETE FROM conversations WHERE tenant = ? AND id = ?")
                .bind(key.tenant())
                .bind(key.id())
                .execute(&self.pool)
                .await
                .map_err(failed("the conversation cannot be deleted"))?;
            Ok(done.rows_affected() > 0)
        })
    }
}

async fn append(
    connection: &mut SqliteConnection,
    key: &ConversationKey,
    turns: &[Turn],
) -> Result<(), sqlx::Error> {
    for turn in turns {
        let counted: i64 = sqlx::query(
            "INSERT INTO conversations (tenant, id, key_id, user_id, count, created_ms, updated_ms) \
             VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5) \
             ON CONFLICT (tenant, id) DO UPDATE SET updated_ms = max(updated_ms, excluded.updated_ms) RETURNING count",
        )
        .bind(key.tenant())
        .bind(key.id())
        .bind(turn.key.as_deref())
        .bind(turn.user.as_deref())
        .bind(millis(turn.at))
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
        let known = sqlx::query(
            "SELECT 1 FROM messages WHERE tenant = ? AND conversation_id = ? AND request_id = ? LIMIT 1",
        )
        .bind(key.tenant())
        .bind(key.id())
        .bind(&*turn.request)
        .fetch_optional(&mut *connection)
        .await?;
        if known.is_some() {
            continue;
        }
        let mut number = counted;
        for message in turn.messages.iter() {
            number += 1;
            sqlx::query(
                "INSERT INTO messages (tenant, conversation_id, number, request_id, role, content, deployment, created_ms) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(key.tenant())
            .bind(key.id())
            .bind(number)
            .bind(&*turn.request)
            .bind(role(message))
            .bind(message.get())
            .bind(turn.deployment.as_ref().map(|id| id.as_str()))
            .bind(millis(turn.at))
            .execute(&mut *connection)
            .await?;
        }
        sqlx::query("UPDATE conversations SET count = ? WHERE tenant = ? AND id = ?")
            .bind(number)
            .bind(key.tenant())
            .bind(key.id())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The summary before the messages: one that comes in between would stand for messages that are not here.
async fn load(
    connection: &mut SqliteConnection,
    key: &ConversationKey,
) -> Result<Option<Memory>, sqlx::Error> {
    let summary = sqlx::query(
        "SELECT up_to, summary, deployment, created_ms FROM context_summaries \
         WHERE tenant = ? AND conversation_id = ? ORDER BY up_to DESC LIMIT 1",
    )
    .bind(key.tenant())
    .bind(key.id())
    .fetch_optional(&mut *connection)
    .await?;
    let rows = sqlx::query(
        "SELECT number, request_id, content, created_ms FROM messages \
         WHERE tenant = ? AND conversation_id = ? ORDER BY number DESC LIMIT ?",
    )
    .bind(key.tenant())
    .bind(key.id())
    .bind(i64::try_from(RECENT).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await?;
    memory(summary.as_ref(), &rows)
}
