//! `chat`: a conversation with any model, or with the router's choice.

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ask::{Asked, ask, request},
    words::{Message, QualityWord, TierWord, auto},
};
use crate::{
    gateway::Gateway,
    http::admission::Wishes,
    tools::{Caller, Effect, Origin, Typed, Words},
};

#[derive(Debug, Deserialize, JsonSchema)]
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

/// The tool.
pub(super) fn tool(gateway: &Gateway) -> Typed {
    let words = Words {
        name: "chat",
        title: "Chat with a model",
        description: "Asks a language model. With model `auto` the gateway starts on the cheapest tier that can carry the question and \
                      climbs only when the answer will not do. Tells who answered and what it cost.",
        effect: Effect::Read,
        origin: Origin::Own,
    };
    Typed::new(words, gateway, chat)
}

async fn chat(gateway: Gateway, caller: Caller, input: Input) -> Result<Asked, Error> {
    if input.messages.is_empty() {
        return Err(Error::invalid("`messages` is empty").param("messages"));
    }
    let wishes = Wishes {
        quality: input.quality.into(),
        min_tier: input.min_tier.map(Into::into),
        max_tier: input.max_tier.map(Into::into),
        ..Wishes::default()
    };
    let asked = request(&gateway, &caller, &body(&input), wishes)?;
    ask(&gateway, &caller, asked).await
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
