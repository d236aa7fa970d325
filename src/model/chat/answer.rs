use serde::Deserialize;
use serde_json::Value;

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
    /// Tool calls as the model wrote them.
    pub tool_calls: Vec<Value>,
    /// Why the model stopped.
    pub finish: Option<FinishReason>,
    /// The mean log probability per token, if the answer carries log probabilities.
    pub mean_logprob: Option<f64>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Message>,
    finish_reason: Option<String>,
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
    logprob: f64,
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
        let document: Document =
            serde_json::from_slice(whole).map_err(|e| no_answer().with_source(e))?;
        let choice = document.choices.into_iter().next().ok_or_else(no_answer)?;
        let message = choice.message.ok_or_else(no_answer)?;
        let tokens = choice.logprobs.and_then(|l| l.content).unwrap_or_default();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a mean of some thousand figures"
        )]
        let mean_logprob = (!tokens.is_empty())
            .then(|| tokens.iter().map(|t| t.logprob).sum::<f64>() / tokens.len() as f64);
        Ok(Self {
            text: text_of(message.content),
            refusal: message.refusal,
            tool_calls: message.tool_calls.unwrap_or_default(),
            finish: choice
                .finish_reason
                .as_deref()
                .map(FinishReason::from_openai),
            mean_logprob,
        })
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
