use std::sync::Arc;

use tower_layer::Layer;

use super::{Timeout, TimeoutConfig};
use crate::catalog::Deployment;

/// Bounds the time of each attempt; see the [module](super).
#[derive(Debug, Clone)]
pub struct TimeoutLayer {
    pub(super) deployment: Arc<Deployment>,
    pub(super) config: TimeoutConfig,
}

impl TimeoutLayer {
    /// Attempts at `deployment` have these limits; one that reaches them is its failure, and is charged as such.
    #[must_use]
    pub fn new(deployment: Arc<Deployment>, config: TimeoutConfig) -> Self {
        Self { deployment, config }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout::new(inner, self.clone())
    }
}
