use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::model::chat::{Answer, Confidence, append, is_named};

/// So few tokens say nothing about confidence.
const MIN_TOKENS: u32 = 8;

/// The first choice of a streamed answer as far as it has arrived.
#[derive(Debug, Default)]
pub(super) struct Partial {
    answer: Answer,
    confidence: Confidence,
    /// Whether the call is one of the older kind: the only one, whose name comes first.
    older: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(default, borrow)]
    delta: Option<Delta<'a>>,
    #[serde(default, borrow)]
    logprobs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    refusal: Option<Cow<'a, str>>,
    #[serde(default)]
    tool_calls: Option<Vec<Value>>,
    #[serde(default)]
    function_call: Option<Value>,
}

impl Partial {
    /// Adds a chunk. One that cannot be read teaches nothing: it is passed on all the same.
    pub(super) fn add(&mut self, chunk: &Bytes) -> &Answer {
        if let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(chunk) {
            for choice in chunk.choices.into_iter().filter(|c| c.index == 0) {
                if let Some(delta) = choice.delta {
                    self.add_delta(delta);
                }
                if let Some(logprobs) = choice.logprobs {
                    self.confidence.add(logprobs);
                    self.answer.mean_logprob = self.confidence.mean(MIN_TOKENS);
                }
            }
        }
        &self.answer
    }

    pub(super) fn into_answer(self) -> Answer {
        self.answer
    }

    fn add_delta(&mut self, delta: Delta<'_>) {
        self.answer
            .text
            .push_str(&delta.content.unwrap_or_default());
        if let Some(refusal) = delta.refusal {
            self.answer
                .refusal
                .get_or_insert_default()
                .push_str(&refusal);
        }
        let calls = &mut self.answer.tool_calls;
        append(calls, delta.tool_calls.unwrap_or_default());
        if let Some(function) = delta.function_call {
            self.older |= calls.is_empty() && is_named(&function);
            if self.older {
                append(calls, vec![json!({ "index": 0, "function": function })]);
            }
        }
    }
}
