//! `redis_del`: give up a value.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::{Deserialize, Serialize};

use crate::tools::{Caller, Effect, Origin, Typed, Words, Workshop};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The key.
    key: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Whether there was one.
    deleted: bool,
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "redis_del",
        title: "Delete a value",
        description: "Deletes the value under a key.",
        effect: Effect::Write,
        origin: Origin::Own,
    };
    Typed::new(words, workshop, delete)
}

async fn delete(workshop: Arc<Workshop>, caller: Caller, input: Input) -> Result<Output, Error> {
    let shelf = workshop.shelf().await?;
    let deleted = shelf.del(&caller.principal.tenant, &input.key).await?;
    Ok(Output { deleted })
}
