use std::sync::Arc;

use tower_layer::Layer;

use super::{Timeout, TimeoutConfig};
use crate::catalog::Deployment;

/// Bounds the time of each attempt; see the [module](super).
#[derive(Debug, Clone)]
pub struct TimeoutLayer {
    pub(super) config: TimeoutConfig,
    pub(super) deployment: Option<Arc<Deployment>>,
}

impl TimeoutLayer {
    /// With these limits.
    #[must_use]
    pub fn new(config: TimeoutConfig) -> Self {
        Self {
            config,
            deployment: None,
        }
    }

    /// Names the deployment below, so that a timeout counts as its failure.
    #[must_use]
    pub fn deployment(mut self, deployment: Arc<Deployment>) -> Self {
        self.deployment = Some(deployment);
        self
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout::new(inner, self.clone())
    }
}
