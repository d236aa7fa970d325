use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::Commit;
use crate::store::{Ledger, Spool};

/// Adds [`Commit`] to a stack.
#[derive(Clone)]
pub struct CommitLayer {
    ledger: Arc<dyn Ledger>,
    spool: Option<Arc<dyn Spool>>,
}

impl CommitLayer {
    /// Answers end when their rows in `ledger` are safe.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            spool: None,
        }
    }

    /// Answers of calls in a conversation, or with a name, end when what they leave in `spool` is safe as well.
    #[must_use]
    pub fn spool(mut self, spool: Arc<dyn Spool>) -> Self {
        self.spool = Some(spool);
        self
    }
}

impl<S> Layer<S> for CommitLayer {
    type Service = Commit<S>;

    fn layer(&self, inner: S) -> Commit<S> {
        Commit::new(inner, Arc::clone(&self.ledger), self.spool.clone())
    }
}

impl fmt::Debug for CommitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitLayer").finish_non_exhaustive()
    }
}
