use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;
use tracing::Span;

use super::{
    alert::Alert,
    line::{Line, Reports},
};
use crate::{
    error::Error,
    model::{ModelRequest, ModelResponse},
};

/// Traces calls. See the [module](super).
#[derive(Clone)]
pub struct Trace<S> {
    inner: S,
    reports: Arc<Reports>,
}

impl<S> Trace<S> {
    pub(super) fn new(inner: S, alert: Alert) -> Self {
        Self {
            inner,
            reports: Arc::new(Reports::new(alert)),
        }
    }
}

impl<S> Service<ModelRequest> for Trace<S>
where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error>,
{
    type Response = ModelResponse;
    type Error = Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let ctx = &request.ctx;
        let span = tracing::info_span!(
            "call",
            id = &*ctx.id,
            tenant = &*ctx.tenant,
            op = request.op.as_str()
        );
        let line = Line::open(
            span.clone(),
            ctx.clone(),
            request.op,
            request.wants_stream(),
            Arc::clone(&self.reports),
        );
        let inner = span.in_scope(|| self.inner.call(request));
        TraceFuture {
            inner,
            span,
            line: Some(line),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Trace<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("alert", self.reports.alert())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// The future of [`Trace`].
#[pin_project]
pub struct TraceFuture<F> {
    #[pin]
    inner: F,
    span: Span,
    line: Option<Line>,
}

impl<F> Future for TraceFuture<F>
where
    F: Future<Output = Result<ModelResponse, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _entered = this.span.enter();
            ready!(this.inner.poll(cx))
        };
        let Some(mut line) = this.line.take() else {
            return Poll::Ready(result);
        };
        Poll::Ready(match result {
            Ok(response) => {
                line.answered(&response.meta);
                Ok(ModelResponse {
                    body: response.body.tap(line),
                    ..response
                })
            }
            Err(error) => {
                line.failed(&error);
                Err(error)
            }
        })
    }
}

impl<F> fmt::Debug for TraceFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceFuture")
    }
}
