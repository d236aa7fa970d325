//! `route`: one question to the router, answered as `POST /v1/route` does.

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ask::{Facts, ask, request},
    words::{QualityWord, question},
};
use crate::{
    config::AUTO,
    gateway::Gateway,
    http::admission::Wishes,
    tools::{Effect, Spec, Tool, ToolCall, to_value},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
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
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// The answer.
    response: String,
    #[serde(flatten)]
    facts: Facts,
}

/// The tool.
pub(super) struct RouteTool {
    gateway: Gateway,
    spec: Spec,
}

impl RouteTool {
    pub(super) fn new(gateway: Gateway) -> Self {
        let spec = Spec::of::<Input, Output>(
            "route",
            "Route a question",
            "Gives one question to the cheapest model that can carry it, and climbs if its answer will not do. The simplest way to \
             hand a small task to a cheaper model.",
            Effect::Read,
        );
        Self { gateway, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let input: Input = call.input()?;
        if input.message.trim().is_empty() {
            return Err(Error::invalid("`message` is empty").param("message"));
        }
        let wishes = Wishes {
            quality: input.quality.into(),
            conversation: input.conversation_id,
            ..Wishes::default()
        };
        let body = question(AUTO, &input.message);
        let asked = request(&self.gateway, &call, &body, wishes)?;
        let answer = ask(&self.gateway, &call, asked).await?;
        to_value(&Output {
            response: answer.text,
            facts: answer.facts,
        })
    }
}

impl Tool for RouteTool {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
