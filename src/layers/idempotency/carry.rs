use std::{
    fmt,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower_service::Service;

use super::tap::{Carrying, IdempotencyTap};
use crate::{
    error::Error,
    model::{ModelRequest, ModelResponse, ModelService},
    store::Remarks,
};

/// The one call of a name that is carried out: what [`IdempotencyLayer::around`](super::IdempotencyLayer::around) is put around.
pub struct CarryOut<S> {
    inner: S,
    /// Until it is called.
    carrying: Option<Carrying>,
}

impl<S> CarryOut<S> {
    pub(super) fn new(inner: S, carrying: Carrying) -> Self {
        Self {
            inner,
            carrying: Some(carrying),
        }
    }
}

impl<S: ModelService> Service<ModelRequest> for CarryOut<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let carrying = self.carrying.take();
        let answering = self.inner.call(request);
        Box::pin(async move {
            let carrying = carrying
                .ok_or_else(|| Error::internal("a call with a name was carried out twice"))?;
            match answering.await {
                Ok(ModelResponse { meta, body }) => {
                    let tap = IdempotencyTap {
                        carrying,
                        deployment: meta.deployment.as_ref().map(|d| d.id.clone()),
                        remarks: Remarks::of(&meta),
                        whole: body.is_whole(),
                        data: Vec::new(),
                        size: 0,
                    };
                    let body = body.tap(tap);
                    Ok(ModelResponse { meta, body })
                }
                Err(error) => {
                    carrying.failed(&error);
                    Err(error)
                }
            }
        })
    }
}

impl<S> fmt::Debug for CarryOut<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarryOut").finish_non_exhaustive()
    }
}
