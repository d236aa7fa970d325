//! What an answer took, in whichever words a provider says it.
//!
//! Vendors count alike and write differently, and servers that speak one vendor's dialect relay another's figures. So one reader
//! knows all shapes, and every dialect uses it. It tells three things: tokens in disjoint buckets, the cost if the provider says
//! what it charges, and the class of service if that has a price of its own.

mod anthropic;
mod cost;
mod count;
mod gemini;
mod openai;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    catalog::{Money, ServiceClass},
    model::{Operation, Usage},
};
use count::{Count, tokens};

/// What a `usage` object tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Told {
    /// The tokens; `None` if it does not say how many there were.
    pub(super) usage: Option<Usage>,
    /// What the provider charges.
    pub(super) cost: Option<Money>,
    /// How soon it answered.
    pub(super) class: Option<ServiceClass>,
}

/// The members that all shapes are told apart by, and those that stand in more than one.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    prompt_tokens: Count<'a>,
    #[serde(borrow)]
    input_tokens: Count<'a>,
    #[serde(borrow, rename = "promptTokenCount")]
    prompt_token_count: Count<'a>,
    #[serde(borrow)]
    total_tokens: Count<'a>,
    #[serde(borrow)]
    input_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
}

/// Reads a `usage` object; what it does not tell is `None`.
pub(super) fn read(op: Operation, usage: &RawValue) -> Told {
    let Ok(wire) = serde_json::from_str::<Wire<'_>>(usage.get()) else {
        return Told::default();
    };
    Told {
        usage: buckets(op, &wire, usage.get()),
        cost: cost::read(usage.get()),
        class: wire.service_tier.and_then(class),
    }
}

fn buckets(op: Operation, wire: &Wire<'_>, usage: &str) -> Option<Usage> {
    if op == Operation::Embeddings {
        let input = tokens(wire.prompt_tokens)
            .or(tokens(wire.input_tokens))
            .or(tokens(wire.prompt_token_count))
            .or(tokens(wire.total_tokens))?;
        return Some(Usage::new(input, 0));
    }
    if tokens(wire.prompt_tokens).is_some() {
        openai::chat(usage)
    } else if tokens(wire.prompt_token_count).is_some() {
        gemini::read(usage)
    } else if wire.input_tokens_details.is_some() {
        openai::responses(usage)
    } else {
        anthropic::read(usage)
    }
}

/// Reads a `service_tier` member; `None` if it is no text.
pub(super) fn class(raw: &RawValue) -> Option<ServiceClass> {
    let name: Cow<'_, str> = serde_json::from_str(raw.get()).ok()?;
    Some(ServiceClass::from_service_tier(&name))
}
