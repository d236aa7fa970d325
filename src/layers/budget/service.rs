use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;

use super::{BudgetLayer, hold::Hold};
use crate::{
    error::Error,
    model::{ModelRequest, ModelResponse},
};

/// Reserves the worst case before an attempt and settles it afterwards. See the [module](super).
#[derive(Clone)]
pub struct Budget<S> {
    inner: S,
    terms: BudgetLayer,
}

impl<S> Budget<S> {
    pub(super) fn new(inner: S, terms: BudgetLayer) -> Self {
        Self { inner, terms }
    }
}

impl<S> Service<ModelRequest> for Budget<S>
where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error>,
{
    type Response = ModelResponse;
    type Error = Error;
    type Future = BudgetFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        BudgetFuture(match Hold::take(&request, &self.terms) {
            Ok(hold) => State::Asking {
                inner: self.inner.call(request),
                hold,
            },
            Err(refused) => State::Refused(Some(refused)),
        })
    }
}

impl<S: fmt::Debug> fmt::Debug for Budget<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("terms", &self.terms)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// The future of [`Budget`].
#[pin_project]
pub struct BudgetFuture<F>(#[pin] State<F>);

#[pin_project(project = StateProj)]
enum State<F> {
    Refused(Option<Error>),
    Asking {
        #[pin]
        inner: F,
        hold: Option<Hold>,
    },
}

impl<F> Future for BudgetFuture<F>
where
    F: Future<Output = Result<ModelResponse, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            StateProj::Refused(error) => Poll::Ready(Err(error
                .take()
                .unwrap_or_else(|| Error::internal("a future was polled after it was done")))),
            StateProj::Asking { inner, hold } => {
                let result = ready!(inner.poll(cx));
                Poll::Ready(match (result, hold.take()) {
                    (Ok(response), Some(hold)) => Ok(ModelResponse {
                        body: response.body.tap(hold),
                        ..response
                    }),
                    (Err(error), Some(hold)) => {
                        hold.failed(&error);
                        Err(error)
                    }
                    (result, None) => result,
                })
            }
        }
    }
}

impl<F> fmt::Debug for BudgetFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BudgetFuture")
    }
}
