//! `redis_get`: a value that was kept.

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
    /// The value; none if there is none any more.
    value: Option<String>,
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "redis_get",
        title: "Get a value",
        description: "Gets a value that was kept under a key with redis_set.",
        effect: Effect::Read,
        origin: Origin::Found,
    };
    Typed::new(words, workshop, get)
}

async fn get(workshop: Arc<Workshop>, caller: Caller, input: Input) -> Result<Output, Error> {
    let shelf = workshop.shelf().await?;
    let value = shelf.get(&caller.principal.tenant, &input.key).await?;
    Ok(Output { value })
}
