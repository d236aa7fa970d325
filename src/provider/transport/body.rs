use std::{
    error::Error as StdError,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::error::{Stage, translate};
use crate::error::Error;

/// The body of a provider's answer, with our errors.
#[pin_project]
#[derive(Debug)]
pub struct TransportBody<B> {
    #[pin]
    inner: B,
}

impl<B> TransportBody<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { inner }
    }
}

impl<B> Body for TransportBody<B>
where
    B: Body<Data = Bytes, Error: StdError + Send + Sync + 'static>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = self.project().inner.poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(|e| translate(e, Stage::Connected))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
