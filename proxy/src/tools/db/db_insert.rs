//! `db_insert`: one row.

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
    /// The table.
    table: String,
    /// The row: values by column.
    row: Map<String, Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// How many rows were inserted.
    inserted: u64,
}

/// The tool.
pub(super) struct DbInsert {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl DbInsert {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "db_insert",
            "Insert a row",
            "Inserts one row into a table that is set apart for tools.",
            Effect::Write,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let Input { table, row } = call.input()?;
        let inserted = self.workshop.tables().await?.insert(table, row).await?;
        to_value(&Output { inserted })
    }
}

impl Tool for DbInsert {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
