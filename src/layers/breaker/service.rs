use std::task::{Context, Poll};

use tower_service::Service;

use super::{BreakerFuture, BreakerState};
use crate::{
    error::{Error, ErrorKind},
    model::{ModelRequest, ModelResponse},
};

/// The service of [`BreakerLayer`](super::BreakerLayer).
#[derive(Debug, Clone)]
pub struct Breaker<S> {
    inner: S,
    state: BreakerState,
}

impl<S> Breaker<S> {
    pub(super) fn new(inner: S, state: BreakerState) -> Self {
        Self { inner, state }
    }
}

impl<S> Service<ModelRequest> for Breaker<S>
where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error>,
{
    type Response = ModelResponse;
    type Error = Error;
    type Future = BreakerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        match self.state.admit(&request.ctx) {
            Ok(trial) => BreakerFuture::asking(self.inner.call(request), trial),
            Err(wait) => BreakerFuture::refused(
                Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "`{}` has failed too often and is left alone for {} s",
                        self.state.deployment(),
                        wait.as_secs_f32().ceil(),
                    ),
                )
                .retry_after(wait),
            ),
        }
    }
}
