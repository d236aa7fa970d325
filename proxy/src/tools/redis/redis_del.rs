//! `redis_del`: give up a value.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tools::{Effect, Spec, Tool, ToolCall, Workshop, to_value};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct Input {
    /// The key.
    key: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// Whether there was one.
    deleted: bool,
}

/// The tool.
pub(super) struct RedisDel {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl RedisDel {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "redis_del",
            "Delete a value",
            "Deletes the value under a key.",
            Effect::Write,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let Input { key } = call.input()?;
        let shelf = self.workshop.shelf().await?;
        let deleted = shelf.del(&call.principal.tenant, &key).await?;
        to_value(&Output { deleted })
    }
}

impl Tool for RedisDel {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
