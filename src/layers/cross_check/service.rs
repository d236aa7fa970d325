use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower_service::Service;

use super::{CrossCheckConfig, check::Check};
use crate::{
    error::Error,
    model::{ModelRequest, ModelResponse, ModelService, Operation},
};

/// The service of [`CrossCheckLayer`](super::CrossCheckLayer).
#[derive(Debug, Clone)]
pub struct CrossCheck<S> {
    inner: S,
    config: CrossCheckConfig,
}

impl<S> CrossCheck<S> {
    pub(super) fn new(inner: S, config: CrossCheckConfig) -> Self {
        Self { inner, config }
    }
}

impl<S: ModelService> Service<ModelRequest> for CrossCheck<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        if request.op != Operation::Chat || !self.config.when.applies(&request.ctx) {
            return Box::pin(self.inner.call(request));
        }
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let config = self.config;
        Box::pin(Check::new(inner, request, config).run())
    }
}
