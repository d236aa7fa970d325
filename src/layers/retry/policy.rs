use std::time::Duration;

use super::{RetryBudget, RetryConfig};
use crate::{
    error::{self, Error},
    model::CallContext,
};

impl RetryConfig {
    /// How long to wait before the try after the `tried`-th; `None` if there is none.
    pub(super) fn next(
        &self,
        tried: u32,
        error: &Error,
        ctx: &CallContext,
        budget: &RetryBudget,
    ) -> Option<Duration> {
        if tried >= self.tries || error.retry() != error::Retry::Same || !ctx.may_try() {
            return None;
        }
        let wait = self.wait(tried, error)?;
        let in_time = ctx.time_left().is_none_or(|left| wait < left);
        (in_time && budget.withdraw()).then_some(wait)
    }

    /// Full jitter, on top of what the provider asks for.
    fn wait(&self, tried: u32, error: &Error) -> Option<Duration> {
        let asked = error.get_retry_after().unwrap_or_default();
        if asked > self.max_delay {
            return None;
        }
        let bound = self
            .base
            .saturating_mul(1 << (tried - 1).min(30))
            .min(self.max_delay);
        let most = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(fastrand::u64(0..=most));
        Some((asked + jitter).min(self.max_delay))
    }
}
