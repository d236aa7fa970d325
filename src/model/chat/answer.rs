use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::Confidence;
use crate::{
    error::{Error, ErrorKind},
    model::FinishReason,
};

/// The first choice of a whole chat answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The text, empty if there is none.
    pub text: String,
    /// A refusal in the model's own words.
    pub refusal: Option<String>,
    /// Tool calls as the model wrote them; one of the older kind, `function_call`, has the form of the others.
    pub tool_calls: Vec<Value>,
    /// Whether it speaks or draws, beside its text or instead.
    pub media: bool,
    /// Why the model stopped.
    pub finish: Option<FinishReason>,
    /// The mean log probability per token, if the answer carries log probabilities.
    pub mean_logprob: Option<f64>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    message: Option<Message>,
    finish_reason: Option<String>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Value>>,
    function_call: Option<Value>,
    images: Option<Value>,
    audio: Option<Value>,
}

impl Answer {
    /// Reads a whole answer.
    ///
    /// # Errors
    /// [`ErrorKind::Upstream`] if it is no chat completion with at least one choice.
    pub fn parse(whole: &[u8]) -> Result<Self, Error> {
        let no_answer = || {
            Error::new(
                ErrorKind::Upstream,
                "the provider's answer is no chat completion",
            )
        };
        let document: Document<'_> =
            serde_json::from_slice(whole).map_err(|e| no_answer().with_source(e))?;
        let choice = document.choices.into_iter().next().ok_or_else(no_answer)?;
        let message = choice.message.ok_or_else(no_answer)?;
        let mut confidence = Confidence::default();
        choice.logprobs.into_iter().for_each(|l| confidence.add(l));
        let mut tool_calls = message.tool_calls.unwrap_or_default();
        // Who writes both says the same twice.
        if tool_calls.is_empty() {
            let older = message.function_call.filter(is_named);
            tool_calls.extend(older.map(|f| json!({ "type": "function", "function": f })));
        }
        let media = [&message.images, &message.audio];
        Ok(Self {
            media: media.into_iter().flatten().any(is_something),
            text: text_of(message.content),
            refusal: message.refusal,
            tool_calls,
            finish: choice
                .finish_reason
                .as_deref()
                .map(FinishReason::from_openai),
            mean_logprob: confidence.mean(1),
        })
    }

    /// Whether it is marked as a refusal, by the model or by a filter.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.finish == Some(FinishReason::ContentFilter)
            || self.refusal.as_ref().is_some_and(|r| !r.is_empty())
    }

    /// Whether there is nothing in it: no text, no call of a tool, no sound, no picture.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty() && self.tool_calls.is_empty() && !self.media
    }
}

/// Whether a `function_call` is one: some servers write it without a name where there is none.
pub(crate) fn is_named(function: &Value) -> bool {
    function["name"].as_str().is_some_and(|n| !n.is_empty())
}

fn is_something(media: &Value) -> bool {
    match media {
        Value::Array(all) => !all.is_empty(),
        Value::Object(one) => !one.is_empty(),
        _ => false,
    }
}

fn text_of(content: Option<Value>) -> String {
    match content {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
