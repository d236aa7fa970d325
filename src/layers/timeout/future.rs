use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tokio::time::{Sleep, sleep_until};

use super::{body::Timed, config::Limits};
use crate::{
    error::Error,
    model::{ModelBody, ModelResponse},
};

/// The future of [`Timeout`](super::Timeout): bounds the time to the first frame.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct TimeoutFuture<F> {
    /// Until it has answered, or is given up.
    #[pin]
    inner: Option<F>,
    #[pin]
    sleep: Sleep,
    limits: Limits,
}

impl<F> TimeoutFuture<F> {
    pub(super) fn new(inner: F, limits: Limits) -> Self {
        Self {
            inner: Some(inner),
            sleep: sleep_until(limits.head.0),
            limits,
        }
    }
}

impl<F> Future for TimeoutFuture<F>
where
    F: Future<Output = Result<ModelResponse, Error>>,
{
    type Output = Result<ModelResponse, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(Error::internal(
                "a future was polled after it was done",
            )));
        };
        if let Poll::Ready(answer) = inner.poll(cx) {
            this.inner.set(None);
            return Poll::Ready(answer.map(|answer| match answer.body.is_whole() {
                true => answer,
                false => ModelResponse {
                    meta: answer.meta,
                    body: ModelBody::stream(Timed::new(answer.body, this.limits.clone())),
                },
            }));
        }
        ready!(this.sleep.poll(cx));
        this.inner.set(None);
        Poll::Ready(Err(this.limits.error(this.limits.head.1)))
    }
}

impl<F> std::fmt::Debug for TimeoutFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimeoutFuture")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
