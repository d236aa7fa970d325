use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::flight::{Flight, Landed};
use crate::{
    error::{Error, ErrorKind},
    model::{CallContext, Frame, ModelBody},
};

/// A place in a flight, given up when dropped.
pub(super) struct Reader {
    flight: Arc<Flight>,
    id: u64,
}

impl Reader {
    pub(super) fn new(flight: Arc<Flight>, id: u64) -> Self {
        Self { flight, id }
    }

    /// The call that pays.
    pub(super) fn leader(&self) -> &CallContext {
        self.flight.leader()
    }

    /// Waits until the inner service has answered.
    pub(super) async fn landed(&self) -> Result<Landed, Error> {
        poll_fn(|cx| self.flight.poll_landed(self.id, cx.waker())).await
    }

    /// The same, but not beyond `deadline`.
    pub(super) async fn landed_by(&self, deadline: Option<Instant>) -> Result<Landed, Error> {
        match deadline {
            None => self.landed().await,
            Some(deadline) => timeout_at(deadline, self.landed())
                .await
                .unwrap_or_else(|_| Err(too_late())),
        }
    }

    /// The answer as a stream, which fails at `deadline`.
    pub(super) fn into_body(self, deadline: Option<Instant>) -> ModelBody {
        match deadline {
            None => ModelBody::stream(self),
            Some(deadline) => ModelBody::stream(ReadBy {
                reader: self,
                deadline: sleep_until(deadline),
            }),
        }
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        self.flight.poll_frame(self.id, cx.waker()).map(Some)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.flight.leave(self.id);
    }
}

impl Stream for Reader {
    type Item = Result<Frame, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_frame(cx)
    }
}

/// A reader whose call may not wait for ever.
#[pin_project]
struct ReadBy {
    reader: Reader,
    #[pin]
    deadline: Sleep,
}

impl Stream for ReadBy {
    type Item = Result<Frame, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.reader.poll_frame(cx) {
            return Poll::Ready(frame);
        }
        this.deadline.poll(cx).map(|()| Some(Err(too_late())))
    }
}

fn too_late() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "the call's time ran out while it waited for an answer that another call is fetching",
    )
}
