//! `db_update`: one row, by its key.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::{Deserialize, Serialize};

use super::Row;
use crate::tools::{Caller, Effect, Origin, Typed, Words, Workshop};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The table.
    table: String,
    /// Which row: a value for each column of the primary key.
    key: Row,
    /// What it shall be: values by column.
    set: Row,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// How many rows were changed: one, or none if there is no such row.
    updated: u64,
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "db_update",
        title: "Update a row",
        description: "Changes one row, found by its primary key, of a table that is set apart for tools.",
        effect: Effect::Write,
        origin: Origin::Own,
    };
    Typed::new(words, workshop, update)
}

async fn update(workshop: Arc<Workshop>, _: Caller, input: Input) -> Result<Output, Error> {
    let tables = workshop.tables().await?;
    let updated = tables.update(input.table, input.key, input.set).await?;
    Ok(Output { updated })
}
