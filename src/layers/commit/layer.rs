use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::Commit;
use crate::store::Ledger;

/// Adds [`Commit`] to a stack.
#[derive(Clone)]
pub struct CommitLayer {
    ledger: Arc<dyn Ledger>,
}

impl CommitLayer {
    /// Answers end when their rows in `ledger` are safe.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger }
    }
}

impl<S> Layer<S> for CommitLayer {
    type Service = Commit<S>;

    fn layer(&self, inner: S) -> Commit<S> {
        Commit::new(inner, Arc::clone(&self.ledger))
    }
}

impl fmt::Debug for CommitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitLayer").finish_non_exhaustive()
    }
}
