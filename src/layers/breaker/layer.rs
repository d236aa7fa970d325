use tower_layer::Layer;

use super::{Breaker, BreakerState};

/// Adds [`Breaker`] to a deployment's stack; see the [module](super).
#[derive(Debug, Clone)]
pub struct BreakerLayer {
    state: BreakerState,
}

impl BreakerLayer {
    /// Acts on, and learns for, `state`.
    #[must_use]
    pub fn new(state: BreakerState) -> Self {
        Self { state }
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = Breaker<S>;

    fn layer(&self, inner: S) -> Breaker<S> {
        Breaker::new(inner, self.state.clone())
    }
}
