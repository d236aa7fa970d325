use std::sync::Arc;

use tower_layer::Layer;

use super::{Retry, RetryBudget, RetryConfig};
use crate::catalog::Deployment;

/// Adds [`Retry`] to a deployment's stack; see the [module](super). Clones share their retry budget.
#[derive(Debug, Clone)]
pub struct RetryLayer {
    pub(super) config: RetryConfig,
    pub(super) budget: RetryBudget,
    pub(super) deployment: Option<Arc<Deployment>>,
}

impl RetryLayer {
    /// Tries as `config` says, within a budget of its own.
    #[must_use]
    pub fn new(config: RetryConfig) -> Self {
        Self {
            config,
            budget: RetryBudget::default(),
            deployment: None,
        }
    }

    /// Takes retries from a budget that others use too, or that shall survive the stack.
    #[must_use]
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Names the deployment below in the call's trail.
    #[must_use]
    pub fn deployment(mut self, deployment: Arc<Deployment>) -> Self {
        self.deployment = Some(deployment);
        self
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry::new(inner, self.clone())
    }
}
