use std::{fmt, sync::Arc};

use sqlx::{Connection, PgConnection, Row};

use super::{
    failed,
    pool::{Pool, answered},
};
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
#[derive(Clone)]
pub struct PostgresConversations {
    pool: Arc<Pool>,
}

impl PostgresConversations {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl ConversationStore for PostgresConversations {
    fn load<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<Memory>> {
        Box::pin(answered(async move {
            let mut connection = self.pool.get().await?;
            let loaded = load(&mut connection, key).await;
            loaded.map_err(failed(UNREADABLE))
        }))
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: u64,
        most: usize,
    ) -> StoreFuture<'a, Vec<Remembered>> {
        Box::pin(answered(async move {
            let rows = sqlx::query(
                "SELECT number, request_id, content, created_ms FROM messages \
                 WHERE tenant = $1 AND conversation_id = $2 AND number > $3 ORDER BY number LIMIT $4",
            )
            .bind(key.tenant())
            .bind(key.id())
            .bind(clamp(after))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&mut *self.pool.get().await?)
            .await
            .map_err(failed(UNREADABLE))?;
            let messages: Result<_, sqlx::Error> = rows.iter().map(message).collect();
            messages.map_err(failed(UNREADABLE))
        }))
    }

    fn append<'a>(
        &'a self,
        key: &'a ConversationKey,
        turns: &'a [Turn],
    ) -> StoreFuture<'a, Memory> {
        Box::pin(answered(async move {
            let mut connection = self.pool.get().await?;
            let append = async {
                let mut transaction = connection.begin().await?;
                append(&mut transaction, key, turns).await?;
                let memory = load(&mut transaction, key).await?;
                transaction.commit().await?;
                Ok(memory.unwrap_or_default())
            };
            append.await.map_err(failed(UNWRITABLE))
        }))
    }

    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a Summary,
    ) -> StoreFuture<'a, bool> {
        Box::pin(answered(async move {
            let done = sqlx::query(
                "INSERT INTO context_summaries (tenant, conversation_id, up_to, summary, deployment, created_ms) \
                 SELECT tenant, id, $3, $4, $5, $6 FROM conversations \
                 WHERE tenant = $1 AND id = $2 AND count >= $3 AND NOT EXISTS \
                   (SELECT 1 FROM context_summaries WHERE tenant = $1 AND conversation_id = $2 AND up_to >= $3)",
            )
            .bind(key.tenant())
            .bind(key.id())
            .bind(clamp(summary.up_to))
            .bind(&summary.text)
            .bind(summary.deployment.as_ref().map(|id| id.as_str()))
            .bind(millis(summary.at))
            .execute(&mut *self.pool.get().await?)
            .await
            .map_err(failed(UNWRITABLE))?;
            Ok(done.rows_affected() > 0)
        }))
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        Box::pin(answered(async move {
            let done = sqlx::query("DELETE FROM conversations WHERE tenant = $1 AND id = $2")
                .bind(key.tenant())
                .bind(key.id())
                .execute(&mut *self.pool.get().await?)
                .await
                .map_err(failed("the conversation cannot be deleted"))?;
            Ok(done.rows_affected() > 0)
        }))
    }
}

async fn append(
    connection: &mut PgConnection,
    key: &ConversationKey,
    turns: &[Turn],
) -> Result<(), sqlx::Error> {
    for turn in turns {
        let counted: i64 = sqlx::query(
            "INSERT INTO conversations (tenant, id, key_id, user_id, count, created_ms, updated_ms) \
             VALUES ($1, $2, $3, $4, 0, $5, $5) \
             ON CONFLICT (tenant, id) DO UPDATE SET updated_ms = greatest(conversations.updated_ms, excluded.updated_ms) RETURNING conversations.count",
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
            "SELECT 1 FROM messages WHERE tenant = $1 AND conversation_id = $2 AND request_id = $3 LIMIT 1",
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
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
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
        sqlx::query("UPDATE conversations SET count = $1 WHERE tenant = $2 AND id = $3")
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
    connection: &mut PgConnection,
    key: &ConversationKey,
) -> Result<Option<Memory>, sqlx::Error> {
    let summary = sqlx::query(
        "SELECT up_to, summary, deployment, created_ms FROM context_summaries \
         WHERE tenant = $1 AND conversation_id = $2 ORDER BY up_to DESC LIMIT 1",
    )
    .bind(key.tenant())
    .bind(key.id())
    .fetch_optional(&mut *connection)
    .await?;
    let rows = sqlx::query(
        "SELECT number, request_id, content, created_ms FROM messages \
         WHERE tenant = $1 AND conversation_id = $2 ORDER BY number DESC LIMIT $3",
    )
    .bind(key.tenant())
    .bind(key.id())
    .bind(i64::try_from(RECENT).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await?;
    memory(summary.as_ref(), &rows)
}

impl fmt::Debug for PostgresConversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConversations")
            .finish_non_exhaustive()
    }
}
