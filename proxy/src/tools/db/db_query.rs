//! `db_query`: one SELECT.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::Deserialize;
use serde_json::Value;

use super::Rows;
use crate::tools::{Caller, Effect, Origin, Typed, Words, Workshop};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// One SELECT statement.
    sql: String,
    /// The values of its parameters: texts, numbers, true, false or null.
    #[serde(default)]
    params: Vec<Value>,
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "db_query",
        title: "Query the tables",
        description: "Runs one SELECT on the tables that are set apart for tools, and gives at most 1000 rows. Values go into `params`, \
                      which the statement names ?1, ?2 (SQLite) or $1, $2 (PostgreSQL).",
        effect: Effect::Read,
        origin: Origin::Found,
    };
    Typed::new(words, workshop, query)
}

async fn query(workshop: Arc<Workshop>, _: Caller, input: Input) -> Result<Rows, Error> {
    workshop
        .tables()
        .await?
        .query(input.sql, input.params)
        .await
}
