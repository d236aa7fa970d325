use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::Budget;
use crate::{catalog::Deployment, store::Budgets};

/// Adds [`Budget`] to a deployment's stack.
#[derive(Clone)]
pub struct BudgetLayer {
    pub(super) deployment: Arc<Deployment>,
    pub(super) book: Arc<dyn Budgets>,
    pub(super) unpriced: Unpriced,
}

impl BudgetLayer {
    /// Attempts at `deployment` are paid from `book`.
    #[must_use]
    pub fn new(deployment: Arc<Deployment>, book: Arc<dyn Budgets>) -> Self {
        Self {
            deployment,
            book,
            unpriced: Unpriced::Refuse,
        }
    }

    /// Sets what happens to a deployment without a known price.
    #[must_use]
    pub fn unpriced(mut self, unpriced: Unpriced) -> Self {
        self.unpriced = unpriced;
        self
    }
}

/// What a budget says to a deployment without a known price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unpriced {
    /// It is not asked: nobody knows what it costs, and what nobody knows is not free.
    #[default]
    Refuse,
    /// It is asked, and counts as nothing.
    Allow,
}

impl<S> Layer<S> for BudgetLayer {
    type Service = Budget<S>;

    fn layer(&self, inner: S) -> Budget<S> {
        Budget::new(inner, self.clone())
    }
}

impl fmt::Debug for BudgetLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetLayer")
            .field("deployment", &self.deployment.id)
            .finish_non_exhaustive()
    }
}
