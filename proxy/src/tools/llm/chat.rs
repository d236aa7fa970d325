//! `chat`: a conversation with any model, or with the router's choice.

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    ask::{Facts, ask, request},
    words::{Message, QualityWord, TierWord, auto},
};
use crate::{
    gateway::Gateway,
    http::admission::Wishes,
    tools::{Effect, Spec, Tool, ToolCall, to_value},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct Input {
    /// The conversation so far; its last message is what is asked.
    #[schemars(length(min = 1))]
    messages: Vec<Message>,
    /// A model that models:// lists, or auto for the cheapest that can carry it.
    #[serde(default = "auto")]
    model: String,
    /// How much the answer matters.
    #[serde(default)]
    quality: QualityWord,
    /// The most tokens of the answer.
    max_tokens: Option<u32>,
    /// 0 for always the same, 2 for wild.
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f64>,
    /// No answer from below this tier.
    min_tier: Option<TierWord>,
    /// No answer from above it.
    max_tier: Option<TierWord>,
    /// A JSON Schema that the answer must fit.
    json_schema: Option<serde_json::Map<String, Value>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// The answer.
    text: String,
    #[serde(flatten)]
    facts: Facts,
}

/// The tool.
pub(super) struct Chat {
    gateway: Gateway,
    spec: Spec,
}

impl Chat {
    pub(super) fn new(gateway: Gateway) -> Self {
        let spec = Spec::of::<Input, Output>(
            "chat",
            "Chat with a model",
            "Asks a language model. With model `auto` the gateway starts on the cheapest tier that can carry the question and climbs \
             only when the answer will not do. Tells who answered and what it cost.",
            Effect::Read,
        );
        Self { gateway, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let input: Input = call.input()?;
        if input.messages.is_empty() {
            return Err(Error::invalid("`messages` is empty").param("messages"));
        }
        let wishes = Wishes {
            quality: input.quality.into(),
            min_tier: input.min_tier.map(Into::into),
            max_tier: input.max_tier.map(Into::into),
            ..Wishes::default()
        };
        let asked = request(&self.gateway, &call, &body(&input), wishes)?;
        let answer = ask(&self.gateway, &call, asked).await?;
        to_value(&Output {
            text: answer.text,
            facts: answer.facts,
        })
    }
}

fn body(input: &Input) -> Value {
    let mut body = json!({ "model": input.model, "messages": input.messages });
    if let Some(limit) = input.max_tokens {
        body["max_tokens"] = limit.into();
    }
    if let Some(temperature) = input.temperature {
        body["temperature"] = temperature.into();
    }
    if let Some(schema) = &input.json_schema {
        body["response_format"] = json!({
            "type": "json_schema",
            "json_schema": { "name": "answer", "schema": schema, "strict": true },
        });
    }
    body
}

impl Tool for Chat {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
