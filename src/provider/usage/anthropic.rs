//! Anthropic's Messages: disjoint figures, cached and written input beside the rest.

use serde::Deserialize;

use super::count::{Count, tokens};
use crate::model::Usage;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    input_tokens: Count<'a>,
    #[serde(borrow)]
    output_tokens: Count<'a>,
    #[serde(borrow)]
    cache_read_input_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation_input_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation: Option<CacheCreation<'a>>,
}

/// Written input by how long it is kept.
#[derive(Deserialize)]
pub(super) struct CacheCreation<'a> {
    #[serde(borrow)]
    ephemeral_5m_input_tokens: Count<'a>,
    #[serde(borrow)]
    ephemeral_1h_input_tokens: Count<'a>,
}

pub(super) fn read(usage: &str) -> Option<Usage> {
    let wire: Wire<'_> = serde_json::from_str(usage).ok()?;
    let written = tokens(wire.cache_creation_input_tokens);
    let (cache_write_5m, cache_write_1h) = split(wire.cache_creation.as_ref(), written);
    Some(Usage {
        input: tokens(wire.input_tokens)?,
        cache_read: tokens(wire.cache_read_input_tokens).unwrap_or_default(),
        cache_write_5m,
        cache_write_1h,
        output: tokens(wire.output_tokens)?,
        reasoning: 0,
    })
}

/// Input written for five minutes, and for an hour; `all` if only their sum is told, which is for five minutes by default.
pub(super) fn split(parts: Option<&CacheCreation<'_>>, all: Option<u64>) -> (u64, u64) {
    let all = all.unwrap_or_default();
    let Some(parts) = parts else { return (all, 0) };
    let hour = tokens(parts.ephemeral_1h_input_tokens).unwrap_or_default();
    let minutes = tokens(parts.ephemeral_5m_input_tokens);
    (minutes.unwrap_or(all.saturating_sub(hour)), hour)
}
