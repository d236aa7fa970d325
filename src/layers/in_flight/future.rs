use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;

use super::permits::Permit;
use crate::{
    error::{Error, ErrorKind},
    model::ModelResponse,
};

/// The future of [`InFlight`](super::InFlight).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct InFlightFuture<F>(#[pin] State<F>);

#[pin_project(project = Projected)]
enum State<F> {
    Asking {
        #[pin]
        inner: F,
        /// Moves into the body.
        permit: Option<Permit>,
    },
    Shed {
        max: usize,
    },
}

impl<F> InFlightFuture<F> {
    pub(super) fn asking(inner: F, permit: Permit) -> Self {
        let permit = Some(permit);
        Self(State::Asking { inner, permit })
    }

    pub(super) fn shed(max: usize) -> Self {
        Self(State::Shed { max })
    }
}

impl<F> Future for InFlightFuture<F>
where
    F: Future<Output = Result<ModelResponse, Error>>,
{
    type Output = Result<ModelResponse, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            Projected::Asking { inner, permit } => {
                let answer = ready!(inner.poll(cx));
                let permit = permit.take();
                Poll::Ready(answer.map(|answer| match permit {
                    Some(permit) => ModelResponse {
                        meta: answer.meta,
                        body: answer.body.tap(permit),
                    },
                    None => answer,
                }))
            }
            Projected::Shed { max } => Poll::Ready(Err(Error::new(
                ErrorKind::Overloaded,
                format!("{max} calls are under way, which is all that is allowed at once"),
            ))),
        }
    }
}

impl<F> fmt::Debug for InFlightFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlightFuture").finish_non_exhaustive()
    }
}
