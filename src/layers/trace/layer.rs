use std::sync::Arc;

use tower_layer::Layer;

use super::{
    Trace,
    alert::{Alert, CostAlert},
};
use crate::catalog::Money;

/// Adds [`Trace`] to a stack.
#[derive(Debug, Clone, Default)]
pub struct TraceLayer {
    alert: Alert,
}

impl TraceLayer {
    /// Traces calls.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Warns of each call that costs more than this: in the log, and in `rungs_cost_alerts_total`.
    #[must_use]
    pub fn alert(mut self, above: Option<Money>) -> Self {
        self.alert.above = above;
        self
    }

    /// Hands these alerts to `tell` as well, once a call, when its answer has ended. It must not block or await.
    #[must_use]
    pub fn on_alert(mut self, tell: impl Fn(&CostAlert<'_>) + Send + Sync + 'static) -> Self {
        self.alert.tell = Some(Arc::new(tell));
        self
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace::new(inner, self.alert.clone())
    }
}
