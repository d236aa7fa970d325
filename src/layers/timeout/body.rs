use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::config::{Limit, Limits, later};
use crate::{
    error::Error,
    model::{Frame, ModelBody},
};

/// A stream that fails when a frame, or the end, is late.
#[pin_project]
pub(super) struct Timed {
    inner: ModelBody,
    /// Never later than the next limit, often earlier.
    #[pin]
    sleep: Sleep,
    /// Since when the reader waits for the next frame; `None` while frames are at hand.
    waiting: Option<Instant>,
    limits: Limits,
}

impl Timed {
    pub(super) fn new(inner: ModelBody, limits: Limits) -> Self {
        let first = later(Instant::now(), limits.gap).min(limits.end.0);
        Self {
            inner,
            sleep: sleep_until(first),
            waiting: None,
            limits,
        }
    }
}

impl Stream for Timed {
    type Item = Result<Frame, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let frame = Pin::new(this.inner).poll_next(cx);
        let now = Instant::now();
        let (end, limit) = this.limits.end;
        if frame.is_ready() {
            *this.waiting = None;
            // The end itself is never late: it is here.
            if now >= end && matches!(frame, Poll::Ready(Some(Ok(Frame::Data(_))))) {
                return Poll::Ready(Some(Err(this.limits.error(limit))));
            }
            return frame;
        }
        let silent = later(*this.waiting.get_or_insert(now), this.limits.gap);
        let (due, limit) = match silent < end {
            true => (silent, Limit::Gap(this.limits.gap)),
            false => (end, limit),
        };
        while this.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(Some(Err(this.limits.error(limit))));
            }
            this.sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}
