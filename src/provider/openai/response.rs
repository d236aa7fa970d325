use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::error;
use crate::{
    error::{Error, ErrorKind},
    model::{End, FinishReason, Operation},
    provider::usage::{self, Told},
};

/// The members of an answer that matter here; the rest is skipped without being built.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, rename = "usageMetadata")]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

/// Reads a whole answer; its bytes stay as they are.
pub(super) fn read(op: Operation, body: Bytes) -> Result<(Bytes, End), Error> {
    let (finish, told) = {
        let answer: Answer<'_> = serde_json::from_slice(&body)
            .map_err(|_| no_answer("the provider's answer is no JSON object of an answer"))?;
        // Some servers report errors under status 200.
        if let Some(error) = answer.error {
            return Err(error::in_answer(error));
        }
        let finish = match (op, answer.choices) {
            (Operation::Chat, Some(choices)) => choices
                .into_iter()
                .find_map(|choice| choice.finish_reason)
                .map(|reason| FinishReason::from_openai(&reason)),
            (Operation::Embeddings, _) if answer.data.is_some() => None,
            _ => return Err(no_answer("the provider's answer holds no answer")),
        };
        let told = answer.usage.or(answer.usage_metadata);
        let told = told.map_or_else(Told::default, |raw| usage::read(op, raw));
        let class = answer.service_tier.and_then(usage::class);
        let class = class.or(told.class);
        (finish, Told { class, ..told })
    };
    let end = End {
        usage: told.usage,
        reported_cost: told.cost,
        class: told.class.unwrap_or_default(),
        finish,
        usage_chunk: None,
    };
    Ok((body, end))
}

fn no_answer(message: &'static str) -> Error {
    Error::new(ErrorKind::Upstream, message)
}
