use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_util::future::BoxFuture;
use tower_service::Service;

use super::{Drains, drains::read};
use crate::{
    error::Error,
    model::{CallContext, Frame, ModelBody, ModelRequest, ModelResponse},
};

/// Reads on what its reader leaves. See the [module](super).
#[derive(Debug, Clone)]
pub struct Drain<S> {
    inner: S,
    drains: Drains,
}

impl<S> Drain<S> {
    pub(super) fn new(inner: S, drains: Drains) -> Self {
        Self { inner, drains }
    }
}

impl<S> Service<ModelRequest> for Drain<S>
where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error>,
    S::Future: Send + 'static,
{
    type Response = ModelResponse;
    type Error = Error;
    type Future = DrainFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        DrainFuture {
            ctx: request.ctx.clone(),
            attempt: request.attempt,
            inner: Some(Box::pin(self.inner.call(request))),
            drains: self.drains.clone(),
        }
    }
}

/// The future of [`Drain`]. Dropped before it is done, it goes on among the drains, if there is something to go on with.
#[must_use = "futures do nothing unless polled"]
pub struct DrainFuture {
    inner: Option<BoxFuture<'static, Result<ModelResponse, Error>>>,
    drains: Drains,
    ctx: CallContext,
    attempt: u32,
}

impl DrainFuture {
    /// An attempt that has not gone out has cost nothing, and nobody waits for its answer. A whole call is somebody's, who may come again.
    fn goes_on(&self) -> bool {
        self.ctx.is_sent(self.attempt)
    }
}

impl Future for DrainFuture {
    type Output = Result<ModelResponse, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(Err(Error::internal(
                "a future was polled after it was done",
            )));
        };
        let result = ready!(inner.as_mut().poll(cx));
        self.inner = None;
        Poll::Ready(result.map(|response| match response.body.is_whole() {
            true => response,
            false => ModelResponse {
                meta: response.meta,
                body: ModelBody::stream(Rest {
                    body: Some(response.body),
                    drains: self.drains.clone(),
                }),
            },
        }))
    }
}

impl Drop for DrainFuture {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|_| self.goes_on()) {
            self.drains.run(async move {
                if let Ok(response) = inner.await {
                    read(response.body).await;
                }
            });
        }
    }
}

/// A stream whose rest is read on when it is dropped.
struct Rest {
    /// Until its end.
    body: Option<ModelBody>,
    drains: Drains,
}

impl Stream for Rest {
    type Item = Result<Frame, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let item = ready!(Pin::new(body).poll_next(cx));
        if !matches!(item, Some(Ok(Frame::Data(_)))) {
            self.body = None;
        }
        Poll::Ready(item)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.drains.run(read(body));
        }
    }
}

impl fmt::Debug for DrainFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainFuture")
            .field("drains", &self.drains)
            .finish_non_exhaustive()
    }
}
