use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Cache, CacheConfig, CacheScope, shelf::Shelf};
use crate::store::{CacheStore, Ledger};

/// Keeps complete answers and serves them again; see the [module](super).
#[derive(Clone)]
pub struct CacheLayer {
    store: Arc<dyn CacheStore>,
    scope: CacheScope,
    config: CacheConfig,
    epoch: [u8; 32],
    ledger: Option<Arc<dyn Ledger>>,
}

impl CacheLayer {
    /// Keeps answers in `store`; `scope` says whom they are served to.
    #[must_use]
    pub fn new(store: Arc<dyn CacheStore>, scope: CacheScope) -> Self {
        Self {
            store,
            scope,
            config: CacheConfig::default(),
            epoch: [0; 32],
            ledger: None,
        }
    }

    /// Sets all options at once.
    #[must_use]
    pub fn config(mut self, config: CacheConfig) -> Self {
        self.config = config;
        self
    }

    /// How long an answer is kept; one hour unless set.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = ttl;
        self
    }

    /// The longest answer that is kept, in payload bytes, and the most that one shared answer holds in memory; 1 MiB unless set.
    #[must_use]
    pub fn max_entry_bytes(mut self, bytes: usize) -> Self {
        self.config.max_entry_bytes = bytes;
        self
    }

    /// Whether answers that call tools are kept; they are not unless set.
    #[must_use]
    pub fn tool_calls(mut self, keep: bool) -> Self {
        self.config.tool_calls = keep;
        self
    }

    /// Answers of another epoch are not served: 256 bits over whatever answers depend on that no request shows, such as where the
    /// deployments are and who checks what they say. All zero unless set.
    #[must_use]
    pub fn epoch(mut self, epoch: [u8; 32]) -> Self {
        self.epoch = epoch;
        self
    }

    /// Leaves a row of cost nothing in `ledger` for each call that needed no attempt of its own.
    #[must_use]
    pub fn ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = Some(ledger);
        self
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Cache<S> {
        let shelf = Shelf {
            store: Arc::clone(&self.store),
            config: self.config,
            ledger: self.ledger.clone(),
        };
        Cache::new(inner, self.scope, self.epoch, shelf)
    }
}

impl fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("scope", &self.scope)
            .field("config", &self.config)
            .field("ledger", &self.ledger.is_some())
            .finish_non_exhaustive()
    }
}
