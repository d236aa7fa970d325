use bytes::Bytes;

use super::Usage;
use crate::catalog::{Money, ServiceClass};

/// One step of an answer: any number of [`Data`](Frame::Data), then exactly one [`End`](Frame::End).
#[derive(Debug, Clone)]
pub enum Frame {
    /// One JSON payload: the whole answer, or one chunk of a stream.
    Data(Bytes),
    /// The answer is complete.
    End(End),
}

/// What is known once an answer is complete.
#[derive(Debug, Clone, Default)]
pub struct End {
    /// The tokens, if the provider told.
    pub usage: Option<Usage>,
    /// What the provider says it charges, if it says so.
    pub reported_cost: Option<Money>,
    /// How soon the provider says it answered, which has its price.
    pub class: ServiceClass,
    /// Why the model stopped.
    pub finish: Option<FinishReason>,
    /// A stream's usage chunk as the provider sent it. It travels here and not as data, because only a client that asked for it may see it.
    pub usage_chunk: Option<Bytes>,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// The output limit was reached.
    Length,
    /// It calls tools.
    ToolCalls,
    /// A content filter cut it.
    ContentFilter,
    /// Something else.
    Other,
}

impl FinishReason {
    /// Reads OpenAI's `finish_reason`; the older `function_call` means tools too.
    #[must_use]
    pub fn from_openai(reason: &str) -> Self {
        match reason {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            _ => Self::Other,
        }
    }
}
