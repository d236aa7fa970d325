use std::time::Duration;

use super::StoreFuture;

/// So much per period, all of which may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Units per period.
    pub limit: u64,
    /// The period.
    pub period: Duration,
}

impl Quota {
    /// `limit` units a minute.
    #[must_use]
    pub const fn per_minute(limit: u64) -> Self {
        Self {
            limit,
            period: Duration::from_secs(60),
        }
    }
}

/// The answer to a request for units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateDecision {
    /// They were taken; so many remain right now.
    Taken {
        /// Units that could be taken at once now.
        remaining: u64,
    },
    /// Nothing was taken.
    Refused {
        /// When the same request could succeed; the whole period for one that never can.
        retry_after: Duration,
    },
}

/// Counts what is used of rate limits.
pub trait RateStore: Send + Sync {
    /// Takes `units` from the limit `name`, or nothing. More than the whole quota at once is always refused.
    fn take<'a>(&'a self, name: &'a str, quota: Quota, units: u64)
    -> StoreFuture<'a, RateDecision>;

    /// Corrects an earlier take to what was really used: `delta` more units, or fewer if negative. Never refused.
    /// Called from a tap: it must not block.
    fn adjust(&self, name: &str, quota: Quota, delta: i64);
}
