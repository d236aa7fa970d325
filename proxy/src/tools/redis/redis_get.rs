//! `redis_get`: a value that was kept.

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
    /// The value; none if there is none any more.
    value: Option<String>,
}

/// The tool.
pub(super) struct RedisGet {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl RedisGet {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "redis_get",
            "Get a value",
            "Gets a value that was kept under a key with redis_set.",
            Effect::Read,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let Input { key } = call.input()?;
        let shelf = self.workshop.shelf().await?;
        let value = shelf.get(&call.principal.tenant, &key).await?;
        to_value(&Output { value })
    }
}

impl Tool for RedisGet {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
