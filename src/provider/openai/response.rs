use bytes::Bytes;

use super::error;
use crate::{
    error::{Error, ErrorKind},
    json::{self, Fault, Scan},
    model::{End, FinishReason, Operation},
    provider::usage::{self, Told},
};

/// The members of an answer that matter here; the rest is passed over.
#[derive(Default)]
struct Answer<'a> {
    error: Option<&'a str>,
    usage: Option<&'a str>,
    usage_metadata: Option<&'a str>,
    service_tier: Option<&'a str>,
    has_choices: bool,
    has_data: bool,
    /// Of the first choice that has one.
    finish_reason: Option<&'a str>,
}

/// Reads a whole answer; its bytes stay as they are.
pub(super) fn read(op: Operation, body: Bytes) -> Result<(Bytes, End), Error> {
    let text = std::str::from_utf8(&body).map_err(|_| no_object())?;
    let answer = Answer::read(text).map_err(|_| no_object())?;
    // Some servers report errors under status 200.
    if let Some(error) = answer.error {
        let error = error::in_answer(error);
        return Err(match answer.has_choices || answer.usage.is_some() {
            true => error.may_be_billed(),
            false => error,
        });
    }
    match op {
        Operation::Chat if answer.has_choices => {}
        Operation::Embeddings if answer.has_data => {}
        _ => return Err(no_answer("the provider's answer holds no answer")),
    }
    let finish = match answer.finish_reason {
        Some(reason) if op == Operation::Chat => {
            let reason: String = serde_json::from_str(reason).map_err(|_| no_object())?;
            Some(FinishReason::from_openai(&reason))
        }
        _ => None,
    };
    let told = match answer.usage.or(answer.usage_metadata) {
        Some(usage) => usage::read(op, usage),
        None => Told::default(),
    };
    let class = answer.service_tier.and_then(usage::class);
    let end = End {
        usage: told.usage,
        reported_cost: told.cost,
        class: class.or(told.class).unwrap_or_default(),
        finish,
        usage_chunk: None,
    };
    Ok((body, end))
}

impl<'a> Answer<'a> {
    fn read(text: &'a str) -> Result<Self, Fault> {
        let mut answer = Self::default();
        json::members(text, |name, value| {
            match name {
                "error" => answer.error = value.present()?,
                "usage" => answer.usage = value.present()?,
                "usageMetadata" => answer.usage_metadata = value.present()?,
                "service_tier" => answer.service_tier = value.present()?,
                "data" => answer.has_data = value.present()?.is_some(),
                "choices" if value.is_array() => {
                    answer.has_choices = true;
                    value.elements(|choice| answer.read_choice(choice))?;
                }
                _ => {
                    value.value()?;
                }
            }
            Ok(())
        })?;
        Ok(answer)
    }

    fn read_choice(&mut self, choice: &mut Scan<'a>) -> Result<(), Fault> {
        choice.members(|name, value| {
            let value = value.present()?;
            if name == "finish_reason" {
                self.finish_reason = self.finish_reason.or(value);
            }
            Ok(())
        })
    }
}

fn no_object() -> Error {
    no_answer("the provider's answer is no JSON object of an answer")
}

fn no_answer(message: &'static str) -> Error {
    Error::new(ErrorKind::Upstream, message)
}
