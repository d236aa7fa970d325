//! `db_insert`: one row.

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
    /// The row: values by column.
    row: Row,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// How many rows were inserted.
    inserted: u64,
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "db_insert",
        title: "Insert a row",
        description: "Inserts one row into a table that is set apart for tools.",
        effect: Effect::Write,
        origin: Origin::Own,
    };
    Typed::new(words, workshop, insert)
}

async fn insert(workshop: Arc<Workshop>, _: Caller, input: Input) -> Result<Output, Error> {
    let tables = workshop.tables().await?;
    let inserted = tables.insert(input.table, input.row).await?;
    Ok(Output { inserted })
}
