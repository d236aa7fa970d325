use sqlx::Error as SqlError;

use super::columns::{Columns, parsed};
use crate::store::{TodoList, plain::time};

/// The list of a row of `todo_lists`.
pub(in crate::store) fn read(row: &impl Columns) -> Result<TodoList, SqlError> {
    Ok(TodoList {
        version: u64::try_from(row.big("version")?).unwrap_or(0),
        items: parsed(row.text("items")?)?,
        updated: time(row.big("updated_ms")?),
    })
}
