use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;

use super::state::Trial;
use crate::{error::Error, model::ModelResponse};

/// The future of [`Breaker`](super::Breaker).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct BreakerFuture<F>(#[pin] State<F>);

#[pin_project(project = Projected)]
enum State<F> {
    Asking {
        #[pin]
        inner: F,
        /// Moves into the body.
        trial: Option<Trial>,
    },
    Refused(Option<Error>),
}

impl<F> BreakerFuture<F> {
    pub(super) fn asking(inner: F, trial: Trial) -> Self {
        let trial = Some(trial);
        Self(State::Asking { inner, trial })
    }

    pub(super) fn refused(error: Error) -> Self {
        Self(State::Refused(Some(error)))
    }
}

impl<F> Future for BreakerFuture<F>
where
    F: Future<Output = Result<ModelResponse, Error>>,
{
    type Output = Result<ModelResponse, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (inner, trial) = match self.project().0.project() {
            Projected::Asking { inner, trial } => (inner, trial),
            Projected::Refused(error) => {
                let error = error
                    .take()
                    .expect("a future is not polled after it is done");
                return Poll::Ready(Err(error));
            }
        };
        let answer = ready!(inner.poll(cx));
        let trial = trial
            .take()
            .expect("a future is not polled after it is done");
        Poll::Ready(match answer {
            Ok(answer) => Ok(ModelResponse {
                meta: answer.meta,
                body: answer.body.tap(trial),
            }),
            Err(error) => {
                trial.failed(&error);
                Err(error)
            }
        })
    }
}

impl<F> fmt::Debug for BreakerFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerFuture").finish_non_exhaustive()
    }
}
