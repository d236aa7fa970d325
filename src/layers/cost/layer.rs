use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::Cost;
use crate::{catalog::Deployment, store::Ledger};

/// Adds [`Cost`] to a deployment's stack.
#[derive(Clone)]
pub struct CostLayer {
    deployment: Arc<Deployment>,
    ledger: Arc<dyn Ledger>,
}

impl CostLayer {
    /// Attempts at `deployment` are written to `ledger`.
    #[must_use]
    pub fn new(deployment: Arc<Deployment>, ledger: Arc<dyn Ledger>) -> Self {
        Self { deployment, ledger }
    }
}

impl<S> Layer<S> for CostLayer {
    type Service = Cost<S>;

    fn layer(&self, inner: S) -> Cost<S> {
        Cost::new(
            inner,
            Arc::clone(&self.deployment),
            Arc::clone(&self.ledger),
        )
    }
}

impl fmt::Debug for CostLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CostLayer")
            .field("deployment", &self.deployment.id)
            .finish_non_exhaustive()
    }
}
