use std::time::Duration;

use smallvec::SmallVec;

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
    /// The units that become free in `time`.
    pub(crate) fn refill(&self, time: Duration) -> u64 {
        let period = self.period.as_nanos().max(1);
        let units = time.as_nanos().saturating_mul(u128::from(self.limit)) / period;
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// `limit` units a minute.
    #[must_use]
    pub const fn per_minute(limit: u64) -> Self {
        Self {
            limit,
            period: Duration::from_secs(60),
        }
    }
}

/// What a limit that several processes share becomes while they cannot ask what they share it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Alone {
    /// Each process has its part of the quota.
    #[default]
    Share,
    /// Nothing is let through.
    Deny,
}

/// Units that are asked of one limit.
#[derive(Debug, Clone, Copy)]
pub struct Take<'a> {
    /// The limit.
    pub name: &'a str,
    /// How much it allows.
    pub quota: Quota,
    /// How much is asked; more than the whole quota at once is always refused.
    pub units: u64,
    /// What holds while this process is alone.
    pub alone: Alone,
}

/// How a limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Units that could be taken at once now.
    pub remaining: u64,
    /// When the whole quota could be taken at once.
    pub reset: Duration,
}

/// How limits stand, in the order in which they were asked.
pub type Standings = SmallVec<[Standing; 4]>;

/// The answer to a request for units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateDecision {
    /// All of them were taken.
    Taken(Standings),
    /// None were taken.
    Refused {
        /// The first limit without room, counted from 0.
        limit: usize,
        /// When the same request could succeed, as far as that limit goes; the whole period for one that never can.
        retry_after: Duration,
        /// How the limits stand.
        standings: Standings,
    },
}

/// Counts what is used of rate limits: a bucket of the whole quota for each name, which fills evenly over the period.
pub trait RateStore: Send + Sync {
    /// Takes units from each of these limits, whose names differ, or from none.
    fn take<'a>(&'a self, takes: &'a [Take<'a>]) -> StoreFuture<'a, RateDecision>;

    /// Corrects an earlier take of `taken` units to what was really used: `delta` more, or fewer if negative. Never refused; it may
    /// take effect a moment later. Called from a tap: it must not block.
    fn adjust(&self, name: &str, quota: Quota, taken: u64, delta: i64);
}
