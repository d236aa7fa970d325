use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::chat::Answer;

/// So few tokens say nothing about confidence.
const MIN_TOKENS: u32 = 8;

/// The first choice of a streamed answer as far as it has arrived.
#[derive(Debug, Default)]
pub(super) struct Partial {
    answer: Answer,
    logprobs: f64,
    tokens: u32,
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
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    refusal: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(default)]
    index: usize,
    #[serde(default, borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(default, borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    arguments: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
    logprob: f64,
}

impl Partial {
    /// Adds a chunk. One that cannot be read teaches nothing: it is passed on all the same.
    pub(super) fn add(&mut self, chunk: &Bytes) -> &Answer {
        if let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(chunk) {
            for choice in chunk.choices.into_iter().filter(|c| c.index == 0) {
                if let Some(delta) = choice.delta {
                    self.add_delta(delta);
                }
                self.add_logprobs(choice.logprobs);
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
        for call in delta.tool_calls.into_iter().flatten() {
            // Calls come in order: an index beyond the next one is some server's slip.
            let at = call.index.min(calls.len());
            if at == calls.len() {
                calls.push(json!({ "function": { "name": "", "arguments": "" } }));
            }
            let function = call.function.into_iter();
            for (name, arguments) in function.map(|f| (f.name, f.arguments)) {
                let known = &mut calls[at]["function"];
                if let Some(name) = name.filter(|_| known["name"] == "") {
                    known["name"] = json!(name);
                }
                if let (Value::String(all), Some(more)) = (&mut known["arguments"], arguments) {
                    all.push_str(&more);
                }
            }
        }
    }

    fn add_logprobs(&mut self, logprobs: Option<Logprobs>) {
        for token in logprobs.and_then(|l| l.content).into_iter().flatten() {
            self.logprobs += token.logprob;
            self.tokens += 1;
        }
        if self.tokens >= MIN_TOKENS {
            self.answer.mean_logprob = Some(self.logprobs / f64::from(self.tokens));
        }
    }
}
