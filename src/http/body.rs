use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::sse_body::SseBody;

/// The body of a response of the surface: one piece, or server-sent events.
pub struct AnswerBody(Inner);

enum Inner {
    Full(Option<Bytes>),
    Sse(Box<SseBody>),
}

impl AnswerBody {
    /// A body in one piece.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        Self(Inner::Full(Some(bytes).filter(|b| !b.is_empty())))
    }

    pub(super) fn sse(events: SseBody) -> Self {
        Self(Inner::Sse(Box::new(events)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Inner::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Inner::Sse(events) => events
                .poll_bytes(cx)
                .map(|bytes| bytes.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Inner::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Inner::Sse(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerBody")
    }
}
