use tower_layer::Layer;

use super::{Drain, Drains};
use crate::model::ModelRequest;

/// Adds [`Drain`] to a deployment's stack.
#[derive(Debug, Clone)]
pub struct DrainLayer {
    drains: Drains,
    which: fn(&ModelRequest) -> bool,
}

impl DrainLayer {
    /// Answers whose readers leave are read on among `drains`.
    #[must_use]
    pub fn new(drains: Drains) -> Self {
        Self {
            drains,
            which: |_| true,
        }
    }

    /// Only the answers to requests of which `which` holds.
    #[must_use]
    pub fn only(mut self, which: fn(&ModelRequest) -> bool) -> Self {
        self.which = which;
        self
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain::new(inner, self.drains.clone(), self.which)
    }
}
