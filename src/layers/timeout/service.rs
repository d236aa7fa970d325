use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{TimeoutFuture, TimeoutLayer, config::Limits};
use crate::{
    error::Error,
    model::{ModelRequest, ModelResponse},
};

/// The service of [`TimeoutLayer`].
#[derive(Debug, Clone)]
pub struct Timeout<S> {
    inner: S,
    options: TimeoutLayer,
}

impl<S> Timeout<S> {
    pub(super) fn new(inner: S, options: TimeoutLayer) -> Self {
        Self { inner, options }
    }
}

impl<S> Service<ModelRequest> for Timeout<S>
where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error>,
{
    type Response = ModelResponse;
    type Error = Error;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let TimeoutLayer { deployment, config } = &self.options;
        let limits = Limits::new(
            config,
            request.wants_stream(),
            &request.ctx,
            Arc::clone(deployment),
        );
        TimeoutFuture::new(self.inner.call(request), limits)
    }
}
