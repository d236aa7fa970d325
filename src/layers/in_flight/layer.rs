use tower_layer::Layer;

use super::{InFlight, Permits};

/// Bounds the calls under way; see the [module](super). Clones share their permits.
#[derive(Debug, Clone)]
pub struct InFlightLayer {
    permits: Permits,
}

impl InFlightLayer {
    /// At most `max` calls at once.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self::shared(Permits::new(max))
    }

    /// With permits that others use too, or that shall survive the stack.
    #[must_use]
    pub fn shared(permits: Permits) -> Self {
        Self { permits }
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlight<S>;

    fn layer(&self, inner: S) -> InFlight<S> {
        InFlight::new(inner, self.permits.clone())
    }
}
