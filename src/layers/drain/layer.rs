use tower_layer::Layer;

use super::{Drain, Drains};

/// Adds [`Drain`] to a deployment's stack.
#[derive(Debug, Clone)]
pub struct DrainLayer {
    drains: Drains,
}

impl DrainLayer {
    /// Answers whose readers leave are read on among `drains`.
    #[must_use]
    pub fn new(drains: Drains) -> Self {
        Self { drains }
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain::new(inner, self.drains.clone())
    }
}
