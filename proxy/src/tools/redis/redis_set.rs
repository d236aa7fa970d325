//! `redis_set`: keep a value for a while.

use std::{sync::Arc, time::Duration};

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
    /// The value, at most 64 KiB.
    value: String,
    /// How long it is kept, in seconds: at most a day.
    #[serde(default = "hour")]
    ttl_seconds: u64,
}

fn hour() -> u64 {
    3600
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// How long it is kept, in seconds.
    ttl_seconds: u64,
}

/// The tool.
pub(super) struct RedisSet {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl RedisSet {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "redis_set",
            "Keep a value",
            "Keeps a value under a key for some time, an hour if none is said. Keys of other tenants are others.",
            Effect::Write,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let input: Input = call.input()?;
        let shelf = self.workshop.shelf().await?;
        let ttl = Duration::from_secs(input.ttl_seconds);
        let tenant = &call.principal.tenant;
        let kept = shelf.set(tenant, &input.key, input.value, ttl).await?;
        to_value(&Output {
            ttl_seconds: kept.as_secs(),
        })
    }
}

impl Tool for RedisSet {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
