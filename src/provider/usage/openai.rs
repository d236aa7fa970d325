//! OpenAI's two shapes, of chat and of responses, and what others add to the former: the input holds what was cached and
//! written, the output holds the reasoning.

use super::{
    anthropic,
    count::{part, tokens},
};
use crate::{json::Members, model::Usage};

/// The first figure there is among several words for the same.
fn first(usage: &Members<'_>, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| tokens(usage, name))
}

pub(super) fn chat(usage: &Members<'_>) -> Option<Usage> {
    let input = usage.object("prompt_tokens_details");
    let input = |names| first(input.as_ref()?, names);
    let output = usage.object("completion_tokens_details");
    let figures = Figures {
        input: tokens(usage, "prompt_tokens")?,
        output: tokens(usage, "completion_tokens")?,
        total: tokens(usage, "total_tokens"),
        // Others' words for the same come second.
        cached: input(&["cached_tokens"]).or_else(|| {
            let words = [
                "prompt_cache_hit_tokens",
                "cached_tokens",
                "cache_read_input_tokens",
            ];
            first(usage, &words)
        }),
        written: anthropic::written(
            usage,
            input(&["cache_write_tokens", "cache_creation_tokens"]),
        ),
        reasoning: output
            .and_then(|output| tokens(&output, "reasoning_tokens"))
            .or_else(|| tokens(usage, "reasoning_tokens")),
    };
    Some(figures.apart())
}

pub(super) fn responses(usage: &Members<'_>) -> Option<Usage> {
    let input = usage.object("input_tokens_details");
    let input = |name| tokens(input.as_ref()?, name);
    let output = usage.object("output_tokens_details");
    let figures = Figures {
        input: tokens(usage, "input_tokens")?,
        output: tokens(usage, "output_tokens")?,
        total: tokens(usage, "total_tokens"),
        cached: input("cached_tokens"),
        written: (input("cache_write_tokens").unwrap_or_default(), 0),
        reasoning: output.and_then(|output| tokens(&output, "reasoning_tokens")),
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
