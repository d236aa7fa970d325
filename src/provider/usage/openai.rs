//! OpenAI's two shapes, of chat and of responses, and what others add to the former: the input holds what was cached and
//! written, the output holds the reasoning.

use serde::Deserialize;

use super::{
    anthropic::{CacheCreation, split},
    count::{Count, part, tokens},
};
use crate::model::Usage;

#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    prompt_tokens: Count<'a>,
    #[serde(borrow)]
    completion_tokens: Count<'a>,
    #[serde(borrow)]
    total_tokens: Count<'a>,
    #[serde(borrow)]
    prompt_tokens_details: Option<InputDetails<'a>>,
    #[serde(borrow)]
    completion_tokens_details: Option<OutputDetails<'a>>,
    // Others' words for the same.
    #[serde(borrow)]
    prompt_cache_hit_tokens: Count<'a>,
    #[serde(borrow)]
    cached_tokens: Count<'a>,
    #[serde(borrow)]
    cache_read_input_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation_input_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation: Option<CacheCreation<'a>>,
    #[serde(borrow)]
    reasoning_tokens: Count<'a>,
}

#[derive(Deserialize)]
struct Responses<'a> {
    #[serde(borrow)]
    input_tokens: Count<'a>,
    #[serde(borrow)]
    output_tokens: Count<'a>,
    #[serde(borrow)]
    total_tokens: Count<'a>,
    #[serde(borrow)]
    input_tokens_details: Option<InputDetails<'a>>,
    #[serde(borrow)]
    output_tokens_details: Option<OutputDetails<'a>>,
}

#[derive(Deserialize, Default)]
struct InputDetails<'a> {
    #[serde(borrow)]
    cached_tokens: Count<'a>,
    #[serde(borrow)]
    cache_write_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation_tokens: Count<'a>,
}

#[derive(Deserialize, Default)]
struct OutputDetails<'a> {
    #[serde(borrow)]
    reasoning_tokens: Count<'a>,
}

pub(super) fn chat(usage: &str) -> Option<Usage> {
    let wire: Chat<'_> = serde_json::from_str(usage).ok()?;
    let details = wire.prompt_tokens_details.unwrap_or_default();
    let written = tokens(details.cache_write_tokens)
        .or(tokens(details.cache_creation_tokens))
        .or(tokens(wire.cache_creation_input_tokens));
    let reasoning = wire.completion_tokens_details.unwrap_or_default();
    let figures = Figures {
        input: tokens(wire.prompt_tokens)?,
        output: tokens(wire.completion_tokens)?,
        total: tokens(wire.total_tokens),
        cached: tokens(details.cached_tokens)
            .or(tokens(wire.prompt_cache_hit_tokens))
            .or(tokens(wire.cached_tokens))
            .or(tokens(wire.cache_read_input_tokens)),
        written: split(wire.cache_creation.as_ref(), written),
        reasoning: tokens(reasoning.reasoning_tokens).or(tokens(wire.reasoning_tokens)),
    };
    Some(figures.apart())
}

pub(super) fn responses(usage: &str) -> Option<Usage> {
    let wire: Responses<'_> = serde_json::from_str(usage).ok()?;
    let details = wire.input_tokens_details.unwrap_or_default();
    let reasoning = wire.output_tokens_details.unwrap_or_default();
    let figures = Figures {
        input: tokens(wire.input_tokens)?,
        output: tokens(wire.output_tokens)?,
        total: tokens(wire.total_tokens),
        cached: tokens(details.cached_tokens),
        written: split(None, tokens(details.cache_write_tokens)),
        reasoning: tokens(reasoning.reasoning_tokens),
    };
    Some(figures.apart())
}

/// Figures that hold one another.
struct Figures {
    input: u64,
    output: u64,
    total: Option<u64>,
    cached: Option<u64>,
    written: (u64, u64),
    reasoning: Option<u64>,
}

impl Figures {
    fn apart(self) -> Usage {
        let (cached, (write_5m, write_1h)) = (self.cached.unwrap_or_default(), self.written);
        let reasoning = self.reasoning.unwrap_or_default();
        let told = self.input + self.output;
        let beyond = self.total.map_or(0, |total| total.saturating_sub(told));

        // Relays of Anthropic leave what was cached out of the input, as the total shows.
        let beside = cached + write_5m + write_1h;
        let on_top = beside > 0 && (beyond == beside || beyond == beside + reasoning);
        let mut input = self.input + if on_top { beside } else { 0 };
        let beyond = beyond - if on_top { beside } else { 0 };

        let cache_read = part(&mut input, Some(cached));
        let cache_write_5m = part(&mut input, Some(write_5m));
        let cache_write_1h = part(&mut input, Some(write_1h));
        let (output, reasoning) = outputs(self.output, reasoning, beyond);
        Usage {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
        }
    }
}

/// Output without reasoning, and reasoning. Most providers count reasoning within the output. Some count it only in the total:
/// what is there `beyond` input and output was output too, whoever fails to name it.
fn outputs(output: u64, reasoning: u64, beyond: u64) -> (u64, u64) {
    match output.checked_sub(reasoning) {
        Some(rest) if beyond != reasoning || beyond == 0 => (rest, reasoning + beyond),
        // It comes on top, as the total shows, or as it must where it is more than the output.
        _ => (output, reasoning.max(beyond)),
    }
}
