use std::time::Duration;

/// The options of a [`CacheLayer`](super::CacheLayer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheConfig {
    /// How long an answer is kept; one hour.
    pub ttl: Duration,
    /// The longest answer, in payload bytes, that is kept, and the most that one shared answer holds in memory; 1 MiB.
    pub max_entry_bytes: usize,
    /// Whether answers that call tools are kept; no, because their ids and effects belong to one conversation.
    pub tool_calls: bool,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3600),
            max_entry_bytes: 1 << 20,
            tool_calls: false,
        }
    }
}
