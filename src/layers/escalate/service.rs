use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower_service::Service;

use super::{EscalateConfig, Judge, ascent::Ascent};
use crate::{
    error::Error,
    model::{ModelRequest, ModelResponse, ModelService, Operation},
};

/// The service of [`EscalateLayer`](super::EscalateLayer).
#[derive(Clone)]
pub struct Escalate<S> {
    inner: S,
    judge: Arc<dyn Judge>,
    config: EscalateConfig,
}

impl<S> Escalate<S> {
    pub(super) fn new(inner: S, judge: Arc<dyn Judge>, config: EscalateConfig) -> Self {
        Self {
            inner,
            judge,
            config,
        }
    }
}

impl<S: ModelService> Service<ModelRequest> for Escalate<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        // Vectors of different models do not mix: only chats climb.
        if request.op != Operation::Chat {
            return Box::pin(self.inner.call(request));
        }
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let ascent = Ascent::new(ready, request, Arc::clone(&self.judge), self.config);
        Box::pin(ascent.run())
    }
}

impl<S: fmt::Debug> fmt::Debug for Escalate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Escalate")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
