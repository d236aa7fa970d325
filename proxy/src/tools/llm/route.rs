//! `route`: one question to the router, answered as `POST /v1/route` does.

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::{Deserialize, Serialize};

use super::{
    ask::{Facts, ask, request},
    words::{QualityWord, question},
};
use crate::{
    config::AUTO,
    gateway::Gateway,
    http::admission::Wishes,
    tools::{Caller, Effect, Origin, Typed, Words},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The question or task.
    message: String,
    /// How much the answer matters.
    #[serde(default)]
    quality: QualityWord,
    /// The conversation that this goes on: what was said in it before is remembered. A new name begins one.
    conversation_id: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The answer.
    response: String,
    #[serde(flatten)]
    facts: Facts,
}

/// The tool.
pub(super) fn tool(gateway: &Gateway) -> Typed {
    let words = Words {
        name: "route",
        title: "Route a question",
        description: "Gives one question to the cheapest model that can carry it, and climbs if its answer will not do. The simplest way to \
                      hand a small task to a cheaper model.",
        effect: Effect::Read,
        origin: Origin::Own,
    };
    Typed::new(words, gateway, route)
}

async fn route(gateway: Gateway, caller: Caller, input: Input) -> Result<Output, Error> {
    if input.message.trim().is_empty() {
        return Err(Error::invalid("`message` is empty").param("message"));
    }
    let wishes = Wishes {
        quality: input.quality.into(),
        conversation: input.conversation_id,
        ..Wishes::default()
    };
    let body = question(AUTO, &input.message);
    let asked = request(&gateway, &caller, &body, wishes)?;
    let answer = ask(&gateway, &caller, asked).await?;
    Ok(Output {
        response: answer.text,
        facts: answer.facts,
    })
}
