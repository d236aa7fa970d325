use std::{fmt, sync::Arc};

use smallvec::SmallVec;
use tower_layer::Layer;

use super::{
    Rate, RateKey,
    limit::{Limit, Unit},
};
use crate::{
    model::Call,
    store::{Alone, Quota, RateStore},
};

/// Adds [`Rate`] to a stack; see the [module](super). Without a quota it lets everything through.
#[derive(Clone)]
pub struct RateLayer {
    pub(super) store: Arc<dyn RateStore>,
    pub(super) limits: SmallVec<[Limit; 4]>,
    key: RateKey,
    alone: Alone,
    name: Arc<str>,
}

impl RateLayer {
    /// Limits that `store` counts under `name`. Layers with the same store and name share their limits.
    #[must_use]
    pub fn new(store: Arc<dyn RateStore>, name: impl Into<Arc<str>>) -> Self {
        Self {
            store,
            limits: SmallVec::new(),
            key: RateKey::Fixed,
            alone: Alone::default(),
            name: name.into(),
        }
    }

    /// The limits that each call brings along: its key's ([`Call::limits`]) and its end user's ([`Call::user_limits`]).
    #[must_use]
    pub fn per_call(store: Arc<dyn RateStore>) -> Self {
        let mut layer = Self::new(store, "caller");
        for unit in [Unit::Requests, Unit::Tokens] {
            layer.limits.push(Limit::of_key(unit));
            layer.limits.push(Limit::of_user(unit));
        }
        layer
    }

    /// At most so many requests.
    #[must_use]
    pub fn requests(self, quota: Quota) -> Self {
        self.set(Unit::Requests, quota)
    }

    /// At most so many tokens, input and output together.
    #[must_use]
    pub fn tokens(self, quota: Quota) -> Self {
        self.set(Unit::Tokens, quota)
    }

    fn set(mut self, unit: Unit, quota: Quota) -> Self {
        let mut limit = Limit::set(&self.name, unit, quota);
        (limit.key, limit.alone) = (self.key, self.alone);
        self.limits.push(limit);
        self
    }

    /// Whose calls are counted together under this name; everybody's unless this is called.
    #[must_use]
    pub fn per(mut self, key: RateKey) -> Self {
        self.key = key;
        for limit in &mut self.limits {
            limit.key = key;
        }
        self
    }

    /// What holds while this process cannot ask what it shares the limits in: its part of each quota, unless this is called.
    #[must_use]
    pub fn alone(mut self, alone: Alone) -> Self {
        self.alone = alone;
        for limit in &mut self.limits {
            limit.alone = alone;
        }
        self
    }

    /// What holds for end users then, where it differs from what holds for keys.
    #[must_use]
    pub fn users_alone(mut self, alone: Alone) -> Self {
        for limit in &mut self.limits {
            if limit.key == RateKey::User {
                limit.alone = alone;
            }
        }
        self
    }

    /// The limits of `other` too: a call takes from all of them, or from none.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.limits.extend(other.limits);
        self
    }

    /// Whether anything limits `call`.
    pub(super) fn limits(&self, call: &Call) -> bool {
        self.limits.iter().any(|limit| limit.quota(call).is_some())
    }
}

impl<S> Layer<S> for RateLayer {
    type Service = Rate<S>;

    fn layer(&self, inner: S) -> Rate<S> {
        Rate::new(inner, self.clone())
    }
}

impl fmt::Debug for RateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLayer")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
