use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower_service::Service;

use super::{CrossCheckConfig, check::Check, flaw::Flaws};
use crate::{
    error::Error,
    model::{CheckUse, ModelRequest, ModelResponse, ModelService, Operation},
};

/// The service of [`CrossCheckLayer`](super::CrossCheckLayer).
#[derive(Debug, Clone)]
pub struct CrossCheck<S> {
    inner: S,
    config: CrossCheckConfig,
    flaws: Flaws,
}

impl<S> CrossCheck<S> {
    pub(super) fn new(inner: S, config: CrossCheckConfig, flaws: Flaws) -> Self {
        Self {
            inner,
            config,
            flaws,
        }
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
        let checked = request.op == Operation::Chat
            && request.check == CheckUse::Usual
            && self.config.when.applies(&request.ctx);
        if !checked {
            return Box::pin(self.inner.call(request));
        }
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let check = Check::new(inner, request, self.config, self.flaws.clone());
        Box::pin(check.run())
    }
}
