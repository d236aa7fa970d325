use std::time::Duration;

/// A caller's own limits per minute; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Requests per minute.
    pub requests: Option<u64>,
    /// Tokens per minute.
    pub tokens: Option<u64>,
}

/// How one of a caller's limits stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitFacts {
    /// The whole quota.
    pub limit: u64,
    /// What could be taken at once now.
    pub remaining: u64,
    /// When the whole quota could be taken again.
    pub reset: Duration,
}

/// How the limits of a caller stand, after this call has taken from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateFacts {
    /// Requests; of several limits the one with the least remaining.
    pub requests: Option<LimitFacts>,
    /// Tokens, likewise.
    pub tokens: Option<LimitFacts>,
}

impl LimitFacts {
    /// Of two limits the one that will stop the caller first.
    pub(crate) fn tighter(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.remaining < self.remaining => other,
            _ => self,
        }
    }
}
