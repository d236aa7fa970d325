//! `db_query`: one SELECT.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::tools::{Effect, Spec, Tool, ToolCall, Workshop, to_value};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct Input {
    /// One SELECT statement.
    sql: String,
    /// The values of its parameters: texts, numbers, true, false or null.
    #[serde(default)]
    params: Vec<Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// The rows, each an object by column.
    rows: Vec<Map<String, Value>>,
    /// Whether there are more.
    more: bool,
}

/// The tool.
pub(super) struct DbQuery {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl DbQuery {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "db_query",
            "Query the tables",
            "Runs one SELECT on the tables that are set apart for tools, and gives at most 1000 rows. Values go into `params`, which the statement names ?1, ?2 (SQLite) or $1, $2 (PostgreSQL).",
            Effect::Read,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let Input { sql, params } = call.input()?;
        let rows = self.workshop.tables().await?.query(sql, params).await?;
        to_value(&Output {
            rows: rows.rows,
            more: rows.more,
        })
    }
}

impl Tool for DbQuery {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
