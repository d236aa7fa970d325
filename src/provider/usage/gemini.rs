//! Gemini's `usageMetadata`: the prompt holds what was cached; thoughts and what tools read come on top.

use serde::Deserialize;

use super::count::{Count, part, tokens};
use crate::model::Usage;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    prompt_token_count: Count<'a>,
    #[serde(borrow)]
    cached_content_token_count: Count<'a>,
    #[serde(borrow)]
    tool_use_prompt_token_count: Count<'a>,
    #[serde(borrow)]
    candidates_token_count: Count<'a>,
    #[serde(borrow)]
    thoughts_token_count: Count<'a>,
    #[serde(borrow)]
    total_token_count: Count<'a>,
}

pub(super) fn read(usage: &str) -> Option<Usage> {
    let wire: Wire<'_> = serde_json::from_str(usage).ok()?;
    let mut prompt = tokens(wire.prompt_token_count)?;
    let tools = tokens(wire.tool_use_prompt_token_count).unwrap_or_default();
    let reasoning = tokens(wire.thoughts_token_count).unwrap_or_default();
    let rest = |total: u64| total.saturating_sub(prompt + tools + reasoning);
    // An answer that ends within its thoughts has no candidates.
    let output = tokens(wire.candidates_token_count)
        .or_else(|| Some(rest(tokens(wire.total_token_count)?)))?;
    let cache_read = part(&mut prompt, tokens(wire.cached_content_token_count));
    Some(Usage {
        input: prompt + tools,
        cache_read,
        output,
        reasoning,
        ..Usage::default()
    })
}
