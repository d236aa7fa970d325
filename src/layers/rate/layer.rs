use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    Rate, RateKey,
    limit::{Limit, Unit},
};
use crate::{
    model::Call,
    store::{Quota, RateStore},
};

/// Adds [`Rate`] to a stack; see the [module](super). Without a quota it lets everything through.
#[derive(Clone)]
pub struct RateLayer {
    pub(super) store: Arc<dyn RateStore>,
    pub(super) key: RateKey,
    pub(super) requests: Option<Limit>,
    pub(super) tokens: Option<Limit>,
    name: Arc<str>,
}

impl RateLayer {
    /// Limits that `store` counts under `name`. Layers with the same store and name share their limits.
    #[must_use]
    pub fn new(store: Arc<dyn RateStore>, name: impl Into<Arc<str>>) -> Self {
        Self {
            store,
            key: RateKey::Fixed,
            requests: None,
            tokens: None,
            name: name.into(),
        }
    }

    /// The limits that each call brings along ([`Call::limits`]), counted per API key.
    #[must_use]
    pub fn per_call(store: Arc<dyn RateStore>) -> Self {
        Self {
            key: RateKey::Key,
            requests: Some(Limit::of_call(Unit::Requests)),
            tokens: Some(Limit::of_call(Unit::Tokens)),
            ..Self::new(store, "caller")
        }
    }

    /// At most so many requests.
    #[must_use]
    pub fn requests(mut self, quota: Quota) -> Self {
        self.requests = Some(Limit::set(&self.name, Unit::Requests, quota));
        self
    }

    /// At most so many tokens, input and output together.
    #[must_use]
    pub fn tokens(mut self, quota: Quota) -> Self {
        self.tokens = Some(Limit::set(&self.name, Unit::Tokens, quota));
        self
    }

    /// Whose calls are counted together; everybody's unless this is called.
    #[must_use]
    pub fn per(mut self, key: RateKey) -> Self {
        self.key = key;
        self
    }

    /// Whether anything limits `call`.
    pub(super) fn limits(&self, call: &Call) -> bool {
        [&self.requests, &self.tokens]
            .into_iter()
            .flatten()
            .any(|limit| limit.quota(call).is_some())
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
            .field("key", &self.key)
            .field("requests", &self.requests)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}
