use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::Budget;
use crate::{catalog::Deployment, store::Budgets};

/// Adds [`Budget`] to a deployment's stack.
#[derive(Clone)]
pub struct BudgetLayer {
    deployment: Arc<Deployment>,
    book: Arc<dyn Budgets>,
}

impl BudgetLayer {
    /// Attempts at `deployment` are paid from `book`.
    #[must_use]
    pub fn new(deployment: Arc<Deployment>, book: Arc<dyn Budgets>) -> Self {
        Self { deployment, book }
    }
}

impl<S> Layer<S> for BudgetLayer {
    type Service = Budget<S>;

    fn layer(&self, inner: S) -> Budget<S> {
        Budget::new(inner, Arc::clone(&self.deployment), Arc::clone(&self.book))
    }
}

impl fmt::Debug for BudgetLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetLayer")
            .field("deployment", &self.deployment.id)
            .finish_non_exhaustive()
    }
}
