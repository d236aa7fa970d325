use std::{fmt::Write as _, iter, time::SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::Error as SqlError;

use super::{
    columns::{Columns, clamp},
    database::{Database, Session, of_conversation},
    idle,
};
use crate::{
    error::Error,
    store::{
        ConversationKey, ConversationStore, Forgotten, Memory, RECENT, Remembered, StoreFuture,
        Summary, Turn,
        plain::{millis, text, time},
    },
};

/// The most messages, and about the most bytes, that one statement inserts or removes.
pub(super) const ROWS: usize = 200;
const BYTES: usize = 1 << 20;

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
        Box::pin(async move {
            let mut connection = D::answered(self.0.connection()).await?;
            let begun = connection.transaction(D::BEGIN);
            let mut transaction = step::<D, _>(begun).await?;
            for turn in turns {
                append::<D>(&mut *transaction, key, turn).await?;
            }
            let memory = step::<D, _>(load(&mut *transaction, key)).await?;
            step::<D, _>(transaction.commit()).await?;
            Ok(memory.unwrap_or_default())
        })
    }

    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a Summary,
        request: &'a str,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let insert = of_conversation(
                "INSERT INTO context_summaries (tenant, conversation_id, up_to, summary, deployment, created_ms) \
                 SELECT tenant, conversation_id, number, $4, $5, $6 FROM messages \
                 WHERE tenant = $1 AND conversation_id = $2 AND number = $3 AND request_id = $7 AND NOT EXISTS \
                   (SELECT 1 FROM context_summaries WHERE tenant = $1 AND conversation_id = $2 AND up_to >= $3)", key
            )
            .bind(clamp(summary.up_to))
            .bind(&*summary.text)
            .bind(summary.deployment.as_ref().map(|id| id.as_str()))
            .bind(millis(summary.at))
            .bind(request);
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

    fn list<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        most: usize,
    ) -> StoreFuture<'a, Vec<(ConversationKey, SystemTime)>> {
        Box::pin(async move {
            let rows = self.0.rows(idle::next(after, most), UNREADABLE).await?;
            let page: Result<_, _> = rows.iter().map(idle::written).collect();
            page.map_err(D::failed(UNREADABLE))
        })
    }

    fn forget_idle<'a>(
        &'a self,
        key: &'a ConversationKey,
        before: SystemTime,
    ) -> StoreFuture<'a, Forgotten> {
        D::answered(async move {
            let mut connection = self.0.connection().await?;
            let forget = async {
                let mut transaction = connection.transaction(D::BEGIN).await?;
                let forgotten = idle::forget(&mut *transaction, key, before).await?;
                transaction.commit().await?;
                Ok(forgotten)
            };
            let failing = "an old conversation cannot be forgotten";
            forget.await.map_err(D::failed(failing))
        })
    }
}

/// A step of many: each has the time of an answer to itself, so that what is long is written in the end.
fn step<'a, D: Database, T: Send + 'a>(
    step: impl Future<Output = Result<T, SqlError>> + Send + 'a,
) -> StoreFuture<'a, T> {
    D::answered(async { step.await.map_err(D::failed(UNWRITABLE)) })
}

async fn append<D: Database>(
    session: &mut impl Session,
    key: &ConversationKey,
    turn: &Turn,
) -> Result<(), Error> {
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
    let begun = step::<D, _>(session.rows(begin)).await?;
    let count = begun.first().ok_or(SqlError::RowNotFound);
    let count = count.and_then(|row| row.big("count"));
    let mut number = count.map_err(D::failed(UNWRITABLE))?;
    let known = of_conversation(
        "SELECT 1 FROM messages WHERE tenant = $1 AND conversation_id = $2 AND request_id = $3 LIMIT 1", key
    )
    .bind(&*turn.request);
    if !step::<D, _>(session.rows(known)).await?.is_empty() {
        return Ok(());
    }
    for batch in batches(&turn.messages) {
        let roles: Vec<_> = batch.iter().map(|message| role(message)).collect();
        let roles: Vec<_> = roles.iter().map(|role| text(role)).collect();
        let mut insert = of_conversation(insertion(batch.len()), key)
            .bind(&*turn.request)
            .bind(turn.deployment.as_ref().map(|id| id.as_str()))
            .bind(millis(turn.at));
        for (message, role) in batch.iter().zip(&roles) {
            number += 1;
            insert = insert.bind(number).bind(&**role).bind(message.get());
        }
        step::<D, _>(session.change(insert)).await?;
    }
    let count = of_conversation(
        "UPDATE conversations SET count = $3 WHERE tenant = $1 AND id = $2",
        key,
    )
    .bind(number);
    step::<D, _>(session.change(count)).await.map(drop)
}

/// The messages, parted into what one statement takes.
fn batches(messages: &[Box<RawValue>]) -> impl Iterator<Item = &[Box<RawValue>]> {
    let mut rest = messages;
    iter::from_fn(move || {
        let sizes = rest.iter().map(|message| message.get().len());
        let (batch, behind) = rest.split_at(fitting(sizes));
        rest = behind;
        (!batch.is_empty()).then_some(batch)
    })
}

/// How many messages of these sizes one statement takes: one at least.
pub(super) fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = sizes.take(ROWS).take_while(|size| {
        let is_first = bytes == 0;
        bytes += size;
        is_first || bytes <= BYTES
    });
    fits.count()
}

/// The statement that inserts so many messages.
fn insertion(rows: usize) -> String {
    let mut text = String::from(
        "INSERT INTO messages (tenant, conversation_id, request_id, deployment, created_ms, number, role, content) VALUES",
    );
    for row in 0..rows {
        let first = 6 + 3 * row;
        let comma = if row == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{comma} ($1, $2, $3, $4, $5, ${}, ${}, ${})",
            first,
            first + 1,
            first + 2
        );
    }
    text
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
