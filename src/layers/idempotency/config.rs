use std::time::Duration;

/// The options of an [`IdempotencyLayer`](super::IdempotencyLayer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdempotencyConfig {
    /// How long what came of a call is kept; a day.
    pub ttl: Duration,
    /// How long a repetition waits for the first call; half a minute.
    pub wait: Duration,
    /// The longest answer that is kept, in payload bytes; 1 MiB.
    pub max_bytes: usize,
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(86_400),
            wait: Duration::from_secs(30),
            max_bytes: 1 << 20,
        }
    }
}
