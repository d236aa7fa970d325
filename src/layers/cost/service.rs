use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;

use super::{entry::Entry, meters::Meters};
use crate::{
    catalog::Deployment,
    error::{Error, ErrorKind},
    model::{ModelRequest, ModelResponse},
    store::Ledger,
};

/// Writes one ledger row per attempt. See the [module](super).
#[derive(Clone)]
pub struct Cost<S> {
    inner: S,
    deployment: Arc<Deployment>,
    ledger: Arc<dyn Ledger>,
    meters: Arc<Meters>,
}

impl<S> Cost<S> {
    /// Attempts at `deployment`, answered by `inner`, are written to `ledger`.
    pub fn new(inner: S, deployment: Arc<Deployment>, ledger: Arc<dyn Ledger>) -> Self {
        Self {
            inner,
            meters: Arc::new(Meters::new(Arc::clone(&deployment))),
            deployment,
            ledger,
        }
    }
}

impl<S> Service<ModelRequest> for Cost<S>
where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error>,
{
    type Response = ModelResponse;
    type Error = Error;
    type Future = CostFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        if !self.deployment.is_free() && !self.ledger.has_room() {
            return CostFuture(State::Refused(Some(Error::new(
                ErrorKind::Overloaded,
                "the ledger's writer is behind; no call that costs money is made that cannot be written down",
            ))));
        }
        let opened = Entry::open(
            &request,
            Arc::clone(&self.deployment),
            Arc::clone(&self.ledger),
            Arc::clone(&self.meters),
        );
        CostFuture(match opened {
            Ok(entry) => {
                request.ctx.send(request.attempt);
                State::Asking {
                    inner: self.inner.call(request),
                    entry: Some(entry),
                }
            }
            Err(error) => State::Refused(Some(error)),
        })
    }
}

impl<S: fmt::Debug> fmt::Debug for Cost<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cost")
            .field("deployment", &self.deployment.id)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// The future of [`Cost`].
#[pin_project]
pub struct CostFuture<F>(#[pin] State<F>);

#[expect(
    clippy::large_enum_variant,
    reason = "one per attempt, and almost always the large one"
)]
#[pin_project(project = StateProj)]
enum State<F> {
    /// Until it has said why.
    Refused(Option<Error>),
    Asking {
        #[pin]
        inner: F,
        /// Dropped with the future, it writes a `cancelled` row.
        entry: Option<Entry>,
    },
}

impl<F> Future for CostFuture<F>
where
    F: Future<Output = Result<ModelResponse, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (inner, entry) = match self.project().0.project() {
            StateProj::Asking { inner, entry } => (inner, entry),
            StateProj::Refused(why) => {
                let again = || Error::internal("a future was polled after it was done");
                return Poll::Ready(Err(why.take().unwrap_or_else(again)));
            }
        };
        let result = ready!(inner.poll(cx));
        let Some(mut entry) = entry.take() else {
            return Poll::Ready(result);
        };
        Poll::Ready(match result {
            Ok(response) => {
                entry.first_frame();
                Ok(ModelResponse {
                    body: response.body.tap(entry),
                    ..response
                })
            }
            Err(error) => {
                entry.failed(&error);
                Err(error)
            }
        })
    }
}

impl<F> fmt::Debug for CostFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CostFuture")
    }
}
