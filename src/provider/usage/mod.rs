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

use crate::{
    catalog::{Money, ServiceClass},
    json::Members,
    model::{Operation, Usage},
};
use count::tokens;

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

/// Reads a `usage` object; what it does not tell is `None`.
pub(super) fn read(op: Operation, usage: &str) -> Told {
    let Ok(usage) = Members::of(usage) else {
        return Told::default();
    };
    Told {
        usage: buckets(op, &usage),
        cost: cost::read(&usage),
        class: usage.get("service_tier").and_then(class),
    }
}

fn buckets(op: Operation, usage: &Members<'_>) -> Option<Usage> {
    let told = |name| tokens(usage, name);
    if op == Operation::Embeddings {
        let input = told("prompt_tokens")
            .or_else(|| told("input_tokens"))
            .or_else(|| told("promptTokenCount"))
            .or_else(|| told("total_tokens"))?;
        return Some(Usage::new(input, 0));
    }
    if told("prompt_tokens").is_some() {
        openai::chat(usage)
    } else if told("promptTokenCount").is_some() {
        gemini::read(usage)
    } else if usage.get("input_tokens_details").is_some() {
        openai::responses(usage)
    } else {
        anthropic::read(usage)
    }
}

/// Reads a `service_tier` member; `None` if it is no text.
pub(super) fn class(json: &str) -> Option<ServiceClass> {
    let name: Cow<'_, str> = serde_json::from_str(json).ok()?;
    Some(ServiceClass::from_service_tier(&name))
}
