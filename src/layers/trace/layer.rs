use tower_layer::Layer;

use super::Trace;
use crate::catalog::Money;

/// Adds [`Trace`] to a stack.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceLayer {
    alert: Option<Money>,
}

impl TraceLayer {
    /// Traces calls.
    #[must_use]
    pub const fn new() -> Self {
        Self { alert: None }
    }

    /// Warns of each call that costs more than this.
    #[must_use]
    pub const fn alert(mut self, above: Option<Money>) -> Self {
        self.alert = above;
        self
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace::new(inner, self.alert)
    }
}
