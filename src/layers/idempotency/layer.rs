use std::{fmt, sync::Arc, time::Duration};

use tower_layer::{Identity, Layer};

use super::{Idempotency, IdempotencyConfig};
use crate::store::{IdempotencyStore, Ledger};

/// Carries calls of one name out once; see the [module](super).
#[derive(Clone)]
pub struct IdempotencyLayer<L = Identity> {
    pub(super) store: Arc<dyn IdempotencyStore>,
    pub(super) config: IdempotencyConfig,
    pub(super) ledger: Option<Arc<dyn Ledger>>,
    pub(super) around: L,
}

impl IdempotencyLayer {
    /// Keeps names, and what came of their calls, in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn IdempotencyStore>) -> Self {
        Self {
            store,
            config: IdempotencyConfig::default(),
            ledger: None,
            around: Identity::new(),
        }
    }
}

impl<L> IdempotencyLayer<L> {
    /// Puts a layer around the one call of a name that is carried out, and around no call that only waits for it. A
    /// [drain](crate::layers::drain) there lets the answer arrive though its client has left.
    #[must_use]
    pub fn around<M>(self, layer: M) -> IdempotencyLayer<M> {
        IdempotencyLayer {
            store: self.store,
            config: self.config,
            ledger: self.ledger,
            around: layer,
        }
    }

    /// How long what came of a call is kept; a day unless set.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = ttl;
        self
    }

    /// How long a repetition waits for the first call, within its own deadline; half a minute unless set.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.config.wait = wait;
        self
    }

    /// The longest answer that is kept, in payload bytes; 1 MiB unless set.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.config.max_bytes = bytes;
        self
    }

    /// Leaves a row of cost nothing in `ledger` for each repetition that was answered.
    #[must_use]
    pub fn ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = Some(ledger);
        self
    }
}

impl<S, L: Clone> Layer<S> for IdempotencyLayer<L> {
    type Service = Idempotency<S, L>;

    fn layer(&self, inner: S) -> Idempotency<S, L> {
        Idempotency::new(inner, self.clone())
    }
}

impl<L> fmt::Debug for IdempotencyLayer<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer")
            .field("config", &self.config)
            .field("ledger", &self.ledger.is_some())
            .finish_non_exhaustive()
    }
}
