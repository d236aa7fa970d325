//! `redis_set`: keep a value for a while.

use std::{sync::Arc, time::Duration};

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::{Deserialize, Serialize};

use crate::tools::{Caller, Effect, Origin, Typed, Words, Workshop};

#[derive(Debug, Deserialize, JsonSchema)]
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
struct Output {
    /// How long it is kept, in seconds.
    ttl_seconds: u64,
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "redis_set",
        title: "Keep a value",
        description: "Keeps a value under a key for some time, an hour if none is said. Keys of other tenants are others.",
        effect: Effect::Write,
        origin: Origin::Own,
    };
    Typed::new(words, workshop, set)
}

async fn set(workshop: Arc<Workshop>, caller: Caller, input: Input) -> Result<Output, Error> {
    let shelf = workshop.shelf().await?;
    let ttl = Duration::from_secs(input.ttl_seconds);
    let tenant = &caller.principal.tenant;
    let kept = shelf.set(tenant, &input.key, input.value, ttl).await?;
    Ok(Output {
        ttl_seconds: kept.as_secs(),
    })
}
