use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::Error as SqlError;

use super::columns::Columns;
use crate::store::{Memory, Remembered, Summary, plain::time};

/// What is at hand of a conversation: its newest summary, and its newest messages, the last one first. `None` without messages.
pub(in crate::store) fn memory<R: Columns>(
    summary: Option<&R>,
    messages: &[R],
) -> Result<Option<Memory>, SqlError> {
    let messages = messages.iter().rev().map(message);
    let messages: Vec<Remembered> = messages.collect::<Result<_, _>>()?;
    let Some(last) = messages.last() else {
        return Ok(None);
    };
    Ok(Some(Memory {
        count: last.number,
        summary: summary.map(read_summary).transpose()?,
        messages,
    }))
}

/// The message of a row of `messages`.
pub(in crate::store) fn message(row: &impl Columns) -> Result<Remembered, SqlError> {
    let content = row.text("content")?.to_owned();
    Ok(Remembered {
        number: unsigned(row.big("number")?),
        request: row.text("request_id")?.into(),
        message: RawValue::from_string(content).map_err(|e| SqlError::Decode(Box::new(e)))?,
        at: time(row.big("created_ms")?),
    })
}

fn read_summary(row: &impl Columns) -> Result<Summary, SqlError> {
    Ok(Summary {
        up_to: unsigned(row.big("up_to")?),
        text: row.text("summary")?.to_owned(),
        deployment: row.maybe_text("deployment")?.map(Into::into),
        at: time(row.big("created_ms")?),
    })
}

/// The role of a chat message; empty if it has none.
pub(in crate::store) fn role(message: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Role {
        #[serde(default)]
        role: String,
    }
    let role = serde_json::from_str(message.get()).map(|message: Role| message.role);
    role.unwrap_or_default()
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
