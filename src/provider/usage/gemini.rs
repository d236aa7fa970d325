//! Gemini's `usageMetadata`: the prompt holds what was cached; thoughts and what tools read come on top.

use super::count::{part, tokens};
use crate::{json::Members, model::Usage};

pub(super) fn read(usage: &Members<'_>) -> Option<Usage> {
    let count = |name| tokens(usage, name);
    let mut prompt = count("promptTokenCount")?;
    let tools = count("toolUsePromptTokenCount").unwrap_or_default();
    let reasoning = count("thoughtsTokenCount").unwrap_or_default();
    let rest = |total: u64| total.saturating_sub(prompt + tools + reasoning);
    // An answer that ends within its thoughts has no candidates.
    let output = count("candidatesTokenCount").or_else(|| Some(rest(count("totalTokenCount")?)))?;
    let cache_read = part(&mut prompt, count("cachedContentTokenCount"));
    Some(Usage {
        input: prompt + tools,
        cache_read,
        output,
        reasoning,
        ..Usage::default()
    })
}
