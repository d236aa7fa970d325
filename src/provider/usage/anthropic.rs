//! Anthropic's Messages: disjoint figures, cached and written input beside the rest.

use super::count::tokens;
use crate::{json::Members, model::Usage};

pub(super) fn read(usage: &Members<'_>) -> Option<Usage> {
    let (cache_write_5m, cache_write_1h) = written(usage, None);
    Some(Usage {
        input: tokens(usage, "input_tokens")?,
        cache_read: tokens(usage, "cache_read_input_tokens").unwrap_or_default(),
        cache_write_5m,
        cache_write_1h,
        output: tokens(usage, "output_tokens")?,
        reasoning: 0,
    })
}

/// Input written for five minutes, and for an hour. If only their sum is told, in these words or as `all`, it is for five minutes
/// by default.
pub(super) fn written(usage: &Members<'_>, all: Option<u64>) -> (u64, u64) {
    let all = all.or(tokens(usage, "cache_creation_input_tokens"));
    let all = all.unwrap_or_default();
    let Some(parts) = usage.object("cache_creation") else {
        return (all, 0);
    };
    let hour = tokens(&parts, "ephemeral_1h_input_tokens").unwrap_or_default();
    let minutes = tokens(&parts, "ephemeral_5m_input_tokens");
    (minutes.unwrap_or(all.saturating_sub(hour)), hour)
}
