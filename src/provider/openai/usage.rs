use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{Operation, Usage};

/// No context window comes near; a larger figure is a defect of the provider, and believing it would empty a budget.
const ABSURD: u64 = 100_000_000;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    prompt_tokens: Count<'a>,
    #[serde(borrow)]
    completion_tokens: Count<'a>,
    #[serde(borrow)]
    total_tokens: Count<'a>,
    #[serde(borrow)]
    prompt_tokens_details: Option<PromptDetails<'a>>,
    #[serde(borrow)]
    completion_tokens_details: Option<CompletionDetails<'a>>,
    #[serde(borrow)]
    prompt_cache_hit_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation_input_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation: Option<CacheCreation<'a>>,
}

#[derive(Deserialize, Default)]
struct PromptDetails<'a> {
    #[serde(borrow)]
    cached_tokens: Count<'a>,
    #[serde(borrow)]
    cache_write_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation_tokens: Count<'a>,
}

#[derive(Deserialize)]
struct CompletionDetails<'a> {
    #[serde(borrow)]
    reasoning_tokens: Count<'a>,
}

#[derive(Deserialize)]
struct CacheCreation<'a> {
    #[serde(borrow)]
    ephemeral_5m_input_tokens: Count<'a>,
    #[serde(borrow)]
    ephemeral_1h_input_tokens: Count<'a>,
}

/// A figure of any spelling: what is negative, absurd or no whole number counts as missing.
type Count<'a> = Option<&'a RawValue>;

fn tokens(count: Count<'_>) -> Option<u64> {
    let text = count?.get();
    let whole = text.strip_suffix(".0").unwrap_or(text);
    whole.parse().ok().filter(|count| *count <= ABSURD)
}

/// Takes a `usage` object apart into disjoint buckets; `None` if it does not say how much was used.
pub(super) fn read(op: Operation, usage: &RawValue) -> Option<Usage> {
    let wire: Wire<'_> = serde_json::from_str(usage.get()).ok()?;
    let total = tokens(wire.total_tokens);
    if op == Operation::Embeddings {
        return Some(Usage::new(tokens(wire.prompt_tokens).or(total)?, 0));
    }
    let prompt = tokens(wire.prompt_tokens)?;
    let completion = tokens(wire.completion_tokens)?;
    let (output, reasoning) = output(&wire, prompt, completion, total);

    let details = wire.prompt_tokens_details.unwrap_or_default();
    let mut rest = prompt;
    // A part that is larger than the whole is a defect too; its tokens then stay at the full price.
    let mut part = |count: Option<u64>| {
        let count = count.filter(|count| *count <= rest).unwrap_or_default();
        rest -= count;
        count
    };
    let cache_read = part(tokens(details.cached_tokens).or(tokens(wire.prompt_cache_hit_tokens)));
    let (cache_write_5m, cache_write_1h) = match wire.cache_creation {
        Some(written) => (
            part(tokens(written.ephemeral_5m_input_tokens)),
            part(tokens(written.ephemeral_1h_input_tokens)),
        ),
        None => {
            let written = tokens(details.cache_write_tokens)
                .or(tokens(details.cache_creation_tokens))
                .or(tokens(wire.cache_creation_input_tokens));
            (part(written), 0)
        }
    };
    Some(Usage {
        input: rest,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        output,
        reasoning,
    })
}

/// Output without reasoning, and reasoning. Most providers count reasoning within `completion_tokens`; where the total shows
/// that it comes on top, it does.
fn output(wire: &Wire<'_>, prompt: u64, completion: u64, total: Option<u64>) -> (u64, u64) {
    let details = wire.completion_tokens_details.as_ref();
    let reasoning = details
        .and_then(|details| tokens(details.reasoning_tokens))
        .unwrap_or_default();
    if reasoning > 0 && total == Some(prompt + completion + reasoning) {
        return (completion, reasoning);
    }
    match completion.checked_sub(reasoning) {
        Some(output) => (output, reasoning),
        None => (completion, 0),
    }
}
