//! What the sections mean to the library's layers.

use rungs::{
    layers::{
        breaker::BreakerConfig, budget, cross_check::When, escalate, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    model::Quality,
    route::Route,
    store::{self, redis::RedisConfig},
};

use super::{
    Alone, Breaker, CrossCheck, Eviction, OnStream, Retry, Routing, Store, Timeouts, Unpriced,
};

impl Breaker {
    /// As the breaker layer wants it.
    pub(crate) fn to_layer(&self, timeouts: &Timeouts) -> BreakerConfig {
        BreakerConfig {
            failures: self.failures,
            percent: self.percent,
            window: self.window,
            cool_down: self.cool_down,
            max_cool_down: self.max_cool_down,
            bad_key: self.bad_key,
            // Who had half of a call's time had enough of it.
            patience: timeouts.total / 2,
        }
    }
}

impl Retry {
    /// As the retry layer wants it.
    pub(crate) fn to_layer(&self) -> RetryConfig {
        RetryConfig {
            tries: self.max_tries,
            base: self.base,
            max_delay: self.max,
        }
    }
}

impl Timeouts {
    /// As the timeout layer wants it.
    pub(crate) fn to_layer(&self) -> TimeoutConfig {
        TimeoutConfig {
            first_frame: self.first_frame,
            gap: self.gap,
            whole: match self.whole.is_zero() {
                true => self.total,
                false => self.whole,
            },
            total: self.total,
        }
    }
}

impl Store {
    /// As the store in Redis wants it.
    pub(crate) fn to_redis(&self) -> RedisConfig {
        let mut config = RedisConfig::default();
        config.patience = self.redis_patience;
        config.may_evict = self.redis_eviction == Eviction::Allow;
        config
    }
}

impl From<Alone> for store::Alone {
    fn from(alone: Alone) -> Self {
        match alone {
            Alone::Share => Self::Share,
            Alone::Deny => Self::Deny,
        }
    }
}

impl Routing {
    /// The route with the configured classifier.
    pub(crate) fn classify(&self, route: Route) -> Route {
        match self.classifier {
            true => route,
            false => route.unclassified(),
        }
    }
}

impl CrossCheck {
    /// When answers are checked; `None` if they never are.
    pub(crate) fn when(self) -> Option<When> {
        match self {
            Self::Off => None,
            Self::High => Some(When::Quality(Quality::High)),
            Self::Critical => Some(When::Quality(Quality::Critical)),
            Self::Always => Some(When::Always),
        }
    }
}

impl From<OnStream> for escalate::OnStream {
    fn from(mode: OnStream) -> Self {
        match mode {
            OnStream::Probe => Self::probe(),
            OnStream::Buffer => Self::Buffer,
            OnStream::Pass => Self::Pass,
        }
    }
}

impl From<Unpriced> for budget::Unpriced {
    fn from(unpriced: Unpriced) -> Self {
        match unpriced {
            Unpriced::Refuse => Self::Refuse,
            Unpriced::Allow => Self::Allow,
        }
    }
}
