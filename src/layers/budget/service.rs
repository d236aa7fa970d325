use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
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
    S: Service<ModelRequest, Response = ModelResponse, Error = Error> + Clone,
{
    type Response = ModelResponse;
    type Error = Error;
    type Future = BudgetFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let worst_case = match Hold::worst_case(&request, &self.terms) {
            Ok(Some(worst_case)) => worst_case,
            Ok(None) => return BudgetFuture(asking(&mut self.inner, request, None)),
            Err(refused) => return BudgetFuture(State::Refused(Some(refused))),
        };
        BudgetFuture(match Hold::take(&request, &self.terms, worst_case) {
            Ok(hold) => asking(&mut self.inner, request, Some(hold)),
            Err(refused) => {
                let accounts = Arc::clone(&request.ctx.accounts);
                let clone = self.inner.clone();
                State::Waiting {
                    hold: Box::pin(Hold::wait(accounts, self.terms.clone(), worst_case)),
                    // The one that is ready.
                    call: Some((std::mem::replace(&mut self.inner, clone), request, refused)),
                }
            }
        })
    }
}

fn asking<S: Service<ModelRequest>>(
    inner: &mut S,
    request: ModelRequest,
    hold: Option<Hold>,
) -> State<S, S::Future> {
    let held_at = hold.as_ref().map(Hold::at);
    let inner = inner.call(ModelRequest { held_at, ..request });
    State::Asking { inner, hold }
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
pub struct BudgetFuture<S, F>(#[pin] State<S, F>);

#[pin_project(project = StateProj)]
enum State<S, F> {
    Refused(Option<Error>),
    /// There was no money at once. Boxed, because this is rare.
    Waiting {
        hold: BoxFuture<'static, Option<Result<Hold, Error>>>,
        call: Option<(S, ModelRequest, Error)>,
    },
    Asking {
        #[pin]
        inner: F,
        hold: Option<Hold>,
    },
}

impl<S, F> Future for BudgetFuture<S, F>
where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error, Future = F>,
    F: Future<Output = Result<ModelResponse, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().0;
        loop {
            match state.as_mut().project() {
                StateProj::Refused(error) => {
                    return Poll::Ready(Err(error.take().unwrap_or_else(polled_again)));
                }
                StateProj::Waiting { hold, call } => {
                    let held = ready!(hold.as_mut().poll(cx));
                    let next = match (held, call.take()) {
                        (Some(Ok(hold)), Some((mut inner, request, _))) => {
                            asking(&mut inner, request, Some(hold))
                        }
                        (Some(Err(refused)), _) | (None, Some((.., refused))) => {
                            State::Refused(Some(refused))
                        }
                        (_, None) => State::Refused(None),
                    };
                    state.set(next);
                }
                StateProj::Asking { inner, hold } => {
                    let result = ready!(inner.poll(cx));
                    return Poll::Ready(match (result, hold.take()) {
                        (Ok(response), Some(hold)) => Ok(ModelResponse {
                            body: response.body.tap(hold),
                            ..response
                        }),
                        (Err(error), Some(hold)) => {
                            hold.failed(&error);
                            Err(error)
                        }
                        (result, None) => result,
                    });
                }
            }
        }
    }
}

fn polled_again() -> Error {
    Error::internal("a future was polled after it was done")
}

impl<S, F> fmt::Debug for BudgetFuture<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BudgetFuture")
    }
}
