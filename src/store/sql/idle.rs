//! Conversations, and todo lists, that nobody has written to for long.

use std::time::SystemTime;

use sqlx::Error as SqlError;

use super::{
    columns::{Columns, clamp},
    conversations::{ROWS, fitting},
    database::{Session, Statement, of_conversation, statement},
};
use crate::store::{
    ConversationKey, Forgotten,
    plain::{millis, time},
};

/// Over the primary keys, so that turns have no further index to keep: a page reads no more rows than it may have.
const NEXT: &str = "SELECT tenant, id, MAX(updated_ms) AS updated_ms FROM ( \
     SELECT * FROM (SELECT tenant, id, updated_ms FROM conversations \
       WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3) AS talks \
     UNION ALL \
     SELECT * FROM (SELECT tenant, conversation_id AS id, updated_ms FROM todo_lists \
       WHERE (tenant, conversation_id) > ($1, $2) ORDER BY tenant, conversation_id LIMIT $3) AS lists \
   ) AS written GROUP BY tenant, id ORDER BY tenant, id LIMIT $3";

/// What tells the conversations behind `after`.
pub(super) fn next(after: Option<&ConversationKey>, most: usize) -> Statement<'_> {
    statement(NEXT)
        .bind(after.map_or("", ConversationKey::tenant))
        .bind(after.map_or("", ConversationKey::id))
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
}

/// A conversation, and when it was written to last.
pub(super) fn written(row: &impl Columns) -> Result<(ConversationKey, SystemTime), SqlError> {
    let key = ConversationKey::new(row.text("tenant")?, row.text("id")?);
    let key = key.map_err(|e| SqlError::Decode(e.into()))?;
    Ok((key, time(row.big("updated_ms")?)))
}

/// In a transaction, which ends soon: it removes no more than a statement inserts.
pub(super) async fn forget(
    session: &mut impl Session,
    key: &ConversationKey,
    before: SystemTime,
) -> Result<Forgotten, SqlError> {
    let before = millis(before);
    // Locked until the end: a turn that comes now waits, and is the first of what it finds then.
    let lock = of_conversation(
        "UPDATE conversations SET count = count WHERE tenant = $1 AND id = $2 AND updated_ms < $3 AND NOT EXISTS \
           (SELECT 1 FROM todo_lists WHERE tenant = $1 AND conversation_id = $2 AND updated_ms >= $3)", key
    )
    .bind(before);
    let is_idle = session.change(lock).await? > 0;
    if is_idle && forget_messages(session, key).await? == Forgotten::Part {
        return Ok(Forgotten::Part);
    }
    // One whose conversation stays is in use.
    let list = of_conversation(
        "DELETE FROM todo_lists WHERE tenant = $1 AND conversation_id = $2 AND updated_ms < $3 AND NOT EXISTS \
           (SELECT 1 FROM conversations WHERE tenant = $1 AND id = $2)", key
    )
    .bind(before);
    let had_list = session.change(list).await? > 0;
    Ok(match is_idle || had_list {
        true => Forgotten::All,
        false => Forgotten::Nothing,
    })
}

/// The oldest messages, and the summaries that stand for no others; with the last of them the conversation.
async fn forget_messages(
    session: &mut impl Session,
    key: &ConversationKey,
) -> Result<Forgotten, SqlError> {
    let oldest = of_conversation(
        "SELECT number, CAST(octet_length(content) AS BIGINT) AS bytes FROM messages \
         WHERE tenant = $1 AND conversation_id = $2 ORDER BY number LIMIT $3",
        key,
    )
    .bind(i64::try_from(ROWS).unwrap_or(i64::MAX));
    let oldest = session.rows(oldest).await?;
    let sizes: Vec<_> = oldest
        .iter()
        .map(|row| row.count("bytes"))
        .collect::<Result<_, _>>()?;
    let fits = fitting(
        sizes
            .into_iter()
            .map(|size| usize::try_from(size).unwrap_or(usize::MAX)),
    );
    if fits == oldest.len() && fits < ROWS {
        // What is left of it goes with it.
        let all = of_conversation(
            "DELETE FROM conversations WHERE tenant = $1 AND id = $2",
            key,
        );
        session.change(all).await?;
        return Ok(Forgotten::All);
    }
    let last = oldest[fits - 1].count("number")?;
    for text in [
        "DELETE FROM messages WHERE tenant = $1 AND conversation_id = $2 AND number <= $3",
        "DELETE FROM context_summaries WHERE tenant = $1 AND conversation_id = $2 AND up_to <= $3",
    ] {
        session
            .change(of_conversation(text, key).bind(clamp(last)))
            .await?;
    }
    Ok(Forgotten::Part)
}
