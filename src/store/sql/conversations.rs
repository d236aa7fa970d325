use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::Error as SqlError;

use super::{
    columns::{Columns, clamp},
    database::{Database, Session, of_conversation},
};
use crate::store::{
    ConversationKey, ConversationStore, Memory, RECENT, Remembered, StoreFuture, Summary, Turn,
    plain::{millis, text, time},
};

const UNREADABLE: &str = "the conversation cannot be read";
const UNWRITABLE: &str = "the conversation cannot be written";

/// The conversations of a database.
pub(in crate::store) struct SqlConversations<D>(pub(in crate::store) D);

impl<D: Database> ConversationStore for SqlConversations<D> {
    fn load<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<Memory>> {
        D::answered(async move {
            let mut connection = self.0.connection().await?;
            let loaded = load(&mut *connection, key).await;
            loaded.map_err(D::failed(UNREADABLE))
        })
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: u64,
        most: usize,
    ) -> StoreFuture<'a, Vec<Remembered>> {
        Box::pin(async move {
            let newer = of_conversation(
                "SELECT number, request_id, content, created_ms FROM messages \
                 WHERE tenant = $1 AND conversation_id = $2 AND number > $3 ORDER BY number LIMIT $4", key
            )
            .bind(clamp(after))
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
            let rows = self.0.rows(newer, UNREADABLE).await?;
            let messages: Result<_, _> = rows.iter().map(message).collect();
            messages.map_err(D::failed(UNREADABLE))
        })
    }

    fn append<'a>(
        &'a self,
        key: &'a ConversationKey,
        turns: &'a [Turn],
    ) -> StoreFuture<'a, Memory> {
        D::answered(async move {
            let mut connection = self.0.connection().await?;
            let append = async {
                let mut transaction = connection.transaction(D::BEGIN).await?;
                for turn in turns {
                    append(&mut *transaction, key, turn).await?;
                }
                let memory = load(&mut *transaction, key).await?;
                transaction.commit().await?;
                Ok(memory.unwrap_or_default())
            };
            append.await.map_err(D::failed(UNWRITABLE))
        })
    }

    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a Summary,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let insert = of_conversation(
                "INSERT INTO context_summaries (tenant, conversation_id, up_to, summary, deployment, created_ms) \
                 SELECT tenant, id, $3, $4, $5, $6 FROM conversations \
                 WHERE tenant = $1 AND id = $2 AND count >= $3 AND NOT EXISTS \
                   (SELECT 1 FROM context_summaries WHERE tenant = $1 AND conversation_id = $2 AND up_to >= $3)", key
            )
            .bind(clamp(summary.up_to))
            .bind(&*summary.text)
            .bind(summary.deployment.as_ref().map(|id| id.as_str()))
            .bind(millis(summary.at));
            Ok(self.0.change(insert, UNWRITABLE).await? > 0)
        })
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let delete = of_conversation(
                "DELETE FROM conversations WHERE tenant = $1 AND id = $2",
                key,
            );
            let failing = "the conversation cannot be deleted";
            Ok(self.0.change(delete, failing).await? > 0)
        })
    }
}

async fn append(
    session: &mut impl Session,
    key: &ConversationKey,
    turn: &Turn,
) -> Result<(), SqlError> {
    let user = turn.user.as_deref().map(text);
    let begin = of_conversation(
        "INSERT INTO conversations (tenant, id, key_id, user_id, count, created_ms, updated_ms) \
         VALUES ($1, $2, $3, $4, 0, $5, $5) \
         ON CONFLICT (tenant, id) DO UPDATE SET updated_ms = \
           CASE WHEN conversations.updated_ms > excluded.updated_ms THEN conversations.updated_ms ELSE excluded.updated_ms END \
         RETURNING conversations.count AS count", key
    )
    .bind(turn.key.as_deref())
    .bind(user.as_deref())
    .bind(millis(turn.at));
    let begun = session.rows(begin).await?;
    let mut number = begun.first().ok_or(SqlError::RowNotFound)?.big("count")?;
    let known = of_conversation(
        "SELECT 1 FROM messages WHERE tenant = $1 AND conversation_id = $2 AND request_id = $3 LIMIT 1", key
    )
    .bind(&*turn.request);
    if !session.rows(known).await?.is_empty() {
        return Ok(());
    }
    for message in turn.messages.iter() {
        number += 1;
        let role = role(message);
        let role = text(&role);
        let insert = of_conversation(
            "INSERT INTO messages (tenant, conversation_id, number, request_id, role, content, deployment, created_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", key
        )
        .bind(number)
        .bind(&*turn.request)
        .bind(&*role)
        .bind(message.get())
        .bind(turn.deployment.as_ref().map(|id| id.as_str()))
        .bind(millis(turn.at));
        session.change(insert).await?;
    }
    let count = of_conversation(
        "UPDATE conversations SET count = $3 WHERE tenant = $1 AND id = $2",
        key,
    )
    .bind(number);
    session.change(count).await.map(drop)
}

/// The summary before the messages: one that comes in between would stand for messages that are not here.
async fn load(
    session: &mut impl Session,
    key: &ConversationKey,
) -> Result<Option<Memory>, SqlError> {
    let newest = of_conversation(
        "SELECT up_to, summary, deployment, created_ms FROM context_summaries \
         WHERE tenant = $1 AND conversation_id = $2 ORDER BY up_to DESC LIMIT 1",
        key,
    );
    let summary = session
        .rows(newest)
        .await?
        .first()
        .map(summary)
        .transpose()?;
    let newest = of_conversation(
        "SELECT number, request_id, content, created_ms FROM messages \
         WHERE tenant = $1 AND conversation_id = $2 ORDER BY number DESC LIMIT $3",
        key,
    )
    .bind(i64::try_from(RECENT).unwrap_or(i64::MAX));
    let rows = session.rows(newest).await?;
    let messages: Vec<_> = rows.iter().rev().map(message).collect::<Result<_, _>>()?;
    Ok(messages.last().map(|last| last.number).map(|count| Memory {
        summary,
        messages,
        count,
    }))
}

/// The message of a row of `messages`.
fn message(row: &impl Columns) -> Result<Remembered, SqlError> {
    let content = row.text("content")?.to_owned();
    Ok(Remembered {
        number: row.count("number")?,
        request: row.text("request_id")?.into(),
        message: RawValue::from_string(content).map_err(|e| SqlError::Decode(Box::new(e)))?,
        at: time(row.big("created_ms")?),
    })
}

/// The summary of a row of `context_summaries`.
fn summary(row: &impl Columns) -> Result<Summary, SqlError> {
    Ok(Summary {
        up_to: row.count("up_to")?,
        text: row.text("summary")?.to_owned(),
        deployment: row.maybe_text("deployment")?.map(Into::into),
        at: time(row.big("created_ms")?),
    })
}

/// The role of a chat message; empty if it has none.
fn role(message: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Role {
        #[serde(default)]
        role: String,
    }
    let role = serde_json::from_str(message.get()).map(|message: Role| message.role);
    role.unwrap_or_default()
}
