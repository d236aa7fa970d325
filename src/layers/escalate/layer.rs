use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Escalate, EscalateConfig, Judge, OnStream};

/// Asks again one tier up when a [`Judge`] finds evidence against an answer.
#[derive(Clone)]
pub struct EscalateLayer {
    judge: Arc<dyn Judge>,
    config: EscalateConfig,
}

impl EscalateLayer {
    /// Climbs on the evidence that `judge` finds.
    pub fn new(judge: impl Judge + 'static) -> Self {
        Self {
            judge: Arc::new(judge),
            config: EscalateConfig::default(),
        }
    }

    /// Sets all options at once.
    #[must_use]
    pub fn config(mut self, config: EscalateConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets how often one call may climb.
    #[must_use]
    pub fn max_climbs(mut self, climbs: u32) -> Self {
        self.config.max_climbs = climbs;
        self
    }

    /// Sets what happens to streams below the highest tier.
    #[must_use]
    pub fn on_stream(mut self, mode: OnStream) -> Self {
        self.config.on_stream = mode;
        self
    }

    /// Sets the largest answer that is judged, in bytes.
    #[must_use]
    pub fn answer_limit(mut self, bytes: usize) -> Self {
        self.config.answer_limit = bytes;
        self
    }

    /// Sets the longest handoff, in bytes.
    #[must_use]
    pub fn handoff_limit(mut self, bytes: usize) -> Self {
        self.config.handoff_limit = bytes;
        self
    }
}

impl<S> Layer<S> for EscalateLayer {
    type Service = Escalate<S>;

    fn layer(&self, inner: S) -> Escalate<S> {
        Escalate::new(inner, Arc::clone(&self.judge), self.config)
    }
}

impl fmt::Debug for EscalateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EscalateLayer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
