use std::time::Duration;

/// How often and how soon to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConfig {
    /// Tries per deployment, the first one included. 1 is no retry.
    pub tries: u32,
    /// The wait before a second try is random between zero and this; the bound doubles with each further try.
    pub base: Duration,
    /// The longest wait. A provider that asks for a longer one is not waited for.
    pub max_delay: Duration,
}

impl Default for RetryConfig {
    /// Two tries; a first wait of 200 ms at most, and none above 5 s.
    fn default() -> Self {
        Self {
            tries: 2,
            base: Duration::from_millis(200),
            max_delay: Duration::from_secs(5),
        }
    }
}
