//! `db_update`: one row, by its key.

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
    /// Which row: a value for each column of the primary key.
    key: Map<String, Value>,
    /// What it shall be: values by column.
    set: Map<String, Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// How many rows were changed: one, or none if there is no such row.
    updated: u64,
}

/// The tool.
pub(super) struct DbUpdate {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl DbUpdate {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "db_update",
            "Update a row",
            "Changes one row, found by its primary key, of a table that is set apart for tools.",
            Effect::Write,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let Input { table, key, set } = call.input()?;
        let updated = self
            .workshop
            .tables()
            .await?
            .update(table, key, set)
            .await?;
        to_value(&Output { updated })
    }
}

impl Tool for DbUpdate {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
