use std::task::{Context, Poll};

use tower_service::Service;

use super::{InFlightFuture, Permits};
use crate::{
    error::Error,
    model::{ModelRequest, ModelResponse},
};

/// The service of [`InFlightLayer`](super::InFlightLayer).
#[derive(Debug, Clone)]
pub struct InFlight<S> {
    inner: S,
    permits: Permits,
}

impl<S> InFlight<S> {
    pub(super) fn new(inner: S, permits: Permits) -> Self {
        Self { inner, permits }
    }
}

impl<S> Service<ModelRequest> for InFlight<S>
where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error>,
{
    type Response = ModelResponse;
    type Error = Error;
    type Future = InFlightFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        match self.permits.take() {
            Some(permit) => InFlightFuture::asking(self.inner.call(request), permit),
            None => InFlightFuture::shed(self.permits.max()),
        }
    }
}
