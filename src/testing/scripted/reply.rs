use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    catalog::Money,
    error::Error,
    model::{ModelRequest, Usage},
};

/// One scripted reply.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(super) answer: Result<Value, Error>,
    pub(super) finish: &'static str,
    pub(super) usage: Option<Usage>,
    pub(super) cost: Option<Money>,
    pub(super) after: Duration,
    pub(super) gap: Duration,
    pub(super) stop_after: Option<usize>,
    pub(super) fail_after: Option<(usize, Error)>,
    pub(super) hang: bool,
}

impl Reply {
    /// An answer with this text. It bills one token per word.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::message(json!({ "role": "assistant", "content": text }))
    }

    /// An answer with this message.
    #[must_use]
    pub fn message(message: Value) -> Self {
        Self::from(Ok(message))
    }

    /// A failure before the first frame.
    #[must_use]
    pub fn error(error: Error) -> Self {
        Self::from(Err(error))
    }

    /// Never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self {
            hang: true,
            ..Self::text("")
        }
    }

    fn from(answer: Result<Value, Error>) -> Self {
        Self {
            answer,
            finish: "stop",
            usage: None,
            cost: None,
            after: Duration::ZERO,
            gap: Duration::ZERO,
            stop_after: None,
            fail_after: None,
            hang: false,
        }
    }

    /// Sets the finish reason, in OpenAI's words.
    #[must_use]
    pub fn finish(mut self, finish: &'static str) -> Self {
        self.finish = finish;
        self
    }

    /// Sets the tokens that are reported and billed.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Sets the cost that is reported beside the tokens; what is billed stays their price.
    #[must_use]
    pub fn cost(mut self, cost: Money) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Waits before the first frame, or before the error.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = wait;
        self
    }

    /// Waits before each further frame of a stream.
    #[must_use]
    pub fn gap(mut self, gap: Duration) -> Self {
        self.gap = gap;
        self
    }

    /// A stream stops after so many chunks, without its end.
    #[must_use]
    pub fn stop_after(mut self, chunks: usize) -> Self {
        self.stop_after = Some(chunks);
        self
    }

    /// A stream fails after so many chunks.
    #[must_use]
    pub fn fail_after(mut self, chunks: usize, error: Error) -> Self {
        self.fail_after = Some((chunks, error));
        self
    }

    pub(super) fn text_of(&self) -> &str {
        self.answer
            .as_ref()
            .ok()
            .and_then(|m| m["content"].as_str())
            .unwrap_or_default()
    }

    pub(super) fn usage_for(&self, request: &ModelRequest) -> Usage {
        let words = self.text_of().split_whitespace().count() as u64;
        self.usage
            .unwrap_or(Usage::new(request.body.as_bytes().len() as u64 / 4, words))
    }
}
