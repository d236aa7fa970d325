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

    /// The most that one call takes of it. A quota of nothing refuses that.
    pub(crate) fn most(&self) -> u64 {
        self.limit.max(1)
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

/// What a call has used of a limit, after it took what it was thought to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// Units that were taken.
    pub taken: u64,
    /// Units that were used.
    pub used: u64,
    /// How long ago they were taken.
    pub after: Duration,
}

impl Correction {
    /// Of units that were taken just now.
    #[must_use]
    pub const fn at_once(taken: u64, used: u64) -> Self {
        Self {
            taken,
            used,
            after: Duration::ZERO,
        }
    }

    /// The units of `quota` that are in use beyond those that were taken or, negative, that are to be given back.
    ///
    /// What the quota was too small for was never taken of it. What time has given back is not given back again: it would be what
    /// others have taken since. Of a call, what it used comes back first.
    #[must_use]
    pub fn delta(&self, quota: Quota) -> i64 {
        let wide = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
        if self.used >= self.taken {
            return wide(self.used - self.taken);
        }
        let taken = self.taken.min(quota.most());
        let gone = self.used.max(quota.refill(self.after)).min(taken);
        -wide(taken - gone)
    }
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

    /// Corrects an earlier take to what was really used, by [`Correction::delta`] units. Never refused; it may take effect a moment
    /// later. Called from a tap: it must not block.
    fn adjust(&self, name: &str, quota: Quota, correction: Correction);
}
